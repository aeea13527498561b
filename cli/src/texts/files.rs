//! The texts of several files and folders, with the lines where they stand.

use std::path::{Path, PathBuf};

use cmm_index::{Source, is_index};

use super::file::TextFile;
use crate::output::Failure;

/// Extensions of files that hold JSON lines.
const JSON_LINES: [&str; 2] = ["jsonl", "ndjson"];

/// The texts of these files, and of the files below these folders. In a folder, hidden files, indexes and files that are no UTF-8 text are passed
/// over; with `field`, its JSON lines alone are read. `out`, the folder that results go to, is passed over too.
pub fn sources(
    paths: &[PathBuf],
    field: Option<&str>,
    out: Option<&Path>,
) -> Result<Vec<Source>, Failure> {
    let walk =
        Walk { json_lines: field.is_some(), out: out.and_then(|out| out.canonicalize().ok()) };
    let mut sources = Vec::new();
    for path in paths {
        if !path.is_dir() {
            sources.push(source(path, field)?);
            continue;
        }
        if is_index(path) {
            let (path, search) = (path.display(), "cmm search QUERY --index");
            return Err(format!("{path} is an index; write {search} {path} to search it").into());
        }
        let mut files = Vec::new();
        walk.add(path, &mut files)?;
        files.sort();
        for file in files {
            match source(&file, field) {
                Ok(source) => sources.push(source),
                Err(cause) => eprintln!("passed over: {cause}"),
            }
        }
    }
    Ok(sources)
}

fn source(path: &Path, field: Option<&str>) -> Result<Source, Failure> {
    let texts = TextFile::new(Some(path.to_owned()), field).numbered()?;
    Ok(Source { file: path.display().to_string(), texts })
}

/// Which files of a folder are taken.
struct Walk {
    json_lines: bool,
    out: Option<PathBuf>,
}

impl Walk {
    /// Adds the files below a folder, in no order. Links to folders are not followed.
    fn add(&self, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
        let named = |cause: std::io::Error| format!("{}: {cause}", folder.display());
        for entry in std::fs::read_dir(folder).map_err(named)? {
            let entry = entry.map_err(named)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(named)?);
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if kind.is_dir() {
                if !self.is_out(&path) && !is_index(&path) {
                    self.add(&path, files)?;
                }
            } else if path.is_file() && self.takes(&path) {
                files.push(path);
            }
        }
        Ok(())
    }

    fn is_out(&self, folder: &Path) -> bool {
        self.out
            .as_ref()
            .is_some_and(|out| folder.canonicalize().is_ok_and(|folder| folder == *out))
    }

    fn takes(&self, file: &Path) -> bool {
        let extension = file.extension().and_then(|extension| extension.to_str());
        !self.json_lines || extension.is_some_and(|extension| JSON_LINES.contains(&extension))
    }
}
