//! The inside of a model as the page shows it: its sizes, and what its layers' trees make of a text.

use cmm::model::{EncoderWeights, FfnWeights, Output, Tap};
use cmm::{FastBert, FffShape, FffWeights, ModelFiles};
use cmm_web::{Engine, Failure};
use serde::Serialize;

use crate::walk::{Walk, steps};

/// Tokens of the corpus that one forward takes while their hidden states are read back.
const TAPPED_TOKENS: usize = 256;

/// A model of one tree a layer, whose nodes are neurons: what the page draws.
pub struct Shown<'engine> {
    bert: &'engine FastBert,
    files: &'engine ModelFiles,
    shape: FffShape,
}

/// The facts that the page states about a model.
#[derive(Serialize)]
pub struct Sizes {
    layers: usize,
    hidden: usize,
    neurons: usize,
    engaged: usize,
    depth: usize,
    parameters: usize,
    bytes: usize,
}

impl<'engine> Shown<'engine> {
    pub fn of(engine: &'engine Engine) -> Result<Self, Failure> {
        let bert = engine.model()?;
        let config = bert.encoder().config();
        let shown = |shape: &FffShape| shape.trees() == 1 && shape.nodes() == shape.neurons();
        let shape = config.ffn.shape(config.hidden)?.filter(shown).ok_or_else(|| {
            Failure::input("this page shows models of one tree a layer, whose nodes are neurons")
        })?;
        Ok(Self { bert, files: engine.files(), shape })
    }

    pub fn sizes(&self) -> Result<Sizes, Failure> {
        let tensors = EncoderWeights::from_files(self.files)?.tensors();
        let weights = tensors.iter().filter(|(name, ..)| !name.ends_with(".scale"));
        Ok(Sizes {
            layers: self.bert.encoder().config().layers,
            hidden: self.shape.input(),
            neurons: self.shape.nodes(),
            engaged: self.shape.engaged(),
            depth: self.shape.depth(),
            parameters: weights.map(|(_, shape, _)| shape.iter().product::<usize>()).sum(),
            bytes: tensors.iter().map(|(.., bytes)| bytes).sum(),
        })
    }

    /// The weights of a layer's tree.
    fn tree(&self, layer: usize) -> Result<FffWeights, Failure> {
        if layer >= self.bert.encoder().config().layers {
            return Err(Failure::input(format!("the model has no layer {layer}")));
        }
        match EncoderWeights::from_files(self.files)?.layer(layer)?.ffn {
            FfnWeights::Fff(weights) => Ok(weights),
            FfnWeights::Dense { .. } => Err(Failure::input("a dense layer has no tree")),
        }
    }

    /// The rows that the FFF layer reads and the nodes that the device engaged, for the tokens of these texts: `[tokens, hidden]` and
    /// `[tokens, levels]`.
    async fn inside(
        &self,
        texts: &[&str],
        layer: usize,
    ) -> Result<(Vec<u32>, Vec<f32>, Vec<u32>), Failure> {
        let encoder = self.bert.encoder();
        let sequences = texts.iter().map(|text| self.bert.tokenizer().encode(text, None));
        let sequences: Vec<_> = sequences.collect::<Result<_, _>>()?;
        let batch = encoder.batch(&sequences)?;
        let mut encoded = encoder.forward(&batch, &Output::Hidden, Tap::Stages).await?;
        let stage = format!("layer{layer}.norm1");
        let x = encoded.stages.into_iter().find(|(name, _)| *name == stage);
        let (_, x) = x.ok_or_else(|| Failure::input(format!("no stage {stage}")))?;
        let ids = sequences.into_iter().flat_map(|sequence| sequence.ids).collect();
        Ok((ids, x, encoded.paths.swap_remove(layer)))
    }

    pub async fn walk(&self, text: &str, layer: usize) -> Result<Walk, Failure> {
        let weights = self.tree(layer)?;
        let (ids, x, path) = self.inside(&[text], layer).await?;
        let tokens = ids.iter().map(|id| self.bert.tokenizer().token(*id)).collect();
        steps(&weights, tokens, &x, &path, true)
    }

    /// A layer's tree, and what it reads for so many tokens of a text and of the lines after it, again from the start where they end.
    pub async fn layer_input(
        &self,
        text: &str,
        lines: &[String],
        layer: usize,
        tokens: usize,
    ) -> Result<(FffWeights, Vec<f32>), Failure> {
        let weights = self.tree(layer)?;
        let wanted = tokens * self.shape.input();
        let mut x = Vec::new();
        let mut texts = std::iter::once(text).chain(lines.iter().map(String::as_str)).peekable();
        while texts.peek().is_some() && x.len() < wanted {
            let (mut some, mut count) = (Vec::new(), 0);
            while let Some(text) = texts.next_if(|_| count < TAPPED_TOKENS.min(tokens)) {
                count += self.bert.tokenizer().encode(text, None)?.ids.len();
                some.push(text);
            }
            x.extend(self.inside(&some, layer).await?.1);
        }
        Ok((weights, x.iter().copied().cycle().take(wanted).collect()))
    }
}
