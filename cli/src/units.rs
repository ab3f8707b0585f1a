//! Parses and formats durations, rates and numbers.

use std::time::Duration;

/// Parses `500ms`, `60s`, `10m`, `2h`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err("must be a time such as 500ms, 60s or 10m".into()),
    };
    let number: f64 = number.parse().map_err(|_| "must be a time such as 500ms, 60s or 10m")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "is too long".into())
}

/// Parses `50/s`, `3000/m`, `100000/h`; a bare number is per second. 0 means no limit.
pub fn rate(text: &str) -> Result<f64, String> {
    let wrong = || "must be a rate such as 50/s or 3000/m".to_owned();
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let rate = match unit.trim() {
        "s" | "sec" => number,
        "m" | "min" => number / 60.0,
        "h" => number / 3600.0,
        _ => return Err(wrong()),
    };
    if rate.is_finite() && rate >= 0.0 {
        Ok(rate)
    } else {
        Err(wrong())
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

/// When to stop because of errors: after a number of failed rows, or above a percentage of the
/// finished rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxErrors {
    Count(u64),
    Percent(f64),
}

impl std::str::FromStr for MaxErrors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be a number such as 50, or a percentage such as 5%".to_owned();
        match text.strip_suffix('%') {
            Some(number) => {
                let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
                let fits = (0.0..=100.0).contains(&percent);
                if fits {
                    Ok(Self::Percent(percent))
                } else {
                    Err(wrong())
                }
            }
            None => text.trim().parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

/// Formats a number with thousands separators.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number of things, in the singular or the plural.
pub fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_parsed() {
        for (text, millis) in
            [("500ms", 500), ("60s", 60_000), ("1.5", 1500), ("10 m", 600_000), ("2h", 7_200_000)]
        {
            assert_eq!(duration(text).unwrap().as_millis(), millis, "{text}");
        }
        for text in ["", "ms", "-1", "1d", "1e3s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for (text, per_second) in [("50/s", 50.0), ("50", 50.0), ("3000/m", 50.0), ("0", 0.0)] {
            assert_eq!(rate(text).unwrap(), per_second, "{text}");
        }
        for text in ["", "fast", "1/d", "-5/s", "inf"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!("5%".parse(), Ok(MaxErrors::Percent(5.0)));
        assert_eq!("50".parse(), Ok(MaxErrors::Count(50)));
        assert!("101%".parse::<MaxErrors>().is_err() && "x".parse::<MaxErrors>().is_err());
        assert_eq!([7, 1000, 1_234_567].map(grouped), ["7", "1,000", "1,234,567"]);
        assert_eq!((counted(1, "row"), counted(0, "row")), ("1 row".into(), "0 rows".into()));
    }
}
