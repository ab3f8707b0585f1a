//! Runs the commands of docs/install.md unchanged, one after the other. Those that build and
//! install run in the checkout. The others run in an empty folder, without access to the checkout.
//!
//! Only the environment differs from a user's: a prefix other than /usr/local, no network, and a
//! sandbox.

mod common;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::install::{
    at, bare, elsewhere, files, make, needed, run, target, target_of_make, updates, venv,
    with_rust, Folder, ROOT, VERSION,
};
use common::page::{blocks_in, read, section};
use common::sandbox::Sandbox;
use common::tools::has;

/// Returns the section's code block in this language that contains `word`.
fn block(heading: &str, language: &str, word: &str) -> String {
    let part = section("docs/install.md", heading);
    let found: Vec<_> =
        blocks_in(&part, language).into_iter().filter(|block| block.contains(word)).collect();
    let [block] = found.as_slice() else {
        panic!("{heading} has {} blocks of {language} with {word:?}", found.len())
    };
    block.clone()
}

/// A user's machine: a folder that is empty at first.
struct Machine(Folder);

impl Machine {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn copy(&self, from: &str, to: &str) {
        let to = self.path(to);
        fs::create_dir_all(to.parent().expect("it has a folder")).expect("it can be made");
        fs::copy(Path::new(ROOT).join(from), to).expect("it can be copied");
    }

    fn set_up(&self, mut shell: Command, lines: &str) -> Command {
        let path = env::var("PATH").unwrap_or_default();
        shell
            .args(["-ec", lines])
            .env("PATH", format!("{}:{path}", self.0.folder("bin").display()));
        // These tools search /usr/local by default. The test's prefix is a different folder.
        let prefix = self.path("local");
        shell
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
            .env("CMAKE_PREFIX_PATH", &prefix);
        shell.env("LD_LIBRARY_PATH", prefix.join("lib"));
        shell
    }

    /// Runs shell commands in the checkout.
    fn in_checkout(&self, lines: &str) {
        let mut shell = self.set_up(bare("sh"), lines);
        let (prefix, nuget) = (self.path("local"), self.path("nuget"));
        let variables = format!(
            "TARGET={} prefix={} NUGET={}",
            target_of_make(),
            prefix.display(),
            nuget.display()
        );
        shell.env("MAKEFLAGS", format!("s -- {variables}")).env("CARGO_TARGET_DIR", target());
        with_rust(&mut shell).current_dir(ROOT);
        if let Some(tools) = venv() {
            // Without a network, pip uses the build backend that is already installed. For this
            // option, 0 means that build isolation is off, despite its name.
            let packages = "import sysconfig; print(sysconfig.get_path('purelib'))";
            let packages =
                run(bare(tools.join("bin/python").to_str().expect("it is text"))
                    .args(["-c", packages]));
            shell
                .env("PYTHONPATH", packages.trim())
                .env("PIP_NO_BUILD_ISOLATION", "0")
                .env("PIP_NO_INDEX", "1");
        }
        run(&mut shell);
    }

    /// Returns a shell that runs commands in the empty folder.
    fn shell(&self, lines: &str) -> Command {
        let mut shell = self.set_up(elsewhere("sh"), lines);
        // This user may have no access to what others created in the system's folder for temporary
        // files.
        shell.env("TMPDIR", self.0.folder("tmp")).current_dir(self.0.path());
        shell
    }

    /// Adds a command to the user's PATH.
    fn command(&self, name: &str, script: &str) {
        let path = self.0.folder("bin").join(name);
        fs::write(&path, script).expect("it can be written");
        run(bare("chmod").arg("+x").arg(path));
    }
}

#[test]
fn the_checkout_is_inaccessible() {
    if has("unshare", "util-linux") {
        let gone = r#"! ls "$0"/* "$1"/* 2>&1"#;
        let told = run(elsewhere("sh").args(["-c", gone, ROOT]).arg(target()));
        assert_eq!(told.matches("No such file").count(), 2, "{told}");
    }
}

#[test]
fn c_and_cpp() {
    if !has("pkg-config", "pkg-config") || !has("cmake", "cmake") {
        return;
    }
    let machine = Machine(Folder::new("section-c"));
    // The prefix belongs to this user, so root is not needed.
    machine.command("sudo", "#!/bin/sh\nexec \"$@\"\n");
    machine.in_checkout(&block("C and C++", "sh", "make install"));

    machine.copy("examples/update_user.c", "update.c");
    run(&mut machine.shell(&block("C and C++", "sh", "pkg-config")));
    updates(&mut machine.shell("./update"));
    assert!(needed(&machine.path("update")).contains("[libcommbox.so.1]"));
    updates(&mut machine.shell("./update-static"));
    assert_eq!(needed(&machine.path("update-static")), "");

    machine.copy("examples/update_user.cpp", "update.cpp");
    let list = block("C and C++", "cmake", "");
    for list in [list.replace("commbox::commbox", "commbox::static"), list] {
        fs::write(machine.path("CMakeLists.txt"), list).expect("it can be written");
        run(&mut machine.shell(&block("C and C++", "sh", "cmake")));
        updates(&mut machine.shell("build/update"));
    }

    make("uninstall", &[format!("prefix={}", machine.path("local").display())]);
    assert!(files(&machine.path("local")).is_empty());
}

