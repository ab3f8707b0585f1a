//! `make dist` and `make nuget`: the contents of a release, and that it works after it is unpacked.

mod common;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use common::install::{
    bare, elsewhere, files, make, needed, run, target_of_make, updates, venv, with_rust, Folder,
    Installed, REAL_NAME, ROOT, VERSION,
};
use common::tools::has;

/// .NET's name for this platform.
fn platform() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "linux-x64"
    } else {
        "linux-arm64"
    }
}

#[test]
fn the_nuget_package_is_complete() {
    let folder = Path::new(ROOT).join("bindings/csharp/CommBox");
    let project = fs::read_to_string(folder.join("CommBox.csproj")).expect("the project is there");
    assert!(project.contains(&format!("<Version>{VERSION}</Version>")), "the version is {VERSION}");

    let packed =
        project.split("<None Include=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0));
    let (runtimes, texts): (Vec<_>, Vec<_>) =
        packed.partition(|path| path.starts_with("$(CommBoxRuntimes)/"));
    let names: BTreeSet<_> =
        texts.iter().filter_map(|file| Path::new(file).file_name()?.to_str()).collect();
    assert_eq!(
        names,
        ["CommBox.targets", "LICENSE", "README.md", "THIRD-PARTY.txt", "icon.png"].into()
    );
    for file in texts {
        assert!(folder.join(file).is_file(), "{file} is not there");
    }
    assert_eq!(runtimes, ["$(CommBoxRuntimes)/**"]);

    let nuget = Folder::new("nuget");
    make("nuget", &[format!("NUGET={}", nuget.path().display())]);
    // The path where LibraryLoader.cs searches for it.
    assert_eq!(
        files(nuget.path()),
        [format!("runtimes/{}/native/libcommbox.so", platform())].into()
    );
    let loader = fs::read_to_string(folder.join("LibraryLoader.cs")).expect("the loader is there");
    assert!(
        loader.contains("\"libcommbox.so\"")
            && loader.contains("\"runtimes\", identifier, \"native\"")
    );
}

#[test]
fn a_release_is_reproducible_and_works_once_unpacked() {
    if venv().is_none() {
        return;
    }
    let [first, second] = ["dist 1", "dist 2"].map(Folder::new);
    // Only for this platform: building the others takes long, and tests/shipped.py tests them.
    make("dist", &[format!("DIST={}", first.path().display()), format!("TARGETS={}", platform())]);
    // A different environment, at a later time.
    let (target, dist) = (target_of_make(), second.path().display());
    let only = platform();
    let later = format!(
        "umask 077; make -s -C '{ROOT}' dist TARGET='{target}' DIST='{dist}' TARGETS={only}"
    );
    run(with_rust(bare("sh").args(["-c", &later]).env("TZ", "Asia/Jerusalem")));

    let sums = |folder: &Folder| {
        fs::read_to_string(folder.path().join("SHA256SUMS")).expect("the sums are there")
    };
    assert_eq!(sums(&first), sums(&second));
    run(bare("sha256sum")
        .args(["--check", "--quiet", "--strict", "SHA256SUMS"])
        .current_dir(first.path()));
    let named: BTreeSet<_> =
        sums(&first).lines().filter_map(|line| Some(line.split_once("  ")?.1.to_owned())).collect();
    let mut there = files(first.path());
    there.remove("SHA256SUMS");
    assert_eq!(named, there);

    let platform = platform();
    let machine = env::consts::ARCH;
    // Python writes pre-release versions differently: 1.0.0rc1.
    let python = VERSION.replace("-rc.", "rc");
    let mut expected: BTreeSet<_> = [
        "THIRD-PARTY.txt".into(),
        "THIRD-PARTY-command.txt".into(),
        // The wheel's name contains the oldest supported glibc.
        format!("commbox-{python}-py3-none-manylinux_2_17_{machine}.whl"),
        format!("commbox-{VERSION}-{platform}.cdx.json"),
        format!("commbox-cli-{VERSION}-{platform}.cdx.json"),
        format!("commbox-{VERSION}-{platform}.tar.gz"),
        format!("commbox-{VERSION}-source.tar.gz"),
        format!("commbox-{python}.tar.gz"),
    ]
    .into();
    if has("dotnet", "the .NET SDK") {
        for package in ["CommBox", "CommBox.Extensions.Hosting"] {
            expected
                .extend(["nupkg", "snupkg"].map(|ending| format!("{package}.{VERSION}.{ending}")));
        }
    }
    assert_eq!(named, expected);
    the_archive_works(&first, &format!("{platform}.tar.gz"));
    the_wheel_works(&first);
}

/// Unpacks a file of a release and returns the folder that it creates.
fn unpack(release: &Folder, ending: &str, into: &Folder) -> PathBuf {
    let name = format!("commbox-{VERSION}");
    let archive = release.path().join(format!("{name}-{ending}"));
    run(bare("tar").arg("-xzf").arg(archive).arg("-C").arg(into.path()));
    into.path().join(name)
}

fn the_archive_works(release: &Folder, ending: &str) {
    let folder = Folder::new("archive");
    let prefix = unpack(release, ending, &folder);
    let command = prefix.join("bin/commbox");
    let installed = Installed::of(folder, prefix);
    let [shared, fixed] = [REAL_NAME, "libcommbox.a"].map(|name| installed.lib().join(name));
    let text = [&shared, &fixed]
        .map(|file| String::from_utf8_lossy(&fs::read(file).expect("it is there")).into_owned());
    // The files must depend on this machine as little as possible: not on its glibc, ...
    let glibc = text[0].split("GLIBC_2.").skip(1);
    let newest = glibc.map(|rest| {
        rest.split(|end: char| !end.is_ascii_digit()).next().and_then(|it| it.parse().ok())
    });
    assert_eq!(newest.max().flatten(), Some(17_u32));
    // ... and not on the path of cargo's home.
    let home =
        env::var("CARGO_HOME").unwrap_or(env::var("HOME").expect("somebody runs this") + "/.cargo");
    assert!(!text.iter().any(|text| text.contains(&home) || text.contains(ROOT)));

    updates(elsewhere(&command).args(["update", "94382332", "FirstName=John"]));
    let command = fs::read(&command).expect("it is there");
    let command = String::from_utf8_lossy(&command);
    assert!(!command.contains(&home) && !command.contains(ROOT), "the command knows this machine");

    if has("pkg-config", "pkg-config") {
        let program = installed.compile();
        updates(&mut installed.with_library(&program));
        run(&mut installed.shell(
            "cc -static update_user.c $($PKG_CONFIG --static --cflags --libs commbox) -o static",
        ));
        let whole = program.with_file_name("static");
        assert_eq!(needed(&whole), "");
        updates(&mut elsewhere(&whole));
    }

    let package = release.path().join(format!("CommBox.{VERSION}.nupkg"));
    if package.is_file() {
        let nuget = Folder::new("archive-nuget");
        run(bare("python3").args(["-m", "zipfile", "-e"]).args([&package, nuget.path()]));
        let native = nuget.path().join(format!("runtimes/{}/native/libcommbox.so", platform()));
        assert!(fs::read(native).expect("it is there") == fs::read(shared).expect("it is there"));
    }
}

fn the_wheel_works(release: &Folder) {
    let folder = Folder::new("wheel");
    let wheel = files(release.path())
        .into_iter()
        .find(|name| name.ends_with(".whl"))
        .expect("there is one");
    for (from, to) in [
        (release.path().join(&wheel), &*wheel),
        (Path::new(ROOT).join("examples/update_user.py"), "it.py"),
    ] {
        fs::copy(from, folder.path().join(to)).expect("it can be copied");
    }
    let install = format!("python3 -m venv venv && venv/bin/pip install --no-index ./{wheel}");
    run(elsewhere("sh").args(["-c", &install]).current_dir(folder.path()));
    updates(elsewhere("venv/bin/python").arg("it.py").current_dir(folder.path()));
    let update = ["update", "94382332", "FirstName=John"];
    updates(elsewhere("venv/bin/commbox").args(update).current_dir(folder.path()));
}
