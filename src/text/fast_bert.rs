//! A whole model: it turns texts into hidden states, vectors or classes, and fills masks.

use std::ops::ControlFlow;
use std::path::Path;

use crate::device::Device;
use crate::dtype::Precision;
use crate::encoder::{Encoder, Running};
use crate::error::{Error, Result};
#[cfg(feature = "cpu")]
use crate::executor::EncoderOptions;
use crate::gpu::GpuOptions;
use crate::model::{
    Batch, Encoded, EncoderConfig, EncoderWeights, Family, Head, Output, Pooler, Sequence, Tap,
    base,
};
use crate::text::folder::{Folder, ModelFiles};
use crate::text::options::ModelOptions;
use crate::text::prompts::Prompts;
use crate::text::settings::pooling;
use crate::text::tokenizer::Tokenizer;

/// One way to fill a mask.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Filled {
    /// The token that fills the mask.
    pub token: String,
    /// The token's id.
    pub id: u32,
    /// The token's probability among the whole vocabulary.
    pub probability: f64,
}

/// The vector of a text, and the nodes that its tokens engaged.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Embedded {
    /// The text's tokens.
    pub sequence: Sequence,
    /// The vector, `[hidden]`.
    pub vector: Vec<f32>,
    /// The nodes of the tokens in each FFF layer, `[tokens, trees, levels]`, as indices within
    /// their tree.
    pub paths: Vec<Vec<u32>>,
}

/// A model with its tokenizer.
///
/// ```no_run
/// use cmm::{Device, DeviceChoice, FastBert, GpuOptions, cosine};
///
/// # async fn example() -> Result<(), cmm::Error> {
/// let device = Device::request(&DeviceChoice::Auto, &GpuOptions::default()).await?;
/// let model = FastBert::load(device, "models/fastminilm").await?;
/// let vectors = model.embed(&["A cat sits on a mat.", "A kitten lies on a rug."]).await?;
/// println!("{:.2}", cosine(&vectors[0], &vectors[1]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FastBert {
    encoder: Encoder,
    tokenizer: Tokenizer,
    pooling: (Pooler, bool),
    prompts: Prompts,
    batch_tokens: usize,
}

impl GpuOptions {
    /// Asks for what a model needs: [`GpuOptions::largest_buffer`] will hold its largest matrix.
    pub fn for_encoder(mut self, config: &EncoderConfig, precision: Precision) -> Self {
        let bytes = if precision == Precision::F32 { 4 } else { 2 };
        let words = (config.vocabulary * config.hidden.next_multiple_of(8)) as u64 * bytes;
        self = self.largest_buffer(words);
        if let Ok(Some(shape)) = config.ffn.shape(config.hidden) {
            self = self.for_layer(shape, precision);
        }
        self
    }
}

impl FastBert {
    /// Loads a model folder in f32, in the variant that suits the device best.
    ///
    /// # Errors
    /// Returns errors of the checkpoint, of the tokenizer and of the device. Those of files name
    /// the file.
    pub async fn load(device: impl Into<Device>, folder: impl AsRef<Path>) -> Result<Self> {
        Self::load_with(device, folder, &ModelOptions::default()).await
    }

    /// Loads a model folder with options.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::load`].
    pub async fn load_with(
        device: impl Into<Device>,
        folder: impl AsRef<Path>,
        options: &ModelOptions,
    ) -> Result<Self> {
        let folder = folder.as_ref();
        let weights = EncoderWeights::open(folder)?;
        // A model with a base but no tokenizer of its own reads and pools text as its base does.
        let base = if folder.join("tokenizer.json").exists() { None } else { base(folder)? };
        let files = Folder::Disk(base.unwrap_or_else(|| folder.into()));
        Self::assemble(device.into(), weights, &files, options).await
    }

