//! The examples in Python, and the lines of a shell.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::page::blocks;
use crate::run::{prints_no_answer, run, sandbox};
use crate::{common, ROOT};

/// Pages whose examples in Python are programs: each block continues the one before it.
const PYTHON: [&str; 3] = ["README.md", "docs/python.md", "bindings/python/README.md"];

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
