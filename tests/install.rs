//! `make install`, and programs that are built against what it installed as their users build them: with pkg-config and
//! CMake, in a folder of their own, where nothing tells of the checkout.

mod common;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::build;
use common::sandbox::Sandbox;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("CARGO_PKG_VERSION");
const REAL_NAME: &str = "libcommbox.so.1.0.0";

/// A folder that is empty at first, and gone in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        // Of this process, so that two may run at a time.
        let folder = format!("install-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder).join(name);
        fs::create_dir_all(&folder).expect("a folder can be made");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        // The last of them.
        let _ = self.0.parent().map(fs::remove_dir);
    }
}

/// `program` with nothing in its environment but where programs are.
fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What a command that succeeds prints.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?} ended with {}:\n{}", output.status, text(&output));
    text(&output)
}

/// What a command that fails prints.
fn fails(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(!output.status.success(), "{command:?} succeeded:\n{}", text(&output));
    text(&output)
}

/// Whether a tool is there, which CI does not leave to chance.
fn has(tool: &str, package: &str) -> bool {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(tool).is_file());
    assert!(found || env::var_os("CI").is_none(), "{tool} (Debian: {package}) is not installed; CI needs it");
    if !found {
        eprintln!("NOT RUN: {tool} is not installed");
    }
    found
}

/// Cargo's target directory, with the library in it.
fn target() -> &'static Path {
    build::library().parent().and_then(Path::parent).expect("it lies in target/release")
}

fn make(goal: &str, variables: &[String]) {
    // No MAKEFLAGS of a `make test` around this.
    run(bare("make").args(["-s", "-C", ROOT, goal, &format!("TARGET={}", target().display())]).args(variables));
}

/// Every file and link below a folder.
fn files(folder: &Path) -> BTreeSet<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder can be read") {
            let entry = entry.expect("it can be read on");
            match entry.file_type().expect("its type is known").is_dir() {
                true => walk(&entry.path(), found),
                false => found.push(entry.path()),
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, &mut found);
    let relative = found.iter().map(|file| file.strip_prefix(folder).expect("it lies below"));
    relative.map(|file| file.display().to_string()).collect()
}

/// An installation below a prefix of its own, which the loader does not know.
struct Installed(Folder);

impl Installed {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        // Staged and moved: no file may tell where it was put first.
        let staged = folder.0.join("staged");
        make("install", &[format!("DESTDIR={}", staged.display()), "prefix=/opt/commbox".into()]);
        fs::rename(staged.join("opt/commbox"), folder.0.join("prefix")).expect("it can be moved");
        fs::remove_dir_all(staged).expect("it can be removed");
        Self(folder)
    }

    fn prefix(&self) -> PathBuf {
        self.0 .0.join("prefix")
    }

    fn lib(&self) -> PathBuf {
        self.prefix().join("lib")
    }

    /// The folder of a program, with a source file of the checkout.
    fn project(&self, source: &str) -> PathBuf {
        let folder = self.0 .0.join("project");
        fs::create_dir_all(&folder).expect("a folder can be made");
        let source = Path::new(ROOT).join(source);
        fs::copy(&source, folder.join(source.file_name().expect("it is a file"))).expect("it can be copied");
        folder
    }

    /// `cc` on a source file, with what pkg-config tells: as a shell does it.
    fn cc(&self, project: &Path, command: &str) {
        run(bare("sh")
            .args(["-c", command])
            .current_dir(project)
            .env("PKG_CONFIG", "pkg-config --define-prefix")
            .env("PKG_CONFIG_LIBDIR", self.lib().join("pkgconfig")));
    }

    /// A program of the project's, told where the sandbox is and, where it needs that, where the library is.
    fn program(&self, program: &Path, sandbox: &Sandbox) -> Command {
        let mut command = bare(program.to_str().expect("the path is text"));
        command.env("COMMBOX_BASE_URL", &sandbox.url).env("COMMBOX_API_KEY", "sandbox-key");
        command
    }

    fn updates(&self, program: &Path, search: bool) {
        let sandbox = Sandbox::start();
        let mut command = self.program(program, &sandbox);
        if search {
            command.env("LD_LIBRARY_PATH", self.lib());
        }
        run(command.current_dir(&self.0 .0));
        assert!(sandbox.get("/users/94382332").1.contains("\"FirstName\":\"John\""));
    }
}

