//! Maps the columns of a file: to the user's id, to a field, to a custom field, or to nothing.

use std::collections::BTreeMap;

use commbox::{Options, UnknownFields, User};
use encoding_rs::Encoding;

use super::body::push_text;
use super::REJECT_COLUMNS;
use crate::args::{Duplicates, Empty, Format, InputArgs};
use crate::failure::{Failure, Result};
use crate::settings::SyncFile;

/// The object of custom fields, and the prefix of their names.
const CONTENT: &str = "Content";

/// Names of the id column that are recognized without `--id`.
const ID_NAMES: [&str; 6] = ["UserId", "user_id", "USER_ID", "Id", "ID", "id"];

/// A field of a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    /// Whether it is a member of `Content`.
    pub custom: bool,
    pub name: String,
    /// The name as JSON.
    pub json: String,
}

impl Field {
    fn new(name: &str, custom: bool) -> Self {
        let mut json = String::new();
        push_text(&mut json, name);
        Self { custom, name: name.to_owned(), json }
    }

    /// Returns the name for messages.
    pub fn shown(&self) -> String {
        if self.custom {
            format!("{CONTENT}.{}", self.name)
        } else {
            self.name.clone()
        }
    }
}

/// What a column is mapped to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Id,
    Field(Field),
    Skipped,
    /// The row's position in an earlier run.
    Origin,
    /// The column has no name, so its cells must be empty.
    Unnamed,
    /// The object of custom fields, in JSON.
    Content,
}

