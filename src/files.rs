//! Small files of a model, read whole: regular files only, up to a limit, so that no pipe, device or endless file holds a reader up.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// How a file begins that git-lfs left in place of the real one.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The longest configuration, index or report, bytes.
pub const LONGEST_JSON: u64 = 64 << 20;
/// The longest tokenizer.json, bytes: four times what the largest vocabularies in use take.
pub const LONGEST_TOKENIZER: u64 = 128 << 20;
/// The longest file of texts, bytes.
pub const LONGEST_TEXT: u64 = 4 << 30;

/// Reads a regular file of at most `longest` bytes.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] for anything but a regular file, one that is longer, or a git-lfs pointer in its place.
pub fn read_file(path: impl AsRef<Path>, longest: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let (file, length) = open_file(path)?;
    if length > longest {
        let what = format!("length of {}", path.display());
        return Err(Error::input(what, format!("at most {longest} bytes"), length));
    }
    let mut bytes = Vec::new();
    // Files of /proc and others claim no length, or a wrong one.
    let read = file.take(longest + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { path: path.into(), source })?;
    if bytes.len() as u64 > longest {
        let what = format!("length of {}", path.display());
        return Err(Error::input(what, format!("at most {longest} bytes"), "more"));
    }
    refuse_lfs_pointer(&path.display().to_string(), &bytes)?;
    Ok(bytes)
}

/// Opens a regular file, with its length. What it is is asked before it is opened: to open a pipe waits for somebody who writes.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] for anything else.
pub fn open_file(path: &Path) -> Result<(File, u64)> {
    let io = |source| Error::Io { path: path.into(), source };
    let regular = |info: &std::fs::Metadata| {
        if info.is_file() {
            return Ok(());
        }
        let found = if info.is_dir() { "a folder" } else { "a pipe, device or socket" };
        Err(Error::input(path.display().to_string(), "a regular file", found))
    };
    regular(&std::fs::metadata(path).map_err(io)?)?;
    let file = File::open(path).map_err(io)?;
    let info = file.metadata().map_err(io)?;
    regular(&info)?;
    Ok((file, info.len()))
}

/// Refuses what git-lfs leaves where it fetched nothing.
pub(crate) fn refuse_lfs_pointer(name: &str, beginning: &[u8]) -> Result<()> {
    if !beginning.starts_with(LFS_POINTER) {
        return Ok(());
    }
    let found = "a git-lfs pointer to it; run `git lfs pull` in its folder";
    Err(Error::input(name, "the file itself", found))
}