    /// Loads a model from files in memory, as [`FastBert::load_with`] does from a folder:
    /// `config.json`, `model.safetensors`, `tokenizer.json`, and the other files that a folder
    /// would hold. A `base` is not supported here.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::load`].
    pub async fn load_files(
        device: impl Into<Device>,
        files: &ModelFiles,
        options: &ModelOptions,
    ) -> Result<Self> {
        let weights = EncoderWeights::from_files(files)?;
        Self::assemble(device.into(), weights, &Folder::Memory(files), options).await
    }

    async fn assemble(
        device: Device,
        mut weights: EncoderWeights<'_>,
        folder: &Folder<'_>,
        options: &ModelOptions,
    ) -> Result<Self> {
        let config = weights.config();
        let tokenizer = Tokenizer::read(folder, config.positions)?;
        let prompts = Prompts::read(folder)?;
        if tokenizer.vocabulary() > config.vocabulary {
            return Err(Error::input(
                format!("tokens of {}", folder.name("tokenizer.json")),
                format!("at most the model's {}", config.vocabulary),
                tokenizer.vocabulary(),
            ));
        }
        let pooling = pooling(folder)?;
        if let Some(pooler) = options.pooler {
            weights = weights.with_pooler(pooler);
        }
        let encoder = match (&device, &options.stored) {
            (Device::Gpu(gpu), stored) => Encoder::upload(gpu, &weights, stored).await?,
            #[cfg(feature = "cpu")]
            (Device::Host, EncoderOptions { variant: Some(variant), .. }) => {
                return Err(Error::input("a kernel variant", "none on the CPU", variant));
            }
            #[cfg(feature = "cpu")]
            (Device::Host, EncoderOptions { activations: Precision::F16, .. }) => {
                return Err(Error::input("activations", "f32 on the CPU", "f16"));
            }
            #[cfg(feature = "cpu")]
            (Device::Host, stored) if stored.int8 => {
                Encoder::on_host_in_int8(&weights.stored_as(stored.weights))?
            }
            #[cfg(feature = "cpu")]
            (Device::Host, stored) => Encoder::on_host(&weights.stored_as(stored.weights))?,
        };
        let batch_tokens = options.batch_tokens.clamp(1, encoder.best_tokens().max(1));
        Ok(Self { encoder, tokenizer, pooling, prompts, batch_tokens })
    }

    /// Returns the encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Returns the prompts that the model declares.
    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// Returns the tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Returns the tokens of each text with this prompt before it. All threads share the work where
    /// there are several.
    ///
    /// # Errors
    /// Returns [`Error::Tokenizer`] if a text cannot be tokenized.
    pub fn tokenize(&self, prompt: &str, texts: &[&str]) -> Result<Vec<Sequence>> {
        let tokenizer = &self.tokenizer;
        each(texts, |text| match prompt {
            "" => tokenizer.encode(text, None),
            _ => tokenizer.encode(&format!("{prompt}{text}"), None),
        })
    }

    /// Returns the hidden states of each text's tokens, `[tokens, hidden]`.
    ///
    /// # Errors
    /// Returns [`Error::Tokenizer`] if a text cannot be tokenized, and the errors of
    /// [`Encoder::forward`].
    pub async fn encode(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let sequences = self.tokenize("", texts)?;
        let mut results = vec![Vec::new(); texts.len()];
        for chosen in self.batches(&sequences) {
            let batch = self.batch(&sequences, &chosen)?;
            let encoded = self.encoder.forward(&batch, &Output::Hidden, Tap::None).await?;
            for (text, rows) in chosen.iter().zip(batch.rows()) {
                let values = rows.start * encoded.width..rows.end * encoded.width;
                results[*text] = encoded.values[values].to_vec();
            }
        }
        Ok(results)
    }

