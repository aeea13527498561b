//! An encoder's work as data: which operation reads and writes what, in order. It names no device.

mod build;
mod memory;
mod weights;

use std::ops::Range;

pub(crate) use build::{Facts, HeadFacts, Target};
pub(crate) use memory::Memory;
pub(crate) use weights::PartWeights;

use crate::dtype::{Dtype, Precision, row_stride};
use crate::fff::{FffShape, LeafActivation};
use crate::model::Pooler;

/// What a slot's rows belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// One each token of the batch.
    Tokens,
    /// One each sequence.
    Sequences,
    /// One each token that [`Output::Tokens`](crate::model::Output::Tokens) picks.
    Picked,
}

/// A place for activations: so many rows of `width` values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) rows: Rows,
    pub(crate) width: usize,
    pub(crate) dtype: Dtype,
}

impl Slot {
    /// Bytes of a row on a device, what pads it included.
    pub(crate) fn row_bytes(&self) -> usize {
        match self.dtype {
            Dtype::F32 => row_stride(self.width) * 4,
            Dtype::F16 => row_stride(self.width) * 2,
            Dtype::U32 => self.width * 4,
        }
    }
}

/// Index of a slot in its plan.
pub(crate) type SlotId = usize;

/// Weights of an encoder, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The embedding, with the words of the part of the vocabulary that has this number.
    Embedding(usize),
    EmbeddingNorm,
    Layer(usize, LayerPart),
    FinalNorm,
    /// Before the decoder.
    Transform,
    TransformNorm,
    /// The words of the part of the vocabulary with this number once more.
    Decoder(usize),
    Pooler,
    Classifier,
}

/// Weights of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LayerPart {
    Norm1,
    Qkv,
    AttentionOut,
    Norm2,
    /// The FFF layer.
    Fff,
    /// The dense feedforward layer: in, out.
    Up,
    Down,
}

/// What follows a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    None = 0,
    Gelu = 1,
    Tanh = 2,
    Relu = 3,
}

impl From<LeafActivation> for Activation {
    fn from(activation: LeafActivation) -> Self {
        match activation {
            LeafActivation::Gelu => Self::Gelu,
            LeafActivation::Relu => Self::Relu,
        }
    }
}

/// An operation, and all that a kernel for it must know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// Word, position and type of each token, added, of those whose ids are these; reads no slot.
    Embed { ids: Range<usize> },
    /// LayerNorm; a second slot that it writes has the same rows in f16.
    Norm { eps: f64 },
    /// activation(x * weight^T + bias).
    Dense { input: usize, output: usize, activation: Activation },
    /// An FFF layer; a second slot that it writes has the path of each token.
    Fff { shape: FffShape },
    /// From q, k and v, of all heads each, to the contexts of all heads.
    Attention { heads: usize, head: usize, scale: f32 },
    /// A row for each sequence.
    Pool(Pooler),
    /// The rows that the output picks.
    Gather,
    /// Each row divided by its Euclidean norm.
    Normalize,
}

/// One operation of a plan. It reads no slot that it writes, but one that it adds to.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) op: Op,
    /// The weights that it needs.
    pub(crate) part: Option<Part>,
    pub(crate) reads: Option<SlotId>,
    pub(crate) writes: Vec<SlotId>,
    /// What is added to the result: what the slot held that is written, or the one that is read. The residual stream.
    pub(crate) adds: Option<SlotId>,
    /// The name by which a tap finds what the step left in the first slot that it writes.
    pub(crate) stage: Option<String>,
}

/// The work of a forward.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) slots: Vec<Slot>,
    pub(crate) steps: Vec<Step>,
    /// Where the result is: parts that lie side by side.
    pub(crate) results: Vec<SlotId>,
}

impl Plan {
    /// How the activations of a slot are stored.
    pub(crate) fn stored(&self, slot: Option<SlotId>) -> Precision {
        match slot.map(|slot| self.slots[slot].dtype) {
            Some(Dtype::F16) => Precision::F16,
            _ => Precision::F32,
        }
    }

    /// The first id of a part of the vocabulary.
    pub(crate) fn first_id(&self, place: usize) -> usize {
        let ids = self.steps.iter().find_map(|step| match (&step.op, step.part) {
            (Op::Embed { ids }, Some(Part::Embedding(part))) if part == place => Some(ids.start),
            _ => None,
        });
        ids.unwrap_or(0)
    }

    /// Values of a row of the result.
    pub(crate) fn width(&self) -> usize {
        self.results.iter().map(|slot| self.slots[*slot].width).sum()
    }
}
