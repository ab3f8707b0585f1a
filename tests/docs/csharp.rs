//! The examples in C#.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::page::blocks;
use crate::common::tools::has;
use crate::run::{prints_no_answer, run, sandbox};
use crate::{common, ROOT};

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
