//! The configuration of an encoder, read from two families of checkpoints. A feature that is not
//! implemented is refused by its name.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::fff::{FffForm, FffShape, LeafForm};
use crate::model::Problem;

/// The published form of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// `model_type: crammedBERT`, as UltraFastBERT publishes it: pre-LN, scaled sinusoidal
    /// positions, no biases in projections.
    CrammedBert,
    /// Hugging Face `bert`: post-LN, learned positions, token types, biases.
    Bert,
}

/// The feedforward layers of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ffn {
    /// Dense layers, in which every neuron is computed.
    Dense {
        /// Number of neurons.
        width: usize,
    },
    /// Fast feedforward layers.
    Fff {
        /// Number of trees, K.
        trees: usize,
        /// Depth of a tree, D.
        depth: usize,
        /// The form of the layer.
        #[serde(skip_serializing_if = "FffForm::is_published")]
        form: FffForm,
    },
}

impl Ffn {
    /// Returns feedforward layers of this shape.
    pub fn of(shape: FffShape) -> Self {
        Self::Fff { trees: shape.trees(), depth: shape.depth(), form: shape.form() }
    }

    /// Returns the shape of the FFF layers in an encoder of this width, or `None` for dense layers.
    ///
    /// # Errors
    /// Returns the errors of [`FffShape::new`] and [`FffShape::in_form`].
    pub fn shape(&self, hidden: usize) -> Result<Option<FffShape>> {
        match *self {
            Self::Dense { .. } => Ok(None),
            Self::Fff { trees, depth, form } => {
                FffShape::new(hidden, trees, depth)?.in_form(form).map(Some)
            }
        }
    }
}

/// The way in which the tokens of a sequence become one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooler {
    /// Mean over the unmasked tokens.
    MeanUnmasked,
    /// Mean over all positions, padding included.
    Avg,
    /// Maximum over all positions.
    Max,
    /// Log-sum-exp over all positions.
    Lse,
    /// The first token.
    ZeroIndex,
}

/// The head that a checkpoint has on top of the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// No head: the model gives hidden states and embeddings.
    None,
    /// A head that scores the whole vocabulary for a token.
    MaskedLm {
        /// Whether a dense layer, GELU and LayerNorm come before the decoder.
        transform: bool,
    },
    /// A head that scores classes for a sequence: pooling, dense, tanh, dense.
    Classifier {
        /// The pooling.
        pooler: Pooler,
    },
}

/// The sizes and kinds of an encoder's parts.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct EncoderConfig {
    /// The checkpoint's family.
    pub family: Family,
    /// Number of transformer layers.
    pub layers: usize,
    /// Width of the model.
    pub hidden: usize,
    /// Number of attention heads; it divides `hidden`.
    pub heads: usize,
    /// Rows of the word embedding.
    pub vocabulary: usize,
    /// The length of the longest sequence, in tokens.
    pub positions: usize,
    /// Rows of the token-type embedding; 0 means that there is none.
    pub token_types: usize,
    /// The value that is added to the variance of a LayerNorm.
    pub norm_eps: f64,
    /// Whether a LayerNorm follows the embedding.
    pub embedding_norm: bool,
    /// Whether a LayerNorm follows the last layer.
    pub final_norm: bool,
    /// The feedforward layers.
    pub ffn: Ffn,
    /// The head.
    pub head: Head,
    /// The meaning of a classification head's scores.
    pub problem: Problem,
    /// The names of the classes, if the checkpoint gives them.
    pub labels: Vec<String>,
}

impl EncoderConfig {
    /// Returns an encoder `hidden` wide without a head, whose other sizes are those of BERT-base or
    /// of crammedBERT. [`EncoderConfig::validate`] refuses impossible sizes; this function does
    /// not.
    pub fn new(family: Family, layers: usize, hidden: usize, heads: usize, ffn: Ffn) -> Self {
        let bert = family == Family::Bert;
        Self {
            family,
            layers,
            hidden,
            heads,
            vocabulary: if bert { 30_522 } else { 32_768 },
            positions: 512,
            token_types: if bert { 2 } else { 0 },
            norm_eps: 1e-12,
            embedding_norm: true,
            final_norm: !bert,
            ffn,
            head: Head::None,
            problem: Problem::Unsaid,
            labels: Vec::new(),
        }
    }
}

