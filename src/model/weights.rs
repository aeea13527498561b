//! Reads the tensors of both families into one kind of weights, one layer at a time.

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
    /// Width of the input.
    pub input: usize,
    /// Width of the output.
    pub output: usize,
    /// The matrix, `[output, input]`.
    pub weight: Vec<f32>,
    /// The bias, `[output]`; `None` means zeros.
    pub bias: Option<Vec<f32>>,
}

/// A LayerNorm's scale and offset, `[hidden]` each.
#[derive(Debug, Clone, PartialEq)]
pub struct NormWeights {
    /// The scale.
    pub weight: Vec<f32>,
    /// The offset.
    pub bias: Vec<f32>,
}

/// The weights that turn tokens into the input of the first layer.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingWeights {
    /// The words, `[vocabulary, hidden]`.
    pub words: Vec<f32>,
    /// The positions, `[positions, hidden]`, which are added; sinusoids are already scaled.
    pub positions: Vec<f32>,
    /// The token types, `[token types, hidden]`, which are added; one row of zeros if there are
    /// none.
    pub types: Vec<f32>,
    /// The LayerNorm after the sum.
    pub norm: Option<NormWeights>,
}

/// A feedforward layer.
#[derive(Debug, Clone, PartialEq)]
pub enum FfnWeights {
    /// An FFF layer, which is conditional.
    Fff(FffWeights),
    /// A dense layer: down(GELU(up(x))).
    Dense {
        /// From the model's width to the neurons, `[width, hidden]`.
        up: DenseWeights,
        /// From the neurons to the model's width, `[hidden, width]`.
        down: DenseWeights,
    },
}

/// A transformer layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerWeights {
    /// The LayerNorm before attention (crammedBERT), or after it (BERT).
    pub norm1: NormWeights,
    /// The projections; their rows are q of all heads, then k, then v.
    pub qkv: DenseWeights,
    /// The factor by which scores are scaled.
    pub score_scale: f32,
    /// The projection from the heads' contexts back to the model's width.
    pub attention_out: DenseWeights,
    /// The LayerNorm before the feedforward layer (crammedBERT), or after it (BERT).
    pub norm2: NormWeights,
    /// The feedforward layer.
    pub ffn: FfnWeights,
}

/// The weights of the head on top of the encoder.
#[derive(Debug, Clone, PartialEq)]
pub enum HeadWeights {
    /// No head.
    None,
    /// A masked-LM head, whose decoder is the word embedding.
    MaskedLm {
        /// The dense layer and the LayerNorm, with GELU between them, before the decoder.
        transform: Option<(DenseWeights, NormWeights)>,
        /// The bias, `[vocabulary]`.
        bias: Option<Vec<f32>>,
    },
    /// A classification head: `out(tanh(dense(pooled)))`.
    Classifier {
        /// The dense layer after pooling.
        dense: DenseWeights,
        /// The scores' layer, `[classes, ...]`.
        out: DenseWeights,
    },
}

/// The weights of an encoder, and where each part is in its files. A part is read when it is asked
/// for, so no more than one of them needs to be in memory.
#[derive(Debug)]
pub struct EncoderWeights<'data> {
    config: EncoderConfig,
    files: Vec<Checkpoint<'data>>,
    prefix: &'static str,
    precision: Precision,
    /// The seed of random weights, which are in no file.
    random: Option<u64>,
}

