//! Random checkpoints of both families, in every stored form, written as files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

/// The form of FFF layers; of the leaf form with neurons of a leaf.
#[allow(dead_code, reason = "each test binary uses a part of this")]
#[derive(Clone, Copy)]
pub enum Form {
    Published,
    Signed,
    Leaf(usize),
}

/// The checkpoint to write.
#[derive(Clone, Copy)]
pub struct Spec {
    pub crammed: bool,
    /// Trees and depth; none: a dense layer of 40 neurons.
    pub fff: Option<(usize, usize)>,
    /// The form of a BERT's trees.
    pub form: Form,
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub vocabulary: usize,
    pub dtype: &'static str,
    /// Which copies of crammedBERT's tied matrix: embedding, decoder.
    pub tied: [bool; 2],
}

#[allow(dead_code, reason = "each test binary uses a part of this")]
pub const TINY: Spec = Spec {
    crammed: true,
    fff: Some((2, 3)),
    form: Form::Published,
    layers: 2,
    hidden: 24,
    heads: 3,
    vocabulary: 60,
    dtype: "F32",
    tied: [true, true],
};

type Tensors = Vec<(String, Vec<usize>)>;

impl Spec {
    pub fn config(&self) -> Value {
        let Self { layers, hidden, heads, vocabulary, .. } = self;
        if self.crammed {
            let (kind, size, depth) = match self.fff {
                Some((trees, depth)) => ("fff", trees, depth),
                None => ("ff", 40, 0),
            };
            json!({
                "model_type": "crammedBERT",
                "architectures": ["ScriptableLMForPreTraining"],
                "arch": {
                    "num_transformer_layers": layers, "hidden_size": hidden, "intermed_type": kind,
                    "intermed_size": size, "intermed_depth": depth, "nonlin": "GELU",
                    "norm": "LayerNorm", "norm_eps": 1e-12, "norm_scheme": "pre", "final_norm": true,
                    "use_bias": false, "decoder_bias": false, "tie_weights": true,
                    "skip_head_transform": true,
                    "embedding": {
                        "vocab_size": vocabulary, "embedding_dim": hidden, "max_seq_length": 128,
                        "normalization": true, "pos_embedding": "scaled-sinusoidal",
                    },
                    "attention": {
                        "type": "self-attention", "num_attention_heads": heads, "qkv_bias": false,
                        "causal_attention": false, "rotary_embedding": false,
                        "sequence_op": "torch-softmax", "skip_output_projection": false,
                    },
                },
            })
        } else {
            let mut config = json!({
                "model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_act": "gelu",
                "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
                "intermediate_size": 40, "vocab_size": vocabulary, "max_position_embeddings": 64,
                "type_vocab_size": 2, "layer_norm_eps": 1e-12,
            });
            if let Some((trees, depth)) = self.fff {
                config["ffn"] = json!({ "type": "fff", "trees": trees, "depth": depth });
                match self.form {
                    Form::Published => {}
                    Form::Signed => config["ffn"]["form"] = "signed".into(),
                    Form::Leaf(width) => {
                        let leaf = json!({ "type": "fff", "form": "leaf", "depth": depth });
                        config["ffn"] = leaf;
                        config["ffn"]["leaf_width"] = width.into();
                    }
                }
            }
            config
        }
    }

