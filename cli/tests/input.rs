//! Files as Excel, LibreOffice, Google Sheets and Salesforce write them, and the errors for invalid
//! files.

mod common;

use std::io::Write;

use serde_json::{json, Value};

use common::{bare, end, end_with_input, Folder, Sandbox};

const NAME: &str = "שלומית \"שולי\" כהן";

/// Encodes text that consists of ASCII and Hebrew letters as Windows-1255.
fn windows_1255(text: &str) -> Vec<u8> {
    let byte = |c: char| match u32::from(c) {
        letter @ 0x5d0..=0x5ea => (letter - 0x5d0) as u8 + 0xe0,
        other => u8::try_from(other).expect("it is ASCII"),
    };
    text.chars().map(byte).collect()
}

fn utf_16(text: &str) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("it is written to memory");
    encoder.finish().expect("it is written to memory")
}

#[test]
fn files_of_common_programs_are_read() {
    let sandbox = Sandbox::start();
    let folder = Folder::new();
    let quoted = NAME.replace('"', "\"\"");
    let head = ["UserId", "FirstName", "Phone1", "Remarks", "Content.City"];
    let lines = |delimiter: &str, end: &str| {
        let cells = ["7".to_owned(), format!("\"{quoted}\""), "0501234567".into()];
        let cells = [cells.as_slice(), &["\"a\nb, c; d\te\"".into(), "חיפה".into()]].concat();
        // Excel omits empty cells at the end of a row, and writes rows that consist only of
        // delimiters.
        let short = ["8", "Short"].join(delimiter);
        let blank = delimiter.repeat(4);
        [head.join(delimiter), cells.join(delimiter), short, blank].join(end) + end
    };
    let all_quoted = format!(
        "\"ID\",\"COMMBOX_ID__C\",\"FIRSTNAME\",\"PHONE\",\"REMARKS\",\"CITY\"\n\
         \"0035g00000AbCdE\",\"7\",\"{quoted}\",\"0501234567\",\"a\nb, c; d\te\",\"חיפה\"\n\
         \"0035g00000AbCdF\",\"8\",\"Short\",\"\",\"\",\"\"\n"
    );
    let rows = [
        json!({"UserId": 7, "FirstName": NAME, "Phone1": "0501234567", "Remarks": "a\nb, c; d\te",
               "Content": {"City": "חיפה"}}),
        json!({"UserId": "8", "FirstName": "Short"}),
    ];
    let json_lines = format!("{}\n\n{}\n", rows[0], rows[1]);
    let salesforce = [
        "--id",
        "COMMBOX_ID__C",
        "--skip",
        "ID",
        "--map",
        "FIRSTNAME=FirstName",
        "--map",
        "PHONE=Phone1",
        "--map",
        "REMARKS=Remarks",
        "--map",
        "CITY=Content.City",
    ];
    let none: &[&str] = &[];
    let files: &[(&str, Vec<u8>, &[&str])] = &[
        ("Excel, CSV UTF-8", ["\u{feff}".as_bytes(), lines(",", "\r\n").as_bytes()].concat(), none),
        (
            "Excel in Israel, with sep=",
            windows_1255(&("sep=;\r\n".to_owned() + &lines(";", "\r\n"))),
            &["--encoding", "windows-1255"],
        ),
        ("Excel, Unicode text", utf_16(&lines("\t", "\r\n")), none),
        ("LibreOffice", lines(",", "\n").into_bytes(), none),
        ("LibreOffice, compressed", gzip(lines(";", "\n").as_bytes()), none),
        ("Google Sheets, TSV", lines("\t", "\r\n").into_bytes(), none),
        ("Salesforce Data Loader", all_quoted.into_bytes(), &salesforce),
        ("JSON Lines", json_lines.clone().into_bytes(), none),
        ("JSON Lines with a mark", ["\u{feff}", &json_lines].concat().into_bytes(), none),
        ("JSON array", Value::from(rows.to_vec()).to_string().into_bytes(), none),
    ];
    for (number, (what, bytes, options)) in files.iter().enumerate() {
        assert_eq!(sandbox.post("/sandbox/reset", ""), 204);
        let file = folder.write(&format!("קובץ {number}"), bytes);
        let mut sync = sandbox.commbox("sync");
        let printed = end(sync.arg(&file).args(*options)).ends(0);
        assert!(printed.contains("2 rows confirmed"), "{what}: {printed}");
        let expected = json!({
            "Id": 7, "FirstName": NAME, "Phone1": "0501234567", "Remarks": "a\nb, c; d\te",
            "Content": {"City": "חיפה"},
        });
        assert_eq!(sandbox.user(7), expected, "{what}");
        assert_eq!(sandbox.user(8), json!({"Id": 8, "FirstName": "Short"}), "{what}");
    }
}