impl EncoderWeights<'static> {
    /// Returns random weights, the same for the same seed, for measurements and tests. They are
    /// exact in f16 and keep activations near one.
    ///
    /// # Errors
    /// Returns [`Error::Config`] if [`EncoderConfig::validate`] refuses the configuration.
    pub fn random(config: EncoderConfig, seed: u64) -> Result<Self> {
        config.validate()?;
        let (files, precision) = (Vec::new(), Precision::F32);
        Ok(Self { config, files, prefix: "", precision, random: Some(seed) })
    }

    /// Opens a model's folder: `config.json` with `model.safetensors`, or with the shards that
    /// `model.safetensors.index.json` lists.
    ///
    /// If the configuration has a `base`, the name of a folder beside this one, tensors that are
    /// missing here are read from there.
    ///
    /// # Errors
    /// Returns [`Error::Io`] or [`Error::Checkpoint`] if a file cannot be read, and
    /// [`Error::Config`] if the configuration asks for something that this crate does not do.
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
    /// Returns the weights in these files, however they are spread over them.
    ///
    /// # Errors
    /// Returns [`Error::MissingTensor`] if there is no embedding, and [`Error::Config`] if
    /// [`EncoderConfig::validate`] refuses the configuration.
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

    /// Returns the same weights as a device stores them in this precision: for f16, matrices are
    /// rounded to it; norms, biases and positions stay.
    pub fn stored_as(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Returns the same weights with another pooler, if they have a classification head. The recipe
    /// of crammedBERT's GLUE runs uses [`Pooler::ZeroIndex`] whatever the file says.
    pub fn with_pooler(mut self, pooler: Pooler) -> Self {
        if let Head::Classifier { .. } = self.config.head {
            self.config.head = Head::Classifier { pooler };
        }
        self
    }

    /// Returns the encoder's configuration.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Returns the name, the shape and the bytes of every tensor.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>, usize)> {
        let entries = self.files.iter().enumerate().flat_map(|(place, file)| {
            file.names().into_iter().filter_map(move |name| {
                // If the base has the tensor too, the model's own counts.
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

    /// Returns the file that holds a tensor.
    fn file(&self, tensor: &str) -> Result<&Checkpoint<'data>> {
        let found = self.files.iter().find(|file| file.has(tensor)).or(self.files.first());
        let file = found.ok_or_else(|| Error::config("checkpoint", "a file", "none"))?;
        file.info(tensor)?;
        Ok(file)
    }

    /// Reads a tensor that must have exactly this shape and finite values.
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

    /// Reads a tensor that is stored in the precision of matrices.
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

    /// Returns the name of a LayerNorm's tensor in the files. If only the old name of TensorFlow's
    /// checkpoints is there, which transformers reads and writes too, it is that one.
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

    /// Returns the rows of a matrix, from its shape in the file.
    fn rows(&self, name: &str) -> Result<usize> {
        let shape = &self.file(name)?.info(name)?.shape;
        match shape[..] {
            [rows, _] if rows > 0 => Ok(rows),
            _ => Err(Error::config(format!("shape of `{name}`"), "a matrix", format!("{shape:?}"))),
        }
    }

    /// Reads the embedding.
    ///
    /// # Errors
    /// Returns [`Error::MissingTensor`], [`Error::Config`], [`Error::Value`] or [`Error::Io`].
    pub fn embedding(&self) -> Result<EmbeddingWeights> {
        let EncoderConfig { vocabulary, hidden, positions, token_types, .. } = self.config;
        match self.config.family {
            Family::CrammedBert => {
                let scale_name = self.name("embedding.pos_embedding.scale_factor");
                let scale = self.tensor(&scale_name, &[1])?[0];
                // This is one matrix, stored once or twice. Of two the decoder's counts, as in
                // torch's loader.
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

    /// Reads a layer.
    ///
    /// # Errors
    /// Returns the errors of [`EncoderWeights::embedding`].
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

    /// Returns the factor that scales a layer's attention scores.
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
        // Each tensor is read from the file that has it: a layer may be split over two shards.
        let tensor = |part: &str, shape: &[usize]| self.tensor(&format!("{name}.{part}"), shape);
        let with_bias = self.random.is_some() || self.has(&format!("{name}.linear_in.bias"));
        FffWeights::read(shape, tensor, with_bias)
    }

    /// Reads the LayerNorm after the last layer, if there is one.
    ///
    /// # Errors
    /// Returns the errors of [`EncoderWeights::embedding`].
    pub fn final_norm(&self) -> Result<Option<NormWeights>> {
        self.config.final_norm.then(|| self.norm(&self.name("final_norm"))).transpose()
    }

    /// Reads the head.
    ///
    /// # Errors
    /// Returns the errors of [`EncoderWeights::embedding`].
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

/// Returns values that depend on name and seed and are exact in f16.
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

/// Reorders rows [head][q, k, v][dim] to [q, k, v][head][dim].
fn unpacked_by_head(packed: DenseWeights, heads: usize) -> DenseWeights {
    let (input, output) = (packed.input, packed.output);
    let block = output / 3 / heads * input;
    let order = (0..3).flat_map(|part| (0..heads).map(move |head| head * 3 + part));
    let weight = order.flat_map(|from| &packed.weight[from * block..][..block]).copied().collect();
    DenseWeights { weight, ..packed }
}

/// Returns PE[p, 2i] = sin(p * 10000^(-2i/H)) and PE[p, 2i+1] = cos of the same, times the trained
/// scale.
fn sinusoids(positions: usize, hidden: usize, scale: f32) -> Vec<f32> {
    let value = |position: usize, column: usize| {
        let exponent = -((column - column % 2) as f64) / hidden as f64;
        let angle = position as f64 * libm::pow(10_000.0, exponent);
        let wave = if column.is_multiple_of(2) { libm::sin(angle) } else { libm::cos(angle) };
        (wave * f64::from(scale)) as f32
    };
    (0..positions * hidden).map(|i| value(i / hidden, i % hidden)).collect()
}