/// Keys of crammedBERT's `arch` that change nothing at inference, or that are read here.
const CRAMMED_KEYS: &[&str] = &[
    "architectures",
    "attention",
    "classification_head",
    "decoder_bias",
    "embedding",
    "ffn_layer_frequency",
    "final_norm",
    "hidden_dropout_prob",
    "hidden_size",
    "init",
    "intermed_depth",
    "intermed_size",
    "intermed_type",
    "loss",
    "nonlin",
    "norm",
    "norm_eps",
    "norm_scheme",
    "num_labels",
    "num_transformer_layers",
    "objective_layout",
    "skip_head_transform",
    "sparse_prediction",
    "tie_weights",
    "use_bias",
    "width",
];

/// The default where a configuration has no `layer_norm_eps`: that of BertConfig in transformers.
const DEFAULT_EPS: f64 = 1e-12;

/// A part of the file, with its place for messages.
struct Section<'a> {
    place: String,
    value: &'a Value,
}

impl<'a> Section<'a> {
    fn section(&self, key: &str) -> Result<Section<'a>> {
        let place = self.place_of(key);
        match self.value.get(key) {
            Some(value) if value.is_object() => Ok(Section { place, value }),
            other => Err(Error::config(place, "an object", shown(other))),
        }
    }

    fn place_of(&self, key: &str) -> String {
        format!("{}.{key}", self.place)
    }

    fn size(&self, key: &str, least: usize) -> Result<usize> {
        let found = self.value.get(key);
        found
            .and_then(Value::as_u64)
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| (least..=1 << 28).contains(size))
            .ok_or_else(|| {
                let expected = format!("a whole number from {least} to {}", 1 << 28);
                Error::config(self.place_of(key), expected, shown(found))
            })
    }

    /// Reads a size like [`Section::size`]. If the key is absent, it is the default that
    /// transformers documents.
    fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.value.get(key).is_some() { self.size(key, 1) } else { Ok(default) }
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.value.get(key).and_then(Value::as_str)
    }

    /// Requires that the key is absent or has one of these values; nothing else is implemented.
    fn only(&self, key: &str, allowed: &[Value]) -> Result<()> {
        match self.value.get(key) {
            Some(found) if !allowed.contains(found) => {
                let allowed: Vec<_> = allowed.iter().map(Value::to_string).collect();
                Err(Error::config(
                    self.place_of(key),
                    format!("{} (nothing else is implemented)", allowed.join(" or ")),
                    found,
                ))
            }
            _ => Ok(()),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.value.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            other => Err(Error::config(self.place_of(key), "true or false", shown(other))),
        }
    }

    fn norm_eps(&self, key: &str) -> Result<f64> {
        let found = self.value.get(key);
        found
            .and_then(Value::as_f64)
            .filter(|eps| (1e-30..1.0).contains(eps))
            .ok_or_else(|| Error::config(self.place_of(key), "0 < eps < 1", shown(found)))
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("nothing".into(), Value::to_string)
}

