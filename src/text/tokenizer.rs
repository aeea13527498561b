//! Text to token ids with the tokenizer that a checkpoint ships.

use std::path::Path;

use tokenizers::{EncodeInput, PostProcessor, TruncationDirection, TruncationParams};

use crate::error::{Error, Result};
use crate::model::{NEEDS_TOKENIZER_JSON, Sequence};
use crate::text::folder::{Folder, ModelFiles};
use crate::text::guarded::{within, without_panic};
use crate::text::settings::{Preparation, mask_token};

/// Spellings of the mask that are understood in texts, whatever the model calls it.
const MASKS: [&str; 2] = ["<mask>", "[MASK]"];

/// Seconds that reading a tokenizer and trying it on [`PROBE`] may take: twenty times what the largest vocabularies in use need.
const LONGEST: f64 = 60.0;
/// Letters, digits, marks, other scripts, joined ones: what normalizers and patterns of a hostile file would loop on.
const PROBE: &str = "The caf\u{e9} cost $1,234.50 \u{2014} aaaaaaaa don't! \u{4f60}\u{597d} \u{1f469}\u{200d}\u{1f4bb} \t <mask> ";

/// A tokenizer, with its template obeyed as the file says, no padding, and a longest sequence.
#[derive(Debug)]
pub struct Tokenizer {
    tokenizer: tokenizers::Tokenizer,
    mask: Option<(String, u32)>,
    lower_case: bool,
    name: String,
}

impl Tokenizer {
    /// Reads `tokenizer.json` of a model folder; texts are cut to `max_tokens`, or to what the folder says where that is less.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Tokenizer`]; [`Error::Input`] if so few tokens leave no room beside the special ones.
    pub fn open(folder: &Path, max_tokens: usize) -> Result<Self> {
        Self::read(&Folder::Disk(folder.into()), max_tokens)
    }

    /// As [`Tokenizer::open`], of a model's files in memory.
    ///
    /// # Errors
    /// As [`Tokenizer::open`].
    pub fn from_files(files: &ModelFiles, max_tokens: usize) -> Result<Self> {
        Self::read(&Folder::Memory(files), max_tokens)
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
                return Err(Error::input(name, "a tokenizer", NEEDS_TOKENIZER_JSON));
            }
            read => read?,
        };
        let (bytes, shown) = (bytes.into_owned(), name.clone());
        let read = move || {
            let failed = |cause: tokenizers::Error| Error::Tokenizer {
                name: shown,
                reason: cause.to_string(),
            };
            let tokenizer = tokenizers::Tokenizer::from_bytes(&bytes).map_err(failed)?;
            // A text that it cannot cut is an error when somebody has such a text.
            let _ = tokenizer.encode(PROBE.repeat(16), true);
            Ok(tokenizer)
        };
        let mut tokenizer = within(LONGEST, &name, read)?;
        let prepared = Preparation::read(folder)?;
        let max_length = prepared.max_tokens.unwrap_or(max_tokens).min(max_tokens);
        let special =
            || Ok(tokenizer.get_post_processor().map_or(0, |post| post.added_tokens(true)));
        let special = without_panic(&name, special)?;
        if max_length <= special {
            let what = format!("longest text of {name}");
            let expected = format!("more than the {special} special tokens of a pair");
            return Err(Error::input(what, expected, format!("{max_length} tokens")));
        }
        let left = match (prepared.truncates_left, tokenizer.get_truncation()) {
            (Some(left), _) => left,
            (None, of_file) => of_file.is_some_and(|t| t.direction == TruncationDirection::Left),
        };
        let direction = if left { TruncationDirection::Left } else { TruncationDirection::Right };
        tokenizer.with_padding(None);
        let truncation = TruncationParams { max_length, direction, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(fail)?;
        let named = mask_token(folder)?;
        let candidates = named.iter().map(String::as_str).chain(MASKS);
        let mask = candidates
            .filter_map(|token| Some((token.to_owned(), tokenizer.token_to_id(token)?)))
            .next();
        Ok(Self { tokenizer, mask, lower_case: prepared.lower_case, name })
    }

    /// A text, or a pair of texts, as the file's template wants them.
    ///
    /// # Errors
    /// [`Error::Tokenizer`].
    pub fn encode(&self, text: &str, pair: Option<&str>) -> Result<Sequence> {
        let prepared = |text: &str| if self.lower_case { text.to_lowercase() } else { text.into() };
        let input: EncodeInput = match pair {
            Some(pair) => (prepared(text), prepared(pair)).into(),
            None => prepared(text).into(),
        };
        let encode = || {
            self.tokenizer.encode_fast(input, true).map_err(|cause| Error::Tokenizer {
                name: self.name.clone(),
                reason: cause.to_string(),
            })
        };
        let encoding = without_panic(&self.name, encode)?;
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
        let decode = || {
            self.tokenizer.decode(ids, true).map_err(|cause| Error::Tokenizer {
                name: self.name.clone(),
                reason: cause.to_string(),
            })
        };
        without_panic(&self.name, decode)
    }

    /// Tokens that a text is cut to, special ones included.
    pub fn max_tokens(&self) -> usize {
        self.tokenizer.get_truncation().map_or(usize::MAX, |truncation| truncation.max_length)
    }

    /// Rows of the vocabulary, added tokens included.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }
}
