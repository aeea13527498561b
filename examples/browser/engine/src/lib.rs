//! What the demo page calls: the library on the browser's own GPU, or on the CPU. Answers are JSON texts, whose types are in `web/src/answers.ts`.
#![cfg(target_arch = "wasm32")]

mod bench;
mod corpus;
mod failure;
mod model;
mod race;
mod seeded;
mod walk;

use cmm::bench::Machine;
use cmm::{Device, Gpu, GpuOptions};
use serde::Serialize;
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;

use crate::corpus::Corpus;
use crate::failure::Failure;
use crate::model::Model;
use crate::seeded::Seeded;

/// A device with what was loaded onto it. Calls must not overlap: the page's worker makes one at a time.
#[wasm_bindgen]
pub struct Engine {
    device: Device,
    machine: Machine,
    /// Whether the processor computes, as an adapter in software or as the CPU itself.
    software: bool,
    seeded: Seeded,
    model: Option<Model>,
    corpus: Corpus,
}

/// An answer as JSON.
fn answer(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::input(error.to_string()))
}

#[wasm_bindgen]
impl Engine {
    /// Takes the browser's GPU. `adapter` and `browser` name the two in reports, since wgpu gets to know neither, nor always whether the adapter is
    /// `software`.
    pub async fn on_gpu(
        adapter: String,
        software: bool,
        browser: String,
    ) -> Result<Engine, Failure> {
        console_error_panic_hook::set_once();
        let gpu = Gpu::request(&GpuOptions::default()).await?;
        let mut machine = Machine::of(&gpu, 0);
        if machine.adapter.is_empty() {
            machine.adapter = adapter;
        }
        machine.system = browser;
        Self::on(Device::Gpu(gpu), machine, software).await
    }

    /// Takes the CPU: vectorised WebAssembly on this one thread.
    pub async fn on_cpu(browser: String) -> Result<Engine, Failure> {
        console_error_panic_hook::set_once();
        let mut machine = Machine::host(1);
        machine.adapter = "the CPU, in WebAssembly".into();
        machine.system = browser;
        Self::on(Device::Host, machine, true).await
    }

    async fn on(device: Device, machine: Machine, software: bool) -> Result<Engine, Failure> {
        let seeded = Seeded::upload(&device).await?;
        Ok(Self { device, machine, software, seeded, model: None, corpus: Corpus::default() })
    }

    /// The machine, as reports have it, with the kernel variants that it can run: none on the CPU.
    pub fn describe(&self) -> Result<String, Failure> {
        #[derive(Serialize)]
        struct Answer<'a> {
            machine: &'a Machine,
            device: &'static str,
            software: bool,
            variants: Vec<String>,
            timestamps: bool,
        }
        let (device, variants, timestamps) = match &self.device {
            Device::Gpu(gpu) => {
                let can = gpu.capabilities();
                ("webgpu", can.variants(), can.timestamps)
            }
            Device::Host => ("cpu", Vec::new(), false),
        };
        answer(&Answer {
            machine: &self.machine,
            device,
            software: self.software,
            variants: variants.iter().map(ToString::to_string).collect(),
            timestamps,
        })
    }

    /// Puts a model on the device: a `Map` from file names to `Uint8Array`s, as a model's folder holds them.
    pub async fn load(&mut self, files: js_sys::Map) -> Result<String, Failure> {
        self.model = None;
        let model = Model::load(&self.device, &files).await?;
        let sizes = answer(&model.sizes()?)?;
        self.model = Some(model);
        Ok(sizes)
    }

    /// Unit vectors of texts.
    pub async fn embed(&self, texts: Vec<String>) -> Result<String, Failure> {
        let model = self.model.as_ref().ok_or_else(Failure::no_model)?;
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        answer(&model.bert.embed(&texts).await?)
    }

    /// Makes these lines the corpus; `progress` is called with the lines done.
    pub async fn index(
        &mut self,
        lines: Vec<String>,
        progress: js_sys::Function,
    ) -> Result<String, Failure> {
        let model = self.model.as_ref().ok_or_else(Failure::no_model)?;
        self.corpus = Corpus::embed(&model.bert, lines, &progress).await?;
        answer(&self.corpus.sizes())
    }

    /// The lines of the corpus that are most like a query.
    pub async fn ask(&self, query: &str, top: usize) -> Result<String, Failure> {
        let model = self.model.as_ref().ok_or_else(Failure::no_model)?;
        answer(&self.corpus.ask(&model.bert, query, top).await?)
    }

    /// Each token's walk through the tree of a layer: the model's, or without one the seeded layer.
    pub async fn walk(&self, text: &str, layer: usize) -> Result<String, Failure> {
        match &self.model {
            Some(model) => answer(&model.walk(text, layer).await?),
            None => answer(&self.seeded.walk(text).await?),
        }
    }

    /// How many of the corpus' tokens engaged each node of a layer's tree. Without a model: of these lines' words, in the seeded layer.
    pub async fn heat(&self, layer: usize, lines: Vec<String>) -> Result<Vec<u32>, Failure> {
        match &self.model {
            Some(_) => self.corpus.heat(layer),
            None => self.seeded.heat(&lines).await,
        }
    }

    /// Times an FFF layer and a dense one of `neurons` neurons on `tokens` tokens: those of `text`, then of the corpus.
    pub async fn race(
        &self,
        text: &str,
        lines: Vec<String>,
        layer: usize,
        neurons: usize,
        tokens: usize,
    ) -> Result<String, Failure> {
        let (weights, x) = match &self.model {
            Some(model) => model.layer_input(text, &lines, layer, tokens).await?,
            None => self.seeded.layer_input(text, &lines, tokens),
        };
        answer(&race::race(&self.device, &weights, &x, neurons, self.software).await?)
    }

    /// Runs a benchmark of the library; `progress` gets the report, JSON, after every row.
    pub async fn bench(&self, preset: &str, progress: js_sys::Function) -> Result<String, Failure> {
        bench::run(&self.device, self.machine.clone(), preset, self.software, &progress).await
    }

    /// Has the browser's own compiler take every kernel that it may get; `progress` is called with how many are done. Returns their number.
    pub async fn compile_kernels(&self, progress: js_sys::Function) -> Result<usize, Failure> {
        let tell = |done: usize, all: usize| {
            let _ = progress.call2(&JsValue::NULL, &(done as u32).into(), &(all as u32).into());
        };
        match &self.device {
            Device::Gpu(gpu) => Ok(cmm::check::compile_kernels(gpu, tell).await?),
            Device::Host => Err(Failure::input("the CPU runs no kernels")),
        }
    }

    /// Gives the device up as if it had been lost, to see what the page does then.
    pub fn lose(&self) {
        if let Device::Gpu(gpu) = &self.device {
            gpu.device().destroy();
        }
    }
}

/// The SHA-256 of some bytes, in hexadecimal: browsers have one only for pages from secure origins.
#[wasm_bindgen]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A report of `cmm bench`, or of this page, as the library's table.
#[wasm_bindgen]
pub fn table(report: &str) -> Result<String, Failure> {
    answer(&cmm::bench::table(&bench::report("the file", report)?))
}

/// The rows that two reports have in common.
#[wasm_bindgen]
pub fn compare(here: &str, there: &str) -> Result<String, Failure> {
    bench::compare(here, there)
}
