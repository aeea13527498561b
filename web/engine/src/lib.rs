//! The engine that the package's worker calls: a sentence encoder on the browser's GPU, or on the
//! CPU. Vectors are returned as typed arrays.
#![cfg(target_arch = "wasm32")]

mod failure;
mod files;

use cmm::{Device, FastBert, Gpu, GpuOptions, ModelFiles, ModelOptions, Precision};
use serde::Serialize;
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;

pub use crate::failure::Failure;

/// A device and the model on it. Calls must not overlap: the worker makes one at a time.
#[wasm_bindgen]
pub struct Engine {
    device: Device,
    model: Option<FastBert>,
    /// The model's files, if they were to be kept.
    files: ModelFiles,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the GPU that WebGPU offers.
    pub async fn on_gpu() -> Result<Engine, Failure> {
        console_error_panic_hook::set_once();
        Ok(Self::on(Device::Gpu(Gpu::request(&GpuOptions::default()).await?)))
    }

    /// Uses the CPU: vectorised WebAssembly on this one thread.
    pub fn on_cpu() -> Engine {
        console_error_panic_hook::set_once();
        Self::on(Device::Host)
    }

    fn on(device: Device) -> Self {
        Self { device, model: None, files: ModelFiles::new() }
    }

    /// Describes the device and its capabilities as JSON: `device`, `features`, `variants`,
    /// `timestamps`.
    pub fn describe(&self) -> Result<String, Failure> {
        #[derive(Default, Serialize)]
        struct Answer {
            device: &'static str,
            features: Vec<String>,
            variants: Vec<String>,
            timestamps: bool,
        }
        let answer = match &self.device {
            Device::Gpu(gpu) => {
                let names = gpu.device().features();
                let can = gpu.capabilities();
                Answer {
                    device: "webgpu",
                    features: names.iter_names().map(|(name, _)| name.to_owned()).collect(),
                    variants: can.variants().iter().map(ToString::to_string).collect(),
                    timestamps: can.timestamps,
                }
            }
            Device::Host => Answer { device: "cpu", ..Answer::default() },
        };
        serde_json::to_string(&answer).map_err(|error| Failure::input(error.to_string()))
    }

    /// Puts a model on the device. `files` is a `Map` from file names to `Uint8Array`s, as a
    /// model's folder holds them. Matrices are stored in `precision`, which is `f32` or `f16`, or
    /// as the kernels' `variant` says. `keep` keeps the files, for programs that show them later.
    pub async fn load(
        &mut self,
        files: js_sys::Map,
        precision: &str,
        variant: Option<String>,
        keep: bool,
    ) -> Result<(), Failure> {
        (self.model, self.files) = (None, ModelFiles::new());
        let mut options = ModelOptions::default();
        options.stored = options.stored.weights(match precision {
            "f32" => Precision::F32,
            "f16" => Precision::F16,
            other => {
                return Err(Failure::input(format!("precision must be f32 or f16, not {other}")));
            }
        });
        if let Some(variant) = variant {
            options.stored = options.stored.variant(variant.parse()?);
        }
        let files = files::files_of(&files)?;
        self.model = Some(FastBert::load_files(&self.device, &files, &options).await?);
        if keep {
            self.files = files;
        }
        Ok(())
    }

    /// Returns the number of values of a vector.
    pub fn width(&self) -> Result<usize, Failure> {
        Ok(self.model()?.encoder().config().hidden)
    }

    /// Returns unit vectors of texts, `[texts, width]`. `what` decides which of the model's prompts
    /// they get: `text`, `query` or `document`.
    pub async fn embed(&self, texts: Vec<String>, what: &str) -> Result<Vec<f32>, Failure> {
        let model = self.model()?;
        let prompts = model.prompts();
        let prompt = match what {
            "text" => prompts.for_texts(),
            "query" => prompts.for_queries(),
            "document" => prompts.for_documents(),
            other => {
                let message =
                    format!("the kind of texts must be text, query or document, not {other}");
                return Err(Failure::input(message));
            }
        };
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        Ok(model.embed_with_prompt(prompt, &texts).await?.concat())
    }

    /// Embeds texts as `embed` does with `text`, and also returns what they engaged: an array of
    /// the vectors, the number of tokens of each text, and for each FFF layer the nodes,
    /// `[tokens, trees, levels]`.
    pub async fn embed_with_nodes(&self, texts: Vec<String>) -> Result<js_sys::Array, Failure> {
        let model = self.model()?;
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let embedded = model.embed_with_paths(&texts).await?;
        let (mut vectors, mut tokens) = (Vec::new(), Vec::new());
        let mut layers = vec![Vec::new(); embedded.first().map_or(0, |text| text.paths.len())];
        for text in embedded {
            vectors.extend(text.vector);
            tokens.push(text.sequence.ids.len() as u32);
            for (layer, path) in layers.iter_mut().zip(text.paths) {
                layer.extend(path);
            }
        }
        let layers = layers.iter().map(|nodes| js_sys::Uint32Array::from(&nodes[..]));
        Ok(js_sys::Array::of3(
            &js_sys::Float32Array::from(&vectors[..]),
            &js_sys::Uint32Array::from(&tokens[..]),
            &layers.collect::<js_sys::Array>(),
        ))
    }

    /// Gives the device up as if it had been lost, so that the consequences can be tested.
    pub fn lose(&self) {
        if let Device::Gpu(gpu) = &self.device {
            gpu.device().destroy();
        }
    }
}

/// The engine for programs that add methods of their own.
impl Engine {
    /// Returns the device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the model.
    pub fn model(&self) -> Result<&FastBert, Failure> {
        self.model.as_ref().ok_or_else(Failure::no_model)
    }

    /// Returns whether there is a model.
    pub fn is_loaded(&self) -> bool {
        self.model.is_some()
    }

    /// Returns the model's files, if they were kept.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }
}

/// Returns the SHA-256 of some bytes in hexadecimal. Browsers offer it only to pages from secure
/// origins.
#[wasm_bindgen]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
