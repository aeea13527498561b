//! An encoder's work as data: which operation reads and writes which slot, in order. It names no
//! device.

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

/// The kind of a slot's rows: what they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// A row for each token of the batch.
    Tokens,
    /// A row for each sequence.
    Sequences,
    /// A row for each token that [`Output::Tokens`](crate::model::Output::Tokens) picks.
    Picked,
}

/// A place for activations: a number of rows of `width` values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) rows: Rows,
    pub(crate) width: usize,
    pub(crate) dtype: Dtype,
}

impl Slot {
    /// Returns the bytes of a row on a device, including its padding.
    pub(crate) fn row_bytes(&self) -> usize {
        match self.dtype {
            Dtype::F32 => row_stride(self.width) * 4,
            Dtype::F16 => row_stride(self.width) * 2,
            Dtype::U32 => self.width * 4,
        }
    }
}

/// The index of a slot in its plan.
pub(crate) type SlotId = usize;

/// A part of an encoder's weights, named by its purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The embedding, with the words of this part of the vocabulary.
    Embedding(usize),
    EmbeddingNorm,
    Layer(usize, LayerPart),
    FinalNorm,
    /// The transform before the decoder.
    Transform,
    TransformNorm,
    /// The decoder: the words of this part of the vocabulary once more.
    Decoder(usize),
    Pooler,
    Classifier,
}

/// A part of a layer's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LayerPart {
    Norm1,
    Qkv,
    AttentionOut,
    Norm2,
    /// The FFF layer.
    Fff,
    /// The dense feedforward layer, into and out of its neurons.
    Up,
    Down,
}

/// The function that is applied to a product.
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

/// An operation, with all facts that a kernel for it needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// Adds word, position and type of each token whose id is among these. It reads no slot.
    Embed { ids: Range<usize> },
    /// LayerNorm. If it writes a second slot, that holds the same rows in f16.
    Norm { eps: f64 },
    /// activation(x * weight^T + bias).
    Dense { input: usize, output: usize, activation: Activation },
    /// An FFF layer. If it writes a second slot, that holds the path of each token.
    Fff { shape: FffShape },
    /// Attention from q, k and v, each of all heads, to the contexts of all heads.
    Attention { heads: usize, head: usize, scale: f32 },
    /// Pooling to a row for each sequence.
    Pool(Pooler),
    /// Picks the rows of the output.
    Gather,
    /// Divides each row by its Euclidean norm.
    Normalize,
}

/// One operation of a plan. It reads no slot that it writes, except one that it adds to.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) op: Op,
    /// The weights that it needs.
    pub(crate) part: Option<Part>,
    pub(crate) reads: Option<SlotId>,
    pub(crate) writes: Vec<SlotId>,
    /// The slot whose values are added to the result, which is the residual stream. It is the slot
    /// that is written, with its old values, or the one that is read.
    pub(crate) adds: Option<SlotId>,
    /// The name by which a tap finds the values of the first slot that the step writes.
    pub(crate) stage: Option<String>,
}

/// The work of a forward.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) slots: Vec<Slot>,
    pub(crate) steps: Vec<Step>,
    /// The slots of the result, whose parts lie side by side.
    pub(crate) results: Vec<SlotId>,
}

impl Plan {
    /// Returns the precision in which the activations of a slot are stored.
    pub(crate) fn stored(&self, slot: Option<SlotId>) -> Precision {
        match slot.map(|slot| self.slots[slot].dtype) {
            Some(Dtype::F16) => Precision::F16,
            _ => Precision::F32,
        }
    }

    /// Returns the first id of a part of the vocabulary.
    pub(crate) fn first_id(&self, place: usize) -> usize {
        let ids = self.steps.iter().find_map(|step| match (&step.op, step.part) {
            (Op::Embed { ids }, Some(Part::Embedding(part))) if part == place => Some(ids.start),
            _ => None,
        });
        ids.unwrap_or(0)
    }

    /// Returns the number of values in a row of the result.
    pub(crate) fn width(&self) -> usize {
        self.results.iter().map(|slot| self.slots[*slot].width).sum()
    }
}
