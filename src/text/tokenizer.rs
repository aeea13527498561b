//! Text to token ids with the tokenizer that a checkpoint ships.

use std::path::Path;

use tokenizers::{EncodeInput, TruncationParams};

use crate::error::{Error, Result};
use crate::model::{NEEDS_TOKENIZER_JSON, Sequence};
use crate::text::files::mask_token;
use crate::text::folder::Folder;

/// Spellings of the mask that are understood in texts, whatever the model calls it.
const MASKS: [&str; 2] = ["<mask>", "[MASK]"];

/// A tokenizer, with its template obeyed as the file says, no padding, and a longest sequence.
#[derive(Debug)]
pub struct Tokenizer {
    tokenizer: tokenizers::Tokenizer,
    mask: Option<(String, u32)>,
    name: String,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a model directory; texts are cut to `max_tokens`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Tokenizer`].
    pub fn open(dir: &Path, max_tokens: usize) -> Result<Self> {
        Self::read(&Folder::Disk(dir.into()), max_tokens)
    }

    pub(crate) fn read(folder: &Folder<'_>, max_tokens: usize) -> Result<Self> {
        let name = folder.name("tokenizer.json");
        let fail = |cause: tokenizers::Error| Error::Tokenizer {
            name: name.clone(),
            reason: cause.to_string(),
        };
        let bytes = match folder.read("tokenizer.json") {
            Err(Error::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && folder.has("vocab.txt") =>
            {
                return Err(Error::mismatch(name, "a tokenizer", NEEDS_TOKENIZER_JSON));
            }
            read => read?,
        };
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(&bytes).map_err(fail)?;
        tokenizer.with_padding(None);
        let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(fail)?;
        let named = mask_token(folder)?;
        let candidates = named.iter().map(String::as_str).chain(MASKS);
        let mask = candidates
            .filter_map(|token| Some((token.to_owned(), tokenizer.token_to_id(token)?)))
            .next();
        Ok(Self { tokenizer, mask, name })
    }

    /// A text, or a pair of texts, as the file's template wants them.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode(&self, text: &str, pair: Option<&str>) -> Result<Sequence> {
        let input: EncodeInput = match pair {
            Some(pair) => (text, pair).into(),
            None => text.into(),
        };
        let encoding = self.tokenizer.encode(input, true).map_err(|cause| Error::Tokenizer {
            name: self.name.clone(),
            reason: cause.to_string(),
        })?;
        Ok(Sequence {
            ids: encoding.get_ids().to_vec(),
            types: encoding.get_type_ids().to_vec(),
            mask: Vec::new(),
        })
    }

    /// The same text with any spelling of the mask replaced by the model's own.
    pub fn with_mask(&self, text: &str) -> String {
        let Some((mask, _)) = &self.mask else { return text.to_owned() };
        MASKS.iter().fold(text.to_owned(), |text, spelling| text.replace(spelling, mask))
    }

    /// Id of the mask, if the model has one.
    pub fn mask_id(&self) -> Option<u32> {
        self.mask.as_ref().map(|(_, id)| *id)
    }

    /// A token as text.
    pub fn token(&self, id: u32) -> String {
        self.tokenizer.id_to_token(id).unwrap_or_else(|| format!("<{id}>"))
    }

    /// Ids back to text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer.decode(ids, true).map_err(|cause| Error::Tokenizer {
            name: self.name.clone(),
            reason: cause.to_string(),
        })
    }

    /// Rows of the vocabulary, added tokens included.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }
}