    fn tensors(&self) -> Tensors {
        let Self { hidden: h, vocabulary: v, .. } = *self;
        let mut all = Tensors::new();
        let mut add = |name: String, shape: &[usize]| all.push((name, shape.to_vec()));
        let fff = |prefix: &str, add: &mut dyn FnMut(String, &[usize])| {
            if let (Some((_, depth)), Form::Leaf(width)) = (self.fff, self.form) {
                let (nodes, leaves) = ((1 << depth) - 1, 1 << depth);
                add(format!("{prefix}.node_weights"), &[nodes, h]);
                add(format!("{prefix}.node_biases"), &[nodes, 1]);
                add(format!("{prefix}.w1s"), &[leaves, h, width]);
                add(format!("{prefix}.b1s"), &[leaves, width]);
                add(format!("{prefix}.w2s"), &[leaves, width, h]);
                add(format!("{prefix}.b2s"), &[leaves, h]);
            } else if let Some((trees, depth)) = self.fff {
                let nodes = trees * ((2 << depth) - 1);
                add(format!("{prefix}.linear_in.weight"), &[nodes, h]);
                add(format!("{prefix}.linear_in.bias"), &[nodes]);
                let sides = if matches!(self.form, Form::Signed) { 2 } else { 1 };
                add(format!("{prefix}.linear_out.weight"), &[h, sides * nodes]);
            }
        };
        if self.crammed {
            let norm = |name: &str, add: &mut dyn FnMut(String, &[usize])| {
                add(format!("{name}.weight"), &[h]);
                add(format!("{name}.bias"), &[h]);
            };
            add("encoder.embedding.pos_embedding.scale_factor".into(), &[1]);
            norm("encoder.embedding.norm", &mut add);
            norm("encoder.final_norm", &mut add);
            if self.tied[0] {
                add("encoder.embedding.word_embedding.weight".into(), &[v, h]);
            }
            if self.tied[1] {
                add("decoder.weight".into(), &[v, h]);
            }
            for layer in 0..self.layers {
                let p = format!("encoder.layers.{layer}");
                norm(&format!("{p}.norm1"), &mut add);
                norm(&format!("{p}.norm2"), &mut add);
                add(format!("{p}.attn.self_attention.norm_factor"), &[]);
                add(format!("{p}.attn.self_attention.query_key_value.weight"), &[3 * h, h]);
                add(format!("{p}.attn.dense.weight"), &[h, h]);
                fff(&format!("{p}.ffn"), &mut add);
                if self.fff.is_none() {
                    add(format!("{p}.ffn.dense_in.weight"), &[40, h]);
                    add(format!("{p}.ffn.dense_out.weight"), &[h, 40]);
                }
            }
        } else {
            let linear = |name: &str, o: usize, i: usize, add: &mut dyn FnMut(String, &[usize])| {
                add(format!("{name}.weight"), &[o, i]);
                add(format!("{name}.bias"), &[o]);
            };
            let norm = |name: &str, add: &mut dyn FnMut(String, &[usize])| {
                add(format!("{name}.LayerNorm.weight"), &[h]);
                add(format!("{name}.LayerNorm.bias"), &[h]);
            };
            add("bert.embeddings.word_embeddings.weight".into(), &[v, h]);
            add("bert.embeddings.position_embeddings.weight".into(), &[64, h]);
            add("bert.embeddings.token_type_embeddings.weight".into(), &[2, h]);
            norm("bert.embeddings", &mut add);
            linear("cls.predictions.transform.dense", h, h, &mut add);
            norm("cls.predictions.transform", &mut add);
            add("cls.predictions.bias".into(), &[v]);
            for layer in 0..self.layers {
                let p = format!("bert.encoder.layer.{layer}");
                for part in ["self.query", "self.key", "self.value", "output.dense"] {
                    linear(&format!("{p}.attention.{part}"), h, h, &mut add);
                }
                norm(&format!("{p}.attention.output"), &mut add);
                norm(&format!("{p}.output"), &mut add);
                fff(&format!("{p}.ffn"), &mut add);
                if self.fff.is_none() {
                    linear(&format!("{p}.intermediate.dense"), 40, h, &mut add);
                    linear(&format!("{p}.output.dense"), h, 40, &mut add);
                }
            }
        }
        all.sort();
        all
    }

    /// Writes `config.json` and the weights, over as many files as `shards`.
    pub fn write(&self, dir: &Path, seed: u64, shards: usize) {
        std::fs::write(dir.join("config.json"), self.config().to_string()).unwrap();
        let tensors = self.tensors();
        if shards == 1 {
            write_file(&dir.join("model.safetensors"), self.dtype, &tensors, seed);
            return;
        }
        let mut map = serde_json::Map::new();
        for shard in 0..shards {
            let file = format!("model-{shard}.safetensors");
            let part: Tensors = tensors.iter().skip(shard).step_by(shards).cloned().collect();
            write_file(&dir.join(&file), self.dtype, &part, seed);
            map.extend(part.into_iter().map(|(name, _)| (name, Value::from(file.clone()))));
        }
        let index = json!({ "metadata": {}, "weight_map": map });
        std::fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
    }
}

/// Values depend on the tensor's name and the seed alone, so that every stored form is the same model.
fn write_file(path: &Path, dtype: &str, tensors: &Tensors, seed: u64) {
    let size = if dtype == "F32" { 4 } else { 2 };
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in tensors {
        let start = end;
        end += shape.iter().product::<usize>() * size;
        let info = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        header.insert(name.clone(), info);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&header).unwrap();
    for (name, shape) in tensors {
        let tied = name.ends_with("word_embedding.weight") || name == "decoder.weight";
        let key = if tied { "words" } else { name };
        let name_hash =
            key.bytes().fold(seed, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mut random = fastrand::Rng::with_seed(name_hash);
        let count: usize = shape.iter().product();
        let (center, spread) = match shape.len() {
            0 => (0.3, 0.0),
            1 if name.contains("orm") && name.ends_with("weight") || name.ends_with("factor") => {
                (1.0, 0.2)
            }
            1 => (0.0, 0.2),
            _ => (0.0, (3.0 / shape[1].min(512) as f32).sqrt()),
        };
        for _ in 0..count {
            let value = center + (2.0 * random.f32() - 1.0) * spread;
            // Rounded to bf16, which f32 and f16 hold too.
            let value = half::bf16::from_f32(value);
            match dtype {
                "F32" => file.write_all(&value.to_f32().to_le_bytes()).unwrap(),
                "BF16" => file.write_all(&value.to_le_bytes()).unwrap(),
                _ => file.write_all(&half::f16::from_f32(value.to_f32()).to_le_bytes()).unwrap(),
            }
        }
    }
    file.flush().unwrap();
}
