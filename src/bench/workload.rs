//! The workloads of the benchmark: FFF layers, the dense layer that they replace, and the batch
//! sizes.

use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::fff::FffShape;
use crate::model::{DenseWeights, EncoderConfig, Family, Ffn, Sequence};

/// FFF layers against a dense layer, over batch sizes.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// The name that the rows carry.
    pub name: String,
    /// The FFF layers, all of the same widths.
    pub layers: Vec<FffShape>,
    /// Neurons of the dense layer; 0 means that none is measured.
    pub neurons: usize,
    /// The batch sizes, in tokens.
    pub tokens: Vec<usize>,
    /// The precisions of the weights.
    pub precisions: Vec<Precision>,
    /// Whether dense layers are measured in every tile shape, not only in the one that would be
    /// chosen.
    pub all_tiles: bool,
    /// The encoder around the layers, if whole encoders are measured.
    pub encoder: Option<EncoderShape>,
}

/// An encoder whose feedforward layers are those of a workload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderShape {
    /// The encoder's form: pre-LN without biases, or post-LN with them.
    pub family: Family,
    /// Transformer layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Tokens of a sequence; a smaller batch is one shorter sequence.
    pub length: usize,
}

impl EncoderShape {
    /// Returns the configuration with the given feedforward layers.
    pub(crate) fn config(&self, hidden: usize, ffn: Ffn) -> EncoderConfig {
        let Self { family, layers, heads, length } = *self;
        let mut config = EncoderConfig::new(family, layers, hidden, heads, ffn);
        (config.vocabulary, config.positions, config.token_types) = (VOCABULARY, length, 1);
        config
    }

    /// Returns sequences of random tokens, `tokens` in total.
    pub(crate) fn sequences(&self, tokens: usize) -> Vec<Sequence> {
        let mut random = fastrand::Rng::with_seed(9);
        let ids: Vec<u32> = (0..tokens).map(|_| random.u32(..VOCABULARY as u32)).collect();
        let sequence = |ids: &[u32]| Sequence { ids: ids.into(), ..Sequence::default() };
        ids.chunks(self.length).map(sequence).collect()
    }
}

/// Rows of a measured encoder's word embedding. Their number does not matter, because a row is
/// looked up.
const VOCABULARY: usize = 4096;

/// The presets and their descriptions.
pub const PRESETS: [(&str, &str); 5] = [
    ("bert-base", "one layer of UltraFastBERT-1x11: 768 wide, 4,095 neurons, 12 engaged"),
    ("trees-vs-depth", "the paper's whole family, 3072x0 to 1x11, against 3,072 dense neurons"),
    ("gpt3", "12,288 wide, 65,535 neurons, 16 engaged, against 49,152 dense neurons"),
    ("model", "a whole encoder like UltraFastBERT-1x11: 16 layers, 768 wide, sequences of 128"),
    ("model-minilm", "a whole encoder like MiniLM, 6 layers, 384 wide, 1x11 against 1,536 neurons"),
];

impl Workload {
    /// Returns a preset by its name; `quick` takes fewer and smaller batches.
    ///
    /// # Errors
    /// Returns [`Error::Input`], which lists the presets, for any other name.
    pub fn preset(name: &str, quick: bool) -> Result<Self> {
        let both = vec![Precision::F32, Precision::F16];
        let (width, layers, neurons, tokens, precisions) = match name {
            "bert-base" if quick => (768, vec![(1, 11)], 4095, vec![1, 16, 64], both),
            "bert-base" => {
                let tokens = vec![1, 4, 16, 64, 256, 1024, 4096, 16_384];
                (768, vec![(1, 11)], 4095, tokens, both)
            }
            "trees-vs-depth" => {
                let family = [
                    (3072, 0),
                    (1536, 1),
                    (512, 2),
                    (256, 3),
                    (128, 4),
                    (64, 5),
                    (32, 6),
                    (16, 7),
                    (8, 8),
                    (4, 9),
                    (2, 10),
                    (1, 11),
                ];
                let tokens = if quick { vec![1] } else { vec![1, 64, 1024, 16_384] };
                let layers = if quick { &family[4..] } else { &family[..] };
                (768, layers.to_vec(), 3072, tokens, vec![Precision::F32])
            }
            "model" | "model-minilm" => return Self::encoder(name, quick),
            "gpt3" => (12_288, vec![(1, 15)], 49_152, vec![1, 2048], vec![Precision::F16]),
            _ => {
                let names: Vec<_> = PRESETS.iter().map(|(name, _)| *name).collect();
                return Err(Error::input("preset", names.join(", "), name));
            }
        };
        let shape = |(trees, depth)| FffShape::new(width, trees, depth);
        let layers = layers.into_iter().map(shape).collect::<Result<_>>()?;
        Ok(Self {
            name: name.into(),
            layers,
            neurons,
            tokens,
            precisions,
            all_tiles: false,
            encoder: None,
        })
    }

    fn encoder(name: &str, quick: bool) -> Result<Self> {
        let (family, layers, heads, width, neurons) = match name {
            "model" => (Family::CrammedBert, 16, 12, 768, 4095),
            _ => (Family::Bert, 6, 12, 384, 1536),
        };
        let layers = if quick { 1 } else { layers };
        let tokens = if quick { vec![16, 128] } else { vec![16, 128, 1024, 16_384] };
        Ok(Self {
            name: name.into(),
            layers: vec![FffShape::new(width, 1, 11)?],
            neurons,
            tokens,
            precisions: vec![Precision::F32, Precision::F16],
            all_tiles: false,
            encoder: Some(EncoderShape { family, layers, heads, length: 128 }),
        })
    }

    /// Returns the widths of x and of y.
    pub fn widths(&self) -> (usize, usize) {
        self.layers.first().map_or((0, 0), |shape| (shape.input(), shape.output()))
    }

    /// Returns the size of the largest buffer that the workload binds, in bytes.
    pub fn largest_buffer(&self) -> u64 {
        let (input, output) = self.widths();
        let most = self.tokens.iter().copied().max().unwrap_or(0);
        let rows = |shape: &FffShape| shape.output_rows().max(shape.input_rows());
        let rows = self.layers.iter().map(rows).max().unwrap_or(0);
        let rows = rows.max(self.neurons) * input.max(output).next_multiple_of(8);
        let weight = if self.precisions.contains(&Precision::F32) { 4 } else { 2 };
        let activations = most * self.neurons.max(3 * input).max(output).next_multiple_of(8) * 4;
        (rows * weight).max(activations) as u64
    }
}

/// Returns `count` values in [-1.7, 1.7), the range that layer norm gives most values.
pub(crate) fn random_tokens(count: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (2.0 * random.f32() - 1.0) * 1.7).collect()
}

/// Returns a dense layer of random weights that are exact in f16; its logits are about 1 in size.
pub(crate) fn random_dense(input: usize, output: usize, seed: u64) -> DenseWeights {
    let mut random = fastrand::Rng::with_seed(seed);
    let scale = 1.0 / (input as f32).sqrt();
    let mut value = |scale: f32| half::f16::from_f32((2.0 * random.f32() - 1.0) * scale).to_f32();
    DenseWeights {
        input,
        output,
        weight: (0..input * output).map(|_| value(scale)).collect(),
        bias: Some((0..output).map(|_| value(0.1)).collect()),
    }
}
