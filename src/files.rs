//! Reads small files of a model as a whole. Only regular files up to a limit are read, so that no
//! pipe, device or endless file holds the reader up.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// The beginning of the pointer that git-lfs leaves in place of a file.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The length of the longest configuration, index or report, in bytes.
pub const LONGEST_JSON: u64 = 64 << 20;
/// The length of the longest tokenizer.json, in bytes: four times that of the largest vocabularies
/// in use.
pub const LONGEST_TOKENIZER: u64 = 128 << 20;
/// The length of the longest file of texts, in bytes.
pub const LONGEST_TEXT: u64 = 4 << 30;

/// Reads a regular file of at most `longest` bytes.
///
/// # Errors
/// Returns [`Error::Io`] if reading fails, and [`Error::Input`] if the path is not a regular file,
/// if the file is longer, or if it is a git-lfs pointer.
pub fn read_file(path: impl AsRef<Path>, longest: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    let (file, length) = open_file(path)?;
    if length > longest {
        let what = format!("length of {}", path.display());
        return Err(Error::input(what, format!("at most {longest} bytes"), length));
    }
    let mut bytes = Vec::new();
    // Files in /proc, for example, claim no length or a wrong one.
    let read = file.take(longest + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { path: path.into(), source })?;
    if bytes.len() as u64 > longest {
        let what = format!("length of {}", path.display());
        return Err(Error::input(what, format!("at most {longest} bytes"), "more"));
    }
    refuse_lfs_pointer(&path.display().to_string(), &bytes)?;
    Ok(bytes)
}

/// Opens a regular file and returns it with its length. The kind of file is checked before it is
/// opened, because opening a pipe waits for a writer.
///
/// # Errors
/// Returns [`Error::Io`] if that fails, and [`Error::Input`] if the path is not a regular file.
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

/// Refuses the pointer that git-lfs leaves in place of a file that it did not fetch.
pub(crate) fn refuse_lfs_pointer(name: &str, beginning: &[u8]) -> Result<()> {
    if !beginning.starts_with(LFS_POINTER) {
        return Ok(());
    }
    let found = "a git-lfs pointer to it; run `git lfs pull` in its folder";
    Err(Error::input(name, "the file itself", found))
}
