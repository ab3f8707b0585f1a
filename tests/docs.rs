//! Compiles the examples of the documentation unchanged, and runs them against the sandbox.
//!
//! If the wrapper of the language reads `COMMBOX_BASE_URL`, the program gets the address from
//! there. In C and C++, the options in the example are replaced by ones that contain the address.

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

/// Pages whose examples in Python are programs: each block continues the one before it.
const PYTHON: [&str; 3] = ["README.md", "docs/python.md", "bindings/python/README.md"];

/// Who compiles and runs the blocks of a language on a page; `*` is every page.
const RUN_BY: [(&str, &str, &str); 32] = [
    ("*", "c", "c()"),
    ("*", "cpp", "cpp()"),
    ("README.md", "python", "python()"),
    ("docs/python.md", "python", "python()"),
    ("bindings/python/README.md", "python", "python()"),
    ("docs/python.md", "py", "bindings/python/tests: test_frames.py, test_testing.py"),
    ("README.md", "csharp", "csharp()"),
    ("docs/csharp.md", "csharp", "csharp()"),
    ("docs/testing-dotnet.md", "csharp", "csharp()"),
    ("docs/dotnet-framework.md", "csharp", "csharp()"),
    (
        "bindings/csharp/CommBox/README.md",
        "csharp",
        "csharp(): it is the first one of docs/csharp.md",
    ),
    ("docs/services.md", "csharp", "CommBox.Extensions.Hosting.Tests/PageTests.cs"),
    ("docs/services.md", "json", "CommBox.Extensions.Hosting.Tests/PageTests.cs"),
    (
        "bindings/csharp/CommBox.Extensions.Hosting/README.md",
        "csharp",
        "CommBox.Extensions.Hosting.Tests/PageTests.cs",
    ),
    ("docs/spark.md", "python", "bindings/python/tests_spark/test_recipes.py"),
    ("docs/spark.md", "sh", "test_recipes.py needs what it installs"),
    ("docs/powershell.md", "powershell", "CommBox.Tests/DocsTests.cs"),
    ("docs/rust.md", "rust", "package.rs"),
    ("docs/rust.md", "toml", "package.rs"),
    ("docs/install.md", "toml", "the_same_commands_install(): it is the one of docs/rust.md"),
    ("docs/options.md", "json", "option_tables.rs"),
    ("docs/command.md", "toml", "cli/tests/docs.rs"),
    ("docs/command.md", "sh", "cli/tests/docs.rs"),
    ("README.md", "csv", "cli/tests/docs.rs"),
    ("README.md", "console", "cli/tests/docs.rs"),
    ("docs/install.md", "sh", "install_section.rs"),
    ("docs/install.md", "cmake", "install_section.rs"),
    ("docs/install.md", "xml", "install_section.rs"),
    ("README.md", "sh", "shell_lines()"),
    ("docs/c.md", "sh", "shell_lines()"),
    ("docs/python.md", "sh", "the_same_commands_install()"),
    ("bindings/python/README.md", "sh", "the_same_commands_install()"),
];

/// The pages for users.
fn pages() -> Vec<String> {
    let files = fs::read_dir(Path::new(ROOT).join("docs")).expect("there are pages");
    let names = files
        .map(|file| file.expect("it can be read").file_name().into_string().expect("it is text"));
    let mut pages: Vec<_> =
        names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    pages.sort();
    assert!(pages.len() >= 20, "{pages:?}");
    let others = ["README.md", "bindings/python/README.md", "bindings/csharp/CommBox/README.md"];
    let hosting = "bindings/csharp/CommBox.Extensions.Hosting/README.md";
    others.iter().chain([&hosting]).map(ToString::to_string).chain(pages).collect()
}

/// The blocks of a language, of all pages for users.
fn blocks_of_all_pages(language: &str) -> Vec<String> {
    pages().iter().flat_map(|page| page::blocks_in(&page::read(page), language)).collect()
}

