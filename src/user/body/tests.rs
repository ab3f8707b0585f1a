use super::*;
use crate::options::UnknownFields;
use crate::user::fields::FIELDS;

fn body(json: &str, validate: bool) -> Result<Cow<'_, str>> {
    super::body(json, &Rules { validate, unknown: UnknownFields::Refuse, custom: None })
}

fn problem(json: &str) -> String {
    let error = body(json, true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidUser);
    error.to_string()
}

#[test]
fn a_bare_user_is_wrapped_and_a_wrapped_one_is_unchanged() {
    assert_eq!(body("{ }", true).unwrap(), "{\"data\":{ }}");
    assert_eq!(body(" {\"data\" : {}}\n", true).unwrap(), " {\"data\" : {}}\n");
    assert_eq!(body(r#"{"d\u0061ta":{}}"#, true).unwrap(), r#"{"d\u0061ta":{}}"#);
}

#[test]
fn length_limits_count_characters_not_bytes() {
    for (field, limit) in FIELDS {
        let user = |length| format!("{{\"{field}\":\"{}\"}}", "é".repeat(length));
        match limit {
            Some(limit) => {
                assert!(body(&user(limit), true).is_ok());
                let why = format!("{field} is {} characters long; the limit is {limit}", limit + 1);
                assert_eq!(problem(&user(limit + 1)), why);
            }
            None => assert!(body(&user(100_000), true).is_ok()),
        }
    }
    assert!(body(&format!("{{\"UniqueId\":\"{}\"}}", r"\ud83d\ude00".repeat(50)), true).is_ok());
}

#[test]
fn all_problems_are_reported_at_once() {
    let message = problem(
        r#"{"firstname":"canary","Email":7,"Content":[],"Remarks":"\ud800","Phone1":"1","Phone1":"2","Data":1}"#,
    );
    assert_eq!(
        message,
        "firstname must be written \"FirstName\"; Email must be a string or null, not a number; Content must \
         be an object, not an array; Remarks has a \\u escape that is not a character (half of a surrogate pair); Phone1 \
         appears more than once; Data must be written \"data\""
    );
    assert_eq!(problem("[]"), "user_json must be a JSON object, not an array");
    assert_eq!(problem(r#"{"data":"x"}"#), "data must be a JSON object, not a string");
    assert_eq!(problem(r#"{"data":{"data":1}}"#), "data is inside \"data\"; wrap the user once");
    assert!(problem(r#"{"data":{},"Email":"x"}"#).starts_with("\"data\" must be the only member"));
    assert!(problem(r#"{"Email":"x"#).starts_with("user_json is not JSON: EOF"));
}

#[test]
fn unknown_fields_are_rejected_unless_allowed() {
    let user = r#"{"FirstName":null,"LoyaltyTier":{"a":[1]},"VIP_Status":1}"#;
    assert_eq!(
        problem(user),
        "LoyaltyTier is not a field of a user (UniqueId, FirstName, LastName, Email, Phone1, Phone2, Remarks, Content): \
         put custom fields inside \"Content\", or set unknown_fields to \"allow\"; VIP_Status is not a field of a user"
    );
    let allow = |custom: Option<Vec<String>>| Rules {
        validate: true,
        unknown: UnknownFields::Allow,
        custom,
    };
    assert!(super::body(user, &allow(None)).is_ok());
    let custom = || Some(vec!["VIP_Status".into(), "Birth_Date".into()]);
    let told = |json: &str, rules: &Rules| super::body(json, rules).unwrap_err().to_string();
    assert_eq!(
        told(user, &allow(custom())),
        "VIP_Status is a custom field; put \"VIP_Status\" inside \"Content\""
    );
    assert!(
        super::body(r#"{"Content":{"VIP_Status":1,"Birth_Date":null}}"#, &allow(custom())).is_ok()
    );
    assert_eq!(
        told(
            r#"{"Content":{"vip_status":1,"BirthDat":1,"Other":1,"VIP_Status":1,"VIP_Status":1}}"#,
            &allow(custom())
        ),
        "Content.vip_status must be written \"VIP_Status\"; Content.BirthDat is not a custom field; did you mean \
         \"Birth_Date\"?; Content.Other is not a custom field: custom_fields does not have it; Content.VIP_Status \
         appears more than once"
    );
}

#[test]
fn misspelled_fields_are_rejected_even_if_unknown_fields_are_allowed() {
    let rules = Rules { validate: true, unknown: UnknownFields::Allow, custom: None };
    for (name, why) in [
        ("first_name", "first_name must be written \"FirstName\""),
        ("FirstName ", "FirstName  must be written \"FirstName\""),
        ("\u{feff}FirstName", "\\u{feff}FirstName must be written \"FirstName\""),
        ("\u{ff26}irstName", "\u{ff26}irstName must be written \"FirstName\""),
        ("FristName", "FristName is not a field of a user; did you mean \"FirstName\"?"),
        ("E-mail", "E-mail must be written \"Email\""),
        ("Contents", "Contents is not a field of a user; did you mean \"Content\"?"),
    ] {
        let json = serde_json::json!({ name: "canary" }).to_string();
        assert_eq!(super::body(&json, &rules).unwrap_err().to_string(), why);
        assert_eq!(problem(&json), why);
    }
}

#[test]
fn without_validation_the_body_must_still_be_json() {
    assert_eq!(body(r#"{"firstname":1}"#, false).unwrap(), r#"{"data":{"firstname":1}}"#);
    assert_eq!(body("[1]", false).unwrap(), r#"{"data":[1]}"#);
    assert!(body("[1", false).is_err());
}
