//! Applies the rules to the columns of a file.

use super::target::{Field, Target, Unmapped, CONTENT};
use super::{plain, Mapping, ID_NAMES};
use crate::failure::{Failure, Result};
use crate::input::REJECT_COLUMNS;

impl Mapping {
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
}

/// Returns one message for all columns that no rule covers.
fn explain_unmapped(file: &str, unmapped: &[(&String, Option<String>)]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_mapped_or_suggested_but_never_guessed() {
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
