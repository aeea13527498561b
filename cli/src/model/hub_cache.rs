//! The hub's cache, as huggingface_hub lays it out: `models--OWNER--NAME/{refs/main, snapshots/COMMIT/FILE, blobs/ETAG}`. Commits, ETags and
//! names of files come from a server or a model, so that none of them becomes a path before it was found to be plain.

use std::io::Write;
use std::path::{Path, PathBuf};

use cmm::model::{is_plain_name, is_plain_path};

use crate::output::Failure;

/// The part of the cache that one model has.
pub struct ModelCache {
    folder: PathBuf,
}

impl ModelCache {
    /// The part of a model `owner/name`, whose two parts are plain names.
    pub fn new(cache: &Path, model: &str) -> Self {
        Self { folder: cache.join(format!("models--{}", model.replace('/', "--"))) }
    }

    /// Finds a file of the snapshot that `main` means.
    pub fn get(&self, file: &str) -> Option<PathBuf> {
        let reference = cmm::read_file(self.folder.join("refs/main"), cmm::LONGEST_JSON).ok()?;
        let path = self.snapshot(std::str::from_utf8(&reference).ok()?.trim(), file).ok()?;
        path.is_file().then_some(path)
    }

    /// Whether the snapshot is known to lack a file, as huggingface_hub remembers it.
    pub fn lacks(&self, snapshot: &Path, file: &str) -> bool {
        self.marker(snapshot, file).is_some_and(|marker| marker.is_file())
    }

    /// Remembers that the snapshot lacks a file, so that the hub is not asked for it again.
    pub fn mark_missing(&self, snapshot: &Path, file: &str) {
        if let Some(marker) = self.marker(snapshot, file)
            && let Some(folder) = marker.parent()
        {
            let _ = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&marker, ""));
        }
    }

    fn marker(&self, snapshot: &Path, file: &str) -> Option<PathBuf> {
        Some(self.folder.join(".no_exist").join(snapshot.file_name()?).join(file))
    }

    /// Finds the blob of an ETag.
    pub fn blob(&self, etag: &str) -> Result<Option<PathBuf>, Failure> {
        let path = self.blob_path(etag)?;
        Ok(path.is_file().then_some(path))
    }

    fn blob_path(&self, etag: &str) -> Result<PathBuf, Failure> {
        if !is_plain_name(etag) {
            return Err(format!("the server's ETag is no plain name: {etag:?}").into());
        }
        Ok(self.folder.join("blobs").join(etag))
    }

    fn snapshot(&self, commit: &str, file: &str) -> Result<PathBuf, Failure> {
        if !is_plain_name(commit) {
            return Err(format!("the server's commit is no plain name: {commit:?}").into());
        }
        if !is_plain_path(file) {
            return Err(format!("expected a file below the model, found {file:?}").into());
        }
        Ok(self.folder.join("snapshots").join(commit).join(file))
    }

    /// Writes a blob, which gets its name when `write` has written all of it.
    pub fn write_blob(
        &self,
        etag: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
    ) -> Result<PathBuf, Failure> {
        let target = self.blob_path(etag)?;
        let folder = self.folder.join("blobs");
        std::fs::create_dir_all(&folder)?;
        let mut file = crate::pending::Pending::create(&target)?;
        write(&mut file.temporary)?;
        file.finish()
    }

    /// Gives a blob its place in a snapshot, and lets `main` mean that snapshot.
    pub fn link(&self, commit: &str, file: &str, blob: &Path) -> Result<PathBuf, Failure> {
        let place = self.snapshot(commit, file)?;
        let folder = place.parent().ok_or("no folder in the cache")?;
        std::fs::create_dir_all(folder)?;
        let _ = std::fs::remove_file(&place);
        #[cfg(unix)]
        {
            // Relative, so that the cache may be moved: one step up for each folder of the file's path, and two for snapshots/COMMIT.
            let up = "../".repeat(2 + file.matches('/').count());
            let name = blob.file_name().ok_or("a blob without a name")?;
            std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), &place)?;
        }
        #[cfg(not(unix))]
        std::fs::copy(blob, &place)?;
        let reference = self.folder.join("refs/main");
        std::fs::create_dir_all(self.folder.join("refs"))?;
        std::fs::write(reference, commit)?;
        Ok(place)
    }

    /// Takes a file out again, with the blob that it links to.
    pub fn remove(&self, place: &Path, etag: &str) {
        let _ = std::fs::remove_file(place);
        if let Ok(blob) = self.blob_path(etag) {
            let _ = std::fs::remove_file(blob);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_become_no_path() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ModelCache::new(dir.path(), "some/model");
        let absolute = dir.path().join("elsewhere").display().to_string();
        for name in ["", ".", "..", "../x", "a/../../x", "a\\b", "C:x", "a\0b", ".x", &absolute] {
            assert!(cache.blob(name).is_err(), "{name:?}");
            assert!(cache.write_blob(name, |_| Ok(())).is_err(), "{name:?}");
            assert!(cache.link(name, "config.json", dir.path()).is_err(), "{name:?}");
            assert!(cache.link("abc", name, dir.path()).is_err(), "{name:?}");
            // A reference that somebody else wrote.
            std::fs::create_dir_all(dir.path().join("models--some--model/refs")).unwrap();
            std::fs::write(dir.path().join("models--some--model/refs/main"), name).unwrap();
            assert!(cache.get("config.json").is_none(), "{name:?}");
        }
        assert!(!dir.path().join("elsewhere").exists());
    }

    #[test]
    fn a_blob_is_found_through_its_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ModelCache::new(dir.path(), "some/model");
        let blob = cache.write_blob("e1", |file| Ok(file.write_all(b"text")?)).unwrap();
        let place = cache.link("abc", "1_Pooling/config.json", &blob).unwrap();
        assert_eq!(cache.get("1_Pooling/config.json"), Some(place.clone()));
        assert_eq!(std::fs::read(&place).unwrap(), b"text");
        cache.mark_missing(&dir.path().join("models--some--model/snapshots/abc"), "modules.json");
        assert!(dir.path().join("models--some--model/.no_exist/abc/modules.json").exists());
        cache.remove(&place, "e1");
        assert!(cache.get("1_Pooling/config.json").is_none() && !blob.exists());
    }
}
