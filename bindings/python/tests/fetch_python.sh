#!/bin/sh
# Puts an interpreter that this machine has not, as Debian builds it, into a folder of its own:
#
#     fetch_python.sh 3.14 FOLDER PATCHELF
#
# FOLDER/usr/bin/python3.14 then runs beside the system's, with the C library that it was built for: nothing is installed.
# The packages come from where this machine gets its own, in Debian's newest suite. A fourth word is the processor that
# it is for, by Debian's name; then it is left to an emulator to run it, with FOLDER as its root.
set -eu

version=$1
patchelf=$3
architecture=${4:-}
mkdir -p "$2"
folder=$(cd "$2" && pwd)
python=$folder/usr/bin/python$version
[ ! -e "$folder/ready" ] || exit 0

apt=$folder/apt
rm -rf "$folder/usr" "$apt"
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"

# One line for each place: where it is, and the keys that it signs with.
cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '
    BEGIN { RS = "" }
    / main/ {
        place = keys = ""
        count = split($0, lines, "\n")
        for (i = 1; i <= count; i++) {
            split(lines[i], words, " ")
            if (words[1] == "URIs:") place = words[2]
            if (words[1] == "Signed-By:" && words[2] != "") keys = "[signed-by=" words[2] "] "
        }
        if (place ~ /\/debian\/?$/) { print "deb " keys place " sid main"; exit }
    }' >"$apt/sources.list"
if [ ! -s "$apt/sources.list" ]; then
    awk '$1 == "deb" && /\/debian\/? / {
        for (i = 2; i <= NF; i++) if ($i ~ /\/debian\/?$/) { print "deb " $i " sid main"; exit }
    }' /etc/apt/sources.list >"$apt/sources.list" 2>/dev/null || true
fi
[ -s "$apt/sources.list" ] || { echo "this machine's sources of packages name no Debian archive" >&2; exit 1; }

get() {
    apt-get -q -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache" \
        -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=- -o Acquire::Languages=none \
        ${architecture:+-o APT::Architecture=$architecture -o APT::Architectures=$architecture} \
        -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Debug::NoLocking=1 "$@"
}

get update
get install --download-only --yes "python$version"
for package in "$apt"/cache/archives/*.deb; do
    dpkg-deb --extract "$package" "$folder"
done
if [ -n "$architecture" ]; then
    [ -e "$folder/lib" ] || ln -s usr/lib "$folder/lib"
    rm -rf "$apt" "$folder/usr/share" "$folder/var" "$folder/etc"
    : >"$folder/ready"
    exit 0
fi
libraries=$(dirname "$(find "$folder/usr/lib" -name 'libc.so.6' | head -n 1)")
loader=$(find "$folder/usr/lib" "$folder/usr/lib64" -name 'ld-linux*' 2>/dev/null | head -n 1)
# By an absolute path: programs that it starts, and virtual environments of it, find all the same.
"$patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$python"
"$python" -c 'import ctypes, ssl, sys; print(sys.version)'
rm -rf "$apt" "$folder/usr/share" "$folder/var" "$folder/etc"
: >"$folder/ready"
