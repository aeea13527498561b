//! Builds an index. Texts that the previous index has are not embedded again, and that index stays
//! whole until the new one is.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use cmm::normalized;

use crate::error::{Error, Result};
use crate::files::{PENDING, Writer, pending, persist};
use crate::index::Index;
use crate::manifest::{Kind, MANIFEST, Manifest, ModelId};
use crate::precision::Precision;

/// Texts between two reports of progress.
const STEP: usize = 2048;
/// The file that is locked while an index is written.
const LOCK: &str = "lock";

/// The texts of a file with their line numbers, which begin at 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name of the file in results.
    pub file: String,
    /// The texts.
    pub texts: Vec<(u32, String)>,
}

/// The description of an index that is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// The model that makes the vectors.
    pub model: ModelId,
    /// The text that is put before each text.
    pub prompt: String,
    /// The number of values of a vector.
    pub width: usize,
    /// The precision in which vectors are stored.
    pub precision: Precision,
}

/// The result of building an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Built {
    /// The number of places of texts.
    pub places: usize,
    /// The number of distinct texts.
    pub texts: usize,
    /// The number of texts that were embedded now.
    pub embedded: usize,
}

impl Build {
    /// Builds the index of these texts in `dir`. `embed` receives texts without the prompt, and
    /// returns a vector for each. `progress` receives the number of texts that are done, and the
    /// number of all.
    ///
    /// # Errors
    /// Returns [`Error::Foreign`] if the folder holds other things, [`Error::OtherModel`] if it
    /// holds the index of another model, [`Error::Busy`] or [`Error::Io`]; [`Error::Input`] if
    /// there are no texts, or too many; and the errors of `embed`.
    pub fn make(
        &self,
        dir: &Path,
        sources: &[Source],
        mut embed: impl FnMut(&[&str]) -> Result<Vec<Vec<f32>>>,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Built> {
        let (texts, places) = unique(sources)?;
        let _lock = claim(dir)?;
        let before = self.before(dir)?;
        let known: HashMap<&str, usize> = match &before {
            Some(index) => index.texts().enumerate().map(|(row, text)| (text, row)).collect(),
            None => HashMap::new(),
        };
        let mut vectors = Writer::create(dir)?;
        let mut embedded = 0;
        let mut done = 0;
        progress(done, texts.len());
        for step in texts.chunks(STEP) {
            let new: Vec<&str> =
                step.iter().copied().filter(|text| !known.contains_key(text)).collect();
            let made = if new.is_empty() { Vec::new() } else { embed(&new)? };
            self.check(&new, &made)?;
            embedded += new.len();
            let mut made = made.iter();
            let mut bytes = Vec::new();
            for text in step {
                match (known.get(text), &before) {
                    (Some(row), Some(index)) => index.vectors.pack(*row, &mut bytes),
                    _ => made.by_ref().take(1).for_each(|vector| {
                        self.precision.pack(&normalized(vector), &mut bytes);
                    }),
                }
            }
            vectors.write(&bytes)?;
            done += step.len();
            progress(done, texts.len());
        }
        let mut all = Writer::create(dir)?;
        let mut ends = Writer::create(dir)?;
        let mut end = 0_u64;
        for text in &texts {
            all.write(text.as_bytes())?;
            end += text.len() as u64;
            ends.write(&end.to_le_bytes())?;
        }
        let mut places_out = Writer::create(dir)?;
        for place in &places {
            places_out.write(&place.map(u32::to_le_bytes).concat())?;
        }
        let data = [
            all.finish(Kind::Texts)?,
            ends.finish(Kind::Ends)?,
            vectors.finish(Kind::Vectors)?,
            places_out.finish(Kind::Places)?,
        ];
        let files = sources.iter().map(|source| source.file.clone()).collect();
        let of = (self.model.clone(), self.prompt.clone());
        let manifest = Manifest::new(of, (self.width, self.precision), files, data);
        publish(dir, &manifest)?;
        sweep(dir, &manifest)?;
        Ok(Built { places: places.len(), texts: texts.len(), embedded })
    }

    /// Returns the index in the folder, if its vectors can be used again.
    fn before(&self, dir: &Path) -> Result<Option<Index>> {
        if !Manifest::path(dir).exists() {
            return Ok(None);
        }
        let manifest = Manifest::read(dir)?;
        if manifest.model.fingerprint != self.model.fingerprint {
            let [made_by, asked] = [manifest.model.name, self.model.name.clone()];
            return Err(Error::OtherModel { dir: dir.into(), made_by, asked });
        }
        let same = manifest.precision == self.precision
            && manifest.width == self.width
            && manifest.prompt == self.prompt;
        if !same {
            return Ok(None);
        }
        match Index::open(dir) {
            Ok(index) => Ok(Some(index)),
            // The old index is replaced by a whole one.
            Err(Error::Damaged { .. } | Error::Io { .. } | Error::Model(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn check(&self, texts: &[&str], vectors: &[Vec<f32>]) -> Result<()> {
        if vectors.len() != texts.len() {
            return Err(Error::input("vectors", texts.len(), vectors.len()));
        }
        match vectors.iter().find(|vector| vector.len() != self.width) {
            None => Ok(()),
            Some(vector) => {
                Err(Error::input("a vector", format!("{} values", self.width), vector.len()))
            }
        }
    }
}

/// Returns each text once, and the places of the texts: row, file and line, in the order of the
/// rows.
fn unique(sources: &[Source]) -> Result<(Vec<&str>, Vec<[u32; 3]>)> {
    let mut rows: HashMap<&str, u32> = HashMap::new();
    let mut texts = Vec::new();
    let mut places = Vec::new();
    for (file, source) in (0_u32..).zip(sources) {
        for (line, text) in &source.texts {
            let row = *rows.entry(text).or_insert_with(|| {
                texts.push(text.as_str());
                texts.len() as u32 - 1
            });
            places.push([row, file, *line]);
        }
    }
    if texts.is_empty() {
        return Err(Error::input("texts to index", "at least one", "none"));
    }
    if u32::try_from(places.len()).is_err() {
        return Err(Error::input("texts to index", "below 2^32", places.len()));
    }
    // The sort is stable: places of a text stay in the order of the files.
    places.sort_by_key(|[row, ..]| *row);
    Ok((texts, places))
}

/// Creates the folder, or checks that it holds an index or nothing, and keeps others from writing
/// it.
fn claim(dir: &Path) -> Result<File> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let mut names = std::fs::read_dir(dir).map_err(Error::io(dir))?;
    let ours = |name: &str| name == LOCK || name.starts_with(PENDING) || Kind::owns(name);
    let foreign =
        names.any(|entry| entry.is_ok_and(|entry| !entry.file_name().to_str().is_some_and(ours)));
    if foreign && !Manifest::path(dir).exists() {
        return Err(Error::Foreign { dir: dir.into() });
    }
    let path = dir.join(LOCK);
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(Error::io(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Busy { dir: dir.into() }),
        Err(std::fs::TryLockError::Error(source)) => Err(Error::Io { path, source }),
    }
}

/// Publishes the manifest. From here on the new index is the one that is opened.
fn publish(dir: &Path, manifest: &Manifest) -> Result<()> {
    let mut file = pending(dir)?;
    let path = dir.join(MANIFEST);
    let text = serde_json::to_vec_pretty(manifest)
        .map_err(|cause| Error::Io { path: path.clone(), source: cause.into() })?;
    file.write_all(&text).map_err(Error::io(&path))?;
    persist(file, &path)
}

/// Removes the files of the previous index, and files that were never finished.
fn sweep(dir: &Path, manifest: &Manifest) -> Result<()> {
    let kept = Kind::ALL.map(|kind| manifest.data(kind).file(kind));
    for entry in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let entry = entry.map_err(Error::io(dir))?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let ours = Kind::owns(&name) || name.starts_with(PENDING);
        if ours && !kept.contains(&name) {
            std::fs::remove_file(entry.path()).map_err(Error::io(entry.path()))?;
        }
    }
    Ok(())
}