#[test]
fn python() {
    if venv().is_none() {
        return;
    }
    let machine = Machine(Folder::new("section-python"));
    run(bare("python3").args(["-m", "venv"]).arg(machine.path("venv")));
    let environment = machine.path("venv");
    for (name, module) in [("python", ""), ("pip", "-m pip")] {
        machine.command(
            name,
            &format!("#!/bin/sh\nexec {}/bin/python {module} \"$@\"\n", environment.display()),
        );
    }
    let before = files(&environment);
    machine.in_checkout(&block("Python", "sh", ""));
    machine.copy("examples/update_user.py", "update.py");
    updates(&mut machine.shell("python -B update.py"));

    run(&mut machine.shell("pip uninstall --yes commbox"));
    let left: Vec<_> = files(&environment)
        .difference(&before)
        .filter(|file| !file.ends_with(".pyc"))
        .cloned()
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn csharp() {
    let dotnet = env::var("DOTNET").unwrap_or("dotnet".into());
    if !has(&dotnet, "the .NET SDK") {
        return;
    }
    let machine = Machine(Folder::new("section-csharp"));
    // The checkout is beside the program's folder, where the project reference expects it.
    let project = machine.0.folder("commbox/bindings/csharp/CommBox");
    for name in files(&Path::new(ROOT).join("bindings/csharp/CommBox")) {
        if !["bin/", "obj/", "runtimes/"].iter().any(|made| name.starts_with(made)) {
            machine.copy(
                &format!("bindings/csharp/CommBox/{name}"),
                &format!("commbox/bindings/csharp/CommBox/{name}"),
            );
        }
    }
    machine.copy(
        "bindings/csharp/Directory.Build.props",
        "commbox/bindings/csharp/Directory.Build.props",
    );
    machine.in_checkout(&block("C#", "sh", ""));
    fs::rename(machine.path("nuget/runtimes"), project.join("runtimes")).expect("it can be moved");

    machine.0.folder("app");
    machine.copy("examples/csharp/UpdateUser/Program.cs", "app/Program.cs");
    let app =
        fs::read_to_string(Path::new(ROOT).join("examples/csharp/UpdateUser/UpdateUser.csproj"));
    let ours = r#"<ProjectReference Include="../../../bindings/csharp/CommBox/CommBox.csproj" />"#;
    let app = app.expect("the project is there").replace(ours, &block("C#", "xml", ""));
    assert!(!app.contains(ours));
    fs::write(machine.path("app/UpdateUser.csproj"), app).expect("it can be written");

    let sandbox = Sandbox::start();
    let mut program = machine.shell(&format!("{dotnet} run --project app"));
    if let Some(home) = env::var_os("HOME") {
        program.env("HOME", home);
    }
    let told = run(at(&sandbox, &mut program));
    assert!(told.contains("94382332 is updated"), "{told}");
    assert!(sandbox.get("/users/94382332").1.contains("\"FirstName\":\"John\""));
}

/// The versions on the page are correct.
#[test]
fn versions() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("it is there");
    let rust = manifest
        .split("rust-version = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("it is told");
    for page in ["README.md", "docs/install.md", "docs/rust.md"] {
        assert!(
            read(page).contains(&format!("Rust {rust} or newer")),
            "{page}: Cargo.toml says {rust}"
        );
    }
    let series = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));
    assert!(
        read("docs/install.md").contains(&format!("find_package(commbox {series} REQUIRED)")),
        "this is {VERSION}"
    );
    let own = format!("version = \"{VERSION}\"");
    let dependency = format!("commbox = {{ version = \"={VERSION}\"");
    let package = format!("<Version>{VERSION}</Version>");
    for (file, line) in [
        ("cli/Cargo.toml", &own),
        ("cli/Cargo.toml", &dependency),
        ("bindings/csharp/CommBox/CommBox.csproj", &package),
        ("bindings/csharp/CommBox.Extensions.Hosting/CommBox.Extensions.Hosting.csproj", &package),
    ] {
        assert!(read(file).contains(line), "{file}: Cargo.toml says {VERSION}");
    }
}
