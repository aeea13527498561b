//! An encoder's work as data: which operation reads and writes what, in order. It names no device.

use crate::model::{EncoderConfig, Family, Ffn, Head, Output, Pooler};

/// What a slot's rows belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// One each token of the batch.
    Tokens,
    /// One each sequence.
    Sequences,
    /// One each token that [`Output::Tokens`] picks.
    Picked,
}

/// A place for activations: so many rows of `width` values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) rows: Rows,
    pub(crate) width: usize,
}

/// Index of a slot in its plan.
pub(crate) type SlotId = usize;

/// Weights of an encoder, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    EmbeddingNorm,
    Layer(usize, LayerPart),
    FinalNorm,
    /// Before the decoder.
    Transform,
    TransformNorm,
    Decoder,
    Pooler,
    Classifier,
}

/// Weights of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    None,
    Gelu,
    Tanh,
}

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    /// Word, position and type of each token, added; reads no slot.
    Embed,
    Norm(Part),
    Dense(Part, Activation),
    Fff(Part),
    /// From q, k and v to the contexts of all heads.
    Attention {
        layer: usize,
    },
    Pool(Pooler),
    /// The rows that the output picks.
    Gather,
    /// Each row divided by its Euclidean norm.
    Normalize,
}

/// One operation of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) reads: SlotId,
    pub(crate) writes: SlotId,
    /// Whether the result is added to what the slot holds: the residual stream.
    pub(crate) adds: bool,
    /// The name by which a tap finds what the step left.
    pub(crate) stage: Option<String>,
}

/// The work of a forward.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) slots: Vec<Slot>,
    pub(crate) steps: Vec<Step>,
    /// Where the result is.
    pub(crate) result: SlotId,
}

impl Plan {
    /// The plan of an encoder's forward to this output; none if the configuration has no such head. `classifier`: the classes, and the width
    /// before them, which only the checkpoint says.
    pub(crate) fn new(
        config: &EncoderConfig,
        classifier: [usize; 2],
        output: &Output,
    ) -> Option<Self> {
        let mut plan = Self { slots: Vec::new(), steps: Vec::new(), result: 0 };
        let hidden = plan.encoder(config);
        plan.result = plan.output(config, classifier, output, hidden)?;
        Some(plan)
    }

    fn slot(&mut self, rows: Rows, width: usize) -> SlotId {
        self.slots.push(Slot { rows, width });
        self.slots.len() - 1
    }

