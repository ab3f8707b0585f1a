//! The examples of the documentation, compiled and run as they stand against the sandbox.
//!
//! A program takes the API's address from `COMMBOX_BASE_URL` where its language's wrapper reads that; in C and C++ the
//! options of the example's client are put in its place.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::build::{compile_file, Language};
use common::page::{self, blocks};
use common::sandbox::Sandbox;
use common::tools::has;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const API_KEY: &str = "my-api-key";

/// The example that opens the header: its indented lines.
fn header_example() -> String {
    let header = fs::read_to_string(Path::new(ROOT).join("include/commbox.h")).expect("the header is there");
    let lines = header.lines().filter_map(|line| line.strip_prefix(" *     ")).take_while(|line| !line.is_empty());
    let lines: Vec<_> = lines.take_while(|line| !line.starts_with(' ')).collect();
    lines.join("\n")
}

/// Runs a program, which is to end well and leave one user with a name.
fn run(what: &str, program: &mut Command, sandbox: &Sandbox) -> String {
    sandbox.reset();
    program.env("COMMBOX_BASE_URL", &sandbox.url).env("COMMBOX_API_KEY", API_KEY).env_remove("LD_LIBRARY_PATH");
    let output = program.output().unwrap_or_else(|error| panic!("{what} does not start: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what} ended with {}:\n{stdout}{stderr}", output.status);
    let requests = sandbox.requests();
    assert!(!requests.is_empty(), "{what} sent nothing");
    for request in requests {
        assert_eq!(request.headers.get("authorization").map(String::as_str), Some("Bearer my-api-key"), "{what}");
    }
    stdout.into_owned()
}

/// Runs a program whose calls the server answers with words about the customer: none of them may be printed. The first
/// `confirmed` calls succeed, those after them fail.
fn prints_no_answer(what: &str, program: &mut Command, sandbox: &Sandbox) {
    program.env("COMMBOX_BASE_URL", &sandbox.url).env("COMMBOX_API_KEY", API_KEY).env_remove("LD_LIBRARY_PATH");
    for confirmed in [0, 3, 60] {
        let answer = |status: u16| {
            let body = format!(
                r#"{{"status":{status},"description":"canary 0501234567","response_time":"canary","data":{{"Id":94382332}}}}"#
            );
            serde_json::json!({"status": status, "body": body})
        };
        let answers: Vec<_> = (0..60).map(|call| answer(if call < confirmed { 200 } else { 404 })).collect();
        sandbox.reset();
        sandbox.script(&serde_json::Value::from(answers).to_string());
        // It may end as it likes: some of them end with the first error.
        let output = program.output().unwrap_or_else(|error| panic!("{what} does not start: {error}"));
        assert!(!sandbox.requests().is_empty(), "{what} sent nothing");
        for told in [output.stdout, output.stderr] {
            let told = String::from_utf8_lossy(&told);
            assert!(!told.contains("canary") && !told.contains("0501234567"), "{what} prints an answer:\n{told}");
        }
    }
}

fn sandbox() -> Sandbox {
    Sandbox::start_with(&["--api-key", API_KEY])
}

/// The program of an example, whose client has this key and asks the sandbox.
fn program(language: Language, name: &str, text: &str, api_key: &str, sandbox: &Sandbox) -> Command {
    let client = format!(r#"("{api_key}", "{{\"base_url\": \"{}\"}}")"#, sandbox.url);
    let (example, ending) = match language {
        Language::C => (r#"("my-api-key", NULL)"#, "c"),
        Language::Cpp => (r#"("my-api-key")"#, "cpp"),
    };
    assert!(text.contains(example), "{name} makes no client with {API_KEY}:\n{text}");
    let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{ending}"));
    fs::write(&source, text.replace(example, &client)).expect("the source can be written");
    compile_file(language, &source, name)
}

fn native(language: Language, name: &str, text: &str, sandbox: &Sandbox) {
    let mut program = program(language, name, text, API_KEY, sandbox);
    prints_no_answer(name, &mut program, sandbox);
    run(name, &mut program, sandbox);
    let (_, user) = sandbox.get("/users/94382332");
    assert!(user.contains("\"FirstName\":\"John\""), "{name}: {user}");
}

#[test]
fn c() {
    let sandbox = sandbox();
    for (index, block) in blocks("README.md", "c").iter().enumerate() {
        native(Language::C, &format!("readme-c-{index}"), block, &sandbox);
    }
    let example = header_example();
    let program = format!(
        "#include <commbox.h>\n#include <stdio.h>\nint main(void)\n{{\n{example}\nreturn code != COMMBOX_OK;\n}}\n"
    );
    native(Language::C, "header-example", &program, &sandbox);
}

#[test]
fn a_batch_in_c_that_takes_nothing_is_told() {
    let sandbox = sandbox();
    let is_batch = |block: &String| block.contains("commbox_batch_submit");
    let example = blocks("README.md", "c").into_iter().find(is_batch).expect("there is an example of a batch");
    let mut program = program(Language::C, "readme-c-no-key", &example, "", &sandbox);
    let output = program.env_remove("LD_LIBRARY_PATH").output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.lines().count() == 1 && told.contains("api_key is empty"), "{told}");
    assert!(sandbox.requests().is_empty());
}

#[test]
fn cpp() {
    let sandbox = sandbox();
    for (index, block) in blocks("README.md", "cpp").iter().enumerate() {
        native(Language::Cpp, &format!("readme-cpp-{index}"), block, &sandbox);
    }
    let hpp = fs::read_to_string(Path::new(ROOT).join("include/commbox.hpp")).expect("the header is there");
    let example: Vec<_> = hpp.lines().filter_map(|line| line.strip_prefix(" *     ")).collect();
    let program = format!("#include <commbox.hpp>\nint main()\n{{\n{}\n}}\n", example.join("\n"));
    native(Language::Cpp, "hpp-example", &program, &sandbox);
}

#[test]
fn python() {
    let sandbox = sandbox();
    let pages = ["README.md", "bindings/python/README.md"];
    for page in pages {
        let mut python = Command::new(std::env::var_os("PYTHON").unwrap_or("python3".into()));
        python
            .args(["-W", "error", "-c", &blocks(page, "python").join("\n")])
            .env("PYTHONPATH", Path::new(ROOT).join("bindings/python/src"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("COMMBOX_LIBRARY", common::build::library());
        run(page, &mut python, &sandbox);
        prints_no_answer(page, &mut python, &sandbox);
    }
}

/// Runs a line of a shell in a folder.
fn shell(line: &str, folder: &Path, environment: &[(&str, &Path)]) {
    let mut shell = Command::new("sh");
    common::build::forget_test(&mut shell);
    shell.args(["-ec", line]).current_dir(folder);
    shell.env("CARGO_TARGET_DIR", common::build::target_dir()).envs(environment.iter().copied());
    for inherited in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "LD_LIBRARY_PATH"] {
        shell.env_remove(inherited);
    }
    let output = shell.output().expect("there is a shell");
    let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{line}: {}\n{words}", output.status);
}

#[test]
fn shell_lines() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs-shell");
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join("update.c"), &blocks("README.md", "c")[0]).expect("the source can be written");
    // tests/install_section.rs runs these.
    let install = page::blocks_in(&page::section("README.md", "Install"), "sh");
    for block in blocks("README.md", "sh").iter().filter(|block| !install.contains(block)) {
        match block.as_str() {
            // This is part of it.
            "make test" => {}
            // With the headers and the library where a compiler looks.
            compile if compile.starts_with("cc ") => {
                let include = Path::new(ROOT).join("include");
                let library = common::build::library().parent().expect("a library lies in a folder");
                shell(compile, &folder, &[("CPATH", &include), ("LIBRARY_PATH", library)]);
            }
            other => shell(other, Path::new(ROOT), &[]),
        }
    }
    assert!(folder.join("a.out").exists());
}

#[test]
fn csharp() {
    let dotnet = std::env::var("DOTNET").unwrap_or("dotnet".into());
    if !has(&dotnet, "the .NET SDK") {
        return;
    }
    let sandbox = sandbox();
    let pages = ["README.md", "bindings/csharp/README.md"];
    for (index, page) in pages.into_iter().enumerate() {
        let project = project(&format!("docs-csharp-{index}"), &blocks(page, "csharp").join("\n"));
        let mut run_it = Command::new(&dotnet);
        run_it.args(["run", "--project"]).arg(project).env("COMMBOX_LIBRARY", common::build::library());
        run(page, &mut run_it, &sandbox);
        prints_no_answer(page, &mut run_it, &sandbox);
    }
    // The package has a page of its own, with an example that has just run.
    let [packed] = &blocks("bindings/csharp/CommBox/README.md", "csharp")[..] else { panic!("it has one example") };
    assert_eq!(Some(packed), blocks(pages[1], "csharp").first());
    // Each block of these is a file of one program.
    let tests = project_of("docs-csharp-tests", NET8, &blocks("docs/testing-dotnet.md", "csharp"));
    let mut run_tests = Command::new(&dotnet);
    let output = run_tests.args(["run", "--project"]).arg(tests).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let page = "docs/dotnet-framework.md";
    let framework = project_of("docs-csharp-framework", NET472, &blocks(page, "csharp"));
    let output = Command::new(&dotnet).arg("build").arg(&framework).output().expect("it starts");
    assert!(output.status.success(), "{page}: {}", String::from_utf8_lossy(&output.stdout));
    if has("mono", "Mono") {
        let mut program = Command::new("mono");
        program.arg(framework.with_file_name("bin/Debug/net472/docs-csharp-framework.exe"));
        program.env("COMMBOX_LIBRARY", common::build::library());
        run(page, &mut program, &sandbox);
        prints_no_answer(page, &mut program, &sandbox);
    }

    let mut example = Command::new(&dotnet);
    example.args(["run", "--project"]).arg(Path::new(ROOT).join("examples/csharp/UpdateUser"));
    example.env("COMMBOX_LIBRARY", common::build::library());
    run("the example in C#", &mut example, &sandbox);
    prints_no_answer("the example in C#", &mut example, &sandbox);
}

/// Those in C# run with the others in C#.
#[test]
fn programs_of_the_folder() {
    let sandbox = sandbox();
    let examples = Path::new(ROOT).join("examples");
    let mut python = Command::new(std::env::var_os("PYTHON").unwrap_or("python3".into()));
    python
        .arg(examples.join("update_user.py"))
        .env("PYTHONPATH", Path::new(ROOT).join("bindings/python/src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("COMMBOX_LIBRARY", common::build::library());
    let mut rust = Command::new(env!("CARGO"));
    common::build::forget_test(&mut rust);
    rust.args(["run", "--quiet", "--example", "update_user"]).current_dir(ROOT);
    rust.env("CARGO_TARGET_DIR", common::build::target_dir());
    let programs = [
        ("the example in C", compile_file(Language::C, &examples.join("update_user.c"), "example-c")),
        ("the example in C++", compile_file(Language::Cpp, &examples.join("update_user.cpp"), "example-cpp")),
        ("the example in Python", python),
        ("the example in Rust", rust),
    ];
    for (what, mut program) in programs {
        let printed = run(what, &mut program, &sandbox);
        assert!(printed.contains("user 94382332 is updated"), "{what}: {printed}");
        prints_no_answer(what, &mut program, &sandbox);
    }
}

const NET8: &str = "<TargetFramework>net8.0</TargetFramework>
    <RollForward>Major</RollForward>
    <Nullable>enable</Nullable>
    <ImplicitUsings>enable</ImplicitUsings>";

/// With the C# that programs of .NET Framework have.
const NET472: &str = "<TargetFramework>net472</TargetFramework>
    <LangVersion>7.3</LangVersion>";

/// A C# program of its own, with one file.
fn project(name: &str, program: &str) -> PathBuf {
    project_of(name, NET8, &[program.to_owned()])
}

/// A C# program of its own, with these files.
fn project_of(name: &str, properties: &str, files: &[String]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // What an older version of this test left would be compiled too.
    if let Ok(files) = fs::read_dir(&folder) {
        for file in files.flatten().filter(|file| file.path().extension().is_some_and(|name| name == "cs")) {
            fs::remove_file(file.path()).expect("it can be removed");
        }
    }
    fs::create_dir_all(&folder).expect("the folder can be made");
    let file = format!(
        r#"<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    {properties}
    <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
  </PropertyGroup>
  <ItemGroup>
    <ProjectReference Include="{ROOT}/bindings/csharp/CommBox/CommBox.csproj" />
  </ItemGroup>
</Project>
"#
    );
    for (index, text) in files.iter().enumerate() {
        fs::write(folder.join(format!("File{index}.cs")), text).expect("the program can be written");
    }
    let path = folder.join(format!("{name}.csproj"));
    fs::write(&path, file).expect("the project can be written");
    path
}

#[test]
fn the_benchmarks_are_those_of_the_report() {
    let readme = page::section("README.md", "Benchmarks");
    let (_, rest) = readme.split_once("<!-- make bench -->\n").expect("the place is marked");
    let (table, _) = rest.split_once("<!-- end -->").expect("its end is marked too");
    assert_eq!(table.lines().filter(|line| line.contains('×')).count(), 5, "{table}");
    assert!(page::read("BENCHMARKS.md").contains(table), "README.md has other figures than BENCHMARKS.md:\n{table}");
}

/// Pages for those who change the project, or install it.
#[test]
fn links_lead_to_files() {
    let root = Path::new(ROOT);
    let mut pages: Vec<_> = ["", "docs", "bindings/csharp", "bindings/python"]
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).expect("it is a folder"))
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() >= 10, "{pages:?}");
    let mut broken = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).expect("it is text");
        let mut is_code = false;
        let prose: String = text
            .lines()
            .filter(|line| {
                is_code ^= line.starts_with("```");
                !is_code
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next()) {
            let is_file = !link.is_empty() && !link.contains("://");
            if is_file && !page.parent().expect("it is in a folder").join(link).exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
