//! The binary interface stays compatible with programs that were compiled before.
//!
//! `tests/abi/commbox.h` is the interface as it was last recorded. If the sources differ from it,
//! libabigail's `abidiff` shows whether a compiled caller is affected. For this, both headers are
//! compiled to libraries of empty functions: the debug information of C describes what callers see,
//! while that of Rust contains thousands of other types.

#[path = "abi/declarations.rs"]
mod declarations;
#[path = "common/tools.rs"]
mod tools;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tools::has;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/abi/commbox.h");
const HOW_TO_RECORD: &str = "COMMBOX_RECORD_ABI=1 cargo test --test abi";
const VERSION: &str = "COMMBOX_ABI_VERSION";

#[test]
fn the_abi_is_as_recorded() {
    let (recorded, now) = (fs::read_to_string(RECORD).unwrap_or_default(), declarations::now());
    if recorded == now {
        return;
    }
    assert!(
        has("abidiff", "abigail-tools"),
        "the interface has changed, and it needs abidiff (Debian: abigail-tools) to tell how"
    );
    judge("recorded", &recorded, now).unwrap_or_else(|why| panic!("{why}"));
    if env::var_os("COMMBOX_RECORD_ABI").is_none() {
        panic!(
            "the interface has changed, and callers need not notice; record it: {HOW_TO_RECORD}"
        );
    }
    fs::write(RECORD, now).expect("the record can be written");
}

/// Returns whether the interface may change from `recorded` to `now`, or the reason why not.
fn judge(name: &str, recorded: &str, now: &str) -> Result<(), String> {
    let [was, is] = [recorded, now].map(|header| {
        declarations::constants(header)
            .get(VERSION)
            .map_or(0, |version| version.parse::<u32>().expect("a number"))
    });
    if is > was {
        return Ok(());
    }
    if is < was {
        return Err(format!("{VERSION} is {is}, and was {was}"));
    }
    let found = breaks(name, recorded, now);
    if found.is_empty() {
        return Ok(());
    }
    Err(format!(
        "compiled callers would break. Undo it, or raise {VERSION} and the soname:\n{}",
        found.join("\n")
    ))
}

/// Returns every change that breaks a compiled caller.
fn breaks(name: &str, recorded: &str, now: &str) -> Vec<String> {
    let constants = declarations::constants(now);
    let changed = declarations::constants(recorded).into_iter().filter_map(|(name, was)| {
        match constants.get(name) {
            Some(is) if *is == was => None,
            Some(is) => Some(format!("the constant {name} is {is}, and was {was}")),
            None => Some(format!("the constant {name} is gone")),
        }
    });
    changed.chain(abidiff(name, recorded, now)).collect()
}

/// Returns the report of `abidiff` if the second header is incompatible with the first. `abidiff`
/// does not compare constants.
fn abidiff(name: &str, recorded: &str, now: &str) -> Option<String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abi").join(name);
    fs::create_dir_all(&directory).expect("a directory can be made");
    let mut abidiff = Command::new("abidiff");
    // New functions are compatible.
    abidiff.args(["--no-added-syms", "--no-default-suppression"]);
    abidiff.arg(library(&directory, "recorded", recorded)).arg(library(&directory, "now", now));
    let output = abidiff.output().expect("abidiff runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => None,
        // The exit code consists of bits: 1 and 2 are failures of abidiff itself, 4 is a change, 8
        // an incompatible one.
        Some(code) if code & 3 == 0 => Some(told),
        _ => panic!("{abidiff:?} failed: {told}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Compiles a library with the functions of a header, which do nothing.
fn library(directory: &Path, name: &str, header: &str) -> PathBuf {
    let (source, library) =
        (directory.join(name).with_extension("c"), directory.join(name).with_extension("so"));
    fs::write(&source, header.replace(");\n", ") { __builtin_trap(); }\n"))
        .expect("the source can be written");
    let mut compiler = Command::new(env::var_os("CC").unwrap_or("cc".into()));
    let output = compiler
        .args(["-std=c11", "-g", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .output();
    let output = output.expect("the compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// Returns the interface with the first occurrence of `from` replaced.
fn changed(from: &str, to: &str) -> String {
    let now = declarations::now();
    assert!(now.contains(from), "{from:?} stands in:\n{now}");
    now.replacen(from, to, 1)
}

#[test]
fn breaking_changes_are_refused() {
    if !has("abidiff", "abigail-tools") {
        return;
    }
    for (index, (from, to, told)) in [
        ("uint32_t commbox_abi_version(void);\n", "", "1 Removed"),
        ("int64_t user_id", "int32_t user_id", "from 64 to 32"),
        ("int64_t user_id", "uint64_t user_id", "parameter 2"),
        (
            "int32_t commbox_last_error_code",
            "int64_t commbox_last_error_code",
            "return type changed",
        ),
        ("int32_t commbox_last_error_code", "void commbox_last_error_code", "return type changed"),
        ("const char *user_json,\n", "", "commbox_update_user_json"),
        ("int64_t user_id", "int64_t user_id, int32_t flags", "was added"),
        ("(*poll)(void *context)", "(*poll)(void)", "commbox_client_set_interrupt"),
        ("int32_t (*poll)(void *context)", "int64_t (*poll)(void *context)", "from 32 to 64"),
        ("char **response_json", "char *response_json", "commbox_update_user_json"),
        (
            "commbox_user_to_json(commbox_user *user)",
            "commbox_user_to_json(commbox_client *user)",
            "parameter 1",
        ),
        (
            "#define COMMBOX_TIMEOUT -7",
            "#define COMMBOX_TIMEOUT -11",
            "COMMBOX_TIMEOUT is -11, and was -7",
        ),
        ("#define COMMBOX_TLS -6\n", "", "COMMBOX_TLS is gone"),
        (
            "#define COMMBOX_ABI_VERSION 1",
            "#define COMMBOX_ABI_VERSION 0",
            "COMMBOX_ABI_VERSION is 0, and was 1",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let why =
            judge(&format!("break-{index}"), declarations::now(), &changed(from, to)).unwrap_err();
        assert!(why.contains(told), "{told:?} is not told of {from:?} as {to:?}:\n{why}");
    }
}

#[test]
fn compatible_changes_are_allowed() {
    if !has("abidiff", "abigail-tools") {
        return;
    }
    let more = "void commbox_user_free(commbox_user *user);\n";
    for (index, (from, to)) in [
        (more, &format!("{more}\nint32_t commbox_more(void);\n")),
        ("#define COMMBOX_OK 0\n", &"#define COMMBOX_OK 0\n#define COMMBOX_MORE -11\n".to_owned()),
        ("int64_t user_id", &"int64_t id".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        judge(&format!("more-{index}"), declarations::now(), &changed(from, to)).unwrap();
    }
}

#[test]
fn a_raised_abi_version_allows_breaking_changes() {
    let next = changed("COMMBOX_ABI_VERSION 1", "COMMBOX_ABI_VERSION 2");
    let without = next.replace("uint32_t commbox_abi_version(void);\n", "");
    assert!(without.len() < next.len());
    judge("raised", declarations::now(), &without).unwrap();
}
