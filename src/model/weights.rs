//! Tensor names of both families to one set of weights, read one layer at a time.

use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::dtype::Precision;
use crate::error::{Error, Result, check_finite};
use crate::fff::FffWeights;
use crate::model::config::{EncoderConfig, Family, Ffn, Head, Pooler};
use crate::model::weight_files;

/// A dense layer on the host: y = x * weight^T + bias.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseWeights {
    /// Width going in.
    pub input: usize,
    /// Width coming out.
    pub output: usize,
    /// `[output, input]`.
    pub weight: Vec<f32>,
    /// `[output]`; none = zero.
    pub bias: Option<Vec<f32>>,
}

/// A LayerNorm's scale and offset, `[hidden]` each.
#[derive(Debug, Clone, PartialEq)]
pub struct NormWeights {
    /// Scale.
    pub weight: Vec<f32>,
    /// Offset.
    pub bias: Vec<f32>,
}

/// What tokens become before the first layer.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingWeights {
    /// `[vocabulary, hidden]`.
    pub words: Vec<f32>,
    /// `[positions, hidden]`, added; sinusoids come scaled.
    pub positions: Vec<f32>,
    /// `[token types, hidden]`, added; one row of zeros where there are none.
    pub types: Vec<f32>,
    /// What follows the sum.
    pub norm: Option<NormWeights>,
}

/// A feedforward layer.
#[derive(Debug, Clone, PartialEq)]
pub enum FfnWeights {
    /// Conditional.
    Fff(FffWeights),
    /// down(GELU(up(x))).
    Dense {
        /// `[width, hidden]`.
        up: DenseWeights,
        /// `[hidden, width]`.
        down: DenseWeights,
    },
}

/// A transformer layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeights {
    /// Before attention (crammedBERT), or after it (BERT).
    pub norm1: NormWeights,
    /// Rows: q of all heads, then k, then v.
    pub qkv: DenseWeights,
    /// Scores are scaled by this.
    pub score_scale: f32,
    /// From the heads' contexts back to the model's width.
    pub attention_out: DenseWeights,
    /// Before the feedforward layer (crammedBERT), or after it (BERT).
    pub norm2: NormWeights,
    /// The feedforward layer.
    pub ffn: FfnWeights,
}

/// What stands on top of the encoder.
#[derive(Debug, Clone, PartialEq)]
pub enum HeadWeights {
    /// Nothing.
    None,
    /// The decoder is the word embedding.
    MaskedLm {
        /// Dense, GELU and LayerNorm before the decoder.
        transform: Option<(DenseWeights, NormWeights)>,
        /// `[vocabulary]`.
        bias: Option<Vec<f32>>,
    },
    /// `out(tanh(dense(pooled)))`.
    Classifier {
        /// After pooling.
        dense: DenseWeights,
        /// `[classes, ...]`.
        out: DenseWeights,
    },
}

/// The weights of an encoder: where each part is found in its files. Parts are read when asked for, so that no more than one of them
/// needs to be in memory.
#[derive(Debug)]
pub struct EncoderWeights<'data> {
    config: EncoderConfig,
    files: Vec<Checkpoint<'data>>,
    prefix: &'static str,
    precision: Precision,
    /// Seed of weights that are in no file.
    random: Option<u64>,
}

impl EncoderWeights<'static> {
    /// Random weights, the same for the same seed: exact in f16, of sizes that keep activations near one. For measurements and tests.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration is none that [`EncoderConfig::validate`] accepts.
    pub fn random(config: EncoderConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let (files, precision) = (Vec::new(), Precision::F32);
        Ok(Self { config, files, prefix: "", precision, random: Some(seed) })
    }

    /// Opens a model's folder: `config.json` with `model.safetensors`, or the shards that `model.safetensors.index.json` lists.
    ///
    /// If the configuration has a `base`, the name of a folder beside this one, tensors that are not here come from there.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Checkpoint`], [`Error::Config`]: what the configuration asks for and this crate does not do.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let config = folder.join("config.json");
        let config =
            EncoderConfig::from_json(&config.display().to_string(), &weight_files::read(&config)?)?;
        let mut files = weight_files::files(folder)?;
        if let Some(base) = weight_files::base(folder)? {
            files.extend(weight_files::files(&base)?);
        }
        Self::new(config, files)
    }
}

