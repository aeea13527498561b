//! Reads a task's file: tab-separated without quotes, or .csv with quotes. Columns are found by the
//! header, or by their order in files without one.

use std::path::Path;

use csv::{Position, ReaderBuilder, StringRecord};

use crate::error::{Error, Result};
use crate::files::{LONGEST_TEXT, read_file};
use crate::glue::Task;
use crate::glue::task::Column;

/// One example of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The text, or the first text of a pair.
    pub first: String,
    /// The second text, if the task has pairs.
    pub second: Option<String>,
    /// The number of the class, or the value.
    pub target: f64,
}

/// The places of the columns in a file.
struct Places {
    first: usize,
    second: Option<usize>,
    target: usize,
    /// Whether the first line is a header.
    header: bool,
}

/// Reads a task's file.
///
/// # Errors
/// Returns [`Error::Io`] if it cannot be read. [`Error::Input`] names a malformed line, a header
/// that lacks a column, or a file without examples.
pub fn read(task: Task, path: impl AsRef<Path>) -> Result<Vec<Example>> {
    let path = path.as_ref();
    read_bytes(task, path, &read_file(path, LONGEST_TEXT)?)
}

/// Reads the bytes of a task's file; `path` is its name.
///
/// # Errors
/// Returns the errors of [`read`].
pub fn read_bytes(task: Task, path: &Path, bytes: &[u8]) -> Result<Vec<Example>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // The benchmark's own sts-dev.csv is separated by tabs.
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let comma = named && !first.contains(&b'\t');
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(if comma { b',' } else { b'\t' })
        .quoting(comma)
        .from_reader(bytes);
    let name = path.display();
    let mut places = None;
    let mut examples = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|cause| {
            let line = line(bytes, cause.position());
            Error::input(format!("line {line} of {name}"), "text in UTF-8", cause)
        })?;
        let what = || format!("line {} of {name}", line(bytes, record.position()));
        let places = match &places {
            Some(places) => places,
            None => {
                let found = places_of(task, &record, &what())?;
                let header = found.header;
                let places = places.insert(found);
                if header {
                    continue;
                }
                places
            }
        };
        examples.push(example(task, places, &record, &what)?);
    }
    if examples.is_empty() {
        return Err(Error::input(name.to_string(), "examples", "none"));
    }
    Ok(examples)
}

/// Returns the line of a record. The position of a record is where the previous one ends, before
/// empty lines are skipped.
fn line(bytes: &[u8], position: Option<&Position>) -> usize {
    let end = position.map_or(0, |position| position.byte() as usize).min(bytes.len());
    let newline = |byte: &&u8| matches!(**byte, b'\n' | b'\r');
    let start = end + bytes[end..].iter().take_while(newline).count();
    1 + bytes[..start].iter().filter(|byte| **byte == b'\n').count()
}

fn places_of(task: Task, record: &StringRecord, what: &str) -> Result<Places> {
    let (first, second, target) = task.columns();
    let place = |names: Column| {
        record.iter().position(|field| names.iter().any(|name| field.trim() == *name))
    };
    let header = match (place(first), second.map(place), place(target)) {
        (Some(first), None, Some(target)) => Some((first, None, target)),
        (Some(first), Some(Some(second)), Some(target)) => Some((first, Some(second), target)),
        _ => None,
    };
    if let Some((first, second, target)) = header {
        return Ok(Places { first, second, target, header: true });
    }
    let headerless = Places { first: 3, second: None, target: 1, header: false };
    let number = |place: usize| record.get(place).is_some_and(|f| f.trim().parse::<f64>().is_ok());
    match task {
        Task::Cola if record.len() == 4 && number(1) => Ok(headerless),
        Task::Stsb if record.len() == 3 && number(2) => {
            Ok(Places { first: 0, second: Some(1), target: 2, header: false })
        }
        // The columns are genre, file, year, number, score, two sentences, and sources in some
        // files.
        Task::Stsb if record.len() >= 7 && number(4) => {
            Ok(Places { first: 5, second: Some(6), target: 4, header: false })
        }
        _ => {
            let names = [Some(first), second, Some(target)];
            let names: Vec<_> =
                names.into_iter().flatten().map(|names| names.join(" or ")).collect();
            let expected = format!("a header with {}", names.join(", "));
            let found: Vec<_> = record.iter().collect();
            Err(Error::input(what, expected, format!("{found:?}")))
        }
    }
}

fn example(
    task: Task,
    places: &Places,
    record: &StringRecord,
    what: &impl Fn() -> String,
) -> Result<Example> {
    let field = |place: usize| {
        record.get(place).ok_or_else(|| {
            let expected = format!("at least {} columns", place + 1);
            Error::input(what(), expected, record.len())
        })
    };
    let target = field(places.target)?.trim();
    let classes = task.classes();
    let number = match classes {
        [] => target.parse::<f64>().ok().filter(|value| value.is_finite()),
        classes => {
            let class = classes.iter().position(|class| *class == target);
            // Some releases write class numbers where others write names.
            let class =
                class.or_else(|| target.parse().ok().filter(|class| *class < classes.len()));
            class.map(|class| class as f64)
        }
    };
    let number = number.ok_or_else(|| {
        let expected = match classes {
            [] => "a number as its score".into(),
            classes => format!("{} as its label", classes.join(" or ")),
        };
        Error::input(what(), expected, format!("{target:?}"))
    })?;
    Ok(Example {
        first: field(places.first)?.to_owned(),
        second: places.second.map(|second| field(second).map(str::to_owned)).transpose()?,
        target: number,
    })
}
