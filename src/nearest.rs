//! Finds the known name that a misspelt name probably means.

/// The maximum edit distance of a misspelt name.
const NEAR: usize = 2;

/// Returns whether two names differ only in case, blanks, `_`, `-`, full-width forms and invisible
/// characters.
pub(crate) fn is_same(left: &str, right: &str) -> bool {
    plain(left).eq(plain(right))
}

/// Returns the known name that is nearest to this one: it differs only in form, or by at most two
/// edits.
pub(crate) fn nearest<'a>(
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    known.clone().find(|known| is_same(name, known)).or_else(|| {
        let name: String = plain(name).take(80).collect();
        let distances =
            known.map(|known| (distance(&name, &plain(known).collect::<String>()), known));
        // For short names, two edits would leave too little in common.
        let near = distances.filter(|(distance, known)| *distance <= NEAR.min(known.len() / 3));
        near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
    })
}

/// Returns the letters and digits of a name, in lower case and without full-width forms.
fn plain(name: &str) -> impl Iterator<Item = char> + '_ {
    let visible = |character: &char| {
        let hidden = matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
        !hidden && !character.is_whitespace() && !character.is_control()
    };
    let narrow = |character: char| match character {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xfee0).unwrap_or(character)
        }
        other => other,
    };
    name.chars()
        .filter(visible)
        .map(narrow)
        .filter(|character| !matches!(character, '_' | '-'))
        .flat_map(char::to_lowercase)
}

/// Returns the edit distance (Levenshtein) in bytes, ignoring case.
pub(crate) fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right.bytes()) {
            let changed = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = *cell;
            before = changed.min(diagonal + 1).min(before + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_or_separators_are_the_same() {
        for name in [
            "firstname",
            "first_name",
            "First-Name",
            " FirstName ",
            "\u{feff}FirstName",
            "First\u{200b}Name",
            "First\u{a0}Name",
            "\u{ff26}\u{ff49}rst\u{ff3f}Name",
            "First\tName\n",
        ] {
            assert!(is_same(name, "FirstName"), "{name:?}");
        }
        assert!(!is_same("FirstNames", "FirstName"));
    }

    #[test]
    fn the_nearest_name_is_at_most_two_changes_away() {
        let known = ["FirstName", "LastName", "Email", "Phone1", "data"];
        for (name, expected) in [
            ("FristName", Some("FirstName")),
            ("Frst_Nam", Some("FirstName")),
            ("Lastname", Some("LastName")),
            ("e-mail", Some("Email")),
            ("Mail", Some("Email")),
            ("Phone", Some("Phone1")),
            ("date", Some("data")),
            ("tags", None),
            ("Name", None),
            ("Fst_Nam", None),
            ("VIP_Status", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
    }
}
