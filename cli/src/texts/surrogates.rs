//! JSON lines with halves of surrogate pairs.

use std::borrow::Cow;

/// Puts U+FFFD in place of each half of a surrogate pair that stands alone, which a text leaves that was cut in the middle of an emoji: one such
/// line should not lose a job of many.
pub fn without_lone_surrogates(json: &str) -> Cow<'_, str> {
    const ESCAPE: usize = 6;
    let unit = |at: usize| -> Option<u16> {
        let digits = json.get(at..at + ESCAPE)?.strip_prefix("\\u")?;
        digits
            .bytes()
            .all(|b| b.is_ascii_hexdigit())
            .then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let mut lone = Vec::new();
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        at += found;
        match (unit(at), unit(at + ESCAPE)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 2 * ESCAPE,
            (Some(0xd800..=0xdfff), _) => {
                lone.push(at);
                at += ESCAPE;
            }
            (Some(_), _) => at += ESCAPE,
            // The backslash and the character that it escapes are passed over.
            (None, _) => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if lone.is_empty() {
        return Cow::Borrowed(json);
    }
    let mut replaced = json.to_owned();
    for at in lone {
        replaced.replace_range(at..at + ESCAPE, "\\ufffd");
    }
    Cow::Owned(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_halves_that_stand_alone_are_replaced() {
        for (json, expected) in [
            (r"dog \ud83d", r"dog \ufffd"),
            (r"\ude00 \uD83D\uDE00 \ud83d\ud83d\ude00", r"\ufffd \uD83D\uDE00 \ufffd\ud83d\ude00"),
            (r"\\ud83d \n\u00e9 \u12", r"\\ud83d \n\u00e9 \u12"),
            ("é\\é \\ud83dé", "é\\é \\ufffdé"),
        ] {
            assert_eq!(without_lone_surrogates(json), expected);
        }
    }
}
