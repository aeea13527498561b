//! The model on the device, and its weights on the host, for what the page shows of its inside.

use cmm::model::{EncoderWeights, FfnWeights, Output, Tap};
use cmm::{Device, FastBert, FffShape, FffWeights, ModelFiles, ModelOptions};
use serde::Serialize;
use wasm_bindgen::JsCast;

use crate::failure::Failure;
use crate::walk::{Walk, steps};

/// Tokens of the corpus that one forward takes while their hidden states are read back.
const TAPPED_TOKENS: usize = 256;

/// A model with its files.
pub struct Model {
    files: ModelFiles,
    pub bert: FastBert,
    shape: FffShape,
}

/// What the page says about a model.
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

impl Model {
    pub async fn load(device: &Device, files: &js_sys::Map) -> Result<Self, Failure> {
        let mut bytes = ModelFiles::new();
        for entry in files.entries() {
            let entry: js_sys::Array = entry.map_err(|_| Failure::input("no files"))?.into();
            let name = entry.get(0).as_string();
            let content = entry.get(1).dyn_into::<js_sys::Uint8Array>().ok();
            let (Some(name), Some(content)) = (name, content) else {
                return Err(Failure::input("a file must be a name and a Uint8Array"));
            };
            bytes.insert(name, content.to_vec());
        }
        let bert = FastBert::load_files(device, &bytes, &ModelOptions::default()).await?;
        let config = bert.encoder().config();
        // What the page draws is nodes that are neurons.
        let shown = |shape: &FffShape| shape.trees() == 1 && shape.nodes() == shape.neurons();
        let shape = config.ffn.shape(config.hidden)?.filter(shown).ok_or_else(|| {
            Failure::input("this page shows models of one tree a layer, whose nodes are neurons")
        })?;
        Ok(Self { files: bytes, bert, shape })
    }

    pub fn sizes(&self) -> Result<Sizes, Failure> {
        let tensors = EncoderWeights::from_files(&self.files)?.tensors();
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
        match EncoderWeights::from_files(&self.files)?.layer(layer)?.ffn {
            FfnWeights::Fff(weights) => Ok(weights),
            FfnWeights::Dense { .. } => Err(Failure::input("a dense layer has no tree")),
        }
    }

    /// What the FFF layer reads and the nodes that the device engaged, for the tokens of these texts: `[tokens, hidden]` and
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
