//! Collects the problems of options or fields, and makes one error of them.

use crate::error::kind::ErrorKind;
use crate::error::problem::Problem;
use crate::error::{Error, Result};

/// The first problems, and the number of further ones.
#[derive(Default)]
pub(crate) struct Problems {
    first: Vec<Problem>,
    more: usize,
}

impl Problems {
    const SHOWN: usize = 20;

    /// Adds a problem of an option or a field.
    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>) {
        if self.first.len() < Self::SHOWN {
            self.first.push(Problem::new(path, message));
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Returns the first problems one by one.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = Problem> {
        self.first.into_iter()
    }

    /// Returns an error that contains these problems, if there are any.
    pub(crate) fn check(self, kind: ErrorKind) -> Result<()> {
        match self.first.is_empty() {
            true => Ok(()),
            false => Err(self.into_error(kind)),
        }
    }

    fn into_error(mut self, kind: ErrorKind) -> Error {
        if self.more > 0 {
            self.first.push(Problem::new("", format!("and {} more", self.more)));
        }
        let texts: Vec<_> = self.first.iter().map(ToString::to_string).collect();
        Error { problems: self.first, ..Error::new(kind, texts.join("; ")) }
    }
}

impl Error {
    /// Returns the error of an invalid option or field.
    pub(crate) fn problem(kind: ErrorKind, path: &str, message: impl Into<String>) -> Self {
        let mut problems = Problems::default();
        problems.add(path, message);
        problems.into_error(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_form_one_message_of_bounded_length() {
        assert!(Problems::default().check(ErrorKind::InvalidUser).is_ok());
        let mut problems = Problems::default();
        for number in 0..1000 {
            problems.add("", number.to_string());
        }
        let error = problems.check(ErrorKind::InvalidUser).unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("0; 1; ") && message.ends_with("; 19; and 980 more"),
            "{message}"
        );
        assert_eq!(error.problems().len(), 21);
    }
}
