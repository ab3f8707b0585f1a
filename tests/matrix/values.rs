//! The values for a parameter: a valid one, and the hostile ones of its type.

use super::header::{Header, Parameter};

/// The expected outcome of a call in which all other values are good.
#[derive(Clone, PartialEq, Debug)]
pub enum Expect {
    /// Like the good value.
    Accepted,
    /// Returns this code, and a message that names the parameter.
    Refused(&'static str),
    /// Either of these, because each function has its own rules for valid text.
    Either,
    /// Like the good value, or `COMMBOX_TIMEOUT`, because the value means not to wait.
    MayBeLate,
}

#[derive(Clone)]
pub struct Value {
    pub what: String,
    /// C statements that define a variable with the parameter's name.
    pub declare: String,
    /// The expression that is passed.
    pub pass: String,
    /// Statements that clean up.
    pub finish: String,
    pub expect: Expect,
}

/// Good text for a parameter, by the parameter's name or, if necessary, by the function's name and
/// the parameter's. Other text is `{}` for a name that ends in `_json`, and `text` otherwise. A
/// function may reject such a guess even if all other values are good.
const GOOD_TEXT: [(&str, &str); 8] = [
    ("api_key", "\"sandbox-key\""),
    ("commbox_options_set value", "\"3\""),
    ("key", "\"max_retries\""),
    ("commbox_client_new options_json", "good_options"),
    ("options_json", "\"{}\""),
    ("user_json", r#""{\"FirstName\": \"John\"}""#),
    ("name", "\"FirstName\""),
    ("value", "\"John\""),
];

/// Words by which a message may name a parameter, instead of the parameter's own name.
pub const ALSO_NAMED: [(&str, &str); 2] = [("key", "option"), ("value", "max_retries")];

/// Types of parameters that the callee writes to.
pub const OUTPUTS: [&str; 3] = ["char **", "uint64_t *", "int32_t *"];

/// Statements that prepare a handle so that every call with it can succeed: a batch needs a result
/// to collect.
pub const PREPARE: [(&str, &str); 1] =
    [("commbox_batch", r#"commbox_batch_submit(made, 1, 1, "{\"FirstName\": \"John\"}", 0);"#)];

const BROKEN_UTF8: [(&str, &str); 5] = [
    ("a lone continuation", r"\x80"),
    ("an overlong form", r"a\xc0\xaf"),
    ("a surrogate", r"\xed\xa0\x80"),
    ("a truncated form", r"a\xe2\x82"),
    ("a code point that is too large", r"\xf4\x90\x80\x80"),
];

/// Returns whether the good text for this parameter is only a guess.
pub fn is_guess(parameter: &Parameter) -> bool {
    parameter.of_type == "const char *"
        && !GOOD_TEXT.iter().any(|(name, _)| *name == parameter.name)
}

/// Returns the good value and the hostile ones. A new type must be added here by hand.
pub fn of(header: &Header, function: &str, parameter: &Parameter) -> (Value, Vec<Value>) {
    let name = &parameter.name;
    let value = |what: &str, expression: &str, expect: Expect| {
        let (before, after) =
            parameter.of_type.split_once("(*)").unwrap_or((&parameter.of_type, ""));
        let declare = match after {
            "" => format!("{before} {name} = {expression};"),
            after => format!("{before}(*{name}){after} = {expression};"),
        };
        Value { what: what.into(), declare, pass: name.clone(), finish: String::new(), expect }
    };
    let null = |refused: &'static str| {
        let expect = if parameter.doc.contains("NULL") {
            Expect::Accepted
        } else {
            Expect::Refused(refused)
        };
        value("NULL", "NULL", expect)
    };
    match parameter.of_type.as_str() {
        "const char *" => {
            let full_name = format!("{function} {name}");
            let by_name =
                GOOD_TEXT.iter().find(|(known, _)| known == name || *known == full_name).map(|(_, text)| *text);
            let guess = if name.ends_with("_json") { "\"{}\"" } else { "\"text\"" };
            let mut hostile = vec![null("COMMBOX_INVALID_ARGUMENT")];
            hostile.extend(BROKEN_UTF8.map(|(what, bytes)| {
                value(what, &format!("\"{bytes}\""), Expect::Refused("COMMBOX_INVALID_ARGUMENT"))
            }));
            hostile.push(value(
                "huge and broken at the end",
                "huge_broken",
                Expect::Refused("COMMBOX_INVALID_ARGUMENT"),
            ));
            hostile.extend([value("empty", "\"\"", Expect::Either), value("huge", "huge", Expect::Either)]);
            (value("good", by_name.unwrap_or(guess), Expect::Accepted), hostile)
        }
        "int64_t" => {
            let good = if name.starts_with("timeout") { "10000" } else { "1" };
            // Numbers below a documented minimum are rejected. Otherwise, a negative timeout means
            // no timeout.
            let (negative, zero) = if parameter.doc.contains("1 or more") {
                let refused = Expect::Refused("COMMBOX_INVALID_ARGUMENT");
                (refused.clone(), refused)
            } else if parameter.doc.contains("0 does not block, a negative value blocks without a limit") {
                (Expect::Accepted, Expect::MayBeLate)
            } else {
                (Expect::Either, Expect::Either)
            };
            let hostile = [("INT64_MIN", negative.clone()), ("-1", negative), ("0", zero)];
            (
                value("good", good, Expect::Accepted),
                hostile.map(|(number, expect)| value(number, number, expect)).into(),
            )
        }
        "int32_t" => {
            // Codes may be any number. All other numbers have a range.
            let is_code = parameter.doc.trim_start().starts_with("Any code");
            let expect = if is_code { Expect::Accepted } else { Expect::Refused("COMMBOX_INVALID_ARGUMENT") };
            let hostile = ["INT32_MIN", "-1", "6", "INT32_MAX"].map(|number| value(number, number, expect.clone()));
            (value("good", "1", Expect::Accepted), hostile.into())
        }
        "uint64_t" => {
            let hostile = ["0", "UINT64_MAX"].map(|number| value(number, number, Expect::Accepted));
            (value("good", "1", Expect::Accepted), hostile.into())
        }
        "double" => {
            let refused = Expect::Refused("COMMBOX_INVALID_ARGUMENT");
            let hostile = [
                ("NaN", "strtod(\"nan\", NULL)"),
                ("infinity", "strtod(\"inf\", NULL)"),
                ("-1", "-1.0"),
                ("1e300", "1e300"),
            ];
            (
                value("good", "0.0", Expect::Accepted),
                hostile.map(|(what, number)| value(what, number, refused.clone())).into(),
            )
        }
        output if OUTPUTS.contains(&output) => {
            let of_type = output.strip_suffix('*').unwrap_or(output);
            let slot = |what: &str, offset: usize| Value {
                declare: format!(
                    "{of_type}{name}_room[2]; {output}{name} = (void *)((char *){name}_room + {offset}); \
                     prefill({name}, sizeof *{name});"
                ),
                finish: if output == "char **" { format!("free_written({name});") } else { String::new() },
                ..value(what, "", Expect::Accepted)
            };
            let expect = match parameter.doc.to_lowercase().contains("may be null") {
                true => Expect::Accepted,
                false => Expect::Refused("COMMBOX_INVALID_ARGUMENT"),
            };
            (slot("good", 0), vec![value("NULL", "NULL", expect), slot("unaligned", 1)])
        }
        "char *" => {
            let owned = "owned_text()";
            (value("good", owned, Expect::Accepted), vec![null("COMMBOX_INVALID_ARGUMENT")])
        }
        "void *" => {
            // A context pointer, which only the caller's own callback uses.
            let hostile = [("NULL", "NULL"), ("no address", "(void *)UINTPTR_MAX")];
            (
                value("good", "&anything", Expect::Accepted),
                hostile.map(|(what, it)| value(what, it, Expect::Accepted)).into(),
            )
        }
        "int32_t (*)(void *context)" => {
            (value("good", "go_on", Expect::Accepted), vec![null("COMMBOX_INVALID_ARGUMENT")])
        }
        callback if callback.starts_with("void (*)(") => {
            (value("good", "heed", Expect::Accepted), vec![null("COMMBOX_INVALID_ARGUMENT")])
        }
        pointer => match pointer.strip_suffix(" *").filter(|name| header.handles.iter().any(|handle| handle == name)) {
            Some(handle) => handles(header, handle, parameter, &value, null("COMMBOX_INVALID_HANDLE")),
            None => panic!(
                "the parameter {name} of {function} is of the type {pointer}, and the matrix does not know what is \
                 hostile there: add it to tests/matrix/values.rs"
            ),
        },
    }
}

fn handles(
    header: &Header,
    handle: &str,
    parameter: &Parameter,
    value: &dyn Fn(&str, &str, Expect) -> Value,
    null: Value,
) -> (Value, Vec<Value>) {
    let (name, free) = (&parameter.name, &header.freer(handle).name);
    let live = format!("live_{handle}()");
    let good =
        Value { finish: format!("{free}({name});"), ..value("good", &live, Expect::Accepted) };
    let refused = |what: &str, declare: String, finish: String| Value {
        declare,
        finish,
        ..value(what, "", Expect::Refused("COMMBOX_INVALID_HANDLE"))
    };
    let made_up = |what: &str, bits: &str| {
        refused(what, format!("{handle} *{name} = ({handle} *)(uintptr_t){bits};"), String::new())
    };
    let mut hostile = vec![
        null,
        refused("freed", format!("{handle} *{name} = {live}; {free}({name});"), String::new()),
        refused("freed twice", format!("{handle} *{name} = {live}; {free}({name}); {free}({name});"), String::new()),
        made_up("all bits", "UINTPTR_MAX"),
        made_up("0x1", "1"),
        // Successive handles use the same place, so their difference leads to the next one's value.
        refused(
            "the next generation's",
            format!(
                "{handle} *{name}_former = {live}; {free}({name}_former); {handle} *{name}_live = {live}; \
                 {handle} *{name} = ({handle} *)next((uintptr_t){name}_former, (uintptr_t){name}_live);"
            ),
            format!("{free}({name}_live);"),
        ),
    ];
    hostile.extend(header.handles.iter().filter(|other| *other != handle).map(|other| {
        let declare = format!(
            "{other} *{name}_other = live_{other}(); {handle} *{name} = ({handle} *){name}_other;"
        );
        refused(
            &format!("a live {other}"),
            declare,
            format!("{}({name}_other);", header.freer(other).name),
        )
    }));
    (good, hostile)
}