/// A block that nobody runs, in a language or on a page that is new, would be wrong one day.
#[test]
fn every_example_is_run_by_a_test() {
    let mut unknown = Vec::new();
    for page in pages() {
        for language in page::languages(&page::read(&page)) {
            let run = |row: &&(&str, &str, &str)| {
                [page.as_str(), "*"].contains(&row.0) && row.1 == language
            };
            if RUN_BY.iter().find(run).is_none() {
                unknown.push(format!("{page}: {language:?}"));
            }
        }
    }
    assert_eq!(unknown, [""; 0], "no test runs these examples");
    for (page, language, by) in RUN_BY {
        assert!(
            page == "*" || page::languages(&page::read(page)).contains(&language.to_owned()),
            "{page} {language}"
        );
        // The tests of other files are where they are said to be.
        if let Some(file) = by.split(':').next().filter(|file| file.ends_with(".rs")) {
            let folder = if file.contains('/') { "" } else { "tests" };
            assert!(Path::new(ROOT).join(folder).join(file).exists(), "{by}");
        }
    }
}

/// Where several pages have a command, install_section.rs runs one, and the others are the same.
#[test]
fn the_same_commands_install() {
    let install = blocks("docs/install.md", "sh");
    for page in ["docs/python.md", "bindings/python/README.md"] {
        for block in blocks(page, "sh") {
            let is_same =
                |other: &String| other.split('#').next().map(str::trim) == Some(block.as_str());
            assert!(install.iter().any(is_same), "{page}: {block}");
        }
    }
    assert_eq!(blocks("docs/install.md", "toml"), blocks("docs/rust.md", "toml"));
}

/// The example that opens the header: its indented lines.
fn header_example() -> String {
    let header =
        fs::read_to_string(Path::new(ROOT).join("include/commbox.h")).expect("the header is there");
    let lines = header
        .lines()
        .filter_map(|line| line.strip_prefix(" *     "))
        .take_while(|line| !line.is_empty());
    let lines: Vec<_> = lines.take_while(|line| !line.starts_with(' ')).collect();
    lines.join("\n")
}

/// Runs a program, which is to end well and leave one user with a name.
fn run(what: &str, program: &mut Command, sandbox: &Sandbox) -> String {
    sandbox.reset();
    program
        .env("COMMBOX_BASE_URL", &sandbox.url)
        .env("COMMBOX_API_KEY", API_KEY)
        .env_remove("LD_LIBRARY_PATH");
    let output = program.output().unwrap_or_else(|error| panic!("{what} does not start: {error}"));
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what} ended with {}:\n{stdout}{stderr}", output.status);
    let requests = sandbox.requests();
    assert!(!requests.is_empty(), "{what} sent nothing");
    for request in requests {
        assert_eq!(
            request.headers.get("authorization").map(String::as_str),
            Some("Bearer my-api-key"),
            "{what}"
        );
    }
    stdout.into_owned()
}

/// Runs a program whose calls the server answers with words about the customer: none of them may be
/// printed. The first `confirmed` calls succeed, those after them fail.
fn prints_no_answer(what: &str, program: &mut Command, sandbox: &Sandbox) {
    program
        .env("COMMBOX_BASE_URL", &sandbox.url)
        .env("COMMBOX_API_KEY", API_KEY)
        .env_remove("LD_LIBRARY_PATH");
    for confirmed in [0, 3, 60] {
        let answer = |status: u16| {
            let body = format!(
                r#"{{"status":{status},"description":"canary 0501234567","response_time":"canary","data":{{"Id":94382332}}}}"#
            );
            serde_json::json!({"status": status, "body": body})
        };
        let answers: Vec<_> =
            (0..60).map(|call| answer(if call < confirmed { 200 } else { 404 })).collect();
        sandbox.reset();
        sandbox.script(&serde_json::Value::from(answers).to_string());
        // It may end as it likes: some of them end with the first error.
        let output =
            program.output().unwrap_or_else(|error| panic!("{what} does not start: {error}"));
        assert!(!sandbox.requests().is_empty(), "{what} sent nothing");
        for told in [output.stdout, output.stderr] {
            let told = String::from_utf8_lossy(&told);
            assert!(
                !told.contains("canary") && !told.contains("0501234567"),
                "{what} prints an answer:\n{told}"
            );
        }
    }
}