    /// Returns a vector for each text, pooled and normalised as the folder says. The model's
    /// default prompt is put before each text if there is one.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::encode`].
    pub async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.embed_with_prompt(self.prompts.for_texts(), texts).await
    }

    /// Embeds texts like [`FastBert::embed`], with this prompt before each of them.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::encode`].
    pub async fn embed_with_prompt(&self, prompt: &str, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.embed_sequences(&self.tokenize(prompt, texts)?).await
    }

    /// Embeds texts like [`FastBert::embed`]. The texts are already tokenized, with their prompt:
    /// see [`FastBert::tokenize`].
    ///
    /// # Errors
    /// Returns the errors of [`Encoder::forward`], and [`Error::Input`] for sequences that the
    /// model cannot have.
    pub async fn embed_sequences(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f32>>> {
        let (pooler, normalized) = self.pooling;
        self.rows(sequences, &Output::Pooled { pooler, normalized }).await
    }

    /// Embeds texts like [`FastBert::embed_with_prompt`] and hands each batch to `take` as soon as
    /// it has run: the indices of its texts, and their vectors one after another. The caller can
    /// show progress, and end long work early by [`ControlFlow::Break`].
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::encode`].
    pub async fn embed_batches(
        &self,
        prompt: &str,
        texts: &[&str],
        take: impl FnMut(&[usize], &[f32]) -> ControlFlow<()>,
    ) -> Result<()> {
        let (pooler, normalized) = self.pooling;
        let sequences = self.tokenize(prompt, texts)?;
        self.each_batch(&sequences, &Output::Pooled { pooler, normalized }, take).await
    }

    /// Embeds texts like [`FastBert::embed`], and also returns the tokens of each text and the
    /// nodes that they engaged.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::encode`].
    pub async fn embed_with_paths(&self, texts: &[&str]) -> Result<Vec<Embedded>> {
        let (pooler, normalized) = self.pooling;
        let output = Output::Pooled { pooler, normalized };
        let sequences = self.tokenize(self.prompts.for_texts(), texts)?;
        let mut results: Vec<_> = sequences
            .iter()
            .map(|sequence| Embedded { sequence: sequence.clone(), ..Embedded::default() })
            .collect();
        for chosen in self.batches(&sequences) {
            let batch = self.batch(&sequences, &chosen)?;
            let encoded = self.encoder.forward(&batch, &output, Tap::Paths).await?;
            let vectors = encoded.values.chunks(encoded.width);
            for ((text, rows), vector) in chosen.iter().zip(batch.rows()).zip(vectors) {
                let nodes = |path: &Vec<u32>| {
                    let token = path.len() / batch.len();
                    path[rows.start * token..rows.end * token].to_vec()
                };
                results[*text].vector = vector.to_vec();
                results[*text].paths = encoded.paths.iter().map(nodes).collect();
            }
        }
        Ok(results)
    }

    /// Returns the scores of the classes for each text. [`EncoderConfig::labels`] names the
    /// classes.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::encode`], and [`Error::MissingHead`] if the checkpoint has
    /// no classification head.
    pub async fn classify(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let pairs: Vec<_> = texts.iter().map(|text| (*text, None)).collect();
        self.classify_pairs(&pairs).await
    }

    /// Classifies like [`FastBert::classify`], for pairs of texts or single texts.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::classify`].
    pub async fn classify_pairs(&self, pairs: &[(&str, Option<&str>)]) -> Result<Vec<Vec<f32>>> {
        self.rows(&self.paired(pairs)?, &Output::Classes).await
    }

    /// Classifies like [`FastBert::classify_pairs`] and hands each batch to `take`, as
    /// [`FastBert::embed_batches`] does: the indices of its pairs, and their scores.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::classify`].
    pub async fn classify_batches(
        &self,
        pairs: &[(&str, Option<&str>)],
        take: impl FnMut(&[usize], &[f32]) -> ControlFlow<()>,
    ) -> Result<()> {
        self.each_batch(&self.paired(pairs)?, &Output::Classes, take).await
    }

    /// Returns the second text of a pair as the classification head was trained on it. The head of
    /// crammedBERT was trained on pairs: a single sentence gets an empty second one, so that it has
    /// its `<cls>`.
    pub fn second<'t>(&self, pair: Option<&'t str>) -> Option<&'t str> {
        pair.or((self.encoder.config().family == Family::CrammedBert).then_some(""))
    }

    /// Classifies like [`FastBert::classify`], for texts that are already tokenized.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::classify`], and [`Error::Input`] for sequences that the
    /// model cannot have.
    pub async fn classify_sequences(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f32>>> {
        self.rows(sequences, &Output::Classes).await
    }

    /// Returns a vector for each text that is already tokenized, pooled as the folder says. The
    /// vectors are never normalised, so that the caller may cut them first.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::encode`], and [`Error::Input`] for sequences that the
    /// model cannot have.
    pub async fn pool_sequences(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f32>>> {
        let output = Output::Pooled { pooler: self.pooling.0, normalized: false };
        self.rows(sequences, &output).await
    }

    /// Returns how a text's vector is pooled, and whether [`FastBert::embed`] normalises it.
    pub fn pooling(&self) -> (Pooler, bool) {
        self.pooling
    }

    /// Returns the most tokens that run at once.
    pub fn batch_tokens(&self) -> usize {
        self.batch_tokens
    }

    /// Returns the `top` likeliest tokens for every mask of each text.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::encode`]; [`Error::MissingHead`] if the checkpoint has no
    /// masked-LM head; [`Error::Input`] if a text has no mask among the tokens that the model
    /// reads.
    pub async fn fill_mask(&self, texts: &[&str], top: usize) -> Result<Vec<Vec<Vec<Filled>>>> {
        let mask = match (self.encoder.config().head, self.tokenizer.mask_id()) {
            (Head::MaskedLm { .. }, Some(mask)) => mask,
            (Head::MaskedLm { .. }, None) => {
                return Err(Error::input("the tokenizer", "a mask token", "none"));
            }
            _ => return Err(Error::no_head("masked-LM", None)),
        };
        let texts: Vec<_> = texts.iter().map(|text| self.tokenizer.with_mask(text)).collect();
        let sequences = self.tokenize("", &texts.iter().map(String::as_str).collect::<Vec<_>>())?;
        for (index, sequence) in sequences.iter().enumerate() {
            if !sequence.ids.contains(&mask) {
                let what = format!("text {}", index + 1);
                let within = self.encoder.config().positions;
                let expected = format!("a <mask> within its first {within} tokens");
                return Err(Error::input(what, expected, "none"));
            }
        }
        let mut results = vec![Vec::new(); texts.len()];
        let at_once = self.encoder.max_rows().max(1);
        for chosen in self.batches(&sequences) {
            let batch = self.batch(&sequences, &chosen)?;
            let masks: Vec<(usize, u32)> = chosen
                .iter()
                .zip(batch.rows())
                .flat_map(|(text, rows)| {
                    let ids = &sequences[*text].ids;
                    rows.zip(ids).filter(|(_, id)| **id == mask).map(|(row, _)| (*text, row as u32))
                })
                .collect();
            for masks in masks.chunks(at_once) {
                let rows = masks.iter().map(|(_, row)| *row).collect();
                let output = Output::Tokens(rows);
                let encoded = self.encoder.forward(&batch, &output, Tap::None).await?;
                for ((text, _), scores) in masks.iter().zip(encoded.values.chunks(encoded.width)) {
                    results[*text].push(self.likeliest(scores, top));
                }
            }
        }
        Ok(results)
    }

    /// Returns the tokens of each text, and the nodes that they engaged in each FFF layer,
    /// `[tokens, trees, levels]`.
    ///
    /// # Errors
    /// Returns the errors of [`FastBert::encode`].
    pub async fn paths(&self, texts: &[&str]) -> Result<Vec<(Sequence, Vec<Vec<u32>>)>> {
        let mut results = Vec::new();
        for sequence in self.tokenize("", texts)? {
            let batch = self.encoder.batch(std::slice::from_ref(&sequence))?;
            let Encoded { paths, .. } =
                self.encoder.forward(&batch, &Output::Hidden, Tap::Paths).await?;
            results.push((sequence, paths));
        }
        Ok(results)
    }

    fn paired(&self, pairs: &[(&str, Option<&str>)]) -> Result<Vec<Sequence>> {
        // The closure does not borrow the model itself, which no other thread may see in a browser.
        let (tokenizer, none) = (&self.tokenizer, self.second(None));
        each(pairs, |(text, pair)| tokenizer.encode(text, pair.or(none)))
    }

    fn batch(&self, sequences: &[Sequence], chosen: &[usize]) -> Result<Batch> {
        let chosen: Vec<_> = chosen.iter().map(|text| sequences[*text].clone()).collect();
        self.encoder.batch(&chosen)
    }

    /// Returns a row for each sequence, in the order of the sequences.
    async fn rows(&self, sequences: &[Sequence], output: &Output) -> Result<Vec<Vec<f32>>> {
        let mut results = vec![Vec::new(); sequences.len()];
        let take = |chosen: &[usize], values: &[f32]| {
            for (text, row) in
                chosen.iter().zip(values.chunks((values.len() / chosen.len()).max(1)))
            {
                results[*text] = row.to_vec();
            }
            ControlFlow::Continue(())
        };
        self.each_batch(sequences, output, take).await?;
        Ok(results)
    }

    /// Runs batch after batch until `take` has enough. A GPU computes the next batch while `take`
    /// works.
    async fn each_batch(
        &self,
        sequences: &[Sequence],
        output: &Output,
        mut take: impl FnMut(&[usize], &[f32]) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut take = async |(chosen, running): (Vec<usize>, Running)| {
            let encoded = self.encoder.finish(running).await?;
            Ok::<_, Error>(take(&chosen, &encoded.values))
        };
        let mut before = None;
        for chosen in self.batches(sequences) {
            let begin = async || {
                let batch = self.batch(sequences, &chosen)?;
                self.encoder.begin(batch, output, Tap::None).await
            };
            let running = match (begin().await, before.take()) {
                // There is no room for two batches at once.
                (Err(Error::OutOfMemory { .. }), Some(alone)) => {
                    if take(alone).await?.is_break() {
                        return Ok(());
                    }
                    begin().await?
                }
                (running, done) => {
                    let running = running?;
                    before = done;
                    running
                }
            };
            if let Some(done) = before.replace((chosen, running))
                && take(done).await?.is_break()
            {
                return Ok(());
            }
        }
        if let Some(last) = before {
            take(last).await.map(drop)?;
        }
        Ok(())
    }

    /// Returns which sequences run together: they are sorted by length, and each batch takes as
    /// many as the token budget allows.
    fn batches(&self, sequences: &[Sequence]) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|index| sequences[*index].ids.len());
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let mut tokens = 0;
        for index in order {
            let length = sequences[index].ids.len();
            match batches.last_mut() {
                Some(batch) if tokens + length <= self.batch_tokens => {
                    batch.push(index);
                    tokens += length;
                }
                _ => {
                    batches.push(vec![index]);
                    tokens = length;
                }
            }
        }
        batches
    }

    /// Returns the tokens with the highest scores, and their softmax probabilities in f64.
    fn likeliest(&self, scores: &[f32], top: usize) -> Vec<Filled> {
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |score: f32| f64::from(score - largest).exp();
        let total: f64 = scores.iter().map(|score| weight(*score)).sum();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        order
            .into_iter()
            .take(top)
            .map(|id| Filled {
                token: self.tokenizer.token(id as u32),
                id: id as u32,
                probability: weight(scores[id]) / total,
            })
            .collect()
    }
}

/// Tokenizes each item. All threads share the work where there are several. Of several errors it
/// returns that of the first item.
fn each<T: Sync>(
    items: &[T],
    encode: impl Fn(&T) -> Result<Sequence> + Sync,
) -> Result<Vec<Sequence>> {
    #[cfg(feature = "cpu")]
    let encoded: Vec<_> = {
        use rayon::prelude::*;
        items.par_iter().map(&encode).collect()
    };
    #[cfg(not(feature = "cpu"))]
    let encoded: Vec<_> = items.iter().map(encode).collect();
    encoded.into_iter().collect()
}
