//! Turns text into token ids with the tokenizer that a checkpoint ships.

use std::path::Path;

use tokenizers::utils::truncation::truncate_encodings;
use tokenizers::{EncodeInput, Encoding, PostProcessor, TruncationDirection, TruncationParams};

use crate::error::{Error, Result};
use crate::model::{NEEDS_TOKENIZER_JSON, Sequence};
use crate::text::folder::{Folder, ModelFiles};
use crate::text::guarded::{within, without_panic};
use crate::text::settings::{Preparation, mask_token};

/// The spellings of the mask that are understood in texts, whatever the model calls it.
const MASKS: [&str; 2] = ["<mask>", "[MASK]"];

/// The seconds that reading a tokenizer and trying it on [`PROBE`] may take: twenty times what the
/// largest vocabularies in use need.
const LONGEST: f64 = 60.0;
/// A text of letters, digits, marks, other scripts and joined ones. The normalizers and patterns of
/// a hostile file would loop on it.
const PROBE: &str = "The caf\u{e9} cost $1,234.50 \u{2014} aaaaaaaa don't! \u{4f60}\u{597d} \u{1f469}\u{200d}\u{1f4bb} \t <mask> ";

/// The side on which a text that is too long is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutSide {
    /// Its beginning.
    Left,
    /// Its end.
    Right,
}

/// The part of a text that a model reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tokenized {
    /// The tokens that the model reads, including special ones.
    pub sequence: Sequence,
    /// The number of tokens of the whole text, including special ones. It is larger than the
    /// sequence if the text was cut.
    pub whole: usize,
}

impl Tokenized {
    /// Returns whether a part of the text is missing.
    pub fn is_cut(&self) -> bool {
        self.whole > self.sequence.ids.len()
    }
}

/// A token and its place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Token {
    /// The token's id.
    pub id: u32,
    /// The token as the vocabulary has it.
    pub text: String,
    /// Whether the model's template added the token.
    pub special: bool,
    /// The characters of the text that the token stands for: the first one, and the one after the
    /// last. `None` for a special token.
    pub place: Option<(usize, usize)>,
}

/// A tokenizer. It obeys the template of its file, does not pad, and cuts sequences that are too
/// long.
///
/// ```no_run
/// # fn main() -> cmm::Result<()> {
/// let tokenizer = cmm::Tokenizer::open("models/fastminilm".as_ref(), 512)?;
/// let sequence = tokenizer.encode("A man is playing a flute.", None)?;
/// println!("{} tokens: {}", sequence.ids.len(), tokenizer.decode(&sequence.ids)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    tokenizer: tokenizers::Tokenizer,
    mask: Option<(String, u32)>,
    lower_case: bool,
    longest: usize,
    side: CutSide,
    name: String,
}

impl Tokenizer {
    /// Reads the `tokenizer.json` of a model folder. Texts are cut to `max_tokens`, or to the
    /// folder's own limit if that is lower.
    ///
    /// # Errors
    /// Returns [`Error::Io`] or [`Error::Tokenizer`] if the file cannot be read, and
    /// [`Error::Input`] if the limit leaves no room beside the special tokens.
    pub fn open(folder: &Path, max_tokens: usize) -> Result<Self> {
        Self::read(&Folder::Disk(folder.into()), max_tokens)
    }

