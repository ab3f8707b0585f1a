//! Calls every function of the header with every hostile value for every parameter, alone and in
//! pairs. Each call must return a documented code and a message that names the parameter, and must
//! have no other effect.
//!
//! The functions are read from the header, and the values depend on the types of the parameters, so
//! functions that are added later are included.

#[path = "../common/mod.rs"]
mod common;
mod header;
mod program;
mod values;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::build::{compile_file, Language};
use common::sandbox::Sandbox;
use common::scratch::scratch;
use common::valgrind::Valgrind;
use header::Header;
use program::{cases, Case};
use serde_json::Value;
use values::Expect;

const HEADER: &str = include_str!("../../include/commbox.h");

/// The outcome of a case.
#[derive(Debug)]
struct Outcome<'a> {
    returned: &'a str,
    code: i32,
    message: &'a str,
    json: &'a str,
    outputs: Vec<&'a str>,
}

fn compile(header: &Header, cases: &[Case], name: &str) -> Command {
    let file = scratch().join(name.to_owned() + ".c");
    fs::write(&file, program::source(header, cases)).expect("target/tmp can be written");
    compile_file(Language::C, &file, name)
}

/// Runs all cases with `command`, and compares each outcome with the expected one.
fn play(header: &Header, cases: &[Case], mut command: Command, report: &Path) -> Output {
    let sandbox = Sandbox::start();
    command.arg(report).arg(&sandbox.url).env_remove("LD_LIBRARY_PATH");
    // Used if the key is NULL.
    command.env("COMMBOX_API_KEY", "sandbox-key").env_remove("COMMBOX_BASE_URL");
    let output = command.output().expect("the program starts");
    let text = fs::read(report).expect("the program writes its report");
    let text = String::from_utf8(text).expect("what the library says is UTF-8");
    let mut fields = text.split_terminator('\0');
    let (mut found, mut good) = (Vec::new(), 0);
    for (number, case) in cases.iter().enumerate() {
        let at = fields.next().map(str::to_owned);
        let outcome = read(&mut fields, case).filter(|_| at == Some(number.to_string()));
        let Some(outcome) = outcome else {
            panic!("{} does not return: {}, {output:?}", case.title(), output.status);
        };
        if case.hostile.is_empty() {
            good = outcome.code;
        }
        let wrong = mismatches(header, case, &outcome, good).into_iter();
        found.extend(wrong.map(|why| format!("{}: {why}: {outcome:?}", case.title())));
    }
    assert!(found.is_empty(), "{} of {} cases:\n{}", found.len(), cases.len(), found.join("\n"));
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "the library printed: {output:?}"
    );
    output
}

fn read<'a>(fields: &mut impl Iterator<Item = &'a str>, case: &Case) -> Option<Outcome<'a>> {
    Some(Outcome {
        returned: fields.next()?,
        code: fields.next()?.parse().ok()?,
        message: fields.next()?,
        json: fields.next()?,
        outputs: case.outputs().map(|_| fields.next()).collect::<Option<_>>()?,
    })
}

