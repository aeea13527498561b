//! Fetches a model that comes with cmm, file by file. A file gets its name only if it is the one whose checksum this program has.

use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::shipped::{ShippedFile, files, hex};
use super::transfer::{agent, copy};
use crate::output::Failure;
use crate::pending::Pending;

/// Fetches what `folder` lacks of a model from `URL/MODEL/FILE`.
pub fn fetch(url: &str, model: &str, folder: &Path) -> Result<(), Failure> {
    if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        let expected = "an address that begins with http:// or https://";
        return Err(format!("CMM_MODEL_URL: expected {expected}, found {url}").into());
    }
    eprintln!("fetching {model} from {url}");
    for file in files(model).filter(|file| !file.is_in(folder)) {
        let address = format!("{url}/{model}/{}", file.path);
        let named = |cause: Failure| format!("{address}: {cause}; is CMM_MODEL_URL right?");
        fetch_file(&address, &file, folder).map_err(named)?;
    }
    Ok(())
}

fn fetch_file(address: &str, file: &ShippedFile, folder: &Path) -> Result<(), Failure> {
    let explained = |cause: ureq::Error| match cause {
        ureq::Error::StatusCode(404) => "the server has no such file".to_owned(),
        cause => format!("the server does not answer ({cause})"),
    };
    let mut answer = agent().get(address).call().map_err(explained)?;
    let place = folder.join(file.path);
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent)
            .map_err(|cause| format!("{}: {cause}", parent.display()))?;
    }
    let mut pending = Pending::create(&place)?;
    let mut target = Hashed { inner: &mut pending.temporary, hash: Sha256::new() };
    copy(answer.body_mut(), Some(file.bytes), file.path, &mut target)?;
    let found = hex(&target.hash.finalize());
    if found != file.sha256 {
        let expected = file.sha256;
        return Err(format!("expected a file of SHA-256 {expected}, found {found}").into());
    }
    pending.finish()?;
    Ok(())
}

/// Hashes what passes.
struct Hashed<'w, W> {
    inner: &'w mut W,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
