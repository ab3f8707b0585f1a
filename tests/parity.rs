//! The bindings match the header: the same functions, types of the same width, and the same codes.

mod common;

#[path = "abi/declarations.rs"]
mod declarations;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Functions by name, each with its return type followed by its parameter types, as at the machine
/// level: `i32`, `pointer`, `void`, and `fn(pointer)->i32` for a callback.
type Functions = BTreeMap<String, Vec<String>>;

fn callback(returns: &str, takes: &[String]) -> String {
    format!("fn({})->{returns}", takes.join(","))
}

/// Returns every difference between a binding's declarations and the header's.
fn differences(header: &Functions, binding: &Functions) -> Vec<String> {
    let missing = header
        .keys()
        .filter(|name| !binding.contains_key(*name))
        .map(|name| format!("{name} is missing"));
    let different = binding.iter().filter_map(|(name, types)| match header.get(name) {
        None => Some(format!("{name} is not in the header")),
        Some(expected) if expected == types => None,
        Some(expected) => Some(format!("{name} is {types:?}, in the header {expected:?}")),
    });
    missing.chain(different).collect()
}

#[test]
fn python_declarations_match_the_header() {
    let python = Python::read();
    assert_eq!(differences(&header(), &python.functions), [""; 0]);
    assert_eq!(python.abi_version, constant("COMMBOX_ABI_VERSION"));
}

#[test]
fn csharp_declarations_match_the_header() {
    assert_eq!(differences(&header(), &csharp(&csharp_source("Native.cs"))), [""; 0]);
    let loader = csharp_source("LibraryLoader.cs");
    let version =
        after(&loader, "const uint AbiVersion = ").expect("the loader knows the ABI version");
    assert_eq!(
        version.split(';').next(),
        Some(constant("COMMBOX_ABI_VERSION").to_string().as_str())
    );
}

/// The library calls delegates. No compiler compares their types with those of the functions that
/// receive them.
#[test]
fn csharp_callbacks_match_the_header() {
    for (file, function) in [
        ("ClientHandle.cs", "commbox_client_set_interrupt"),
        ("LogSink.cs", "commbox_client_set_log"),
    ] {
        let source = csharp_source(file);
        let declared = after(&source, "[UnmanagedFunctionPointer(CallingConvention.Cdecl)]")
            .and_then(|rest| after(rest, "private delegate "))
            .and_then(|rest| rest.split(");").next())
            .expect("a delegate");
        let (returns, takes) = declared.split_once('(').expect("parameters");
        let takes: Vec<_> = csharp_list(takes).into_iter().map(csharp_type).collect();
        let delegate = callback(&csharp_type(returns), &takes);
        assert!(
            header()[function].contains(&delegate),
            "{file}: {delegate}, not as {function} takes it"
        );
    }
}

#[test]
fn bindings_have_the_same_codes() {
    let documented: Vec<_> = declarations::constants(declarations::now())
        .into_iter()
        .filter(|(name, _)| *name != "COMMBOX_ABI_VERSION")
        .map(|(_, value)| value.parse::<i64>().expect("codes are numbers"))
        .collect();
    let csharp = csharp_codes(&csharp_source("CommBoxException.cs"));
    for (binding, codes) in [("Python", Python::read().codes), ("C#", csharp)] {
        // If a binding lost its table, or the test no longer finds it, the test would otherwise
        // pass.
        assert!(codes.len() >= 5, "{binding} tells apart {codes:?}");
        let unknown: Vec<_> = codes.iter().filter(|code| !documented.contains(code)).collect();
        assert!(unknown.is_empty(), "{binding} knows codes that the header does not: {unknown:?}");
    }
}

#[test]
fn differences_are_reported() {
    let header = header();
    assert!(header.len() >= 15, "{header:?}");
    let with = |name: &str, types: &[&str]| {
        let mut binding = header.clone();
        binding.insert(name.into(), types.iter().map(ToString::to_string).collect());
        differences(&header, &binding)
    };
    let pointer = "pointer";
    assert_eq!(
        with("commbox_update_user_json", &["i32", pointer, "i64", pointer, pointer]),
        [""; 0]
    );
    for (name, types) in [
        ("commbox_update_user_json", &["i32", pointer, "i32", pointer, pointer][..]),
        ("commbox_update_user_json", &["i64", pointer, "i64", pointer, pointer]),
        ("commbox_update_user_json", &["i32", pointer, "i64", pointer]),
        ("commbox_abi_version", &["i32"]),
        ("commbox_user_free", &["i32", pointer]),
        ("commbox_client_set_interrupt", &["i32", pointer, "fn(pointer)->i64", pointer]),
        ("commbox_more", &["void"]),
    ] {
        let told = with(name, types);
        assert!(told.len() == 1 && told[0].starts_with(name), "{name} {types:?}: {told:?}");
    }
    let mut fewer = header.clone();
    fewer.remove("commbox_version");
    assert_eq!(differences(&header, &fewer), ["commbox_version is missing"]);
}

