//! Texts from the command line, a file or stdin.

use std::borrow::Cow;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::output::Failure;

/// The longest file of texts, or stdin, bytes.
const LONGEST: u64 = 1 << 30;

#[derive(Args)]
pub struct TextArguments {
    /// Texts [default: one per line of --in, or of stdin]
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
    #[command(flatten)]
    file: TextFile,
}

#[derive(Args)]
pub struct TextFile {
    /// A file with one text per line; `-` is stdin
    #[arg(long = "in", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Lines are JSON objects; the text is in this field
    #[arg(long, value_name = "NAME")]
    field: Option<String>,
}

impl TextArguments {
    /// The pairs of a text and the one in a second field of JSON lines.
    pub fn read_pairs(&self, second: &str) -> Result<Vec<(String, String)>, Failure> {
        if !self.texts.is_empty() {
            return Err(
                "--pair reads JSON lines, with --in FILE or on stdin, and no arguments".into()
            );
        }
        self.file.read_pairs(second)
    }

    /// The texts, at least one.
    pub fn read(&self) -> Result<Vec<String>, Failure> {
        if !self.texts.is_empty() && self.file.file.is_none() {
            return Ok(self.texts.clone());
        }
        if !self.texts.is_empty() {
            return Err("texts are given twice: as arguments and with --in; choose one".into());
        }
        if self.file.file.is_none() && std::io::stdin().is_terminal() {
            return Err("no text: give some as arguments, with --in FILE, or on stdin".into());
        }
        self.file.read()
    }
}

impl TextFile {
    /// A file of texts, or of JSON lines with a text in this field.
    pub fn of(file: PathBuf, field: Option<&str>) -> Self {
        Self { file: Some(file), field: field.map(str::to_owned) }
    }

    /// The texts that are not blank, with their lines, from 1.
    pub fn numbered(&self) -> Result<Vec<(u32, String)>, Failure> {
        let lines: Vec<_> = match &self.field {
            Some(field) => {
                let fields = self.fields(&[field])?.into_iter();
                fields.map(|(line, mut of)| (line, of.remove(0))).collect()
            }
            None => {
                let (_, text) = self.text()?;
                (1..).zip(text.lines()).map(|(line, text)| (line, text.to_owned())).collect()
            }
        };
        Ok(lines.into_iter().filter(|(_, text)| !text.trim().is_empty()).collect())
    }

    /// Every line's text. Empty lines are texts too, so that results keep their places; between JSON objects they are passed over.
    pub fn read(&self) -> Result<Vec<String>, Failure> {
        match &self.field {
            Some(field) => {
                self.fields(&[field])?.into_iter().map(|(_, mut of)| Ok(of.remove(0))).collect()
            }
            None => {
                let (_, text) = self.text()?;
                Ok(text.lines().map(str::to_owned).collect())
            }
        }
    }

    /// The texts in `--field` and in this field of each line.
    pub fn read_pairs(&self, second: &str) -> Result<Vec<(String, String)>, Failure> {
        let Some(first) = &self.field else {
            return Err(
                "--pair names a second field of JSON lines: name the first with --field".into()
            );
        };
        let fields = self.fields(&[first, second])?.into_iter();
        let pair = |of: &mut Vec<String>| (std::mem::take(&mut of[0]), std::mem::take(&mut of[1]));
        Ok(fields.map(|(_, mut of)| pair(&mut of)).collect())
    }

    /// The texts in these fields of each line that is not blank, with its number.
    fn fields(&self, fields: &[&str]) -> Result<Vec<(u32, Vec<String>)>, Failure> {
        let (name, text) = self.text()?;
        let objects = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let texts = objects.map(|(number, line)| -> Result<_, Failure> {
            let place = format!("{name}: line {number}");
            let json: serde_json::Value = serde_json::from_str(&without_lone_surrogates(line))
                .map_err(|cause| format!("{place}: {cause}"))?;
            let text = |field: &&str| -> Result<String, Failure> {
                let text = json.get(*field).and_then(|text| text.as_str());
                Ok(text.ok_or_else(|| format!("{place}: no text in field `{field}`"))?.to_owned())
            };
            Ok((number, fields.iter().map(text).collect::<Result<_, _>>()?))
        });
        let texts: Vec<_> = texts.collect::<Result<_, _>>()?;
        if texts.is_empty() {
            return Err(format!("{name}: no text in it").into());
        }
        Ok(texts)
    }

    /// The file's name and its text, without a byte order mark.
    fn text(&self) -> Result<(String, String), Failure> {
        let stdin = self.file.as_ref().is_none_or(|file| file.as_os_str() == "-");
        let (name, bytes) = match &self.file {
            Some(file) if !stdin => {
                let name = file.display().to_string();
                (name.clone(), read_texts(file).map_err(|cause| format!("{name}: {cause}"))?)
            }
            _ => {
                let mut bytes = Vec::new();
                std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes)?;
                ("stdin".into(), bytes)
            }
        };
        if bytes.len() as u64 > LONGEST {
            return Err(format!("{name}: more than {LONGEST} bytes of text; split it").into());
        }
        let text = String::from_utf8(bytes).map_err(|cause| {
            let line = 1 + cause.as_bytes()[..cause.utf8_error().valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            format!("{name}: line {line} is not UTF-8 text; is it a binary file?")
        })?;
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        if text.lines().next().is_none() {
            return Err(format!("{name}: no text in it").into());
        }
        Ok((name, text))
    }
}

/// A file or a pipe; a device has no end.
fn read_texts(path: &Path) -> std::io::Result<Vec<u8>> {
    let kind = std::fs::metadata(path)?.file_type();
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_char_device() || kind.is_block_device() {
            return Err(std::io::Error::other("expected a file of texts, found a device"));
        }
    }
    if kind.is_dir() {
        return Err(std::io::Error::other("expected a file of texts, found a folder"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// JSON with U+FFFD in place of each half of a surrogate pair that stands alone, as a text cut in the middle of an emoji leaves it: one such
/// line should not lose a job of many.
fn without_lone_surrogates(json: &str) -> Cow<'_, str> {
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
            // A backslash and what it escapes; that is a whole character.
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
