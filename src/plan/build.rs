//! Builds the plan of an encoder.

use std::ops::Range;

use crate::dtype::{Dtype, Precision};
use crate::error::{Error, Result};
use crate::fff::FffShape;
use crate::model::{EncoderConfig, EncoderWeights, Family, Ffn, Head, HeadWeights, Output, Pooler};
use crate::plan::{Activation, LayerPart, Op, Part, Plan, Rows, Slot, SlotId, Step};

/// The facts about the weights that a plan needs.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The factors that scale the attention scores of each layer.
    pub(crate) scales: Vec<f32>,
    pub(crate) head: HeadFacts,
}

/// The head on top of the encoder.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HeadFacts {
    None,
    /// The configuration names a head whose tensor is missing.
    Missing(String),
    MaskedLm {
        transform: bool,
    },
    /// The width before the classes, and the number of classes.
    Classifier {
        mapped: usize,
        classes: usize,
    },
}

impl HeadFacts {
    fn of(head: &HeadWeights) -> Self {
        match head {
            HeadWeights::None => Self::None,
            HeadWeights::MaskedLm { transform, .. } => {
                Self::MaskedLm { transform: transform.is_some() }
            }
            HeadWeights::Classifier { dense, out } => {
                Self::Classifier { mapped: dense.output, classes: out.output }
            }
        }
    }

    fn lacks(&self, head: &'static str) -> Error {
        let missing = match self {
            Self::Missing(tensor) => Some(tensor.as_str()),
            _ => None,
        };
        Error::no_head(head, missing)
    }
}

impl EncoderWeights<'_> {
    /// Returns the head, and the facts that a plan needs about it. A head whose tensor is missing
    /// counts as no head, because hidden states and vectors need none.
    ///
    /// # Errors
    /// Returns the errors of [`EncoderWeights::head`] except [`Error::MissingTensor`].
    pub(crate) fn head_or_missing(&self) -> Result<(HeadWeights, HeadFacts)> {
        match self.head() {
            Err(Error::MissingTensor { tensor, .. }) => {
                Ok((HeadWeights::None, HeadFacts::Missing(tensor)))
            }
            Err(error) => Err(error),
            Ok(head) => {
                let facts = HeadFacts::of(&head);
                Ok((head, facts))
            }
        }
    }
}

/// The requirements that an executor has of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The precision of the values that pass between a layer's operations; the residual stream is
    /// f32.
    pub(crate) activations: Precision,
    /// The width of a head, including its padding.
    pub(crate) head: usize,
    /// The parts into which the vocabulary's rows are split.
    pub(crate) vocabulary: Vec<Range<usize>>,
}

impl Plan {
    /// Returns the plan of a forward to this output. With `paths`, FFF layers also write the nodes
    /// that they engage.
    ///
    /// # Errors
    /// Returns [`Error::MissingHead`] if the model has no such head, and [`Error::Shape`] if its
    /// feedforward layer has impossible sizes.
    pub(crate) fn new(
        config: &EncoderConfig,
        facts: &Facts,
        target: &Target,
        output: &Output,
        paths: bool,
    ) -> Result<Self> {
        let plan = Self { slots: Vec::new(), steps: Vec::new(), results: Vec::new() };
        let mut builder = Builder { plan, config, facts, target, paths };
        let hidden = builder.encoder()?;
        builder.plan.results = builder.output(output, hidden)?;
        Ok(builder.plan)
    }
}

/// The residual stream in f32, and also in f16 if operations read it so.
#[derive(Clone, Copy)]
struct Stream {
    x: SlotId,
    half: Option<SlotId>,
}

impl Stream {
    /// Returns the slot that operations read.
    fn read(self) -> SlotId {
        self.half.unwrap_or(self.x)
    }

    fn slots(self) -> Vec<SlotId> {
        std::iter::once(self.x).chain(self.half).collect()
    }
}

/// A plan that is being built.
struct Builder<'b> {
    plan: Plan,
    config: &'b EncoderConfig,
    facts: &'b Facts,
    target: &'b Target,
    paths: bool,
}

