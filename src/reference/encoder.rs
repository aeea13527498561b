//! Computes a whole encoder stage by stage and keeps everything on the way.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::model::{
    Batch, EncoderWeights, Family, FfnWeights, Head, HeadWeights, LayerWeights, Output,
};
use crate::reference::{attention, dense, fff_f64, gelu, l2_norm, layer_norm, pool};

/// The reference's results for a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EncoderOutput {
    /// The rows of the requested output.
    pub values: Vec<f64>,
    /// Every stage by its name (`hidden.embed`, `layer0.norm1`, ..., `hidden.final`),
    /// `[tokens, width]`.
    pub stages: BTreeMap<String, Vec<f64>>,
    /// The engaged nodes of each FFF layer, `[tokens, trees, levels]`.
    pub paths: Vec<Vec<u32>>,
    /// The logits of these nodes.
    pub logits: Vec<Vec<f64>>,
}

/// Computes a batch; `output` is that of [`Encoder::forward`](crate::Encoder::forward).
///
/// # Errors
/// Returns errors of reading the weights.
pub fn encoder(weights: &EncoderWeights, batch: &Batch, output: &Output) -> Result<EncoderOutput> {
    let config = weights.config();
    batch.belongs_to(config)?;
    let (hidden, eps) = (config.hidden, config.norm_eps);
    let mut out = EncoderOutput::default();
    let embedding = weights.embedding()?;
    let row =
        |matrix: &[f32], row: u32, column: usize| f64::from(matrix[row as usize * hidden + column]);
    let mut x: Vec<f64> = batch
        .tokens
        .iter()
        .flat_map(|[id, position, kind, _]| {
            let embedding = &embedding;
            (0..hidden).map(move |c| {
                row(&embedding.words, *id, c)
                    + row(&embedding.positions, *position, c)
                    + row(&embedding.types, *kind, c)
            })
        })
        .collect();
    if let Some(norm) = &embedding.norm {
        x = layer_norm(norm, eps, &x);
    }
    out.stages.insert("hidden.embed".into(), x.clone());
    for index in 0..config.layers {
        x = layer(&weights.layer(index)?, weights, batch, index, x, &mut out);
        out.stages.insert(format!("hidden.layer{index}"), x.clone());
    }
    if let Some(norm) = weights.final_norm()? {
        x = layer_norm(&norm, eps, &x);
    }
    out.stages.insert("hidden.final".into(), x.clone());
    out.values = match output {
        Output::Hidden => x,
        Output::Pooled { pooler, normalized } => {
            let pooled = pool(batch, *pooler, &x);
            if *normalized { l2_norm(hidden, &pooled) } else { pooled }
        }
        Output::Tokens(rows) => {
            batch.holds(rows)?;
            let mut x: Vec<f64> =
                rows.iter().flat_map(|r| &x[*r as usize * hidden..][..hidden]).copied().collect();
            let HeadWeights::MaskedLm { transform, bias } = weights.head()? else {
                return Err(Error::no_head("masked-LM", None));
            };
            if let Some((first, norm)) = transform {
                x = layer_norm(&norm, eps, &mapped(dense(&first, &x), gelu));
            }
            let decoder = crate::model::DenseWeights {
                input: hidden,
                output: config.vocabulary,
                weight: embedding.words,
                bias,
            };
            dense(&decoder, &x)
        }
        Output::Classes => {
            let (HeadWeights::Classifier { dense: first, out: last }, Head::Classifier { pooler }) =
                (weights.head()?, config.head)
            else {
                return Err(Error::no_head("classification", None));
            };
            dense(&last, &mapped(dense(&first, &pool(batch, pooler, &x)), libm::tanh))
        }
    };
    Ok(out)
}

fn mapped(mut x: Vec<f64>, f: fn(f64) -> f64) -> Vec<f64> {
    x.iter_mut().for_each(|v| *v = f(*v));
    x
}

fn added(x: &[f64], y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x + y).collect()
}

fn layer(
    layer: &LayerWeights,
    weights: &EncoderWeights,
    batch: &Batch,
    index: usize,
    x: Vec<f64>,
    out: &mut EncoderOutput,
) -> Vec<f64> {
    let config = weights.config();
    let (pre_norm, eps) = (config.family == Family::CrammedBert, config.norm_eps);
    let mut keep = |stage: &str, x: &[f64]| {
        out.stages.insert(format!("layer{index}.{stage}"), x.to_vec());
    };
    let normed = if pre_norm { layer_norm(&layer.norm1, eps, &x) } else { x.clone() };
    if pre_norm {
        keep("norm1", &normed);
    }
    let scale = f64::from(layer.score_scale);
    let context = attention(batch, config.heads, scale, &dense(&layer.qkv, &normed));
    keep("context", &context);
    let attended = dense(&layer.attention_out, &context);
    keep("attn_out", &attended);
    let x = added(&x, &attended);
    let (x, normed) = if pre_norm {
        let normed = layer_norm(&layer.norm2, eps, &x);
        keep("norm2", &normed);
        (x, normed)
    } else {
        let x = layer_norm(&layer.norm1, eps, &x);
        keep("norm1", &x);
        (x.clone(), x)
    };
    let y = match &layer.ffn {
        FfnWeights::Dense { up, down } => dense(down, &mapped(dense(up, &normed), gelu)),
        FfnWeights::Fff(weights) => {
            let result = fff_f64(weights, &normed);
            out.paths.push(result.path);
            out.logits.push(result.logits);
            result.y
        }
    };
    out.stages.insert(format!("layer{index}.ffn_out"), y.clone());
    let x = added(&x, &y);
    if pre_norm { x } else { layer_norm(&layer.norm2, eps, &x) }
}
