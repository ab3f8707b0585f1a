//! Reads the declarations and the documentation of `commbox.h` from its text.

use std::collections::BTreeMap;

pub struct Header {
    pub functions: Vec<Function>,
    /// The codes that functions may return, by value.
    pub codes: BTreeMap<i32, String>,
    /// The names of the handle types.
    pub handles: Vec<String>,
}

pub struct Function {
    pub name: String,
    pub returns: String,
    pub parameters: Vec<Parameter>,
}

pub struct Parameter {
    pub name: String,
    /// As written, but without the name: `const char *`, `int32_t (*)(void *context)`.
    pub of_type: String,
    /// The text of its `@param`, on one line.
    pub doc: String,
}

impl Header {
    pub fn read(text: &str) -> Self {
        let functions = declarations(text)
            .into_iter()
            .filter_map(|(doc, declaration)| function(&doc, &declaration));
        let handles =
            text.lines().filter_map(|line| line.strip_prefix("typedef struct ")?.split(' ').next());
        let codes = text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
            Some((value.parse().ok()?, name.to_owned()))
        });
        let codes = codes.filter(|(_, name)| name != "COMMBOX_ABI_VERSION").collect();
        Self {
            functions: functions.collect(),
            codes,
            handles: handles.map(str::to_owned).collect(),
        }
    }

    /// Returns the function that creates a handle of this type.
    pub fn maker(&self, handle: &str) -> &Function {
        let returns = format!("{handle} *");
        self.functions.iter().find(|function| function.returns == returns).unwrap_or_else(|| {
            panic!("no function returns a {returns}: the matrix cannot make one to misuse");
        })
    }

    /// Returns the function that frees a handle of this type.
    pub fn freer(&self, handle: &str) -> &Function {
        let takes = format!("{handle} *");
        let frees = |function: &&Function| {
            function.returns == "void"
                && matches!(&function.parameters[..], [only] if only.of_type == takes)
        };
        self.functions.iter().find(frees).unwrap_or_else(|| panic!("no function frees a {takes}"))
    }
}

/// Returns every declaration, each with the comment immediately before it.
fn declarations(text: &str) -> Vec<(String, String)> {
    let (mut found, mut doc, mut code) = (Vec::new(), String::new(), String::new());
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(comment) = rest.strip_prefix("/*") {
            let (comment, after) = comment.split_once("*/").expect("comments are closed");
            (doc, code) = (comment.to_owned(), String::new());
            rest = after;
        } else if rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else {
            let end = rest.find(';').into_iter().chain(rest.find("/*")).chain(rest.find('#')).min();
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            code.push_str(piece);
            rest = after.strip_prefix(';').unwrap_or(after);
            if after.starts_with(';') {
                let declaration = code.split_whitespace().collect::<Vec<_>>().join(" ");
                found.push((std::mem::take(&mut doc), declaration));
                code.clear();
            }
        }
    }
    found
}

/// Parses a function from its declaration without line breaks. Returns `None` for other
/// declarations.
fn function(doc: &str, declaration: &str) -> Option<Function> {
    let declaration = declaration.trim_start_matches("extern \"C\" {").trim_start();
    let (head, parameters) = declaration.split_once('(')?;
    let (returns, name) = type_and_name(head);
    let parameters =
        parameters.strip_suffix(')').unwrap_or_else(|| panic!("{declaration} is no function"));
    let parameters = split(parameters)
        .into_iter()
        .filter(|text| text != "void")
        .map(|text| parameter(doc, &text));
    Some(Function { parameters: parameters.collect(), name, returns })
}

/// Splits at the commas that are not in parentheses.
fn split(parameters: &str) -> Vec<String> {
    let (mut found, mut depth) = (vec![String::new()], 0);
    for character in parameters.chars() {
        depth += i32::from(character == '(') - i32::from(character == ')');
        match (character, found.last_mut()) {
            (',', _) if depth == 0 => found.push(String::new()),
            (_, Some(last)) => last.push(character),
            (_, None) => {}
        }
    }
    found.iter().map(|text| text.trim().to_owned()).collect()
}

fn parameter(doc: &str, text: &str) -> Parameter {
    let (of_type, name) = match text.split_once("(*") {
        Some((before, after)) => {
            let (name, after) = after.split_once(')').expect("brackets are closed");
            (format!("{before}(*){after}"), name.to_owned())
        }
        None => type_and_name(text),
    };
    let mut lines =
        doc.split("@param ").skip(1).filter_map(|text| text.trim_start().split_once(' '));
    let doc = lines.find(|(of, _)| *of == name).map_or("", |(_, text)| text);
    let doc = doc.split(" @").next().unwrap_or_default();
    let doc =
        doc.lines().map(|line| line.trim_start_matches(" *").trim()).collect::<Vec<_>>().join(" ");
    Parameter { name, of_type, doc }
}

/// Splits `const char *text` into `const char *` and `text`.
fn type_and_name(text: &str) -> (String, String) {
    let at = text.rfind([' ', '*']).map_or(0, |at| at + 1);
    (text[..at].trim_end().to_owned(), text[at..].to_owned())
}
