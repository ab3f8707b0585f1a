//! Runs `make install`, then builds programs against the installed files as users do: with
//! pkg-config and CMake, in a separate folder, without access to the checkout.

#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::build;
use common::header;
use common::install::{
    bare, elsewhere, fails, files, make, needed, run, updates, Folder, Installed, REAL_NAME, ROOT,
    VERSION,
};
use common::tools::has;

#[test]
fn everything_is_installed_and_uninstalled() {
    let folder = Folder::new("everything, with spaces");
    let another = folder.folder("usr/lib/x86_64-linux-gnu/cmake/another");
    fs::write(another.join("another-config.cmake"), "").expect("a file can be written");
    let before = files(folder.path());

    let variables = [
        format!("DESTDIR={}", folder.path().display()),
        "prefix=/usr".into(),
        "libdir=/usr/lib/x86_64-linux-gnu".into(),
        "mandir=/usr/man".into(),
    ];
    make("install", &variables);
    // Installing again must succeed.
    make("install", &variables);
    let installed: BTreeSet<_> = files(folder.path()).difference(&before).cloned().collect();
    let expected = [
        "usr/include/commbox.h",
        "usr/include/commbox.hpp",
        "usr/lib/x86_64-linux-gnu/cmake/commbox/commbox-config-version.cmake",
        "usr/lib/x86_64-linux-gnu/cmake/commbox/commbox-config.cmake",
        "usr/lib/x86_64-linux-gnu/libcommbox.a",
        "usr/lib/x86_64-linux-gnu/libcommbox.so",
        "usr/lib/x86_64-linux-gnu/libcommbox.so.1",
        "usr/lib/x86_64-linux-gnu/libcommbox.so.1.0.0",
        "usr/lib/x86_64-linux-gnu/pkgconfig/commbox.pc",
        "usr/man/man3/commbox.3",
        "usr/share/doc/commbox/LICENSE",
        "usr/share/doc/commbox/THIRD-PARTY.txt",
    ];
    let pages = header::functions().into_iter().map(|name| format!("usr/man/man3/{name}.3"));
    assert_eq!(installed, expected.map(String::from).into_iter().chain(pages).collect());

    let lib = folder.path().join("usr/lib/x86_64-linux-gnu");
    for (link, to) in [("libcommbox.so", "libcommbox.so.1"), ("libcommbox.so.1", REAL_NAME)] {
        assert_eq!(fs::read_link(lib.join(link)).expect("it is a link"), Path::new(to));
    }
    for file in &installed {
        let path = folder.path().join(file);
        let mode = fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777;
        assert_eq!(mode, if file.contains(".so") { 0o755 } else { 0o644 }, "{file}");
        // No installed file may contain these paths, which exist only on this machine.
        let content = fs::read(&path).expect("it can be read");
        for private in [ROOT, &folder.path().display().to_string()] {
            let found = content.windows(private.len()).any(|part| part == private.as_bytes());
            assert!(!found, "{file} tells {private}");
        }
    }
    let pc = fs::read_to_string(lib.join("pkgconfig/commbox.pc")).expect("it is text");
    assert!(
        pc.starts_with(
            "prefix=/usr\nlibdir=${prefix}/lib/x86_64-linux-gnu\nincludedir=${prefix}/include\n"
        ),
        "{pc}"
    );

    make("uninstall", &variables);
    assert_eq!(files(folder.path()), before);
    for gone in ["usr/lib/x86_64-linux-gnu/cmake/commbox", "usr/share/doc/commbox"] {
        assert!(!folder.path().join(gone).exists(), "{gone}");
    }
    // Uninstalling again must succeed too.
    make("uninstall", &variables);
}

#[test]
fn the_soname_contains_the_abi_version() {
    let told = run(bare("readelf").arg("-d").arg(build::library()));
    let soname = format!("[libcommbox.so.{}]", commbox::ffi::commbox_abi_version());
    assert!(told.contains(&soname), "{told}");
    assert!(format!("[{REAL_NAME}]").starts_with(soname.trim_end_matches(']')));
}

#[test]
fn c_builds_with_pkg_config() {
    if !has("pkg-config", "pkg-config") {
        return;
    }
    let installed = Installed::new("c");
    let shared = installed.compile();
    assert!(needed(&shared).contains("[libcommbox.so.1]"));
    updates(&mut installed.with_library(&shared));

    // First link everything statically, including the C library, ...
    run(&mut installed.shell(
        "cc -static update_user.c $($PKG_CONFIG --static --cflags --libs commbox) -o static",
    ));
    let whole = shared.with_file_name("static");
    assert_eq!(needed(&whole), "");
    updates(&mut elsewhere(&whole));

    // ... then only this library.
    fs::remove_file(installed.lib().join("libcommbox.so")).expect("it is there");
    run(&mut installed
        .shell("cc update_user.c $($PKG_CONFIG --static --cflags --libs commbox) -o partly"));
    let partly = shared.with_file_name("partly");
    assert!(!needed(&partly).contains("commbox"));
    updates(&mut elsewhere(&partly));

    assert_eq!(run(&mut installed.shell("$PKG_CONFIG --modversion commbox")).trim(), VERSION);
}

#[test]
fn cpp_builds_with_cmake() {
    // CMake does not support pre-release versions.
    const NUMBER: &str = concat!(
        env!("CARGO_PKG_VERSION_MAJOR"),
        ".",
        env!("CARGO_PKG_VERSION_MINOR"),
        ".",
        env!("CARGO_PKG_VERSION_PATCH")
    );
    if !has("cmake", "cmake") {
        return;
    }
    let installed = Installed::new("cpp");
    for (target, shared) in [("commbox::commbox", true), ("commbox::static", false)] {
        let (program, mut configure, mut compile) = installed.cmake(target, NUMBER);
        run(&mut configure);
        run(&mut compile);
        assert_eq!(needed(&program).contains("[libcommbox.so.1]"), shared, "{target}");
        // CMake stores the library's path in the programs that it builds.
        updates(&mut elsewhere(&program));
    }

    let [major, minor] = [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR")]
        .map(|part| part.parse::<u32>().expect("a number"));
    let (_, mut configure, _) = installed.cmake("commbox::commbox", &format!("{major}.{minor}"));
    run(&mut configure);
    for version in
        [format!("{}.{minor}", major + 1), format!("{major}.{}", minor + 1), format!("{NUMBER}.1")]
    {
        let (_, mut configure, _) = installed.cmake("commbox::commbox", &version);
        let told = fails(&mut configure);
        assert!(told.contains(&format!("version: {VERSION}")), "{told}");
    }
}
