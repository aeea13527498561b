//! Checks names that come from a file or a hub: none may lead out of the folder that it is looked
//! up in.

/// Returns whether a name is a plain one: a file or folder right in the current one. It has no
/// separator of any system, no drive, no NUL or other control character, does not begin with a dot,
/// and is neither `.` nor `..`.
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && !name.contains(['/', '\\', ':'])
        && !name.contains(char::is_control)
}

/// Returns whether a path leads below the folder that it is looked up in, by plain names such as
/// `1_Pooling/config.json`. One `/` at the end is allowed.
pub fn is_plain_path(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path).split('/').all(is_plain_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that lead elsewhere. Every place that takes a name is tested with them.
    pub(crate) const HOSTILE: [&str; 12] = [
        "",
        ".",
        "..",
        "../x",
        "/etc/passwd",
        "a/../../x",
        "..\\x",
        "C:\\x",
        "C:x",
        "a\0b",
        ".hidden",
        "a\nb",
    ];

    #[test]
    fn nothing_that_leads_elsewhere_is_plain() {
        for name in HOSTILE {
            assert!(!is_plain_name(name), "{name:?}");
            assert!(!is_plain_path(name), "{name:?}");
        }
        assert!(!is_plain_name(&"a".repeat(256)));
        assert!(is_plain_name("model-00001-of-00002.safetensors"));
        assert!(!is_plain_name("1_Pooling/config.json") && is_plain_path("1_Pooling/config.json"));
        assert!(is_plain_path("1_Pooling/") && !is_plain_path("1_Pooling//"));
    }
}