impl<'data> EncoderWeights<'data> {
    /// Weights in these files, however they are spread over them.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] if there is no embedding, [`Error::Config`] if [`EncoderConfig::validate`] refuses the configuration.
    pub fn new(config: EncoderConfig, files: Vec<Checkpoint<'data>>) -> Result<Self> {
        config.validate()?;
        let prefixes: &[&str] = match config.family {
            Family::CrammedBert => &["encoder.", ""],
            Family::Bert => &["bert.", ""],
        };
        let mut weights =
            Self { config, files, prefix: "", precision: Precision::F32, random: None };
        let norm = match weights.config.family {
            Family::CrammedBert => "layers.0.norm1",
            Family::Bert => "embeddings.LayerNorm",
        };
        for prefix in prefixes {
            weights.prefix = prefix;
            if weights.has(&weights.norm_part(&weights.name(norm), "weight", "gamma")) {
                break;
            }
        }
        weights.file(&weights.norm_part(&weights.name(norm), "weight", "gamma"))?;
        Ok(weights)
    }

    /// The same weights as a device holds them in this precision: with f16, matrices are rounded to it; norms, biases and positions stay.
    pub fn stored_as(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// The same weights with another pooler, if they have a classification head: the recipe of crammedBERT's GLUE runs uses
    /// [`Pooler::ZeroIndex`] whatever the file says.
    pub fn with_pooler(mut self, pooler: Pooler) -> Self {
        if let Head::Classifier { .. } = self.config.head {
            self.config.head = Head::Classifier { pooler };
        }
        self
    }

    /// The sizes.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Name, shape and bytes of every tensor.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>, usize)> {
        let entries = self.files.iter().enumerate().flat_map(|(place, file)| {
            file.names().into_iter().filter_map(move |name| {
                // Of a model with a base, its own.
                if self.files[..place].iter().any(|before| before.has(&name)) {
                    return None;
                }
                let info = file.info(&name).ok()?;
                Some((name, info.shape.clone(), info.data_offsets.1 - info.data_offsets.0))
            })
        });
        entries.collect()
    }

