//! The crate as Rust users get it: documented, packaged, and usable as a plain dependency of
//! another program.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::install::{elsewhere, run, updates, Folder, ROOT, VERSION};
use common::{build, page};

/// The expected warnings: tests are not packaged, and the project has no public address.
const KNOWN: [&str; 3] = [
    "warning: ignoring test `",
    // The example's sources belong to the command's package.
    "warning: ignoring example `sandbox`",
    "warning: manifest has no documentation, homepage or repository",
];

/// Packages the crate and builds the package. Returns the folder that cargo unpacked it to.
fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        // Uncommitted changes are not an error of the package.
        let told = run(&mut build::cargo(
            build::target_dir(),
            &["package", "--locked", "--offline", "--allow-dirty"],
        ));
        let warnings = told.lines().filter(|line| line.starts_with("warning"));
        let unknown: Vec<_> =
            warnings.filter(|line| !KNOWN.iter().any(|known| line.starts_with(known))).collect();
        assert!(unknown.is_empty(), "{unknown:?}\n{told}");
        build::target_dir().join(format!("package/commbox-{VERSION}"))
    })
}

#[test]
fn the_documentation_has_no_warning() {
    let mut doc =
        build::cargo(build::target_dir(), &["doc", "--locked", "--offline", "--no-deps", "--lib"]);
    run(doc.env("RUSTDOCFLAGS", "-D warnings"));
}

/// The doctests run the examples.
#[test]
fn everything_public_has_an_example() {
    // The examples for the C interface are in the manual pages, and the fuzz targets are not part
    // of the interface.
    let left_out = ["ffi", "fuzzing.rs", "lib.rs"];
    let (mut folders, mut found, mut without) = (vec![Path::new(ROOT).join("src")], 0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)
            .expect("it is a folder")
            .map(|entry| entry.expect("it can be read"))
        {
            if left_out.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let mut comment = String::new();
            for line in
                fs::read_to_string(entry.path()).expect("it is text").lines().map(str::trim_start)
            {
                let is_item =
                    ["fn", "const fn", "struct", "enum", "type", "trait"].iter().any(|kind| {
                        line.strip_prefix("pub ")
                            .is_some_and(|item| item.starts_with(&format!("{kind} ")))
                    });
                if line.starts_with("///") {
                    comment += line;
                } else if is_item {
                    found += 1;
                    if !comment.contains("# Examples") || !comment.contains("```") {
                        without.push(format!("{}: {line}", entry.path().display()));
                    }
                }
                if !line.starts_with("///") && !line.starts_with("#[") {
                    comment.clear();
                }
            }
        }
    }
    assert!(found > 60, "{found} public items");
    assert!(without.is_empty(), "{without:#?}");
}

#[test]
fn the_package_is_complete_and_does_not_change_the_header() {
    for file in [
        "include/commbox.h",
        "include/commbox.hpp",
        "LICENSE",
        "packaging/THIRD-PARTY.txt",
        "README.md",
    ] {
        let [packed, ours] = [package(), Path::new(ROOT)]
            .map(|folder| fs::read_to_string(folder.join(file)).expect("it is there"));
        assert!(packed == ours, "{file} differs");
    }
}

#[test]
fn a_program_elsewhere_can_depend_on_the_package() {
    // The folder is always the same, so that cargo builds the dependencies only once.
    let project = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust-user");
    fs::create_dir_all(project.join("src/bin")).expect("a folder can be made");
    let example = fs::read_to_string(Path::new(ROOT).join("examples/update_user.rs"))
        .expect("the example is there");
    let readme = page::blocks("docs/rust.md", "rust").remove(0);
    let at = r##"&Options::from_json(&format!(r#"{{"base_url": "{}"}}"#, std::env::var("COMMBOX_BASE_URL").unwrap()))?"##;
    let readme = readme.replace("&Options::default()", at).replace("my-api-key", "sandbox-key");
    assert!(readme.contains(at) && readme.contains("sandbox-key"), "{readme}");

    let dependency = page::blocks("docs/rust.md", "toml").remove(0);
    let path = format!("path = {:?}", package().to_str().expect("the path is text"));
    let manifest = dependency.replace("path = \"../commbox\"", &path);
    assert!(manifest.contains(&path), "{dependency}");
    let head = "[package]\nname = \"rust-user\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n";
    for (file, text) in [
        ("Cargo.toml", head.to_owned() + &manifest),
        ("src/main.rs", example),
        ("src/bin/readme.rs", readme),
    ] {
        fs::write(project.join(file), text).expect("it can be written");
    }
    // Use the versions that are available offline.
    fs::copy(Path::new(ROOT).join("Cargo.lock"), project.join("Cargo.lock"))
        .expect("it can be copied");
    let mut cargo = Command::new(env!("CARGO"));
    build::forget_test(&mut cargo);
    let cargo = cargo
        .args(["build", "--offline", "--target-dir"])
        .arg(build::target_dir())
        .current_dir(&project);
    assert!(!run(cargo).contains("warning"));

    let folder = Folder::new("rust");
    for name in ["rust-user", "readme"] {
        let program = folder.path().join(name);
        fs::copy(build::target_dir().join("debug").join(name), &program).expect("it can be copied");
        updates(&mut elsewhere(&program));
    }
}
