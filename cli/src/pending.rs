//! Files that are written under another name first. A file gets its own name when it is whole; if that never happens, nothing of it stays behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::{NamedTempFile, TempPath};

use crate::output::Failure;

/// The temporary files that exist now.
static TEMPORARY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// The most links that are followed to the place of a file.
const MOST_LINKS: usize = 40;

/// A file that does not have its own name yet.
pub struct Pending {
    pub temporary: NamedTempFile,
    target: PathBuf,
}

impl Pending {
    /// Starts a file. If its name is a link, the link stays, and the file that it leads to is written.
    pub fn create(target: &Path) -> Result<Self, Failure> {
        let failed = |cause: std::io::Error| format!("{}: {cause}", target.display());
        let mut place = target.to_owned();
        let mut links = 0;
        while let Ok(next) = std::fs::read_link(&place) {
            links += 1;
            if links > MOST_LINKS {
                return Err(format!("{}: its links go round in a circle", target.display()).into());
            }
            place = place.parent().unwrap_or(Path::new("")).join(next);
        }
        let there = std::fs::metadata(&place).ok();
        if let Some(info) = &there
            && !info.is_file()
        {
            let found = if info.is_dir() { "a folder" } else { "a device, pipe or socket" };
            return Err(format!("{}: expected a file, found {found}", target.display()).into());
        }
        let folder = match place.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".cmm-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // The umask decides the mode, as for any new file.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        // Under the lock, so that a signal finds either no file or its name.
        let mut temporaries = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
        let temporary = builder.tempfile_in(folder).map_err(failed)?;
        temporaries.insert(temporary.path().to_owned());
        drop(temporaries);
        if let Some(info) = there {
            // A file that is replaced keeps its mode.
            temporary.as_file().set_permissions(info.permissions()).map_err(failed)?;
        }
        Ok(Self { temporary, target: place })
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<PathBuf, Failure> {
        let shown = self.target.display().to_string();
        // A full disk may say so only now.
        self.temporary.as_file().sync_all().map_err(|cause| format!("{shown}: {cause}"))?;
        let mut there = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
        let Self { temporary, target } = self;
        let name: TempPath = temporary.into_temp_path();
        there.remove(&*name);
        name.persist(&target).map_err(|cause| format!("{shown}: {}", cause.error))?;
        Ok(target)
    }
}

/// Lets the process remove files that are not whole, and end, when a signal tells it to (Ctrl-C, SIGTERM, SIGHUP).
pub fn remove_on_signals() {
    let handler = || {
        let there = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
        for path in there.iter() {
            let _ = std::fs::remove_file(path);
        }
        // Shells add the number of SIGINT to 128.
        std::process::exit(130);
    };
    if let Err(cause) = ctrlc::set_handler(handler) {
        log::warn!("signals are not handled: {cause}");
    }
}