/// The libraries that a program asks the loader for.
fn needed(program: &Path) -> String {
    run(bare("readelf").arg("-d").arg(program)).lines().filter(|line| line.contains("(NEEDED)")).collect()
}

#[test]
fn everything_is_in_its_place_and_taken_away_again() {
    let folder = Folder::new("everything, with spaces");
    let another = folder.0.join("usr/lib/x86_64-linux-gnu/cmake/another");
    fs::create_dir_all(&another).expect("a folder can be made");
    fs::write(another.join("another-config.cmake"), "").expect("a file can be written");
    let before = files(&folder.0);

    let variables = [
        format!("DESTDIR={}", folder.0.display()),
        "prefix=/usr".into(),
        "libdir=/usr/lib/x86_64-linux-gnu".into(),
        "mandir=/usr/man".into(),
    ];
    make("install", &variables);
    // Once more does no harm.
    make("install", &variables);
    let installed: BTreeSet<_> = files(&folder.0).difference(&before).cloned().collect();
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
    assert_eq!(installed, expected.map(String::from).into());

    let lib = folder.0.join("usr/lib/x86_64-linux-gnu");
    for (link, to) in [("libcommbox.so", "libcommbox.so.1"), ("libcommbox.so.1", REAL_NAME)] {
        assert_eq!(fs::read_link(lib.join(link)).expect("it is a link"), Path::new(to));
    }
    for file in &installed {
        let path = folder.0.join(file);
        let mode = fs::metadata(&path).expect("it is there").permissions().mode() & 0o7777;
        assert_eq!(mode, if file.contains(".so") { 0o755 } else { 0o644 }, "{file}");
        // Nobody else has these paths.
        let content = fs::read(&path).expect("it can be read");
        for private in [ROOT, &folder.0.display().to_string()] {
            let found = content.windows(private.len()).any(|part| part == private.as_bytes());
            assert!(!found, "{file} tells {private}");
        }
    }
    let pc = fs::read_to_string(lib.join("pkgconfig/commbox.pc")).expect("it is text");
    assert!(
        pc.starts_with("prefix=/usr\nlibdir=${prefix}/lib/x86_64-linux-gnu\nincludedir=${prefix}/include\n"),
        "{pc}"
    );

    make("uninstall", &variables);
    assert_eq!(files(&folder.0), before);
    for gone in ["usr/lib/x86_64-linux-gnu/cmake/commbox", "usr/share/doc/commbox"] {
        assert!(!folder.0.join(gone).exists(), "{gone}");
    }
    // There is nothing left to take away, and that is no failure.
    make("uninstall", &variables);
}

#[test]
fn the_soname_is_the_abi() {
    let told = run(bare("readelf").arg("-d").arg(build::library()));
    let soname = format!("[libcommbox.so.{}]", commbox::ffi::commbox_abi_version());
    assert!(told.contains(&soname), "{told}");
    assert!(format!("[{REAL_NAME}]").starts_with(soname.trim_end_matches(']')));
}

#[test]
fn the_manual_knows_every_function_constant_and_option() {
    let page = Path::new(ROOT).join("packaging/commbox.3");
    let manual = fs::read_to_string(&page).expect("the page is there");
    let header = fs::read_to_string(Path::new(ROOT).join("include/commbox.h")).expect("the header is there");
    let mut known = 0;
    for line in header.lines().filter(|line| !line.starts_with(' ')) {
        if let Some((name, _)) = line.strip_prefix("#define ").and_then(|rest| rest.split_once(' ')) {
            assert!(manual.contains(name) || name == "COMMBOX_ABI_VERSION", "the manual has nothing of {name}");
        } else if let Some((before, _)) = line.split_once('(') {
            let name = before.rsplit([' ', '*']).next().expect("there is a last word");
            assert!(manual.contains(&format!(".Fn {name} ")), "the manual has nothing of {name}()");
            known += 1;
        }
    }
    assert!(known > 20, "{known} functions stand in the header");
    for row in header.lines().filter_map(|line| line.strip_prefix(" * | `")) {
        for key in row.split(" |").next().expect("there is a first cell").split(", ") {
            let key = key.trim_matches('`');
            assert!(manual.contains(&format!(".It Li {key}\n")), "the manual has nothing of the option {key}");
        }
    }
    if has("mandoc", "mandoc") {
        assert_eq!(run(bare("mandoc").args(["-Tlint", "-Wwarning"]).arg(page)), "");
    }
}

