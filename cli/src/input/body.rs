//! Writes a user's JSON.

/// Appends a text as a JSON string.
pub fn push_text(json: &mut String, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        json.push('"');
        json.push_str(text);
        json.push('"');
        return;
    }
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            other if other < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => json.push(other),
        }
    }
    json.push('"');
}

/// The members of a user that is being built: fields, and custom fields inside `Content`.
#[derive(Default)]
pub struct Body {
    fields: String,
    custom: String,
}

impl Body {
    pub fn clear(&mut self) {
        self.fields.clear();
        self.custom.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.custom.is_empty()
    }

    /// Starts a member whose value the caller appends. `name` is JSON, quotes included.
    pub fn member(&mut self, name: &str, custom: bool) -> &mut String {
        let members = if custom { &mut self.custom } else { &mut self.fields };
        if !members.is_empty() {
            members.push(',');
        }
        members.push_str(name);
        members.push(':');
        members
    }

    /// Appends members to the custom fields. They are JSON already, without the braces.
    pub fn custom_members(&mut self, members: &str) {
        if !members.trim().is_empty() {
            if !self.custom.is_empty() {
                self.custom.push(',');
            }
            self.custom.push_str(members);
        }
    }

    /// Writes the user.
    pub fn write(&self, json: &mut String) {
        json.clear();
        json.push('{');
        json.push_str(&self.fields);
        if !self.custom.is_empty() {
            if !self.fields.is_empty() {
                json.push(',');
            }
            json.push_str("\"Content\":{");
            json.push_str(&self.custom);
            json.push('}');
        }
        json.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        for text in ["", "plain", "a\"b\\c", "two\nlines\r\t\u{1}", "שלום"] {
            let mut json = String::new();
            push_text(&mut json, text);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
