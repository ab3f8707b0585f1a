"""Sets up the benchmark below target/bench: the system's packages, nginx, and every contestant's
program.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from contestants import BUILT, HERE, LIBRARY, PYTHON, ROOT

CC = os.environ.get("CC", "cc")
CARGO = os.environ.get("CARGO", "cargo")
DOTNET = os.environ.get("DOTNET", "dotnet")

# Required tools and libraries, and the Debian packages that contain them.
TOOLS = {
    "valgrind": "valgrind",
    "strace": "strace",
    "openssl": "openssl",
    "pkg-config": "pkg-config",
}
LIBRARIES = {"libcurl": "libcurl4-openssl-dev", "libcjson": "libcjson-dev"}

STRICT = ["-std=c11", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror"]


def run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], cwd=cwd or ROOT, check=True)


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def as_root() -> list[str] | None:
    """Returns the prefix for commands that install packages; None if that is not possible."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return ["env", "DEBIAN_FRONTEND=noninteractive"]
    by_sudo = (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
    )
    return ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"] if by_sudo else None


def install_packages() -> None:
    """Installs missing packages if that is allowed; otherwise reports what to install."""
    wanted = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    for library, package in LIBRARIES.items():
        # Without pkg-config, the libraries cannot be looked up.
        known = "pkg-config" not in wanted
        if not known or subprocess.run(["pkg-config", "--exists", library]).returncode != 0:
            wanted.append(package)
    if not wanted:
        return
    prefix = as_root()
    if prefix is None:
        raise SystemExit(f"packages are missing: apt-get install {' '.join(wanted)}")
    run(*prefix, "apt-get", "update", "-qq")
    run(*prefix, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted)


def find_nginx() -> str:
    """Returns the system's nginx, or Debian's, which is unpacked but not installed: installing it
    would start a service.
    """
    folder = BUILT / "nginx"
    program = folder / "usr/sbin/nginx"
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:{program.parent}")
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        if not download_nginx(folder):
            # The list of packages may be missing or outdated.
            prefix = as_root()
            if prefix is not None:
                run(*prefix, "apt-get", "update", "-qq")
            if prefix is None or not download_nginx(folder):
                raise SystemExit(
                    "nginx is missing, and could not be downloaded: apt-get install nginx-core"
                )
        run("dpkg-deb", "--extract", next(folder.glob("nginx_*.deb")), folder)
        found = str(program)
    return found


def download_nginx(folder: Path) -> bool:
    try:
        run("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", "nginx", cwd=folder)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def build_c() -> None:
    folder = BUILT / "c"
    folder.mkdir(parents=True, exist_ok=True)
    json_flags = output("pkg-config", "--cflags", "--libs", "libcjson").split()
    curl_flags = output("pkg-config", "--cflags", "--libs", "libcurl").split()
    library = [
        f"-I{ROOT / 'include'}",
        f"-L{LIBRARY.parent}",
        "-lcommbox",
        f"-Wl,-rpath,{LIBRARY.parent}",
    ]
    for name, flags in {
        "commbox": library,
        "curl": curl_flags,
        "sockets": [],
        "reading": [],
    }.items():
        sources = [HERE / "c" / f"{name}.c", HERE / "c/harness.c"]
        run(CC, *STRICT, "-pthread", *sources, "-o", folder / name, *flags, *json_flags)
    run(CC, *STRICT, HERE / "c/idle.c", "-o", folder / "idle")
    run(
        CC,
        *STRICT,
        "-pthread",
        ROOT / "tests/c/warm_calls.c",
        "-o",
        folder / "warm_calls",
        *library,
    )


def build_rust() -> None:
    manifest = HERE / "rust/Cargo.toml"
    run(
        CARGO,
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        manifest,
        "--target-dir",
        BUILT / "rust",
    )


def build_python() -> None:
    if not PYTHON.exists():
        run(sys.executable, "-m", "venv", PYTHON.parent.parent)
    install = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*install, "-r", HERE / "python/requirements.txt")
    # Installed as users do it, with the library inside.
    run(*install, "--force-reinstall", "--no-deps", ROOT / "bindings/python")


def build_csharp() -> tuple[str, ...] | None:
    """Returns the command that starts the program; None if .NET is missing."""
    if shutil.which(DOTNET) is None:
        print(f"C# is left out: no {DOTNET} is found.")
        return None
    project = HERE / "csharp"
    run(DOTNET, "build", "-c", "Release", project)
    program = max(project.glob("bin/**/Bench.dll"), key=lambda file: file.stat().st_mtime)
    host = json.loads(output(DOTNET, str(program), "idle"))["host"]
    return (host, str(program))


def versions(nginx: str, dotnet: tuple[str, ...] | None) -> dict[str, str]:
    """Returns the versions of what is compared, and of the tools."""
    listed = json.loads(
        output(str(PYTHON), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check")
    )
    python = {package["name"]: package["version"] for package in listed}
    manifest = str(HERE / "rust/Cargo.toml")
    metadata = json.loads(
        output(CARGO, "metadata", "--locked", "--format-version", "1", "--manifest-path", manifest)
    )
    rust = {package["name"]: package["version"] for package in metadata["packages"]}
    told = subprocess.run([nginx, "-v"], capture_output=True, text=True).stderr
    found = {
        "commbox": rust["commbox"],
        "libcurl": output("pkg-config", "--modversion", "libcurl").strip(),
        "cJSON": output("pkg-config", "--modversion", "libcjson").strip(),
        "OpenSSL": output("openssl", "version").split()[1],
        **{name: rust[name] for name in ("ureq", "reqwest", "rustls")},
        **{name: python[name] for name in ("requests", "httpx", "urllib3", "aiohttp")},
        "nginx": told.strip().rpartition("/")[2],
        "Rust": output("rustc", "--version").split()[1],
        "C compiler": output(CC, "--version").splitlines()[0],
        "Python": output(str(PYTHON), "--version").split()[1],
        "valgrind": output("valgrind", "--version").strip().removeprefix("valgrind-"),
        "strace": output("strace", "--version").split()[3],
    }
    if dotnet is not None:
        runtime = Path(dotnet[0]).parent / "shared/Microsoft.NETCore.App"
        found[".NET"] = ", ".join(sorted(folder.name for folder in runtime.glob("*"))) or "unknown"
    return found
