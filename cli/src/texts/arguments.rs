//! Texts that are arguments of a command, or lines of its input.

use std::path::{Path, PathBuf};

use clap::Args;

use super::file::{STDIN, TextFile, is_terminal};
use crate::help::INPUT;
use crate::output::Failure;

#[derive(Args)]
pub struct TextArguments {
    /// The texts [default: the lines of --in, or of stdin]
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
    /// Texts after `--`, which may begin with a hyphen or be names of files
    #[arg(value_name = "TEXT", last = true)]
    literal: Vec<String>,
    /// The file to read texts from, one on each line; `-` is stdin
    #[arg(long = "in", value_name = "FILE", aliases = ["file", "input"], help_heading = INPUT)]
    file: Option<PathBuf>,
    /// The field of JSON lines that holds the text
    ///
    /// Each line of the input is then a JSON object.
    #[arg(long, value_name = "NAME", help_heading = INPUT)]
    field: Option<String>,
}

impl TextArguments {
    /// The pairs of a text and the one in a second field of JSON lines.
    pub fn read_pairs(&self, second: &str) -> Result<Vec<(String, String)>, Failure> {
        if !self.given()?.is_empty() {
            let lines = "give JSON lines with --in FILE or on stdin";
            return Err(format!("--pair takes no texts as arguments: {lines}").into());
        }
        self.file().read_pairs(second)
    }

    /// The texts, at least one.
    pub fn read(&self) -> Result<Vec<String>, Failure> {
        if self.texts == [STDIN] && self.literal.is_empty() && self.file.is_none() {
            return self.file().read();
        }
        let given = self.given()?;
        if given.is_empty() {
            if self.file.is_none() && is_terminal() {
                let ways = "give texts as arguments, with --in FILE, or on stdin";
                return Err(format!("there is no text: {ways}").into());
            }
            return self.file().read();
        }
        if self.file.is_some() {
            return Err("there are texts as arguments and in --in: choose one".into());
        }
        if self.field.is_some() {
            let lines = "give those with --in FILE or on stdin, and no texts as arguments";
            return Err(format!("--field names a field of JSON lines: {lines}").into());
        }
        Ok(given)
    }

    fn file(&self) -> TextFile {
        TextFile::new(self.file.clone(), self.field.as_deref())
    }

    /// The texts that are arguments. One that is the name of a file is meant as a file: its lines should be read, not its name.
    fn given(&self) -> Result<Vec<String>, Failure> {
        if let Some(file) = self.texts.iter().find(|text| Path::new(text).is_file()) {
            return Err(format!(
                "{file} is a file: write --in {file} for its lines, or -- {file} for the text itself"
            )
            .into());
        }
        Ok([&self.texts[..], &self.literal].concat())
    }
}
