//! Texts of one file or of stdin, a text on each line.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::surrogates::without_lone_surrogates;
use crate::output::Failure;

/// The longest file of texts, or stdin, in bytes.
const LONGEST: u64 = 1 << 30;
/// The name of stdin on a command line.
pub const STDIN: &str = "-";

/// A file with a text on each line, or with a JSON object on each line and the text in a field of it.
pub struct TextFile {
    /// Stdin where there is none.
    file: Option<PathBuf>,
    field: Option<String>,
}

/// Items with the numbers of their lines.
type Numbered<T> = Vec<(u32, T)>;

/// Whether stdin is a terminal, where nobody has piped anything in.
pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

impl TextFile {
    /// A file of texts, or of JSON lines with a text in this field. No file, or `-`, is stdin.
    pub fn new(file: Option<PathBuf>, field: Option<&str>) -> Self {
        let file = file.filter(|file| file.as_os_str() != STDIN);
        Self { file, field: field.map(str::to_owned) }
    }

    /// The texts that are not blank, with the numbers of their lines, from 1.
    pub fn numbered(&self) -> Result<Numbered<String>, Failure> {
        let lines: Vec<_> = match &self.field {
            Some(field) => {
                let fields = self.fields(&[field])?.1.into_iter();
                fields.map(|(line, mut of)| (line, of.remove(0))).collect()
            }
            None => {
                let (_, text) = self.text()?;
                (1..).zip(text.lines()).map(|(line, text)| (line, text.to_owned())).collect()
            }
        };
        Ok(lines.into_iter().filter(|(_, text)| !text.trim().is_empty()).collect())
    }

    /// The texts of all lines, at least one. Empty lines are texts too, so that results keep their places; between JSON objects they are passed over.
    pub fn read(&self) -> Result<Vec<String>, Failure> {
        let (name, texts): (_, Vec<_>) = match &self.field {
            Some(field) => {
                let (name, fields) = self.fields(&[field])?;
                (name, fields.into_iter().map(|(_, mut of)| of.remove(0)).collect())
            }
            None => {
                let (name, text) = self.text()?;
                (name, text.lines().map(str::to_owned).collect())
            }
        };
        at_least_one(&name, texts)
    }

    /// The texts in `--field` and in this field of each line.
    pub fn read_pairs(&self, second: &str) -> Result<Vec<(String, String)>, Failure> {
        let Some(first) = &self.field else {
            return Err(
                "--pair names a second field of JSON lines: name the first with --field".into()
            );
        };
        let (name, fields) = self.fields(&[first, second])?;
        let pair = |of: &mut Vec<String>| (std::mem::take(&mut of[0]), std::mem::take(&mut of[1]));
        at_least_one(&name, fields.into_iter().map(|(_, mut of)| pair(&mut of)).collect())
    }

    /// The file's name, and the texts in these fields of each line that is not blank, with its number.
    fn fields(&self, fields: &[&str]) -> Result<(String, Numbered<Vec<String>>), Failure> {
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
        let texts = texts.collect::<Result<_, _>>()?;
        Ok((name, texts))
    }

    /// The file's name and its text, without a byte order mark.
    fn text(&self) -> Result<(String, String), Failure> {
        let (name, bytes) = match &self.file {
            Some(file) => {
                let name = file.display().to_string();
                (name.clone(), read_texts(file).map_err(|cause| format!("{name}: {cause}"))?)
            }
            None => {
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
        Ok((name, text))
    }
}

fn at_least_one<T>(name: &str, texts: Vec<T>) -> Result<Vec<T>, Failure> {
    if texts.is_empty() {
        return Err(format!("{name}: no text in it").into());
    }
    Ok(texts)
}

/// Reads a file or a pipe. A device is refused, because it has no end.
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
