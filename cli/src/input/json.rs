//! Rows that are JSON objects: one per line, or the elements of an array.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read as IoRead};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::body::Body;
use super::mapping::{Mapping, Target};
use super::{user_id, Original, Problem, Read, Row};
use crate::failure::{Failure, Result};

/// Maximum length of a row.
const LONGEST_ROW: usize = 16 * 1024 * 1024;

/// The objects of a file.
pub struct Rows<'a> {
    reader: BufReader<Box<dyn IoRead + Send>>,
    mapping: &'a Mapping,
    array: bool,
    state: State,
    /// What the members seen so far are mapped to.
    targets: HashMap<String, Target>,
    line: u64,
    /// The line where the current object starts.
    began: u64,
    bytes: Vec<u8>,
    body: Body,
}

/// The position relative to the array.
#[derive(PartialEq)]
enum State {
    Before,
    Inside,
    After,
}

impl<'a> Rows<'a> {
    pub fn new(reader: Box<dyn IoRead + Send>, array: bool, mapping: &'a Mapping) -> Self {
        Self {
            reader: BufReader::with_capacity(64 * 1024, reader),
            mapping,
            array,
            state: State::Before,
            targets: HashMap::new(),
            line: 1,
            began: 1,
            bytes: Vec::new(),
            body: Body::default(),
        }
    }

    pub fn skip(&mut self) -> Result<bool> {
        if self.array {
            self.next_element()
        } else {
            self.next_line()
        }
    }

    pub fn read(&mut self, row: &mut Row) -> Result<Read> {
        if !self.skip()? {
            return Ok(Read::End);
        }
        row.line = self.began;
        row.origin = None;
        row.id = 0;
        let mut text = match std::mem::take(&mut row.original) {
            Original::Json(text) => text,
            Original::Cells(_) => String::new(),
        };
        text.clear();
        let outcome = match std::str::from_utf8(&self.bytes) {
            Ok(read) => {
                text.push_str(read.trim());
                self.fill(&text, row)
            }
            Err(error) => {
                text.push_str(&String::from_utf8_lossy(&self.bytes));
                let byte = error.valid_up_to() + 1;
                Err(Problem::new(
                    "",
                    format!("the row is not UTF-8 at byte {byte}; see --encoding"),
                ))
            }
        };
        row.original = Original::Json(text);
        Ok(match outcome {
            Ok(()) => Read::Update,
            Err(problem) => Read::Wrong(problem),
        })
    }

    /// Builds an update from an object.
    fn fill(&mut self, text: &str, row: &mut Row) -> Result<(), Problem> {
        let members: Members = serde_json::from_str(text).map_err(|error| {
            // The parser's own message may contain a value.
            Problem::new(
                "",
                format!("the row is not a JSON object: see its byte {}", error.column()),
            )
        })?;
        self.body.clear();
        let mut found = false;
        for (name, value) in &members.0 {
            if !self.targets.contains_key(name) {
                let target = self.mapping.member_target(name).map_err(|unmapped| {
                    let hint = unmapped.suggestion.map_or_else(String::new, |right| {
                        format!("; did you mean {right}? --accept-suggestions takes it")
                    });
                    Problem::new(
                        name,
                        format!("is not a field of a user, and no --map or --skip is for it{hint}"),
                    )
                })?;
                self.targets.insert(name.clone(), target);
            }
            match self.targets.get(name) {
                Some(Target::Id) => {
                    let text: Option<String> = serde_json::from_str(value.get()).ok();
                    let text = text.as_deref().unwrap_or(value.get());
                    row.id = user_id(text).map_err(|why| Problem::new(name, why))?;
                    found = true;
                }
                Some(Target::Field(field)) => {
                    self.body.member(&field.json, field.custom).push_str(value.get());
                }
                Some(Target::Content) => {
                    let inner =
                        value.get().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
                    match inner {
                        Some(members) => self.body.custom_members(members),
                        None => return Err(Problem::new(name, "must be an object")),
                    }
                }
                Some(Target::Origin) => {
                    row.origin = serde_json::from_str(value.get()).ok();
                }
                Some(Target::Skipped) | None => {}
                Some(Target::Unnamed) => return Err(Problem::new(name, "has no name")),
            }
        }
        if !found {
            return Err(Problem::new("", "the row has no user id; name its member by --id"));
        }
        for (field, value) in &self.mapping.constants {
            self.body.member(&field.json, field.custom).push_str(value);
        }
        row.is_empty = self.body.is_empty();
        self.body.write(&mut row.json);
        Ok(())
    }