impl EncoderConfig {
    /// Reads a `config.json`; errors call it `name`.
    ///
    /// # Errors
    /// [`Error::Config`] names the key that is missing, malformed, or asks for something that is
    /// not implemented.
    pub fn from_json(name: &str, json: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|cause| Error::config(name, "a model's configuration in JSON", cause))?;
        let root = Section { place: name.into(), value: &value };
        root.only("quantization_config", &[Value::Null])?;
        let mut config = match root.text("model_type") {
            Some("crammedBERT") => Self::crammed(&root)?,
            Some("bert") => Self::bert(&root)?,
            _ => {
                return Err(Error::config(
                    root.place_of("model_type"),
                    "crammedBERT or bert",
                    shown(value.get("model_type")),
                ));
            }
        };
        config.validate().map_err(|error| error.within(name))?;
        config.problem = problem(&root)?;
        config.labels = labels(&value);
        Ok(config)
    }

    /// Returns the width of an attention head; 0 without heads, which [`EncoderConfig::validate`]
    /// refuses.
    pub fn head_width(&self) -> usize {
        self.hidden.checked_div(self.heads).unwrap_or(0)
    }

    fn crammed(root: &Section) -> Result<Self> {
        let arch = root.section("arch")?;
        let unknown = arch.value.as_object().into_iter().flatten().find(|(key, value)| {
            let off = value.is_null() || **value == Value::Bool(false) || **value == 0;
            !CRAMMED_KEYS.contains(&key.as_str()) && !off
        });
        if let Some((key, value)) = unknown {
            return Err(Error::config(arch.place_of(key), "nothing (not implemented)", value));
        }
        arch.only("nonlin", &["GELU".into()])?;
        arch.only("norm", &["LayerNorm".into()])?;
        arch.only("norm_scheme", &["pre".into()])?;
        arch.only("use_bias", &[false.into()])?;
        arch.only("decoder_bias", &[false.into()])?;
        arch.only("tie_weights", &[true.into()])?;
        arch.only("skip_head_transform", &[true.into()])?;
        arch.only("ffn_layer_frequency", &[1.into()])?;
        let attention = arch.section("attention")?;
        attention.only("type", &["self-attention".into()])?;
        attention.only("qkv_bias", &[false.into()])?;
        attention.only("causal_attention", &[false.into()])?;
        attention.only("rotary_embedding", &[false.into(), Value::Null])?;
        attention.only("sequence_op", &["torch-softmax".into()])?;
        attention.only("skip_output_projection", &[false.into()])?;
        let embedding = arch.section("embedding")?;
        embedding.only("pos_embedding", &["scaled-sinusoidal".into()])?;
        let hidden = arch.size("hidden_size", 2)?;
        embedding.only("embedding_dim", &[hidden.into()])?;
        if hidden % 2 == 1 {
            return Err(Error::config(arch.place_of("hidden_size"), "an even number", hidden));
        }
        let ffn = match arch.text("intermed_type") {
            Some("fff") => Ffn::Fff {
                trees: arch.size("intermed_size", 1)?,
                depth: arch.size("intermed_depth", 0)?,
                form: FffForm::Published,
            },
            Some("ff") => Ffn::Dense { width: arch.size("intermed_size", 1)? },
            _ => {
                let found = shown(arch.value.get("intermed_type"));
                return Err(Error::config(arch.place_of("intermed_type"), "fff or ff", found));
            }
        };
        let head = match architecture(root)? {
            "ScriptableLMForPreTraining" => Head::MaskedLm { transform: false },
            "ScriptableLMForSequenceClassification" => Head::Classifier { pooler: pooler(&arch)? },
            // Only the encoder is used, whether there is a head that nothing here knows or none.
            other if other.is_empty() || other.starts_with("Scriptable") => Head::None,
            other => return Err(unknown_architecture(root, other)),
        };
        Ok(Self {
            family: Family::CrammedBert,
            layers: arch.size("num_transformer_layers", 1)?,
            hidden,
            heads: attention.size("num_attention_heads", 1)?,
            vocabulary: embedding.size("vocab_size", 1)?,
            positions: embedding.size("max_seq_length", 1)?,
            token_types: 0,
            norm_eps: arch.norm_eps("norm_eps")?,
            embedding_norm: embedding.flag("normalization", false)?,
            final_norm: arch.flag("final_norm", true)?,
            ffn,
            head,
            problem: Problem::Unsaid,
            labels: Vec::new(),
        })
    }

    /// Reads the `ffn` of a BERT whose feedforward layers are FFF layers.
    fn fff(ffn: &Section) -> Result<Ffn> {
        ffn.only("type", &["fff".into()])?;
        let forms = ["published", "signed", "leaf"].map(Value::from);
        ffn.only("form", &forms)?;
        let form = ffn.text("form").unwrap_or("published");
        let keys: &[&str] = match form {
            "leaf" => &["trees", "depth", "leaf_width", "activation", "output_bias"],
            _ => &["trees", "depth"],
        };
        let keys = |key: &str| ["type", "form"].contains(&key) || keys.contains(&key);
        let unknown = ffn.value.as_object().into_iter().flatten().find(|(key, _)| !keys(key));
        if let Some((key, value)) = unknown {
            let expected = format!("nothing (the {form} form has no such key)");
            return Err(Error::config(ffn.place_of(key), expected, value));
        }
        let depth = ffn.size("depth", 0)?;
        if form != "leaf" {
            let form = if form == "signed" { FffForm::Signed } else { FffForm::Published };
            return Ok(Ffn::Fff { trees: ffn.size("trees", 1)?, depth, form });
        }
        ffn.only("trees", &[1.into()])?;
        ffn.only("activation", &["gelu".into(), "relu".into()])?;
        let leaf = LeafForm {
            width: ffn.size("leaf_width", 1)?,
            activation: ffn.text("activation").unwrap_or("gelu").parse()?,
            without_output_bias: !ffn.flag("output_bias", true)?,
        };
        Ok(Ffn::Fff { trees: 1, depth, form: FffForm::Leaf(leaf) })
    }

    fn bert(root: &Section) -> Result<Self> {
        root.only("hidden_act", &["gelu".into()])?;
        root.only("position_embedding_type", &["absolute".into(), Value::Null])?;
        root.only("is_decoder", &[false.into()])?;
        root.only("add_cross_attention", &[false.into()])?;
        root.only("tie_word_embeddings", &[true.into()])?;
        root.only("pruned_heads", &[Value::Object(Default::default())])?;
        let ffn = match root.value.get("ffn") {
            None => Ffn::Dense { width: root.size_or("intermediate_size", 3072)? },
            Some(_) => Self::fff(&root.section("ffn")?)?,
        };
        let head = match architecture(root)? {
            "BertForMaskedLM" | "BertForPreTraining" => Head::MaskedLm { transform: true },
            "BertForSequenceClassification" => Head::Classifier { pooler: Pooler::ZeroIndex },
            // Only the encoder is used, whether there is a head that nothing here knows or none.
            other if other.is_empty() || other.starts_with("Bert") => Head::None,
            other => return Err(unknown_architecture(root, other)),
        };
        Ok(Self {
            family: Family::Bert,
            layers: root.size_or("num_hidden_layers", 12)?,
            hidden: root.size_or("hidden_size", 768)?,
            heads: root.size_or("num_attention_heads", 12)?,
            vocabulary: root.size_or("vocab_size", 30_522)?,
            positions: root.size_or("max_position_embeddings", 512)?,
            token_types: root.size_or("type_vocab_size", 2)?,
            norm_eps: match root.value.get("layer_norm_eps") {
                None => DEFAULT_EPS,
                Some(_) => root.norm_eps("layer_norm_eps")?,
            },
            embedding_norm: true,
            final_norm: false,
            ffn,
            head,
            problem: Problem::Unsaid,
            labels: Vec::new(),
        })
    }
}

