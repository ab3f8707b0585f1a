//! Maps the columns of a file: to the user's id, to a field, to a custom field, or to nothing.

mod columns;
mod target;

use std::collections::BTreeMap;

use commbox::{Options, UnknownFields, User};
use encoding_rs::Encoding;

use super::body::push_text;
use crate::args::{Duplicates, Empty, Format, InputArgs};
use crate::failure::{Failure, Result};
use crate::settings::SyncFile;

use target::CONTENT;

pub use target::{Field, Target};

/// Names of the id column that are recognized without `--id`.
const ID_NAMES: [&str; 6] = ["UserId", "user_id", "USER_ID", "Id", "ID", "id"];

/// The rules, from flags and the options file.
pub struct Mapping {
    pub format: Option<Format>,
    pub delimiter: Option<u8>,
    pub encoding: Option<&'static Encoding>,
    pub empty: Empty,
    pub duplicates: Duplicates,
    /// Fields with the same value for all rows, as JSON texts.
    pub constants: Vec<(Field, String)>,
    id: Option<String>,
    map: BTreeMap<String, Target>,
    skip: Vec<String>,
    accept: bool,
    custom_fields: Option<Vec<String>>,
    allow_unknown: bool,
    /// Rows are read but not interpreted.
    raw: bool,
}

impl Mapping {
    /// Returns rules that read rows unchanged, without mapping their columns.
    pub fn raw() -> Self {
        Self {
            format: None,
            delimiter: None,
            encoding: None,
            empty: Empty::Skip,
            duplicates: Duplicates::All,
            constants: Vec::new(),
            id: None,
            map: BTreeMap::new(),
            skip: Vec::new(),
            accept: false,
            custom_fields: None,
            allow_unknown: false,
            raw: true,
        }
    }

    pub fn new(args: &InputArgs, file: &SyncFile, options: &Options) -> Result<Self> {
        let mut map = file.map.clone();
        for rule in &args.map {
            // The name of a column may contain an equals sign; that of a field cannot.
            let (column, field) = rule
                .rsplit_once('=')
                .ok_or_else(|| Failure::usage(format!("--map \"{rule}\": must be COLUMN=FIELD")))?;
            map.insert(column.to_owned(), field.to_owned());
        }
        let mut set = file.set.clone();
        for constant in &args.set {
            let (field, value) = constant
                .split_once('=')
                .ok_or_else(|| Failure::usage("--set: must be FIELD=VALUE"))?;
            set.insert(field.to_owned(), value.to_owned());
        }
        let mut mapping = Self {
            format: args.format.or(file.format),
            delimiter: delimiter(args.delimiter.as_deref().or(file.delimiter.as_deref()))?,
            encoding: encoding(args.encoding.as_deref().or(file.encoding.as_deref()))?,
            empty: args.empty.or(file.empty).unwrap_or_default(),
            duplicates: args.duplicates.or(file.duplicates).unwrap_or_default(),
            constants: Vec::new(),
            id: args.id.clone().or_else(|| file.id.clone()),
            map: BTreeMap::new(),
            skip: args.skip.iter().chain(&file.skip).cloned().collect(),
            accept: args.accept_suggestions || file.accept_suggestions,
            custom_fields: options.custom_fields.clone(),
            allow_unknown: options.unknown_fields == UnknownFields::Allow,
            raw: false,
        };
        for (field, value) in set {
            let field =
                mapping.field(&field).map_err(|why| Failure::usage(format!("--set: {why}")))?;
            let mut json = String::new();
            push_text(&mut json, &value);
            mapping.constants.push((field, json));
        }
        for (column, field) in map {
            let target = if ID_NAMES.contains(&field.as_str()) {
                Target::Id
            } else {
                let wrong = |why| Failure::usage(format!("--map \"{column}={field}\": {why}"));
                Target::Field(mapping.field(&field).map_err(wrong)?)
            };
            mapping.map.insert(column, target);
        }
        Ok(mapping)
    }

