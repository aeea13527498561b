//! An index in memory.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files::read;
use crate::manifest::{Kind, Manifest, ModelId};
use crate::precision::Precision;
use crate::vectors::{Collector, Vectors};

/// The vectors of texts, the texts, and their places.
pub struct Index {
    manifest: Manifest,
    texts: String,
    /// The end of each text.
    ends: Vec<usize>,
    pub(crate) vectors: Vectors,
    /// Row, file and line of each place, in the order of the rows.
    places: Vec<[u32; 3]>,
}

/// A text that a search found.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Hit<'i> {
    /// The cosine of its vector and the query's.
    pub similarity: f64,
    /// The file that contains the text.
    pub file: &'i str,
    /// The line in that file, from 1.
    pub line: u32,
    /// The text.
    pub text: &'i str,
}

impl Index {
    /// Opens an index and checks all of it: sizes, hashes, and that every number leads somewhere.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if a file cannot be read. [`Error::Damaged`] names a file that has
    /// changed.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        let manifest = Manifest::read(dir)?;
        match Self::read(dir, manifest.clone()) {
            Ok(index) => Ok(index),
            // Its files are gone, because somebody has replaced the index meanwhile.
            Err(error) => match Manifest::read(dir)? {
                newer if newer != manifest => Self::read(dir, newer),
                _ => Err(error),
            },
        }
    }

    fn read(dir: &Path, manifest: Manifest) -> Result<Self> {
        let bytes = |kind| {
            let mut all = Vec::new();
            read(dir, kind, manifest.data(kind), |step| all.extend_from_slice(step))?;
            Ok::<_, Error>(all)
        };
        let bad = |kind, expected: &str, found: &dyn ToString| {
            Error::damaged(dir.join(manifest.data(kind).file(kind)), expected, found.to_string())
        };
        let mut vectors = Collector::new(manifest.precision, manifest.width);
        read(dir, Kind::Vectors, &manifest.vectors, |step| vectors.take(step))?;
        let vectors = vectors.finish();
        let vectors = vectors.map_err(|row| {
            bad(Kind::Vectors, "finite numbers", &format!("another value in row {row}"))
        })?;
        let texts = String::from_utf8(bytes(Kind::Texts)?);
        let texts = texts.map_err(|cause| bad(Kind::Texts, "UTF-8", &cause))?;
        let mut ends = Vec::new();
        let mut last = 0;
        for end in bytes(Kind::Ends)?.as_chunks::<8>().0 {
            let end = u64::from_le_bytes(*end);
            let place = usize::try_from(end).ok();
            match place.filter(|place| *place >= last && texts.is_char_boundary(*place)) {
                Some(place) => last = place,
                None => {
                    return Err(bad(Kind::Ends, "the ends of the texts in ascending order", &end));
                }
            }
            ends.push(last);
        }
        if last != texts.len() {
            return Err(bad(Kind::Ends, "the end of the last text", &last));
        }
        let mut places: Vec<[u32; 3]> = Vec::new();
        for place in bytes(Kind::Places)?.as_chunks::<12>().0 {
            let [row, file, line] = [0, 4, 8].map(|at| {
                u32::from_le_bytes([place[at], place[at + 1], place[at + 2], place[at + 3]])
            });
            let known = (row as usize) < ends.len() && (file as usize) < manifest.files.len();
            if !known || places.last().is_some_and(|[before, ..]| *before > row) {
                let found = format!("row {row}, file {file}");
                return Err(bad(
                    Kind::Places,
                    "the places of the texts in the order of the rows",
                    &found,
                ));
            }
            places.push([row, file, line]);
        }
        Ok(Self { manifest, texts, ends, vectors, places })
    }

    /// Returns the model that made the index.
    pub fn model(&self) -> &ModelId {
        &self.manifest.model
    }

    /// Refuses an index of another model.
    ///
    /// # Errors
    /// Returns [`Error::OtherModel`] if the models differ.
    pub fn belongs_to(&self, model: &ModelId, dir: &Path) -> Result<()> {
        if self.manifest.model.fingerprint == model.fingerprint {
            return Ok(());
        }
        let made_by = self.manifest.model.name.clone();
        Err(Error::OtherModel { dir: dir.into(), made_by, asked: model.name.clone() })
    }

    /// Returns the prompt that was put before each text when it was embedded.
    pub fn prompt(&self) -> &str {
        &self.manifest.prompt
    }

    /// Returns the number of values of a vector.
    pub fn width(&self) -> usize {
        self.manifest.width
    }

    /// Returns the precision in which vectors are stored.
    pub fn precision(&self) -> Precision {
        self.manifest.precision
    }

    /// Returns the number of places of texts.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Returns the distinct texts, in the order of their rows.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|row| self.text(row))
    }

    fn text(&self, row: usize) -> &str {
        let begin = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.texts[begin..self.ends[row]]
    }

    /// Returns the `top` places whose texts' vectors are nearest to the query's, `[width]`, the
    /// nearest first. The search is exact and compares all of them.
    ///
    /// # Errors
    /// Returns [`Error::Input`] if the query has another width, or a value that is not finite.
    pub fn search(&self, query: &[f32], top: usize) -> Result<Vec<Hit<'_>>> {
        if query.len() != self.width() {
            let expected = format!("{} values", self.width());
            return Err(Error::input("the query", expected, query.len()));
        }
        if let Some(value) = query.iter().find(|value| !value.is_finite()) {
            return Err(Error::input("the query", "finite numbers", value));
        }
        let mut hits = Vec::new();
        for (similarity, row) in self.vectors.nearest(query, top) {
            let first = self.places.partition_point(|[of, ..]| (*of as usize) < row);
            let here = self.places[first..].iter().take_while(|[of, ..]| *of as usize == row);
            hits.extend(here.map(|[_, file, line]| Hit {
                similarity,
                file: &self.manifest.files[*file as usize],
                line: *line,
                text: self.text(row),
            }));
            if hits.len() >= top {
                break;
            }
        }
        hits.truncate(top);
        Ok(hits)
    }
}