    /// Reads the tokenizer from a model's files in memory, as [`Tokenizer::open`] does from a
    /// folder.
    ///
    /// # Errors
    /// Returns the errors of [`Tokenizer::open`].
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
            // If it cannot cut a text, that is an error only for somebody who has such a text.
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
        let side = if left { CutSide::Left } else { CutSide::Right };
        tokenizer.with_padding(None);
        // Texts are cut in this file, so that a caller learns of it and may choose the side.
        tokenizer.with_truncation(None).map_err(fail)?;
        let named = mask_token(folder)?;
        let candidates = named.iter().map(String::as_str).chain(MASKS);
        let mask = candidates
            .filter_map(|token| Some((token.to_owned(), tokenizer.token_to_id(token)?)))
            .next();
        let (lower_case, longest) = (prepared.lower_case, max_length);
        Ok(Self { tokenizer, mask, lower_case, longest, side, name })
    }

    /// Returns the tokens of a text or of a pair of texts, in the file's template, cut if they are
    /// too long.
    ///
    /// # Errors
    /// Returns [`Error::Tokenizer`] if the text cannot be tokenized.
    pub fn encode(&self, text: &str, pair: Option<&str>) -> Result<Sequence> {
        Ok(self.tokenize(text, pair, None)?.sequence)
    }

    /// Tokenizes like [`Tokenizer::encode`], and also returns how much was cut. `side` replaces the
    /// side that the folder names.
    ///
    /// # Errors
    /// Returns the errors of [`Tokenizer::encode`].
    pub fn tokenize(
        &self,
        text: &str,
        pair: Option<&str>,
        side: Option<CutSide>,
    ) -> Result<Tokenized> {
        let input: EncodeInput = match pair {
            Some(pair) => (self.prepared(text), self.prepared(pair)).into(),
            None => self.prepared(text).into(),
        };
        let encoding = self.guarded(|| self.tokenizer.encode_fast(input, true))?;
        let whole = encoding.len();
        let read = if whole <= self.longest {
            encoding
        } else {
            self.cut(text, pair, side.unwrap_or(self.side))?
        };
        let sequence = Sequence {
            ids: read.get_ids().to_vec(),
            types: read.get_type_ids().to_vec(),
            mask: Vec::new(),
        };
        Ok(Tokenized { sequence, whole })
    }

    /// Returns what is left of texts that are too long, with the template around it.
    fn cut(&self, text: &str, pair: Option<&str>, side: CutSide) -> Result<Encoding> {
        let direction = match side {
            CutSide::Left => TruncationDirection::Left,
            CutSide::Right => TruncationDirection::Right,
        };
        let raw = |text: &str| self.tokenizer.encode_fast(self.prepared(text), false);
        self.guarded(|| {
            let template = self.tokenizer.get_post_processor();
            let special = template.map_or(0, |post| post.added_tokens(pair.is_some()));
            let max_length = self.longest - special;
            let params = TruncationParams { max_length, direction, ..TruncationParams::default() };
            let (mut first, mut second) =
                truncate_encodings(raw(text)?, pair.map(raw).transpose()?, &params)?;
            // Without this, the part that was cut off would go through the template too.
            first.take_overflowing();
            second.as_mut().map(Encoding::take_overflowing);
            self.tokenizer.post_process(first, second, true)
        })
    }

    /// Returns all tokens of a text, with those of the template if `special` asks for them. Nothing
    /// is cut.
    ///
    /// # Errors
    /// Returns the errors of [`Tokenizer::encode`].
    pub fn tokens(&self, text: &str, special: bool) -> Result<Vec<Token>> {
        let text = self.prepared(text);
        let encoding = self.guarded(|| self.tokenizer.encode_char_offsets(text, special))?;
        let special = encoding.get_special_tokens_mask().iter().map(|special| *special != 0);
        let places = special.zip(encoding.get_offsets());
        let tokens = encoding.get_ids().iter().zip(encoding.get_tokens()).zip(places);
        let token = tokens.map(|((id, text), (special, place))| {
            let place = (!special).then_some(*place);
            Token { id: *id, text: text.clone(), special, place }
        });
        Ok(token.collect())
    }

    fn prepared(&self, text: &str) -> String {
        if self.lower_case { text.to_lowercase() } else { text.into() }
    }

    fn guarded<T>(&self, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
        without_panic(&self.name, || {
            work().map_err(|cause| Error::Tokenizer {
                name: self.name.clone(),
                reason: cause.to_string(),
            })
        })
    }

    /// Returns the most tokens of a sequence; special tokens count.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Returns the same text with every spelling of the mask replaced by the model's own.
    pub fn with_mask(&self, text: &str) -> String {
        let Some((mask, _)) = &self.mask else { return text.to_owned() };
        MASKS.iter().fold(text.to_owned(), |text, spelling| text.replace(spelling, mask))
    }

    /// Returns the id of the mask, if the model has one.
    pub fn mask_id(&self) -> Option<u32> {
        self.mask.as_ref().map(|(_, id)| *id)
    }

    /// Returns a token as text.
    pub fn token(&self, id: u32) -> String {
        self.tokenizer.id_to_token(id).unwrap_or_else(|| format!("<{id}>"))
    }

    /// Turns ids back into text.
    ///
    /// # Errors
    /// Returns [`Error::Tokenizer`] if they cannot be decoded.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.guarded(|| self.tokenizer.decode(ids, true))
    }

    /// Returns the number of rows of the vocabulary, including added tokens.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }
}