    fn next_line(&mut self) -> Result<bool> {
        loop {
            self.bytes.clear();
            self.began = self.line;
            let mut limited = (&mut self.reader).take(LONGEST_ROW as u64 + 1);
            let read = limited.read_until(b'\n', &mut self.bytes);
            if read.map_err(|error| self.wrong(&error.to_string()))? == 0 {
                return Ok(false);
            }
            if self.bytes.len() > LONGEST_ROW {
                return Err(self.wrong("the row is longer than 16 MiB"));
            }
            self.line += 1;
            if !self.bytes.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::usage(format!("line {}: {why}", self.line))
    }

    /// Reads an element of the array into `bytes`.
    fn next_element(&mut self) -> Result<bool> {
        self.bytes.clear();
        if self.state == State::Before {
            if self.skip_blanks()? != Some(b'[') {
                return Err(self.wrong("must be an array of objects"));
            }
            self.reader.consume(1);
            self.state = State::Inside;
            if self.skip_blanks()? == Some(b']') {
                self.reader.consume(1);
                self.state = State::After;
            }
        }
        if self.state == State::After {
            return match self.skip_blanks()? {
                None => Ok(false),
                Some(_) => Err(self.wrong("something follows the array")),
            };
        }
        self.skip_blanks()?;
        self.began = self.line;
        let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
        loop {
            let buffer =
                self.reader.fill_buf().map_err(|error| Failure::usage(error.to_string()))?;
            if buffer.is_empty() {
                return Err(self.wrong("the array is not closed"));
            }
            let (mut used, mut end) = (0, None);
            for byte in buffer {
                if depth == 0 && !quoted && matches!(byte, b',' | b']') {
                    end = Some(*byte);
                    break;
                }
                used += 1;
                match byte {
                    b'\n' => self.line += 1,
                    _ if escaped => escaped = false,
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    b'{' | b'[' if !quoted => depth += 1,
                    b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            self.bytes.extend_from_slice(buffer.get(..used).unwrap_or_default());
            self.reader.consume(used + usize::from(end.is_some()));
            if self.bytes.len() > LONGEST_ROW {
                return Err(self.wrong("the row is longer than 16 MiB"));
            }
            if let Some(end) = end {
                if end == b']' {
                    self.state = State::After;
                }
                return Ok(true);
            }
        }
    }

    /// Returns the next byte that is not white space, without consuming it.
    fn skip_blanks(&mut self) -> Result<Option<u8>> {
        loop {
            let buffer =
                self.reader.fill_buf().map_err(|error| Failure::usage(error.to_string()))?;
            let blanks = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let lines = buffer.iter().take(blanks).filter(|byte| **byte == b'\n').count();
            let (next, empty) = (buffer.get(blanks).copied(), buffer.is_empty());
            self.line += lines as u64;
            self.reader.consume(blanks);
            if next.is_some() || empty {
                return Ok(next);
            }
        }
    }
}

/// The members of an object in their order, with the text of their values unchanged.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// Returns the members of an object, with the text of their values unchanged.
pub fn members(text: &str) -> Option<Vec<(String, String)>> {
    let members: Members = serde_json::from_str(text).ok()?;
    Some(members.0.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::mapping::Mapping;

    fn elements(text: &str) -> Result<Vec<(u64, String)>> {
        let mapping = Mapping::for_tests();
        let reader: Box<dyn IoRead + Send> =
            Box::new(std::io::Cursor::new(text.as_bytes().to_vec()));
        let mut rows = Rows::new(reader, true, &mapping);
        let mut found = Vec::new();
        while rows.skip()? {
            found.push((
                rows.began,
                String::from_utf8(rows.bytes.clone()).unwrap().trim().to_owned(),
            ));
        }
        Ok(found)
    }

    #[test]
    fn an_array_is_split_into_its_elements() {
        let text = "[\n {\"a\": \"]},\\\"\"},\n {\"b\": [1, {}]} ,3]\n";
        let expected = [(2, "{\"a\": \"]},\\\"\"}"), (3, "{\"b\": [1, {}]}"), (3, "3")];
        let found = elements(text).unwrap();
        let found: Vec<_> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(found, expected);
        assert!(elements("[]").unwrap().is_empty());
        for wrong in ["", "{}", "[{}", "[{}] x", "[{\"a\": \"b]"] {
            assert!(elements(wrong).is_err(), "{wrong}");
        }
    }
}
