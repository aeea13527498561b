//! Data files. They are first written under another name, and are read whole and checked.

use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Result};
use crate::manifest::{Data, Kind};

/// The beginning of the names of unfinished files.
pub(crate) const PENDING: &str = ".cmm-";
/// Bytes that are read and hashed at once, a multiple of every number's size.
const STEP: usize = 4 << 20;

/// A file that is being written.
pub(crate) struct Writer {
    file: BufWriter<NamedTempFile>,
    hash: blake3::Hasher,
    bytes: u64,
    dir: PathBuf,
}

impl Writer {
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let file = BufWriter::new(pending(dir)?);
        Ok(Self { file, hash: blake3::Hasher::new(), bytes: 0, dir: dir.into() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(Error::io(&self.dir))
    }

    /// Renames the file to the name that its hash gives it.
    pub(crate) fn finish(self, kind: Kind) -> Result<Data> {
        let data = Data { bytes: self.bytes, blake3: self.hash.finalize().to_hex().to_string() };
        let file = self.file.into_inner().map_err(|cause| cause.into_error());
        persist(file.map_err(Error::io(&self.dir))?, &self.dir.join(data.file(kind)))?;
        Ok(data)
    }
}

/// Creates a file without its final name, with the permissions that the umask leaves.
pub(crate) fn pending(dir: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PENDING);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir).map_err(Error::io(dir))
}

/// Renames a file once it is on the disk.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(Error::io(path))?;
    file.persist(path)
        .map(drop)
        .map_err(|cause| Error::Io { path: path.into(), source: cause.error })
}

/// Reads a data file in steps. At the end it checks whether this is the file that was written.
pub(crate) fn read(dir: &Path, kind: Kind, data: &Data, mut take: impl FnMut(&[u8])) -> Result<()> {
    let path = dir.join(data.file(kind));
    let (mut file, length) = cmm::open_file(&path)?;
    if length != data.bytes {
        let [expected, found] = [data.bytes, length].map(|bytes| format!("{bytes} bytes"));
        return Err(Error::damaged(path, expected, found));
    }
    let mut hash = blake3::Hasher::new();
    let mut left = length;
    let mut buffer = vec![0; STEP.min(usize::try_from(length).unwrap_or(STEP))];
    while left > 0 {
        let count = STEP.min(usize::try_from(left).unwrap_or(STEP));
        let step = &mut buffer[..count];
        file.read_exact(step).map_err(Error::io(&path))?;
        hash.update_rayon(step);
        take(step);
        left -= count as u64;
    }
    let found = hash.finalize().to_hex().to_string();
    if found != data.blake3 {
        return Err(Error::damaged(path, format!("BLAKE3 {}", data.blake3), found));
    }
    Ok(())
}