    fn step(&mut self, op: Op, reads: SlotId, writes: SlotId) -> &mut Step {
        self.steps.push(Step { op, reads, writes, adds: false, stage: None });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    fn added(&mut self, op: Op, reads: SlotId, writes: SlotId) {
        self.step(op, reads, writes).adds = true;
    }

    /// Names what the last step left.
    fn stage(&mut self, name: String) {
        if let Some(step) = self.steps.last_mut() {
            step.stage = Some(name);
        }
    }

    /// Embedding, layers, final norm; returns where the hidden states are.
    fn encoder(&mut self, config: &EncoderConfig) -> SlotId {
        let hidden = config.hidden;
        let slots = LayerSlots {
            x: self.slot(Rows::Tokens, hidden),
            normed: self.slot(Rows::Tokens, hidden),
            qkv: self.slot(Rows::Tokens, 3 * hidden),
            context: self.slot(Rows::Tokens, hidden),
            neurons: match config.ffn {
                Ffn::Dense { width } => Some(self.slot(Rows::Tokens, width)),
                Ffn::Fff { .. } => None,
            },
        };
        let LayerSlots { x, normed, .. } = slots;
        if config.embedding_norm {
            self.step(Op::Embed, normed, normed);
            self.step(Op::Norm(Part::EmbeddingNorm), normed, x);
        } else {
            self.step(Op::Embed, x, x);
        }
        self.stage("hidden.embed".into());
        for layer in 0..config.layers {
            self.layer(config.family, layer, &slots);
            self.stage(format!("hidden.layer{layer}"));
        }
        if config.final_norm {
            self.step(Op::Norm(Part::FinalNorm), x, normed);
            self.stage("hidden.final".into());
            return normed;
        }
        x
    }

    /// A transformer layer, its residual stream in `x`: pre-LN (crammedBERT) x += attention(norm1(x)); x += ffn(norm2(x)); or post-LN (BERT)
    /// x = norm1(x + attention(x)); x = norm2(x + ffn(x)).
    fn layer(&mut self, family: Family, layer: usize, slots: &LayerSlots) {
        let part = |part| Part::Layer(layer, part);
        let LayerSlots { x, normed, qkv, context, .. } = *slots;
        let pre = family == Family::CrammedBert;
        if pre {
            self.step(Op::Norm(part(LayerPart::Norm1)), x, normed);
            self.stage(format!("layer{layer}.norm1"));
        }
        let from = if pre { normed } else { x };
        self.step(Op::Dense(part(LayerPart::Qkv), Activation::None), from, qkv);
        self.step(Op::Attention { layer }, qkv, context);
        self.stage(format!("layer{layer}.context"));
        self.added(Op::Dense(part(LayerPart::AttentionOut), Activation::None), context, x);
        if pre {
            self.step(Op::Norm(part(LayerPart::Norm2)), x, normed);
            self.stage(format!("layer{layer}.norm2"));
            self.feedforward(layer, slots, normed, x);
        } else {
            self.step(Op::Norm(part(LayerPart::Norm1)), x, normed);
            self.stage(format!("layer{layer}.norm1"));
            self.feedforward(layer, slots, normed, normed);
            self.step(Op::Norm(part(LayerPart::Norm2)), normed, x);
        }
    }

    /// `to` += ffn(`from`).
    fn feedforward(&mut self, layer: usize, slots: &LayerSlots, from: SlotId, to: SlotId) {
        let part = |part| Part::Layer(layer, part);
        match slots.neurons {
            None => self.added(Op::Fff(part(LayerPart::Fff)), from, to),
            Some(neurons) => {
                self.step(Op::Dense(part(LayerPart::Up), Activation::Gelu), from, neurons);
                self.added(Op::Dense(part(LayerPart::Down), Activation::None), neurons, to);
            }
        }
    }

    /// From the hidden states to the output.
    fn output(
        &mut self,
        config: &EncoderConfig,
        [classes, mapped]: [usize; 2],
        output: &Output,
        hidden: SlotId,
    ) -> Option<SlotId> {
        let width = config.hidden;
        match (output, config.head) {
            (Output::Hidden, _) => Some(hidden),
            (Output::Pooled { pooler, normalized }, _) => {
                let pooled = self.slot(Rows::Sequences, width);
                self.step(Op::Pool(*pooler), hidden, pooled);
                if *normalized {
                    self.step(Op::Normalize, pooled, pooled);
                }
                Some(pooled)
            }
            (Output::Tokens(_), Head::MaskedLm { transform }) => {
                let from = self.slot(Rows::Picked, width);
                self.step(Op::Gather, hidden, from);
                if transform {
                    let other = self.slot(Rows::Picked, width);
                    self.step(Op::Dense(Part::Transform, Activation::Gelu), from, other);
                    self.step(Op::Norm(Part::TransformNorm), other, from);
                }
                let scores = self.slot(Rows::Picked, config.vocabulary);
                self.step(Op::Dense(Part::Decoder, Activation::None), from, scores);
                Some(scores)
            }
            (Output::Classes, Head::Classifier { pooler }) => {
                let [pooled, mapped, scores] =
                    [width, mapped, classes].map(|width| self.slot(Rows::Sequences, width));
                self.step(Op::Pool(pooler), hidden, pooled);
                self.step(Op::Dense(Part::Pooler, Activation::Tanh), pooled, mapped);
                self.step(Op::Dense(Part::Classifier, Activation::None), mapped, scores);
                Some(scores)
            }
            _ => None,
        }
    }
}

/// The slots that all layers share.
struct LayerSlots {
    /// The residual stream.
    x: SlotId,
    normed: SlotId,
    qkv: SlotId,
    context: SlotId,
    /// Of a dense feedforward layer.
    neurons: Option<SlotId>,
}