#[test]
fn standard_input_is_read_like_a_file() {
    let sandbox = Sandbox::start();
    let folder = Folder::new();
    let mut sync = sandbox.commbox("sync");
    sync.args(["-", "--journal", "nightly.journal"]).current_dir(folder.path());
    end_with_input(&mut sync, b"id;FirstName\n7;Dana\n").ends(0);
    assert_eq!(sandbox.user(7)["FirstName"], "Dana");
    assert!(folder.has("nightly.journal") && !folder.has("nightly.journal.reserve"));
}

#[test]
fn options_define_empty_cells_and_constants() {
    let sandbox = Sandbox::start();
    let folder = Folder::new();
    let file = folder.write("a.csv", "UserId,FirstName,Content.City\n7,,\n");
    let fields = |options: &[&str]| {
        let mut sync = sandbox.commbox("sync");
        end(sync.arg(&file).args(options)).ends(0);
        sandbox.updates().pop().map(|(_, data)| data)
    };
    assert_eq!(fields(&[]), None, "there is nothing to send");
    let set = ["--set", "Content.Source=im=port"];
    assert_eq!(fields(&set), Some(json!({"Content": {"Source": "im=port"}})));
    let null = json!({"FirstName": null, "Content": {"City": null}});
    assert_eq!(fields(&["--empty", "null"]), Some(null));
    let text = json!({"FirstName": "", "Content": {"City": ""}});
    assert_eq!(fields(&["--empty", "text"]), Some(text));
}

/// Runs `check` on a file that must be rejected, and returns the output.
fn refused(folder: &Folder, bytes: impl AsRef<[u8]>, options: &[&str]) -> String {
    let file = folder.write("wrong.csv", bytes);
    let mut check = bare();
    check.args(["check"]).arg(&file).args(options).current_dir(folder.path());
    end(&mut check).ends(2)
}

/// A description of the error, the file, options, and parts of the expected output.
type Case<'a> = (&'a str, Vec<u8>, &'a [&'a str], &'a [&'a str]);

#[test]
fn errors_report_line_and_column_but_no_value() {
    let folder = Folder::new();
    let long = "canary".repeat(20);
    let cases: &[Case<'_>] = &[
        (
            "another encoding",
            [b"UserId,FirstName\n7,ok\n8,Jos\xe9\n".as_slice()].concat(),
            &[],
            &["line 3: column \"FirstName\" at character 4 is not UTF-8", "--encoding windows-1255"],
        ),
        (
            "a byte that the encoding does not have",
            b"UserId,FirstName\n7,a\xd9b\n".to_vec(),
            &["--encoding", "windows-1255"],
            &["line 2: column \"FirstName\" at character 2"],
        ),
        (
            "a lost character",
            "UserId,FirstName\n7,Jos\u{fffd}\n".into(),
            &[],
            &["line 2: column \"FirstName\" holds a replacement character"],
        ),
        (
            "ids",
            "UserId,FirstName\n,canary\ncanary,b\n-3,b\n1.5E+10,b\n0,b\n99999999999999999999,b\n".into(),
            &[],
            &[
                "line 2: column \"UserId\" is empty",
                "line 3: column \"UserId\" must be a whole number",
                "line 5: column \"UserId\" must be a whole number above 0, written in digits",
                "line 6: column \"UserId\" must be from 1",
                "6 wrong rows of 6 rows",
            ],
        ),
        (
            "limits",
            format!("UserId,FirstName\n7,{long}\n").into_bytes(),
            &[],
            &["line 2: FirstName is 120 characters long; the limit is 100"],
        ),
        (
            "cells without a name",
            "UserId,FirstName\n7,a,canary\n".into(),
            &[],
            &["line 2: the row has more cells than the first line has names: 3 and 2"],
        ),
        (
            "a quote that is not closed",
            "UserId,FirstName,Remarks\n7,a,b\n8,\"canary,b\n9,c,d\n".into(),
            &[],
            &["line 3: the row holds a line break, and cells are missing: is a quote not closed?"],
        ),
        (
            "a quote that is not closed in the last column",
            "UserId,Remarks\n7,a\n8,\"canary\n9,c\n".into(),
            &[],
            &["line 3: the row holds a line break", "is a quote not closed?"],
        ),
        (
            "unknown columns",
            "UserId,first name,Birthday,vip_status\n7,a,b,c\n".into(),
            &["--custom-fields", "VIP_Status,City"],
            &[
                "\"first name\"  did you mean FirstName?",
                "\"Birthday\"\n",
                "\"vip_status\"  did you mean Content.VIP_Status?",
                "--accept-suggestions",
            ],
        ),
        (
            "no id",
            "CustomerNo,FirstName\n7,a\n".into(),
            &["--skip", "CustomerNo"],
            &["no column is the user's id; name it by --id"],
        ),
        ("a rule for nothing", "UserId\n7\n".into(), &["--map", "Mail=Email"], &["has no column \"Mail\""]),
        (
            "two columns for one field",
            "UserId,Email,Mail\n7,a,b\n".into(),
            &["--map", "Mail=Email"],
            &["columns \"Email\" and \"Mail\" all become Email"],
        ),
        (
            "a rule for no field",
            "UserId,Mail\n7,a\n".into(),
            &["--map", "Mail=EMail"],
            &["\"EMail\" is not a field; did you mean \"Email\"?"],
        ),
        ("nothing", Vec::new(), &[], &["is empty"]),
        ("a workbook", b"PK\x03\x04canary".to_vec(), &[], &["save it as CSV"]),
        (
            "JSON",
            "{\"UserId\": 7, \"Nots\": \"canary\"}\n{\"UserId\": 8, canary}\n{\"FirstName\": \"canary\"}\n\
             {\"UserId\": 9, \"FirstName\": 5}\n"
                .into(),
            &[],
            &[
                "line 1: column \"Nots\" is not a field",
                "line 2: the row is not a JSON object",
                "line 3: the row has no user id",
                "line 4: FirstName must be a string or null, not a number",
            ],
        ),
        ("an array that breaks off", "[{\"UserId\": 7}".into(), &[], &["the array is not closed"]),
        (
            "duplicates",
            "UserId,FirstName\n7,a\n8,b\n7,c\n".into(),
            &["--duplicates", "error"],
            &["1 row with an id that a later row has, too: rows 1 and 3"],
        ),
    ];
    for (what, bytes, options, parts) in cases {
        let printed = refused(&folder, bytes, options);
        for part in *parts {
            assert!(printed.contains(part), "{what}: no {part:?} in\n{printed}");
        }
        assert!(!printed.contains("canary"), "{what}: a value is printed\n{printed}");
    }
}

