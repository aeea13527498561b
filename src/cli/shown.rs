//! Texts of others on a terminal.

use std::borrow::Cow;

/// A text whose control characters are written out (`\\u{1b}`), so that none moves the cursor, changes colours or hides what stands before it.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|c| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    Cow::Owned(escaped.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(shown("caf\u{e9} \u{1f389}"), "caf\u{e9} \u{1f389}");
        assert_eq!(shown("a\u{1b}[2Jb\r\n\u{9b}"), "a\\u{1b}[2Jb\\r\\n\\u{9b}");
    }
}