#[test]
fn c_by_pkg_config() {
    if !has("pkg-config", "pkg-config") {
        return;
    }
    let installed = Installed::new("c");
    let project = installed.project("examples/update_user.c");

    installed.cc(&project, "cc update_user.c $($PKG_CONFIG --cflags --libs commbox) -o shared");
    assert!(needed(&project.join("shared")).contains("[libcommbox.so.1]"));
    installed.updates(&project.join("shared"), true);

    // All of it, the C library too; ...
    installed.cc(&project, "cc -static update_user.c $($PKG_CONFIG --static --cflags --libs commbox) -o static");
    assert_eq!(needed(&project.join("static")), "");
    installed.updates(&project.join("static"), false);

    // ... and this library alone.
    fs::remove_file(installed.lib().join("libcommbox.so")).expect("it is there");
    installed.cc(&project, "cc update_user.c $($PKG_CONFIG --static --cflags --libs commbox) -o partly");
    assert!(!needed(&project.join("partly")).contains("commbox"));
    installed.updates(&project.join("partly"), false);

    let mut wanted = bare("pkg-config");
    wanted.env("PKG_CONFIG_LIBDIR", installed.lib().join("pkgconfig"));
    assert_eq!(run(wanted.args(["--modversion", "commbox"])).trim(), VERSION);
}

/// Builds the C++ example with CMake, linked with `target`.
fn cmake(installed: &Installed, target: &str, version: &str) -> (PathBuf, Command, Command) {
    let project = installed.project("examples/update_user.cpp");
    let list = format!(
        "cmake_minimum_required(VERSION 3.13)\nproject(example CXX)\nset(CMAKE_CXX_STANDARD 17)\n\
         find_package(commbox {version} REQUIRED)\nadd_executable(example update_user.cpp)\n\
         target_link_libraries(example PRIVATE {target})\n"
    );
    fs::write(project.join("CMakeLists.txt"), list).expect("it can be written");
    let build = project.join("build");
    let _ = fs::remove_dir_all(&build);
    let mut configure = bare("cmake");
    configure.arg("-S").arg(&project).arg("-B").arg(&build).arg("-DCMAKE_BUILD_TYPE=Release");
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", installed.prefix().display()));
    let mut compile = bare("cmake");
    compile.arg("--build").arg(&build);
    (build.join("example"), configure, compile)
}

#[test]
fn cpp_by_cmake() {
    if !has("cmake", "cmake") {
        return;
    }
    let installed = Installed::new("cpp");
    for (target, shared) in [("commbox::commbox", true), ("commbox::static", false)] {
        let (program, mut configure, mut compile) = cmake(&installed, target, VERSION);
        run(&mut configure);
        run(&mut compile);
        assert_eq!(needed(&program).contains("[libcommbox.so.1]"), shared, "{target}");
        // CMake tells a program that it builds where the library is.
        installed.updates(&program, false);
    }

    let parts: Vec<u32> = VERSION.split('.').map(|part| part.parse().expect("a number")).collect();
    let [major, minor] = [parts[0], parts[1]];
    let (_, mut configure, _) = cmake(&installed, "commbox::commbox", &format!("{major}.{minor}"));
    run(&mut configure);
    for version in [format!("{}.{minor}", major + 1), format!("{major}.{}", minor + 1), format!("{VERSION}.1")] {
        let (_, mut configure, _) = cmake(&installed, "commbox::commbox", &version);
        let told = fails(&mut configure);
        assert!(told.contains(&format!("version: {VERSION}")), "{told}");
    }
}

#[test]
fn a_broken_installation_is_told() {
    let installed = Installed::new("broken");
    let project = installed.project("examples/update_user.c");
    if has("pkg-config", "pkg-config") {
        installed.cc(&project, "cc update_user.c $($PKG_CONFIG --cflags --libs commbox) -o shared");
        fs::remove_file(installed.lib().join(REAL_NAME)).expect("it is there");
        let sandbox = Sandbox::start();
        let mut program = installed.program(&project.join("shared"), &sandbox);
        let told = fails(program.env("LD_LIBRARY_PATH", installed.lib()));
        assert!(told.contains("libcommbox.so.1: cannot open shared object file"), "{told}");
    }
    if has("cmake", "cmake") {
        let _ = fs::remove_file(installed.lib().join(REAL_NAME));
        let (_, mut configure, _) = cmake(&installed, "commbox::commbox", "");
        let told = fails(&mut configure);
        assert!(told.contains(REAL_NAME) && told.contains("is missing"), "{told}");

        // A package of development files without the static library.
        let installed = Installed::new("shared-only");
        fs::remove_file(installed.lib().join("libcommbox.a")).expect("it is there");
        let (_, mut configure, _) = cmake(&installed, "commbox::static", "");
        assert!(fails(&mut configure).contains("commbox::static"));
    }
}