/// Returns the first of `architectures`; an empty string if there is none.
fn architecture<'a>(root: &Section<'a>) -> Result<&'a str> {
    let found = root.value.get("architectures");
    if found.is_none_or(Value::is_null) {
        return Ok("");
    }
    found.and_then(|list| list.get(0)).and_then(Value::as_str).ok_or_else(|| {
        Error::config(root.place_of("architectures"), "a list with a name", shown(found))
    })
}

fn unknown_architecture(root: &Section, found: &str) -> Error {
    let expected = "one of this family";
    Error::config(root.place_of("architectures"), expected, found)
}

fn pooler(arch: &Section) -> Result<Pooler> {
    let head = arch.section("classification_head")?;
    head.only("include_ff_layer", &[true.into()])?;
    head.only("nonlin", &["Tanh".into()])?;
    match head.text("pooler") {
        Some("avg") => Ok(Pooler::Avg),
        Some("max") => Ok(Pooler::Max),
        Some("lse") => Ok(Pooler::Lse),
        Some("zero_index") => Ok(Pooler::ZeroIndex),
        _ => {
            let found = shown(head.value.get("pooler"));
            Err(Error::config(head.place_of("pooler"), "avg, max, lse or zero_index", found))
        }
    }
}

fn problem(root: &Section) -> Result<Problem> {
    match root.value.get("problem_type") {
        None | Some(Value::Null) => Ok(Problem::Unsaid),
        Some(found) => match found.as_str() {
            Some("single_label_classification") => Ok(Problem::SingleLabel),
            Some("multi_label_classification") => Ok(Problem::MultiLabel),
            Some("regression") => Ok(Problem::Regression),
            _ => {
                let expected =
                    "single_label_classification, multi_label_classification or regression";
                Err(Error::config(root.place_of("problem_type"), expected, found))
            }
        },
    }
}

/// Returns `id2label` if it names the classes 0, 1, ...
fn labels(root: &Value) -> Vec<String> {
    let Some(names) = root.get("id2label").and_then(Value::as_object) else { return Vec::new() };
    (0..names.len())
        .map(|id| names.get(&id.to_string()).and_then(Value::as_str).map(str::to_owned))
        .collect::<Option<_>>()
        .unwrap_or_default()
}
