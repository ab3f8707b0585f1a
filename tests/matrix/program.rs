//! The cases, and the C program that runs them.

use std::fmt::Write as _;

use super::header::{Function, Header};
use super::values::{self, Value};

/// One call.
pub struct Case<'a> {
    pub function: &'a Function,
    /// A value for each parameter.
    pub values: Vec<Value>,
    /// The indices of the hostile values: none, one, or two.
    pub hostile: Vec<usize>,
}

impl Case<'_> {
    pub fn title(&self) -> String {
        let values = self.hostile.iter().map(|at| {
            let (parameter, value) = (&self.function.parameters[*at], &self.values[*at]);
            format!("{} = {}", parameter.name, value.what)
        });
        format!("{}({})", self.function.name, values.collect::<Vec<_>>().join(", "))
    }

    /// Returns the indices of the parameters that the callee writes to.
    pub fn outputs(&self) -> impl Iterator<Item = usize> + '_ {
        let parameters = self.function.parameters.iter().enumerate();
        parameters
            .filter(|(_, parameter)| values::OUTPUTS.contains(&&*parameter.of_type))
            .map(|(at, _)| at)
    }
}

/// Returns the cases of every function: all values good, each hostile value alone, and each pair of
/// hostile values.
pub fn cases(header: &Header) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for function in &header.functions {
        let choices: Vec<_> = function
            .parameters
            .iter()
            .map(|parameter| values::of(header, &function.name, parameter))
            .collect();
        let good: Vec<_> = choices.iter().map(|(good, _)| good.clone()).collect();
        let mut add = |hostile: &[(usize, &Value)]| {
            let mut values = good.clone();
            for (at, value) in hostile {
                values[*at] = (*value).clone();
            }
            cases.push(Case {
                function,
                values,
                hostile: hostile.iter().map(|(at, _)| *at).collect(),
            });
        };
        add(&[]);
        for (at, (_, hostile)) in choices.iter().enumerate() {
            for value in hostile {
                add(&[(at, value)]);
                for (other, (_, others)) in choices.iter().enumerate().skip(at + 1) {
                    others.iter().for_each(|second| add(&[(at, value), (other, second)]));
                }
            }
        }
    }
    cases
}

/// Returns the program: `tests/matrix/support.h`, and a function for each case.
pub fn source(header: &Header, cases: &[Case]) -> String {
    let mut text = String::from(include_str!("support.h"));
    for handle in &header.handles {
        text.push_str(&format!("\nstatic {handle} *live_{handle}(void);\n"));
    }
    for handle in &header.handles {
        live(&mut text, header, handle).expect("a String can be written to");
    }
    for (number, case) in cases.iter().enumerate() {
        play(&mut text, header, number, case).expect("a String can be written to");
    }
    text.push_str("\nstatic void *run_cases(void *unused)\n{\n");
    for number in 0..cases.len() {
        text.push_str(&format!("    case_{number}();\n"));
    }
    text + "    return unused;\n}\n"
}

fn live(text: &mut String, header: &Header, handle: &str) -> std::fmt::Result {
    let maker = header.maker(handle);
    let good: Vec<_> = maker
        .parameters
        .iter()
        .map(|parameter| values::of(header, &maker.name, parameter).0)
        .collect();
    writeln!(text, "\nstatic {handle} *live_{handle}(void)\n{{")?;
    good.iter().try_for_each(|value| writeln!(text, "    {}", value.declare))?;
    writeln!(text, "    {handle} *made = {};", call(maker, &good))?;
    good.iter().try_for_each(|value| writeln!(text, "    {}", value.finish))?;
    let prepare = values::PREPARE.iter().find(|(of, _)| *of == handle);
    prepare.map_or(Ok(()), |(_, statement)| writeln!(text, "    {statement}"))?;
    writeln!(text, "    return made;\n}}")
}

fn play(text: &mut String, header: &Header, number: usize, case: &Case) -> std::fmt::Result {
    let (returns, call) = (case.function.returns.as_str(), call(case.function, &case.values));
    writeln!(text, "\n/* {} */\nstatic void case_{number}(void)\n{{", case.title())?;
    case.values.iter().try_for_each(|value| writeln!(text, "    {}", value.declare))?;
    writeln!(text, "    begin({number});")?;
    let freer = match returns {
        "void" => {
            writeln!(text, "    {call};\n    tell_text(\"\");")?;
            None
        }
        "int32_t" | "uint32_t" | "int64_t" => {
            writeln!(text, "    {returns} returned = {call};\n    tell_number((long)returned);")?;
            None
        }
        pointer => {
            writeln!(text, "    {pointer} returned = {call};\n    tell_pointer(returned);")?;
            match pointer {
                "const char *" => None,
                "char *" => Some("commbox_string_free"),
                handle => Some(&*header.freer(handle.trim_end_matches(" *")).name),
            }
        }
    };
    writeln!(text, "    tell_error();")?;
    for at in case.outputs() {
        let name = &case.function.parameters[at].name;
        writeln!(text, "    tell_output({name}, sizeof *{name});")?;
    }
    freer.map_or(Ok(()), |free| writeln!(text, "    {free}(returned);"))?;
    case.values.iter().try_for_each(|value| writeln!(text, "    {}", value.finish))?;
    writeln!(text, "}}")
}

fn call(function: &Function, values: &[Value]) -> String {
    let arguments: Vec<_> = values.iter().map(|value| value.pass.as_str()).collect();
    format!("{}({})", function.name, arguments.join(", "))
}
