//! Golden texts: the token ids of a tokenizer, and sentence embeddings of a published model.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::check::index::{IndexEntry, read_json};
use crate::check::{Checked, Outcome};
use crate::checkpoint::Checkpoint;
use crate::device::Device;
use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::reference::Comparison;
use crate::text::{FastBert, ModelOptions, Tokenizer};

/// The kinds in `index.json` that are texts.
const TOKENIZER: &str = "tokenizer";
const EMBEDDINGS: &str = "sentence_embeddings";

#[derive(Deserialize)]
struct TokenizerCases {
    cases: Vec<TokenizerCase>,
}

#[derive(Deserialize)]
struct TokenizerCase {
    text: String,
    pair: Option<String>,
    ids: Vec<u32>,
    type_ids: Vec<u32>,
    decoded_skip_special: String,
}

#[derive(Deserialize)]
struct Sentences {
    sentences: Vec<String>,
}

/// Golden cases of texts.
#[derive(Debug, Clone, Default)]
pub struct TextCases {
    /// The name of each tokenizer case, its path and the folder of its tokenizer.
    tokenizers: Vec<(String, PathBuf, PathBuf)>,
    /// The folders of sentences and embeddings, with their names in the index.
    pub embeddings: Vec<(String, PathBuf)>,
}

/// Returns the texts that `folder/index.json` lists.
///
/// # Errors
/// [`Error::Io`], [`Error::Shape`].
pub fn golden_texts(folder: &Path) -> Result<TextCases> {
    let index: Vec<IndexEntry> = read_json(&folder.join("index.json"))?;
    let mut texts = TextCases::default();
    for entry in index {
        let path = folder.join(&entry.path);
        match (entry.kind.as_str(), entry.tokenizer) {
            (TOKENIZER, Some(file)) => {
                let of_file = folder.join(file).parent().unwrap_or(folder).to_path_buf();
                texts.tokenizers.push((entry.path, path, of_file));
            }
            (EMBEDDINGS, _) => texts.embeddings.push((entry.path, path)),
            _ => {}
        }
    }
    Ok(texts)
}

impl TextCases {
    /// Tokenizes every golden text. The ids, the token types and the decoded text must equal the
    /// stored ones.
    ///
    /// # Errors
    /// Returns errors of the files.
    pub fn check_tokenizers(&self) -> Result<Vec<Outcome>> {
        let outcome = |(name, cases, folder): &(String, PathBuf, PathBuf)| {
            let cases: TokenizerCases = read_json(cases)?;
            let tokenizer = Tokenizer::open(folder, usize::MAX)?;
            let (mut tokens, mut wrong) = (0, 0);
            for case in &cases.cases {
                let found = tokenizer.encode(&case.text, case.pair.as_deref())?;
                tokens += case.ids.len();
                let same = found.ids == case.ids
                    && found.types == case.type_ids
                    && tokenizer.decode(&found.ids)? == case.decoded_skip_special;
                wrong += usize::from(!same);
            }
            Ok(Outcome {
                case: name.clone(),
                reference: comparison(tokens, tokens, wrong, 0.0, 0.0),
                golden_disagreements: Some(wrong),
            })
        };
        self.tokenizers.iter().map(outcome).collect()
    }
}

fn comparison(
    tokens: usize,
    decisions: usize,
    wrong: usize,
    worst_error: f64,
    allowed_error: f64,
) -> Comparison {
    let (wrong_nodes, legitimate_flips) = (wrong, 0);
    Comparison { tokens, decisions, legitimate_flips, wrong_nodes, worst_error, allowed_error }
}

/// Embeds golden sentences with a published model and compares the vectors. The largest 1 - cosine
/// must be below 1e-5 in f32, 1e-3 in f16 and 1e-2 in int8.
///
/// # Errors
/// Returns errors of the files and of the device, and [`Error::Unsupported`] for the reference,
/// which embeds no texts.
pub async fn check_embeddings(
    golden: &(String, PathBuf),
    model: &Path,
    on: &Checked,
) -> Result<Outcome> {
    let device = match on {
        Checked::Variant(gpu, _) | Checked::Cooperative(gpu) => Device::from(gpu),
        #[cfg(feature = "cpu")]
        Checked::Host | Checked::HostInt8 => Device::Host,
        Checked::Reference => return on.runs_no("sentences"),
    };
    let (name, folder) = golden;
    let sentences: Sentences = read_json(&folder.join("sentences.json"))?;
    let want =
        Checkpoint::open(folder.join("embeddings.safetensors"))?.floats("expected.embedding")?;
    let options = ModelOptions::default().stored(on.stored());
    let model = FastBert::load_with(device, model, &options).await?;
    let texts: Vec<_> = sentences.sentences.iter().map(String::as_str).collect();
    let vectors = model.embed(&texts).await?;
    let width = model.encoder().config().hidden;
    if want.len() != texts.len() * width {
        let what = format!("values of {name}");
        return Err(Error::shape(what, texts.len() * width, want.len()));
    }
    let distance = |(want, got): (&[f32], &Vec<f32>)| {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let cosine = dot(want, got) / (dot(want, want) * dot(got, got)).sqrt();
        if cosine.is_nan() { f64::INFINITY } else { (1.0 - cosine).max(0.0) }
    };
    let worst = want.chunks(width).zip(&vectors).map(distance).fold(0.0, f64::max);
    let allowed = match options.stored.weights {
        Precision::F32 if options.stored.int8 => 1e-2,
        Precision::F32 => 1e-5,
        Precision::F16 => 1e-3,
    };
    Ok(Outcome {
        case: name.clone(),
        reference: comparison(texts.len(), 0, 0, worst, allowed),
        golden_disagreements: None,
    })
}

pub(crate) fn is_text(kind: &str) -> bool {
    [TOKENIZER, EMBEDDINGS].contains(&kind)
}