impl Builder<'_> {
    fn slot(&mut self, rows: Rows, width: usize, dtype: Dtype) -> SlotId {
        self.plan.slots.push(Slot { rows, width, dtype });
        self.plan.slots.len() - 1
    }

    /// Adds a slot with rows of the model's width for all tokens, in f32.
    fn hidden(&mut self) -> SlotId {
        self.slot(Rows::Tokens, self.config.hidden, Dtype::F32)
    }

    /// Adds a slot with rows that pass between a layer's operations.
    fn passed(&mut self, width: usize) -> SlotId {
        self.slot(Rows::Tokens, width, self.target.activations.into())
    }

    fn stream(&mut self) -> Stream {
        let half = self.target.activations == Precision::F16;
        let x = self.hidden();
        Stream { x, half: half.then(|| self.passed(self.config.hidden)) }
    }

    fn step(&mut self, op: Op, part: Option<Part>, reads: SlotId, writes: SlotId) -> &mut Step {
        let (reads, writes) = (Some(reads), vec![writes]);
        self.push(Step { op, part, reads, writes, adds: None, stage: None })
    }

    fn push(&mut self, step: Step) -> &mut Step {
        self.plan.steps.push(step);
        let last = self.plan.steps.len() - 1;
        &mut self.plan.steps[last]
    }

    /// Names the result of the last step.
    fn stage(&mut self, name: String) {
        if let Some(step) = self.plan.steps.last_mut() {
            step.stage = Some(name);
        }
    }

    fn norm(&mut self, part: Part, reads: SlotId, writes: Vec<SlotId>) {
        let op = Op::Norm { eps: self.config.norm_eps };
        let (part, reads) = (Some(part), Some(reads));
        self.push(Step { op, part, reads, writes, adds: None, stage: None });
    }

    /// Adds a dense layer from one slot to another; their widths are its sizes.
    fn dense(
        &mut self,
        part: Part,
        activation: Activation,
        reads: SlotId,
        writes: SlotId,
    ) -> &mut Step {
        let width = |slot: SlotId| self.plan.slots[slot].width;
        let op = Op::Dense { input: width(reads), output: width(writes), activation };
        self.step(op, Some(part), reads, writes)
    }

    /// Adds the embedding, the layers and the final norm. Returns the slot of the hidden states.
    fn encoder(&mut self) -> Result<SlotId> {
        let config = self.config;
        let embedded = self.hidden();
        for (place, ids) in self.target.vocabulary.iter().enumerate() {
            let (op, part) = (Op::Embed { ids: ids.clone() }, Some(Part::Embedding(place)));
            let writes = vec![embedded];
            self.push(Step { op, part, reads: None, writes, adds: None, stage: None });
        }
        let mut stream = Stream { x: embedded, half: None };
        if config.embedding_norm || config.family == Family::Bert {
            stream = match config.family {
                Family::Bert => self.stream(),
                Family::CrammedBert => Stream { x: self.hidden(), half: None },
            };
            self.norm(Part::EmbeddingNorm, embedded, stream.slots());
        }
        self.stage("hidden.embed".into());
        for layer in 0..config.layers {
            stream = match config.family {
                Family::CrammedBert => self.pre_norm_layer(layer, stream)?,
                Family::Bert => self.post_norm_layer(layer, stream)?,
            };
            self.stage(format!("hidden.layer{layer}"));
        }
        if !config.final_norm {
            return Ok(stream.x);
        }
        let last = self.hidden();
        self.norm(Part::FinalNorm, stream.x, vec![last]);
        self.stage("hidden.final".into());
        Ok(last)
    }

    /// Adds x += attention(norm1(x)); x += ffn(norm2(x)), as in crammedBERT.
    fn pre_norm_layer(&mut self, layer: usize, stream: Stream) -> Result<Stream> {
        for (place, part) in [LayerPart::Norm1, LayerPart::Norm2].into_iter().enumerate() {
            let normed = self.passed(self.config.hidden);
            self.norm(Part::Layer(layer, part), stream.x, vec![normed]);
            self.stage(format!("layer{layer}.norm{}", place + 1));
            if place == 0 {
                self.attention(layer, normed, stream.x);
            } else {
                self.feedforward(layer, normed, stream.x)?;
            }
        }
        Ok(stream)
    }

    /// Adds x = norm1(x + attention(x)); x = norm2(x + ffn(x)), as in BERT.
    fn post_norm_layer(&mut self, layer: usize, stream: Stream) -> Result<Stream> {
        self.attention(layer, stream.read(), stream.x);
        let between = self.stream();
        self.norm(Part::Layer(layer, LayerPart::Norm1), stream.x, between.slots());
        self.stage(format!("layer{layer}.norm1"));
        let sum = self.feedforward(layer, between.read(), between.x)?;
        let after = self.stream();
        self.norm(Part::Layer(layer, LayerPart::Norm2), sum, after.slots());
        Ok(after)
    }

    /// Adds `to` += attention(`from`).
    fn attention(&mut self, layer: usize, from: SlotId, to: SlotId) {
        let (heads, head) = (self.config.heads, self.target.head);
        let qkv = self.passed(3 * heads * head);
        self.dense(Part::Layer(layer, LayerPart::Qkv), Activation::None, from, qkv);
        let context = self.passed(heads * head);
        let scale = self.facts.scales.get(layer).copied().unwrap_or(1.0);
        self.step(Op::Attention { heads, head, scale }, None, qkv, context);
        if head == self.config.head_width() {
            self.stage(format!("layer{layer}.context"));
        }
        let part = Part::Layer(layer, LayerPart::AttentionOut);
        self.dense(part, Activation::None, context, to).adds = Some(to);
    }

    /// Adds `to` + ffn(`from`) and returns its slot, which is `to` unless the layer reads that one.
    fn feedforward(&mut self, layer: usize, from: SlotId, to: SlotId) -> Result<SlotId> {
        let part = |part| Part::Layer(layer, part);
        match self.config.ffn {
            Ffn::Fff { trees, depth, form } => {
                let shape = FffShape::new(self.config.hidden, trees, depth)?.in_form(form)?;
                let y = if from == to { self.hidden() } else { to };
                let mut writes = vec![y];
                if self.paths {
                    writes.push(self.slot(Rows::Tokens, shape.path_len(), Dtype::U32));
                }
                let (op, part) = (Op::Fff { shape }, Some(part(LayerPart::Fff)));
                let (reads, adds) = (Some(from), Some(to));
                self.push(Step { op, part, reads, writes, adds, stage: None });
                Ok(y)
            }
            Ffn::Dense { width } => {
                let neurons = self.passed(width);
                self.dense(part(LayerPart::Up), Activation::Gelu, from, neurons);
                let down = part(LayerPart::Down);
                self.dense(down, Activation::None, neurons, to).adds = Some(to);
                Ok(to)
            }
        }
    }

    /// Adds the steps from the hidden states to the output. Returns the slots of its parts.
    fn output(&mut self, output: &Output, hidden: SlotId) -> Result<Vec<SlotId>> {
        let f32 = Dtype::F32;
        let width = self.config.hidden;
        match (output, &self.facts.head) {
            (Output::Hidden, _) => Ok(vec![hidden]),
            (Output::Pooled { pooler, normalized }, _) => {
                let mut pooled = self.pooled(*pooler, hidden);
                if *normalized {
                    let raw = pooled;
                    pooled = self.slot(Rows::Sequences, width, f32);
                    self.step(Op::Normalize, None, raw, pooled);
                }
                Ok(vec![pooled])
            }
            (Output::Tokens(_), HeadFacts::MaskedLm { transform }) => {
                let mut from = self.slot(Rows::Picked, width, f32);
                self.step(Op::Gather, None, hidden, from);
                if *transform {
                    let [mapped, normed] = [0; 2].map(|_| self.slot(Rows::Picked, width, f32));
                    self.dense(Part::Transform, Activation::Gelu, from, mapped);
                    self.norm(Part::TransformNorm, mapped, vec![normed]);
                    from = normed;
                }
                let mut scores = Vec::new();
                for (place, ids) in self.target.vocabulary.iter().enumerate() {
                    let part = self.slot(Rows::Picked, ids.len(), f32);
                    self.dense(Part::Decoder(place), Activation::None, from, part);
                    scores.push(part);
                }
                Ok(scores)
            }
            (Output::Classes, HeadFacts::Classifier { mapped, classes }) => {
                let pooler = match self.config.head {
                    Head::Classifier { pooler } => pooler,
                    _ => Pooler::ZeroIndex,
                };
                let pooled = self.pooled(pooler, hidden);
                let [mapped, scores] =
                    [*mapped, *classes].map(|width| self.slot(Rows::Sequences, width, f32));
                self.dense(Part::Pooler, Activation::Tanh, pooled, mapped);
                self.dense(Part::Classifier, Activation::None, mapped, scores);
                Ok(vec![scores])
            }
            (Output::Tokens(_), head) => Err(head.lacks("masked-LM")),
            (Output::Classes, head) => Err(head.lacks("classification")),
        }
    }

    fn pooled(&mut self, pooler: Pooler, hidden: SlotId) -> SlotId {
        let pooled = self.slot(Rows::Sequences, self.config.hidden, Dtype::F32);
        self.step(Op::Pool(pooler), None, hidden, pooled);
        pooled
    }
}
