//! Lines as vectors, to search in; and which nodes their tokens engaged.

use cmm::{FastBert, cosine};
use serde::Serialize;
use wasm_bindgen::JsValue;
use web_time::Instant;

use crate::failure::Failure;

/// Lines that run at once: few enough that progress is seen.
const LINES_AT_ONCE: usize = 16;

/// Lines that were embedded.
#[derive(Default)]
pub struct Corpus {
    lines: Vec<String>,
    vectors: Vec<Vec<f32>>,
    /// For each layer and node, the tokens that engaged it.
    heat: Vec<Vec<u32>>,
    tokens: usize,
    milliseconds: f64,
}

#[derive(Serialize)]
pub struct Sizes {
    lines: usize,
    tokens: usize,
    milliseconds: f64,
}

#[derive(Serialize)]
pub struct Answer {
    found: Vec<Found>,
    milliseconds: f64,
    tokens: usize,
    /// For each layer, the distinct nodes that the query's tokens engaged.
    engaged: Vec<Vec<u32>>,
}

#[derive(Serialize)]
struct Found {
    line: usize,
    text: String,
    similarity: f64,
}

impl Corpus {
    pub async fn embed(
        bert: &FastBert,
        lines: Vec<String>,
        progress: &js_sys::Function,
    ) -> Result<Self, Failure> {
        let config = bert.encoder().config();
        let nodes = config.ffn.shape(config.hidden)?.map_or(0, |shape| shape.nodes());
        let mut corpus = Self { heat: vec![vec![0; nodes]; config.layers], ..Self::default() };
        let start = Instant::now();
        for some in lines.chunks(LINES_AT_ONCE) {
            let texts: Vec<_> = some.iter().map(String::as_str).collect();
            for embedded in bert.embed_with_paths(&texts).await? {
                corpus.tokens += embedded.sequence.ids.len();
                corpus.vectors.push(embedded.vector);
                for (counts, path) in corpus.heat.iter_mut().zip(&embedded.paths) {
                    count_nodes(counts, path);
                }
            }
            let done = JsValue::from(corpus.vectors.len() as u32);
            let _ = progress.call1(&JsValue::NULL, &done);
        }
        corpus.milliseconds = start.elapsed().as_secs_f64() * 1e3;
        corpus.lines = lines;
        Ok(corpus)
    }

    pub fn sizes(&self) -> Sizes {
        let Self { lines, tokens, milliseconds, .. } = self;
        Sizes { lines: lines.len(), tokens: *tokens, milliseconds: *milliseconds }
    }

    pub async fn ask(&self, bert: &FastBert, query: &str, top: usize) -> Result<Answer, Failure> {
        let start = Instant::now();
        let embedded = bert.embed_with_paths(&[query]).await?.swap_remove(0);
        let mut found: Vec<_> = (0..self.lines.len())
            .map(|line| (line, cosine(&embedded.vector, &self.vectors[line])))
            .collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let distinct = |mut nodes: Vec<u32>| {
            nodes.sort_unstable();
            nodes.dedup();
            nodes
        };
        let text = |line: usize| self.lines[line].clone();
        Ok(Answer {
            found: found
                .into_iter()
                .take(top)
                .map(|(line, similarity)| Found { line, text: text(line), similarity })
                .collect(),
            milliseconds,
            tokens: embedded.sequence.ids.len(),
            engaged: embedded.paths.into_iter().map(distinct).collect(),
        })
    }

    pub fn heat(&self, layer: usize) -> Result<Vec<u32>, Failure> {
        let heat = self.heat.get(layer).cloned();
        heat.ok_or_else(|| Failure::input(format!("no lines have gone through layer {layer} yet")))
    }
}

/// Adds one to each node of these walks through one tree.
pub fn count_nodes(counts: &mut [u32], path: &[u32]) {
    for node in path {
        if let Some(count) = counts.get_mut(*node as usize) {
            *count += 1;
        }
    }
}
