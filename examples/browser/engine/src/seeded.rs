//! A layer of random weights, and words as random vectors: what the page runs on before the model is there.

use std::cell::OnceCell;
use std::hash::{DefaultHasher, Hash, Hasher};

use cmm::{Device, FffLayer, FffShape, FffWeights, Precision, host};
use cmm_web::Failure;

use crate::walk::{Walk, steps};

/// As wide as FastMiniLM's layers, so that times say something about them.
const WIDTH: usize = 384;
const DEPTH: usize = 11;
const SEED: u64 = 42;

/// The layer.
pub struct Seeded {
    weights: FffWeights,
    /// On the GPU, from when it is first asked for: compiling its kernel takes a while on some.
    layer: OnceCell<FffLayer>,
}

impl Seeded {
    pub fn new() -> Result<Self, Failure> {
        let weights = FffWeights::random(FffShape::new(WIDTH, 1, DEPTH)?, SEED);
        Ok(Self { weights, layer: OnceCell::new() })
    }

    /// The nodes that these tokens engage.
    async fn path(&self, device: &Device, x: &[f32]) -> Result<Vec<u32>, Failure> {
        let Device::Gpu(gpu) = device else { return Ok(host::fff(&self.weights, x)?.path) };
        let layer = match self.layer.get() {
            Some(layer) => layer,
            None => {
                let layer = FffLayer::upload(gpu, &self.weights, Precision::F32).await?;
                self.layer.get_or_init(|| layer)
            }
        };
        Ok(layer.forward_with_path(x).await?.path)
    }

    pub async fn walk(&self, device: &Device, text: &str) -> Result<Walk, Failure> {
        let words = words(text);
        let x = vectors(&words);
        let path = self.path(device, &x).await?;
        steps(&self.weights, words, &x, &path, false)
    }

    pub async fn heat(&self, device: &Device, lines: &[String]) -> Result<Vec<u32>, Failure> {
        let words: Vec<_> = lines.iter().flat_map(|line| words(line)).collect();
        let path = self.path(device, &vectors(&words)).await?;
        let mut counts = vec![0; self.weights.shape().nodes()];
        path.iter().for_each(|node| counts[*node as usize] += 1);
        Ok(counts)
    }

    pub fn layer_input(
        &self,
        text: &str,
        lines: &[String],
        tokens: usize,
    ) -> (FffWeights, Vec<f32>) {
        let mut words = words(text);
        words.extend(lines.iter().flat_map(|line| self::words(line)));
        let x = vectors(&words);
        (self.weights.clone(), x.iter().copied().cycle().take(tokens * WIDTH).collect())
    }
}

/// Words in lower case; at least one.
fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> = parts.map(str::to_lowercase).collect();
    if words.is_empty() { vec!["(nothing)".into()] } else { words }
}

/// A vector for each word, always the same for the same word.
fn vectors(words: &[String]) -> Vec<f32> {
    let vector = |word: &String| {
        let mut hasher = DefaultHasher::new();
        word.hash(&mut hasher);
        let mut random = fastrand::Rng::with_seed(hasher.finish());
        (0..WIDTH).map(|_| (2.0 * random.f32() - 1.0) * 1.7).collect::<Vec<_>>()
    };
    words.iter().flat_map(vector).collect()
}