/// A column that no rule covers, and the field that may be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmapped {
    pub suggestion: Option<String>,
}

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

    /// Returns what a column is mapped to.
    pub fn target(&self, column: &str) -> Result<Target, Unmapped> {
        if self.raw {
            return Ok(Target::Skipped);
        }
        if self.skip.iter().any(|skipped| skipped == column) {
            return Ok(Target::Skipped);
        }
        if let Some(target) = self.map.get(column) {
            return Ok(target.clone());
        }
        if self.is_id(column) {
            return Ok(Target::Id);
        }
        if let Some(place) = REJECT_COLUMNS.iter().position(|reject| *reject == column) {
            let last = place + 1 == REJECT_COLUMNS.len();
            return Ok(if last { Target::Origin } else { Target::Skipped });
        }
        if let Some(field) = self.known(column) {
            return Ok(Target::Field(field));
        }
        if column.trim().is_empty() {
            return Ok(Target::Unnamed);
        }
        let is_id = self.id.is_none() && matches!(plain(column).as_str(), "userid" | "id");
        let suggestion = if is_id { Some(ID_NAMES[0].to_owned()) } else { self.suggestion(column) };
        match suggestion {
            Some(right) if self.accept => Ok(if is_id {
                Target::Id
            } else {
                self.known(&right).map_or(Target::Skipped, Target::Field)
            }),
            None if self.allow_unknown && column != CONTENT => {
                Ok(Target::Field(Field::new(column, false)))
            }
            suggestion => Err(Unmapped { suggestion }),
        }
    }

    /// Returns what a member of an object is mapped to. Unlike a column, it may be `Content`
    /// itself.
    pub fn member_target(&self, name: &str) -> Result<Target, Unmapped> {
        let ruled = self.map.contains_key(name) || self.skip.iter().any(|skipped| skipped == name);
        if name == CONTENT && !ruled {
            Ok(Target::Content)
        } else {
            self.target(name)
        }
    }

    fn is_id(&self, column: &str) -> bool {
        match &self.id {
            Some(id) => id == column,
            None => ID_NAMES.contains(&column),
        }
    }

    /// Returns what the columns of a table are mapped to, or an error that lists all problems.
    pub fn targets(&self, file: &str, columns: &[String]) -> Result<Vec<Target>> {
        let (mut targets, mut unmapped) = (Vec::new(), Vec::new());
        for column in columns {
            match self.target(column) {
                Ok(target) => targets.push(target),
                Err(Unmapped { suggestion }) => unmapped.push((column, suggestion)),
            }
        }
        if self.raw {
            return Ok(targets);
        }
        if !unmapped.is_empty() {
            return Err(Failure::usage(explain_unmapped(file, &unmapped)));
        }
        for column in self.map.keys().chain(&self.id) {
            if !columns.contains(column) {
                let have = columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>();
                return Err(Failure::usage(format!(
                    "{file} has no column \"{column}\"; it has {}",
                    have.join(", ")
                )));
            }
        }
        self.check_targets(file, columns, &targets)?;
        Ok(targets)
    }

    fn check_targets(&self, file: &str, columns: &[String], targets: &[Target]) -> Result<()> {
        for target in
            targets.iter().filter(|target| matches!(target, Target::Id | Target::Field(_)))
        {
            let all = columns.iter().zip(targets).filter(|(_, other)| *other == target);
            let same: Vec<_> = all.map(|(column, _)| format!("\"{column}\"")).collect();
            if same.len() > 1 {
                let what = match target {
                    Target::Field(field) => field.shown(),
                    _ => "the user's id".into(),
                };
                let columns = same.join(" and ");
                let why =
                    format!("{file}: columns {columns} all become {what}; --skip all but one");
                return Err(Failure::usage(why));
            }
            let constant =
                self.constants.iter().find(|(field, _)| Target::Field(field.clone()) == *target);
            if let Some((field, _)) = constant {
                let what = field.shown();
                return Err(Failure::usage(format!(
                    "{file}: both --set and column {} give {what}; --skip the column",
                    same.join("")
                )));
            }
        }
        if !targets.contains(&Target::Id) {
            let names: Vec<_> = columns.iter().map(|column| format!("\"{column}\"")).collect();
            return Err(Failure::usage(format!(
                "{file}: no column is the user's id; name it by --id: {}",
                names.join(", ")
            )));
        }
        Ok(())
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

/// Returns one message for all columns that no rule covers.
pub fn explain_unmapped(file: &str, unmapped: &[(&String, Option<String>)]) -> String {
    let mut text = format!("{file}: no rule says what becomes of these columns:");
    for (column, suggestion) in unmapped {
        text.push_str(&match suggestion {
            Some(right) => format!("\n  \"{column}\"  did you mean {right}?"),
            None => format!("\n  \"{column}\""),
        });
    }
    if unmapped.iter().any(|(_, suggestion)| suggestion.is_some()) {
        text.push_str("\n--accept-suggestions takes the fields that are suggested.");
    }
    text.push_str(
        "\n--map \"COLUMN=FIELD\" names the field, --map \"COLUMN=Content.NAME\" a custom field, \
         and --skip COLUMN leaves the column out.",
    );
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_ruled_or_suggested_and_never_guessed() {
        let rules = Mapping::for_tests();
        let field = |name: &str, custom| Ok(Target::Field(Field::new(name, custom)));
        let near = |name: &str| Err(Unmapped { suggestion: Some(name.into()) });
        for (column, expected) in [
            ("UserId", Ok(Target::Id)),
            ("user_id", Ok(Target::Id)),
            ("User ID", near("UserId")),
            ("FirstName", field("FirstName", false)),
            ("first name", near("FirstName")),
            ("E-mail", near("Email")),
            ("E-Mail 2", field("Email", false)),
            ("Content.City", field("City", true)),
            ("content.City", near("Content.City")),
            ("vip status", near("Content.VIP_Status")),
            ("Notes", Ok(Target::Skipped)),
            ("", Ok(Target::Unnamed)),
            ("commbox_code", Ok(Target::Skipped)),
            ("commbox_sequence", Ok(Target::Origin)),
            ("Birthday", Err(Unmapped { suggestion: None })),
            ("Content", Err(Unmapped { suggestion: None })),
        ] {
            assert_eq!(rules.target(column), expected, "{column}");
        }
        let accepting = Mapping { accept: true, ..Mapping::for_tests() };
        assert_eq!(accepting.target("first name"), field("FirstName", false));
        assert_eq!(accepting.target("User ID"), Ok(Target::Id));
        assert_eq!(accepting.target("Birthday"), Err(Unmapped { suggestion: None }));
        assert_eq!(rules.member_target("Content"), Ok(Target::Content));
    }
}