#[test]
fn suggested_column_names_are_accepted_on_request() {
    let sandbox = Sandbox::start();
    let folder = Folder::new();
    let file = folder.write("a.csv", "User ID,first_name,E-MAIL\n7,Dana,d@example.com\n");
    let mut check = sandbox.commbox("check");
    let told = end(check.arg(&file).args(["--accept-suggestions", "--output", "json"]));
    told.ends(0);
    let columns = json!({"User ID": "the user's id", "first_name": "FirstName", "E-MAIL": "Email"});
    assert_eq!(told.event("file")["columns"], columns);
    assert_eq!(told.event("checked")["to_send"], 1);
    assert!(sandbox.updates().is_empty(), "a check sends nothing");
    let mut sync = sandbox.commbox("sync");
    end(sync.arg(&file).arg("--accept-suggestions")).ends(0);
    let expected = json!({"FirstName": "Dana", "Email": "d@example.com"});
    assert_eq!(sandbox.updates(), [(7, expected)]);
}

#[test]
fn flags_override_the_options_file() {
    let sandbox = Sandbox::start();
    let folder = Folder::new();
    folder.write("a.csv", "Number|Mail|Town|Note\n7|d@example.com|Haifa|x\n");
    folder.write(
        "commbox.toml",
        "[client]\nbase_url = \"http://127.0.0.1:9\"\nmax_retries = 0\n\
         [batch]\nconcurrency = 2\n\
         [sync]\nid = \"Number\"\nskip = [\"Note\"]\nempty = \"null\"\n\
         [sync.map]\nMail = \"Email\"\nTown = \"Remarks\"\n[sync.set]\n\"Content.Source\" = \"file\"\n",
    );
    let mut sync = sandbox.commbox("sync");
    sync.args(["a.csv", "--map", "Town=Content.City"]).current_dir(folder.path());
    end(&mut sync).ends(0);
    let expected = json!({
        "Email": "d@example.com", "Content": {"City": "Haifa", "Source": "file"},
    });
    assert_eq!(sandbox.updates(), [(7, expected)], "the variable's server goes before the file's");

    for (text, why) in [
        ("[client]\nmax_retrys = 1\n", "max_retrys"),
        (
            "[client]\ntotal_timeout_ms = 0\n",
            "total_timeout_ms in commbox.toml (--total-timeout) must be",
        ),
        ("[sync]\nempty = \"canary\"\n", "commbox.toml line 2"),
        ("api_key = \"canary\"\n", "commbox.toml line 1"),
        ("[client\nproxy = \"canary\"\n", "commbox.toml line 1"),
    ] {
        folder.write("commbox.toml", text);
        let printed = end(&mut sync).ends(2);
        assert!(printed.contains(why), "{text}: {printed}");
    }
}