#[test]
fn a_changed_csharp_source_is_detected() {
    let (native, header) = (csharp_source("Native.cs"), header());
    for (from, to) in [
        ("<nint, long, byte*, byte**, int>)", "<nint, int, byte*, byte**, int>)"),
        ("<uint>)", "<ulong>)"),
        ("<void*, int>", "<void*, long>"),
        ("<void*, int>, void*, int>)", "<void*, int>, void*, int, int>)"),
        ("Of(Function.commbox_user_free)", "Of(Function.commbox_free_user)"),
    ] {
        assert!(native.contains(from), "{from}");
        assert_ne!(
            differences(&header, &csharp(&native.replace(from, to))),
            [""; 0],
            "{from} as {to}"
        );
    }
    let exceptions = csharp_source("CommBoxException.cs");
    assert!(csharp_codes(&exceptions.replace("-7 =>", "-17 =>")).contains(&-17));
}

fn header() -> Functions {
    let prototypes = declarations::prototypes(declarations::now()).into_iter();
    prototypes
        .map(|function| (function.name.to_owned(), c_signature(function.returns, &function.takes)))
        .collect()
}

fn c_signature(returns: &str, takes: &[&str]) -> Vec<String> {
    [returns].iter().chain(takes).map(|declared| c_type(declared)).collect()
}

/// Returns the machine-level name of a C type, which may be followed by a parameter's name.
fn c_type(declared: &str) -> String {
    if let Some((returns, rest)) = declared.split_once("(*") {
        let (_, takes) = rest.split_once(")(").expect("a pointer to a function");
        let takes: Vec<_> =
            takes.trim_end_matches(')').split(',').map(str::trim).map(c_type).collect();
        return callback(&c_type(returns), &takes);
    }
    if declared.contains('*') {
        return "pointer".into();
    }
    let known = match declared.split(' ').next() {
        Some("int32_t") => "i32",
        Some("uint32_t") => "u32",
        Some("int64_t") => "i64",
        Some("uint64_t") => "u64",
        Some("double") => "f64",
        Some("void") => "void",
        _ => panic!("the width of {declared:?} is not known here"),
    };
    known.into()
}

fn constant(name: &str) -> i64 {
    declarations::constants(declarations::now())[name].parse().expect("constants are numbers")
}

/// The declarations of the Python package, read from its own modules.
struct Python {
    functions: Functions,
    abi_version: i64,
    codes: Vec<i64>,
}

impl Python {
    fn read() -> Self {
        let package = Path::new(ROOT).join("bindings/python/src");
        let output = Command::new(std::env::var_os("PYTHON").unwrap_or("python3".into()))
            .arg(Path::new(ROOT).join("tests/abi/declared.py"))
            .env("PYTHONPATH", package)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("COMMBOX_LIBRARY", common::build::library())
            .output()
            .expect("Python runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let (functions, abi_version, codes) =
            serde_json::from_slice(&output.stdout).expect("the script tells JSON");
        Self { functions, abi_version, codes }
    }
}

fn csharp_source(name: &str) -> String {
    let path: PathBuf = Path::new(ROOT).join("bindings/csharp/CommBox").join(name);
    fs::read_to_string(path).expect("the source is there")
}

fn after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    Some(text.split_once(start)?.1)
}

/// Returns the functions that a C# source calls. Each call has the form `((delegate*
/// unmanaged[Cdecl]<…>)Of(Function.NAME))`.
fn csharp(source: &str) -> Functions {
    let calls = source.split("((delegate* unmanaged[Cdecl]<").skip(1).map(|call| {
        let (types, rest) = call.split_once(">)").expect("types");
        let name = after(rest, "Of(Function.")
            .and_then(|rest| rest.split(')').next())
            .expect("a function");
        let mut types: Vec<_> = csharp_list(types).into_iter().map(csharp_type).collect();
        types.rotate_right(1);
        (name.to_owned(), types)
    });
    calls.collect()
}

/// Splits a list of C# types at the commas that are not inside a nested list.
fn csharp_list(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let parted = list.split(move |character| {
        depth += i32::from(character == '<') - i32::from(character == '>');
        character == ',' && depth == 0
    });
    parted.map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// Returns the machine-level name of a C# type, which may be followed by a name.
fn csharp_type(declared: &str) -> String {
    if let Some(types) = after(declared, "delegate* unmanaged[Cdecl]<") {
        let mut types: Vec<_> = csharp_list(types.split('>').next().unwrap_or(""))
            .into_iter()
            .map(csharp_type)
            .collect();
        let returns = types.pop().expect("what the function returns");
        return callback(&returns, &types);
    }
    let known = match declared.split(' ').next() {
        Some("nint" | "nuint") => "pointer",
        Some(pointer) if pointer.ends_with('*') => "pointer",
        Some("int") => "i32",
        Some("uint") => "u32",
        Some("long") => "i64",
        Some("ulong") => "u64",
        Some("double") => "f64",
        Some("void") => "void",
        _ => panic!("the width of {declared:?} is not known here"),
    };
    known.into()
}

/// Returns the codes that C# maps to exceptions: those of the arms of `FromJson`, except for
/// ranges.
fn csharp_codes(source: &str) -> Vec<i64> {
    let body = after(source, " FromJson(string json,")
        .and_then(|rest| rest.split("};").next())
        .expect("FromJson");
    let arms = body.lines().filter_map(|line| line.split_once(" => "));
    let patterns = arms.flat_map(|(pattern, _)| pattern.split(" or "));
    patterns.filter_map(|pattern| pattern.trim().parse().ok()).collect()
}