    fn name(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.prefix)
    }

    fn has(&self, tensor: &str) -> bool {
        self.files.iter().any(|file| file.has(tensor))
    }

    /// The file that holds a tensor.
    fn file(&self, tensor: &str) -> Result<&Checkpoint<'data>> {
        let found = self.files.iter().find(|file| file.has(tensor)).or(self.files.first());
        let file = found.ok_or_else(|| Error::config("checkpoint", "a file", "none"))?;
        file.info(tensor)?;
        Ok(file)
    }

    /// A tensor of exactly this shape, finite.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        if let Some(seed) = self.random {
            return Ok(random_tensor(name, shape, seed));
        }
        let file = self.file(name)?;
        file.expect(name, shape)?;
        let values = file.floats(name)?;
        check_finite(name, &values)?;
        Ok(values)
    }

    /// A tensor that is stored in the precision of matrices.
    fn matrix(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut values = self.tensor(name, shape)?;
        if self.precision == Precision::F16 {
            values.iter_mut().for_each(|v| *v = half::f16::from_f32(*v).to_f32());
        }
        Ok(values)
    }

    fn norm(&self, name: &str) -> Result<NormWeights> {
        let hidden = [self.config.hidden];
        Ok(NormWeights {
            weight: self.tensor(&self.norm_part(name, "weight", "gamma"), &hidden)?,
            bias: self.tensor(&self.norm_part(name, "bias", "beta"), &hidden)?,
        })
    }

    /// A LayerNorm's tensor by the name that the files use: the old one of TensorFlow's checkpoints, which transformers reads and writes too,
    /// where only that is there.
    fn norm_part(&self, norm: &str, part: &str, old: &str) -> String {
        let (name, old) = (format!("{norm}.{part}"), format!("{norm}.{old}"));
        if !self.has(&name) && self.has(&old) { old } else { name }
    }

    fn dense(&self, name: &str, output: usize, input: usize, bias: bool) -> Result<DenseWeights> {
        Ok(DenseWeights {
            input,
            output,
            weight: self.matrix(&format!("{name}.weight"), &[output, input])?,
            bias: bias.then(|| self.tensor(&format!("{name}.bias"), &[output])).transpose()?,
        })
    }

    /// Rows of a matrix, from its shape in the file.
    fn rows(&self, name: &str) -> Result<usize> {
        let shape = &self.file(name)?.info(name)?.shape;
        match shape[..] {
            [rows, _] if rows > 0 => Ok(rows),
            _ => Err(Error::config(format!("shape of `{name}`"), "a matrix", format!("{shape:?}"))),
        }
    }

    /// The embedding.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::Config`], [`Error::Value`], [`Error::Io`]; so have all that follow.
    pub fn embedding(&self) -> Result<EmbeddingWeights> {
        let EncoderConfig { vocabulary, hidden, positions, token_types, .. } = self.config;
        match self.config.family {
            Family::CrammedBert => {
                let scale_name = self.name("embedding.pos_embedding.scale_factor");
                let scale = self.tensor(&scale_name, &[1])?[0];
                // One matrix, stored once or twice; of two the decoder's counts, as in torch's loader.
                let words = self.name("embedding.word_embedding.weight");
                let words =
                    if self.has("decoder.weight") { "decoder.weight".into() } else { words };
                let norm = self.name("embedding.norm");
                Ok(EmbeddingWeights {
                    words: self.matrix(&words, &[vocabulary, hidden])?,
                    positions: sinusoids(positions, hidden, scale),
                    types: vec![0.0; hidden],
                    norm: self.config.embedding_norm.then(|| self.norm(&norm)).transpose()?,
                })
            }
            Family::Bert => {
                let part = |part: &str| self.name(&format!("embeddings.{part}"));
                Ok(EmbeddingWeights {
                    words: self.matrix(&part("word_embeddings.weight"), &[vocabulary, hidden])?,
                    positions: self
                        .tensor(&part("position_embeddings.weight"), &[positions, hidden])?,
                    types: self
                        .tensor(&part("token_type_embeddings.weight"), &[token_types, hidden])?,
                    norm: Some(self.norm(&part("LayerNorm"))?),
                })
            }
        }
    }

    /// A layer.
    ///
    /// # Errors
    /// As [`EncoderWeights::embedding`].
    pub fn layer(&self, layer: usize) -> Result<LayerWeights> {
        let EncoderConfig { hidden, heads, .. } = self.config;
        match self.config.family {
            Family::CrammedBert => {
                let part = |part: &str| self.name(&format!("layers.{layer}.{part}"));
                let score_scale = self.score_scale(layer)?;
                let packed = self.dense(
                    &part("attn.self_attention.query_key_value"),
                    3 * hidden,
                    hidden,
                    false,
                )?;
                let ffn = match self.config.ffn {
                    Ffn::Fff { .. } => self.fff(&part("ffn"))?,
                    Ffn::Dense { width } => FfnWeights::Dense {
                        up: self.dense(&part("ffn.dense_in"), width, hidden, false)?,
                        down: self.dense(&part("ffn.dense_out"), hidden, width, false)?,
                    },
                };
                Ok(LayerWeights {
                    norm1: self.norm(&part("norm1"))?,
                    qkv: unpacked_by_head(packed, heads),
                    score_scale,
                    attention_out: self.dense(&part("attn.dense"), hidden, hidden, false)?,
                    norm2: self.norm(&part("norm2"))?,
                    ffn,
                })
            }
            Family::Bert => {
                let part = |part: &str| self.name(&format!("encoder.layer.{layer}.{part}"));
                let parts: Vec<_> = ["query", "key", "value"]
                    .iter()
                    .map(|p| {
                        self.dense(&part(&format!("attention.self.{p}")), hidden, hidden, true)
                    })
                    .collect::<Result<_>>()?;
                let ffn = match self.config.ffn {
                    Ffn::Fff { .. } => self.fff(&part("ffn"))?,
                    Ffn::Dense { width } => FfnWeights::Dense {
                        up: self.dense(&part("intermediate.dense"), width, hidden, true)?,
                        down: self.dense(&part("output.dense"), hidden, width, true)?,
                    },
                };
                Ok(LayerWeights {
                    norm1: self.norm(&part("attention.output.LayerNorm"))?,
                    qkv: DenseWeights {
                        input: hidden,
                        output: 3 * hidden,
                        weight: parts.iter().flat_map(|p| &p.weight).copied().collect(),
                        bias: Some(
                            parts.iter().flat_map(|p| p.bias.iter().flatten()).copied().collect(),
                        ),
                    },
                    score_scale: self.score_scale(layer)?,
                    attention_out: self.dense(
                        &part("attention.output.dense"),
                        hidden,
                        hidden,
                        true,
                    )?,
                    norm2: self.norm(&part("output.LayerNorm"))?,
                    ffn,
                })
            }
        }
    }

    /// What a layer's attention scores are scaled by.
    pub(crate) fn score_scale(&self, layer: usize) -> Result<f32> {
        match self.config.family {
            Family::CrammedBert => {
                let name = format!("layers.{layer}.attn.self_attention.norm_factor");
                Ok(self.tensor(&self.name(&name), &[])?[0])
            }
            Family::Bert => Ok(1.0 / (self.config.head_width() as f32).sqrt()),
        }
    }

    fn fff(&self, name: &str) -> Result<FfnWeights> {
        let weights = self.unrounded_fff(name)?;
        Ok(FfnWeights::Fff(match self.precision {
            Precision::F32 => weights,
            Precision::F16 => weights.rounded_to_f16()?,
        }))
    }

    fn unrounded_fff(&self, name: &str) -> Result<FffWeights> {
        let Some(shape) = self.config.ffn.shape(self.config.hidden)? else {
            return Err(Error::config(name, "an FFF layer", "a dense one"));
        };
        // Each tensor is read where it is: a layer may be split over two shards.
        let tensor = |part: &str, shape: &[usize]| self.tensor(&format!("{name}.{part}"), shape);
        let with_bias = self.random.is_some() || self.has(&format!("{name}.linear_in.bias"));
        FffWeights::read(shape, tensor, with_bias)
    }

    /// The LayerNorm after the last layer, if there is one.
    ///
    /// # Errors
    /// As [`EncoderWeights::embedding`].
    pub fn final_norm(&self) -> Result<Option<NormWeights>> {
        self.config.final_norm.then(|| self.norm(&self.name("final_norm"))).transpose()
    }

    /// The head.
    ///
    /// # Errors
    /// As [`EncoderWeights::embedding`].
    pub fn head(&self) -> Result<HeadWeights> {
        let EncoderConfig { hidden, vocabulary, .. } = self.config;
        match (self.config.head, self.config.family) {
            (Head::None, _) => Ok(HeadWeights::None),
            (Head::MaskedLm { transform }, _) => {
                let part = |part: &str| format!("cls.predictions.{part}");
                let bias = [part("bias"), part("decoder.bias")].into_iter().find(|b| self.has(b));
                let transform = transform
                    .then(|| -> Result<_> {
                        let dense = self.dense(&part("transform.dense"), hidden, hidden, true)?;
                        Ok((dense, self.norm(&part("transform.LayerNorm"))?))
                    })
                    .transpose()?;
                let bias = bias.map(|name| self.tensor(&name, &[vocabulary])).transpose()?;
                Ok(HeadWeights::MaskedLm { transform, bias })
            }
            (Head::Classifier { .. }, family) => {
                let (dense, out) = match family {
                    Family::CrammedBert => ("pooler.dense".into(), "head"),
                    Family::Bert => (self.name("pooler.dense"), "classifier"),
                };
                let width = self.rows(&format!("{dense}.weight"))?;
                let classes = self.rows(&format!("{out}.weight"))?;
                Ok(HeadWeights::Classifier {
                    dense: self.dense(&dense, width, hidden, true)?,
                    out: self.dense(out, classes, width, true)?,
                })
            }
        }
    }
}

