//! Sequences laid end to end. There is no padding, so none can change a result.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::model::config::EncoderConfig;

/// The value that is added to the attention scores of masked keys, as crammedBERT adds it. In f32
/// it leaves no weight. If all keys of a row are masked, it cancels out, as if none were masked.
pub(crate) const MASKED: f32 = -10_000.0;

/// A sequence of token ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sequence {
    /// Token ids, at least one.
    pub ids: Vec<u32>,
    /// Token types, as many as ids; empty means that all are 0.
    pub types: Vec<u32>,
    /// Whether others may attend to each token, as many as ids, in any pattern; empty means that
    /// they may attend to all of them.
    pub mask: Vec<bool>,
}

/// Sequences of any lengths, checked against a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// For each token: id, position, token type, unused.
    pub(crate) tokens: Vec<[u32; 4]>,
    /// The value that is added to the scores of each token as a key.
    pub(crate) masked: Vec<f32>,
    /// The first token and the number of tokens of each sequence.
    pub(crate) sequences: Vec<[u32; 2]>,
    /// One more than the largest id, position and token type.
    bounds: [u32; 3],
}

impl Batch {
    /// Lays sequences out for a model.
    ///
    /// # Errors
    /// [`Error::Input`] names the sequence that is empty or too long, or the id or token type that
    /// the model does not have.
    pub fn new(config: &EncoderConfig, sequences: &[Sequence]) -> Result<Self> {
        let mut batch =
            Self { tokens: Vec::new(), masked: Vec::new(), sequences: Vec::new(), bounds: [0; 3] };
        for (index, Sequence { ids, types, mask }) in sequences.iter().enumerate() {
            let fail = |what: &str, expected: String, found: String| {
                Err(Error::input(format!("{what} of sequence {index}"), expected, found))
            };
            if ids.is_empty() || ids.len() > config.positions {
                return fail("tokens", format!("1 to {}", config.positions), ids.len().to_string());
            }
            for (what, length) in [("token types", types.len()), ("mask", mask.len())] {
                if length != 0 && length != ids.len() {
                    return fail(what, format!("{} values", ids.len()), length.to_string());
                }
            }
            if let Some(id) = ids.iter().find(|id| **id as usize >= config.vocabulary) {
                return fail("an id", format!("below {}", config.vocabulary), id.to_string());
            }
            let known_types = config.token_types.max(1);
            if let Some(found) = types.iter().find(|t| **t as usize >= known_types) {
                return fail("a token type", format!("below {known_types}"), found.to_string());
            }
            batch.sequences.push([batch.tokens.len() as u32, ids.len() as u32]);
            for (position, id) in ids.iter().enumerate() {
                let kind = types.get(position).copied().unwrap_or(0);
                let token = [*id, position as u32, kind];
                for (bound, value) in batch.bounds.iter_mut().zip(token) {
                    *bound = (*bound).max(value.saturating_add(1));
                }
                batch.tokens.push([*id, position as u32, kind, 0]);
                let seen = mask.get(position).copied().unwrap_or(true);
                batch.masked.push(if seen { 0.0 } else { MASKED });
            }
        }
        if u32::try_from(batch.tokens.len()).is_err() {
            return Err(Error::input("tokens of a batch", "below 2^32", batch.tokens.len()));
        }
        Ok(batch)
    }

    /// Refuses a batch that was laid out for a model with larger tables, because kernels would read
    /// beyond this model's.
    pub(crate) fn belongs_to(&self, config: &EncoderConfig) -> Result<()> {
        let tables = [
            ("ids", config.vocabulary),
            ("positions", config.positions),
            ("token types", config.token_types.max(1)),
        ];
        for ((what, rows), bound) in tables.into_iter().zip(self.bounds) {
            if bound as usize > rows {
                let expected = format!("below this encoder's {rows}");
                return Err(Error::input(format!("{what} of the batch"), expected, bound - 1));
            }
        }
        Ok(())
    }

    /// Refuses rows that are not in the batch.
    pub(crate) fn holds(&self, rows: &[u32]) -> Result<()> {
        match rows.iter().find(|row| **row as usize >= self.len()) {
            None => Ok(()),
            Some(row) => {
                let expected = format!("below the batch's {} tokens", self.len());
                Err(Error::input("a row", expected, row))
            }
        }
    }

    /// Returns the work of each attention tile of up to `queries` queries: first query, queries,
    /// first key, keys.
    pub(crate) fn tiles(&self, queries: u32) -> Vec<[u32; 4]> {
        let mut tiles = Vec::new();
        for [first, count] in &self.sequences {
            for query in (0..*count).step_by(queries as usize) {
                tiles.push([first + query, queries.min(count - query), *first, *count]);
            }
        }
        tiles
    }

    /// Returns the number of tokens of all sequences.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Returns the rows of each sequence's tokens.
    pub fn rows(&self) -> impl Iterator<Item = Range<usize>> {
        self.sequences.iter().map(|[first, count]| *first as usize..(*first + *count) as usize)
    }

    /// Returns whether others attend to a token.
    pub(crate) fn seen(&self, token: usize) -> bool {
        self.masked[token] == 0.0
    }
}