#[test]
fn the_package_for_dotnet_has_what_it_names() {
    let folder = Path::new(ROOT).join("bindings/csharp/CommBox");
    let project = fs::read_to_string(folder.join("CommBox.csproj")).expect("the project is there");
    assert!(project.contains(&format!("<Version>{VERSION}</Version>")), "the version is {VERSION}");

    let packed = project.split("<None Include=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0));
    let (runtimes, texts): (Vec<_>, Vec<_>) = packed.partition(|path| path.starts_with("$(CommBoxRuntimes)/"));
    let names: BTreeSet<_> = texts.iter().filter_map(|file| Path::new(file).file_name()?.to_str()).collect();
    assert_eq!(names, ["LICENSE", "README.md", "THIRD-PARTY.txt"].into());
    for file in texts {
        assert!(folder.join(file).is_file(), "{file} is not there");
    }
    assert_eq!(runtimes, ["$(CommBoxRuntimes)/**"]);

    let nuget = Folder::new("nuget");
    make("nuget", &[format!("NUGET={}", nuget.0.display())]);
    let laid_out: Vec<_> = files(&nuget.0).into_iter().collect();
    let [library] = laid_out.as_slice() else { panic!("{laid_out:?}") };
    let parts: Vec<_> = library.split('/').collect();
    let ["runtimes", identifier, "native", name] = parts[..] else { panic!("{library}") };
    // As LibraryLoader.cs looks for it.
    let architecture = if cfg!(target_arch = "x86_64") { "x64" } else { "arm64" };
    assert_eq!((identifier, name), (format!("linux-{architecture}").as_str(), "libcommbox.so"));
    let loader = fs::read_to_string(folder.join("LibraryLoader.cs")).expect("the loader is there");
    assert!(loader.contains(&format!("\"{name}\"")) && loader.contains("\"runtimes\", identifier, \"native\""));
}

#[test]
fn a_release_has_the_same_bytes_each_time() {
    if !target().join("venv/ready").is_file() {
        assert!(env::var_os("CI").is_none(), "make test makes the environment of Python that make dist needs");
        eprintln!("NOT RUN: make test makes the environment of Python that make dist needs");
        return;
    }
    let [first, second] = ["dist 1", "dist 2"].map(Folder::new);
    make("dist", &[format!("DIST={}", first.0.display())]);
    // Another person's shell, and later.
    let later =
        format!("umask 077; make -s -C '{ROOT}' dist TARGET='{}' DIST='{}'", target().display(), second.0.display());
    run(bare("sh").args(["-c", &later]).env("TZ", "Asia/Jerusalem"));

    let sums = |folder: &Folder| fs::read_to_string(folder.0.join("SHA256SUMS")).expect("the sums are there");
    assert_eq!(sums(&first), sums(&second));
    run(bare("sha256sum").args(["--check", "--quiet", "--strict", "SHA256SUMS"]).current_dir(&first.0));
    let named: BTreeSet<_> =
        sums(&first).lines().filter_map(|line| Some(line.split_once("  ")?.1.to_owned())).collect();
    let mut there = files(&first.0);
    there.remove("SHA256SUMS");
    assert_eq!(named, there);
    let endings = ["-source.tar.gz", "-linux-x64.tar.gz", "-nuget.tar.gz", ".whl", ".cdx.json", "THIRD-PARTY.txt"];
    for ending in endings.iter().filter(|ending| cfg!(target_arch = "x86_64") || !ending.contains("x64")) {
        assert!(named.iter().any(|name| name.ends_with(ending)), "{ending}: {named:?}");
    }
    assert!(named.contains(&format!("commbox-{VERSION}.tar.gz")), "{named:?}");
}
