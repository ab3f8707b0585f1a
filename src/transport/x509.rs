//! Reads the contents of a certificate for diagnostics. They prove nothing, and no decision depends
//! on them.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::transport::certificate::element;

/// The maximum length of a text from a certificate, in characters, and the maximum number of names.
const LONGEST: usize = 200;
const MOST_NAMES: usize = 50;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The known attributes of a name, by their OIDs.
const ATTRIBUTES: [(&[u8], &str); 4] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x06], "C"),
];

/// The contents of a certificate.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Certificate {
    subject: String,
    issuer: String,
    /// The hosts for which the certificate is valid.
    names: Vec<String>,
    not_before: Option<String>,
    not_after: Option<String>,
}

impl Certificate {
    /// Parses a certificate in DER. Returns `None` if it is malformed.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = element(der, SEQUENCE)?;
        let (_, mut rest) = element(certificate, SEQUENCE)?;
        if let Some((after, _version)) = element(rest, 0xa0) {
            rest = after;
        }
        let (rest, _serial) = element(rest, 0x02)?;
        let (rest, _algorithm) = element(rest, SEQUENCE)?;
        let (rest, issuer) = element(rest, SEQUENCE)?;
        let (rest, validity) = element(rest, SEQUENCE)?;
        let (rest, subject) = element(rest, SEQUENCE)?;
        let (rest, _key) = element(rest, SEQUENCE)?;
        let mut times = elements(validity).map(|(tag, text)| time(tag, text));
        let extensions = elements(rest)
            .find(|(tag, _)| *tag == 0xa3)
            .and_then(|(_, inside)| element(inside, SEQUENCE));
        Some(Self {
            subject: distinguished(subject),
            issuer: distinguished(issuer),
            names: extensions.map(|(_, all)| names(all)).unwrap_or_default(),
            not_before: times.next().flatten(),
            not_after: times.next().flatten(),
        })
    }
}

/// Returns consecutive elements, each with its tag.
fn elements(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let tag = *rest.first()?;
        let (after, inside) = element(rest, tag)?;
        rest = after;
        Some((tag, inside))
    })
}

/// Returns a name as `CN=…, O=…`, with the known attributes.
fn distinguished(name: &[u8]) -> String {
    let sets = elements(name).filter(|(tag, _)| *tag == SET).flat_map(|(_, set)| elements(set));
    let attributes = sets.filter_map(|(_, attribute)| {
        let mut parts = elements(attribute);
        let (_, oid) = parts.next().filter(|(tag, _)| *tag == OID)?;
        let (_, value) = parts.next()?;
        let (_, name) = ATTRIBUTES.iter().find(|(known, _)| *known == oid)?;
        Some(format!("{name}={}", text(value)))
    });
    attributes.take(MOST_NAMES).collect::<Vec<_>>().join(", ")
}

/// Returns the hosts in the extensions.
fn names(extensions: &[u8]) -> Vec<String> {
    let parts = |extension| {
        let mut parts = elements(extension);
        let (_, oid) = parts.next()?;
        Some((oid, parts.last()?.1))
    };
    let found = elements(extensions).filter_map(|(_, extension)| parts(extension));
    let alternative = found
        .filter(|(oid, _)| *oid == SUBJECT_ALT_NAME)
        .filter_map(|(_, value)| element(value, SEQUENCE));
    let all =
        alternative.flat_map(|(_, names)| elements(names)).filter_map(|(tag, name)| match tag {
            0x82 => Some(text(name)),
            0x87 => address(name),
            _ => None,
        });
    all.take(MOST_NAMES).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|character| !character.is_control())
        .take(LONGEST)
        .collect()
}

/// Returns a time as `YYYY-MM-DDTHH:MM:SSZ`.
fn time(tag: u8, digits: &[u8]) -> Option<String> {
    let digits = std::str::from_utf8(digits)
        .ok()?
        .strip_suffix('Z')
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    let (century, digits) = match (tag, digits.len()) {
        // The century follows from RFC 5280, section 4.1.2.5.1.
        (0x17, 12) if digits < "50" => ("20", digits),
        (0x17, 12) => ("19", digits),
        (0x18, 14) => digits.split_at_checked(2)?,
        _ => return None,
    };
    let part = |at: usize| digits.get(at..at + 2);
    let (year, month, day) = (part(0)?, part(2)?, part(4)?);
    let (hour, minute, second) = (part(6)?, part(8)?, part(10)?);
    Some(format!("{century}{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{date_time_ymd, CertificateParams, DnType, KeyPair};

    #[test]
    fn a_certificate_is_parsed_and_a_corrupt_one_causes_no_panic() {
        let hosts = ["api.example".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Test\u{7}é");
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        (params.not_before, params.not_after) =
            (date_time_ymd(1999, 1, 2), date_time_ymd(2050, 12, 31));
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let read = Certificate::read(&der).unwrap();
        assert!(
            read.subject.contains("CN=Testé") && read.subject.contains("O=Example"),
            "{}",
            read.subject
        );
        assert_eq!(
            (&read.issuer, &read.names[..]),
            (&read.subject, &["api.example", "127.0.0.1", "::1"].map(String::from)[..])
        );
        assert_eq!(read.not_before.as_deref(), Some("1999-01-02T00:00:00Z"));
        assert_eq!(read.not_after.as_deref(), Some("2050-12-31T00:00:00Z"));
        for at in 0..der.len() {
            let _ = Certificate::read(&der[..at]);
            for change in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[at] = change;
                let _ = Certificate::read(&changed);
            }
        }
    }
}
