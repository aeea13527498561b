//! Texts from the command line, a file or stdin.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;

use crate::cli::Failure;

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
    /// Every line, empty ones included, so that results keep their places.
    pub fn read(&self) -> Result<Vec<String>, Failure> {
        let stdin = self.file.as_ref().is_none_or(|file| file.as_os_str() == "-");
        let (name, bytes) = match &self.file {
            Some(file) if !stdin => {
                let name = file.display().to_string();
                let bytes = std::fs::read(file).map_err(|cause| format!("{name}: {cause}"))?;
                (name, bytes)
            }
            _ => {
                let mut bytes = Vec::new();
                std::io::stdin().read_to_end(&mut bytes)?;
                ("stdin".into(), bytes)
            }
        };
        let text = String::from_utf8(bytes).map_err(|cause| {
            let line = 1 + cause.as_bytes()[..cause.utf8_error().valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            format!("{name}: line {line} is not UTF-8 text; is it a binary file?")
        })?;
        let lines: Vec<_> = text.lines().collect();
        if lines.is_empty() {
            return Err(format!("{name}: no text in it").into());
        }
        let Some(field) = &self.field else {
            return Ok(lines.into_iter().map(str::to_owned).collect());
        };
        let value = |(index, line): (usize, &str)| -> Result<String, Failure> {
            let place = format!("{name}: line {}", index + 1);
            let json: serde_json::Value =
                serde_json::from_str(line).map_err(|cause| format!("{place}: {cause}"))?;
            let text = json.get(field).and_then(|text| text.as_str());
            Ok(text.ok_or_else(|| format!("{place}: no text in field `{field}`"))?.to_owned())
        };
        lines.into_iter().enumerate().map(value).collect()
    }
}