/// Values by name and seed, exact in f16.
fn random_tensor(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut random = fastrand::Rng::with_seed(name.bytes().fold(seed, hash));
    let (centre, spread) = match shape {
        [] => (0.125, 0.0),
        [_] if name.contains("orm") && name.ends_with("weight") => (1.0, 0.2),
        [_] => (0.0, 0.2),
        [.., width] => (0.0, (1.0 / *width as f32).sqrt()),
    };
    let value = |unit: f32| centre + (2.0 * unit - 1.0) * spread;
    let count: usize = shape.iter().product();
    (0..count).map(|_| half::f16::from_f32(value(random.f32())).to_f32()).collect()
}

/// Rows [head][q, k, v][dim] to [q, k, v][head][dim].
fn unpacked_by_head(packed: DenseWeights, heads: usize) -> DenseWeights {
    let (input, output) = (packed.input, packed.output);
    let block = output / 3 / heads * input;
    let order = (0..3).flat_map(|part| (0..heads).map(move |head| head * 3 + part));
    let weight = order.flat_map(|from| &packed.weight[from * block..][..block]).copied().collect();
    DenseWeights { weight, ..packed }
}

/// PE[p, 2i] = sin(p * 10000^(-2i/H)), PE[p, 2i+1] = cos of the same, times the trained scale.
fn sinusoids(positions: usize, hidden: usize, scale: f32) -> Vec<f32> {
    let value = |position: usize, column: usize| {
        let exponent = -((column - column % 2) as f64) / hidden as f64;
        let angle = position as f64 * libm::pow(10_000.0, exponent);
        let wave = if column.is_multiple_of(2) { libm::sin(angle) } else { libm::cos(angle) };
        (wave * f64::from(scale)) as f32
    };
    (0..positions * hidden).map(|i| value(i / hidden, i % hidden)).collect()
}