fn sandbox() -> Sandbox {
    Sandbox::start_with(&["--api-key", API_KEY])
}

/// The program of an example, whose client has this key and asks the sandbox.
fn program(
    language: Language,
    name: &str,
    text: &str,
    api_key: &str,
    sandbox: &Sandbox,
) -> Command {
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
    for (index, block) in blocks_of_all_pages("c").iter().enumerate() {
        native(Language::C, &format!("docs-c-{index}"), block, &sandbox);
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
    let example = blocks("docs/batches.md", "c")
        .into_iter()
        .find(is_batch)
        .expect("there is an example of a batch");
    let mut program = program(Language::C, "docs-c-no-key", &example, "", &sandbox);
    let output = program.env_remove("LD_LIBRARY_PATH").output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.lines().count() == 1 && told.contains("api_key is empty"), "{told}");
    assert!(sandbox.requests().is_empty());
}

#[test]
fn cpp() {
    let sandbox = sandbox();
    for (index, block) in blocks_of_all_pages("cpp").iter().enumerate() {
        native(Language::Cpp, &format!("docs-cpp-{index}"), block, &sandbox);
    }
    let hpp = fs::read_to_string(Path::new(ROOT).join("include/commbox.hpp"))
        .expect("the header is there");
    let example: Vec<_> = hpp.lines().filter_map(|line| line.strip_prefix(" *     ")).collect();
    let program = format!("#include <commbox.hpp>\nint main()\n{{\n{}\n}}\n", example.join("\n"));
    native(Language::Cpp, "hpp-example", &program, &sandbox);
}

#[test]
fn python() {
    let sandbox = sandbox();
    for page in PYTHON {
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
    let words = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{line}: {}\n{words}", output.status);
}

#[test]
fn shell_lines() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs-shell");
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join("update.c"), &blocks("docs/c.md", "c")[0])
        .expect("the source can be written");
    for block in [blocks("README.md", "sh"), blocks("docs/c.md", "sh")].concat() {
        match block.as_str() {
            // This is part of it.
            "make test" => {}
            // With the headers and the library where a compiler looks.
            compile if compile.starts_with("cc ") => {
                let include = Path::new(ROOT).join("include");
                let library =
                    common::build::library().parent().expect("a library lies in a folder");
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
    let pages = ["README.md", "docs/csharp.md"];
    for (index, page) in pages.into_iter().enumerate() {
        let project = project(&format!("docs-csharp-{index}"), &blocks(page, "csharp").join("\n"));
        let mut run_it = Command::new(&dotnet);
        run_it
            .args(["run", "--project"])
            .arg(project)
            .env("COMMBOX_LIBRARY", common::build::library());
        run(page, &mut run_it, &sandbox);
        prints_no_answer(page, &mut run_it, &sandbox);
    }
    // The package has a page of its own, with an example that has just run.
    let [packed] = &blocks("bindings/csharp/CommBox/README.md", "csharp")[..] else {
        panic!("it has one example")
    };
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
        (
            "the example in C",
            compile_file(Language::C, &examples.join("update_user.c"), "example-c"),
        ),
        (
            "the example in C++",
            compile_file(Language::Cpp, &examples.join("update_user.cpp"), "example-cpp"),
        ),
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
        for file in
            files.flatten().filter(|file| file.path().extension().is_some_and(|name| name == "cs"))
        {
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
        fs::write(folder.join(format!("File{index}.cs")), text)
            .expect("the program can be written");
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
    assert_eq!(table.lines().filter(|line| line.contains('×')).count(), 3, "{table}");
    let report = page::read("BENCHMARKS.md");
    for row in table.lines() {
        assert!(
            report.lines().any(|line| line == row),
            "README.md has a row that BENCHMARKS.md has not: {row}"
        );
    }
}