    /// Returns the field that a rule names.
    fn field(&self, name: &str) -> Result<Field, String> {
        if let Some(field) = self.known(name) {
            return Ok(field);
        }
        match self.suggestion(name) {
            Some(right) => Err(format!("\"{name}\" is not a field; did you mean \"{right}\"?")),
            None if self.allow_unknown && name != CONTENT && !name.is_empty() => {
                Ok(Field::new(name, false))
            }
            None => {
                let fields: Vec<_> =
                    User::field_names().filter(|field| *field != CONTENT).collect();
                Err(format!(
                    "\"{name}\" is not a field; fields are {}, and custom ones Content.NAME",
                    fields.join(", ")
                ))
            }
        }
    }

    /// Returns the field with exactly this name.
    fn known(&self, name: &str) -> Option<Field> {
        if let Some(custom) = name.strip_prefix("Content.").filter(|custom| !custom.is_empty()) {
            return Some(Field::new(custom, true));
        }
        let documented = name != CONTENT && User::field_names().any(|field| field == name);
        documented.then(|| Field::new(name, false))
    }

    /// Suggests the field that a slightly different name probably means.
    fn suggestion(&self, name: &str) -> Option<String> {
        if let Some(field) = User::nearest_field(name).filter(|field| *field != CONTENT) {
            return Some(field.to_owned());
        }
        let lower = plain(name);
        if let Some(custom) = lower.strip_prefix("content").filter(|custom| !custom.is_empty()) {
            let custom = match self.custom_field(custom) {
                Some(known) => known.to_owned(),
                // The name as it is written after the separator.
                None => name.chars().skip_while(|c| c.is_alphabetic()).skip(1).collect(),
            };
            return (!custom.is_empty()).then(|| format!("{CONTENT}.{custom}"));
        }
        self.custom_field(&lower).map(|custom| format!("{CONTENT}.{custom}"))
    }

    /// Returns the account's custom field whose name differs only in case and punctuation.
    fn custom_field(&self, plain_name: &str) -> Option<&str> {
        let mut all = self.custom_fields.iter().flatten();
        all.find(|custom| plain(custom) == plain_name).map(String::as_str)
    }

    /// Returns all rules as a text. A later run compares it to detect changed rules.
    pub fn fingerprint(&self) -> String {
        format!(
            "{:?}",
            (
                (self.format, self.delimiter, self.encoding.map(Encoding::name), self.empty),
                (self.duplicates, &self.constants, &self.id, &self.map),
                (&self.skip, self.accept, &self.custom_fields, self.allow_unknown),
            )
        )
    }
}

/// Returns only the letters and digits, in lower case.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn delimiter(text: Option<&str>) -> Result<Option<u8>> {
    match text.map(str::as_bytes) {
        None => Ok(None),
        Some(b"tab" | b"\\t" | b"\t") => Ok(Some(b'\t')),
        Some([byte]) if byte.is_ascii_punctuation() && *byte != b'"' => Ok(Some(*byte)),
        Some(_) => Err(Failure::usage("--delimiter: must be one character, or \"tab\"")),
    }
}

fn encoding(name: Option<&str>) -> Result<Option<&'static Encoding>> {
    let Some(name) = name else { return Ok(None) };
    Encoding::for_label_no_replacement(name.as_bytes()).map(Some).ok_or_else(|| {
        Failure::usage(format!(
            "--encoding \"{name}\": unknown; known are utf-8, utf-16le, utf-16be, windows-1255 \
             (Hebrew), windows-1252 and the others of the WHATWG's list"
        ))
    })
}

#[cfg(test)]
impl Mapping {
    /// Returns some rules of each kind.
    pub fn for_tests() -> Self {
        Self {
            duplicates: Duplicates::Last,
            map: BTreeMap::from([("E-Mail 2".into(), Target::Field(Field::new("Email", false)))]),
            skip: vec!["Notes".into()],
            custom_fields: Some(vec!["VIP_Status".into()]),
            raw: false,
            ..Self::raw()
        }
    }
}
