//! Texts that others wrote, shown on a terminal.

use std::borrow::Cow;

/// Writes the control characters of a text out (`\\u{1b}`), and those that change the direction of writing, so that none of them moves the cursor,
/// changes colours or hides other text.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|c| match steers(c) {
        true => c.escape_unicode().to_string(),
        false => c.to_string(),
    });
    Cow::Owned(escaped.collect())
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(shown("caf\u{e9} \u{1f389}"), "caf\u{e9} \u{1f389}");
        assert_eq!(shown("a\u{1b}[2Jb\r\n\u{9b}"), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{9b}");
        assert_eq!(shown("a\u{202e}b \u{1f469}\u{200d}"), "a\\u{202e}b \u{1f469}\u{200d}");
    }
}