/// Returns what is wrong with an outcome. `good` is the code that the function returns if all
/// values are good.
fn mismatches(header: &Header, case: &Case, outcome: &Outcome, good: i32) -> Vec<String> {
    let Outcome { returned, code, message, json, ref outputs } = *outcome;
    let mut found = Vec::new();
    let mut check = |holds: bool, why: &str| {
        if !holds {
            found.push(why.to_owned());
        }
    };

    let name = header.codes.get(&code).map_or("", String::as_str);
    check(!name.is_empty(), "the code is not in the header");
    let hostile = || {
        case.hostile
            .iter()
            .map(|at| (&case.function.parameters[*at].name, &case.values[*at].expect))
    };
    let late =
        name == "COMMBOX_TIMEOUT" && hostile().any(|(_, expect)| *expect == Expect::MayBeLate);
    let refused: Vec<_> =
        hostile().filter(|(_, expect)| matches!(expect, Expect::Refused(_))).collect();
    let own_refusal = hostile().any(|(_, expect)| *expect == Expect::Either)
        && code < 0
        && !["COMMBOX_INTERNAL", "COMMBOX_INVALID_HANDLE"].contains(&name);
    let expected = match refused.is_empty() {
        true => code == good || late,
        false => refused
            .iter()
            .any(|(_, expect)| matches!(expect, Expect::Refused(code) if *code == name)),
    };
    check(expected || own_refusal, "the code is another one than is documented");
    if case.hostile.is_empty() {
        let guessed = case.function.parameters.iter().any(values::is_guess);
        check(code == 0 || guessed, "good values are refused");
    }

    if code == 0 {
        check(message.is_empty() && json.is_empty(), "a success leaves an error");
    } else {
        let words: Vec<_> = message.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let is_named = |name: &str| {
            let also =
                values::ALSO_NAMED.iter().any(|(of, word)| *of == name && words.contains(word));
            also || words.contains(&name)
        };
        let named = hostile().any(|(name, _)| is_named(name));
        check(named || late || code == good, "the message names no parameter that is wrong");
        check(message.len() <= 1000, "the message is no sentence");
        let json: Value = serde_json::from_str(json).unwrap_or_default();
        check(
            json["code"] == code && json["message"] == message,
            "the error JSON says something else",
        );
    }

    // Return values from 1 to 99 are not errors either.
    let no_error =
        |returned: i32| (0..100).contains(&returned) && header.codes.contains_key(&returned);
    let something = if code == 0 { "something" } else { "NULL" };
    check(
        match case.function.returns.as_str() {
            "void" => returned.is_empty(),
            "int32_t" => returned.parse().is_ok_and(|it| it == code || code == 0 && no_error(it)),
            "uint32_t" => returned.parse::<u32>().is_ok(),
            "int64_t" => returned.parse::<i64>().is_ok(),
            "const char *" => returned == "something",
            _ => returned == something,
        },
        "what it returns does not fit the code",
    );
    for (at, output) in case.outputs().zip(outputs) {
        let text = case.function.parameters[at].of_type == "char **";
        let written = match *output {
            "no output" => case.values[at].what == "NULL",
            "zero" => code != 0 || !text,
            "something" => code == 0,
            _ => false,
        };
        check(written, "the output does not fit the code");
    }
    found
}

#[test]
fn every_call_returns_a_documented_code_and_a_message() {
    let header = Header::read(HEADER);
    let cases = cases(&header);
    let program = compile(&header, &cases, "matrix");
    let report = scratch().join("matrix.report");
    play(&header, &cases, program, &report);
}

#[test]
fn touches_no_foreign_memory() {
    let header = Header::read(HEADER);
    let cases = cases(&header);
    let program = compile(&header, &cases, "matrix-valgrind");
    let Some(checked) = Valgrind::around(&program) else { return };
    let report = scratch().join("matrix-valgrind.report");
    let output = play(&header, &cases, checked.command(), &report);
    checked.assert_clean(output.status);
}

#[test]
fn new_functions_are_covered() {
    let tomorrow = "/**\n * @param client  The client.\n * @param news  NULL is fine. */\n\
        int32_t commbox_tell(commbox_client *client,\n                     const char *news);\n";
    let text =
        HEADER.replacen("/**\n * Frees a user.", &format!("{tomorrow}\n/**\n * Frees a user."), 1);
    let header = Header::read(&text);
    let cases = cases(&header);
    let titles: Vec<_> =
        cases.iter().map(Case::title).filter(|title| title.starts_with("commbox_tell")).collect();
    assert!(
        titles.contains(&"commbox_tell(client = freed twice, news = a surrogate)".into()),
        "{titles:?}"
    );
    assert!(
        program::source(&header, &cases).contains("int32_t returned = commbox_tell(client, news);")
    );
}

#[test]
#[should_panic = "news of commbox_tell is of the type float"]
fn an_unknown_type_needs_hostile_values() {
    cases(&Header::read("int32_t commbox_tell(float news);"));
}
