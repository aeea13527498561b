//! The functions that the demo page calls beside the package cmm-web: walks, races and benchmarks on the package's device and model. Answers are JSON texts, whose types
//! are in `web/src/answers.ts`.
#![cfg(target_arch = "wasm32")]

mod bench;
mod model;
mod race;
mod seeded;
mod walk;

use cmm::Device;
use cmm::bench::Machine;
use cmm_web::{Engine, Failure};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::model::Shown;
use crate::seeded::Seeded;

/// The state that the views need beside the engine, whose device it is made for.
#[wasm_bindgen]
pub struct Views {
    machine: Machine,
    /// Whether the processor computes, as an adapter in software or as the CPU itself.
    software: bool,
    seeded: Seeded,
}

/// An answer as JSON.
fn answer(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::input(error.to_string()))
}

#[wasm_bindgen]
impl Views {
    /// `adapter` and `browser` name the two in reports, since wgpu gets to know neither, nor always whether the adapter is `software`.
    pub fn open(
        engine: &Engine,
        adapter: String,
        software: bool,
        browser: String,
    ) -> Result<Views, Failure> {
        let mut machine = match engine.device() {
            Device::Gpu(gpu) => Machine::of(gpu, 0),
            Device::Host => Machine::host(1),
        };
        if machine.adapter.is_empty() || matches!(engine.device(), Device::Host) {
            machine.adapter = adapter;
        }
        machine.system = browser;
        Ok(Self { machine, software, seeded: Seeded::new()? })
    }

    /// The sizes of the model.
    pub fn sizes(&self, engine: &Engine) -> Result<String, Failure> {
        answer(&Shown::of(engine)?.sizes()?)
    }

    /// Each token's walk through the tree of a layer: the model's, or without one the seeded layer.
    pub async fn walk(&self, engine: &Engine, text: &str, layer: usize) -> Result<String, Failure> {
        if engine.is_loaded() {
            answer(&Shown::of(engine)?.walk(text, layer).await?)
        } else {
            answer(&self.seeded.walk(engine.device(), text).await?)
        }
    }

    /// How many of these lines' words engaged each node of the seeded layer.
    pub async fn heat(&self, engine: &Engine, lines: Vec<String>) -> Result<Vec<u32>, Failure> {
        self.seeded.heat(engine.device(), &lines).await
    }

    /// Times an FFF layer and a dense one of `neurons` neurons on `tokens` tokens: those of `text`, then of the corpus. Each way to compute them is
    /// measured for about `row_seconds`.
    #[allow(clippy::too_many_arguments, reason = "JavaScript has no other way to name them")]
    pub async fn race(
        &self,
        engine: &Engine,
        text: &str,
        lines: Vec<String>,
        layer: usize,
        neurons: usize,
        tokens: usize,
        row_seconds: f64,
    ) -> Result<String, Failure> {
        let (weights, x) = if engine.is_loaded() {
            Shown::of(engine)?.layer_input(text, &lines, layer, tokens).await?
        } else {
            self.seeded.layer_input(text, &lines, tokens)
        };
        let software = self.software;
        answer(&race::race(engine.device(), &weights, &x, neurons, software, row_seconds).await?)
    }

    /// Runs a benchmark of the library; `progress` gets the report, JSON, after every row.
    pub async fn bench(
        &self,
        engine: &Engine,
        preset: &str,
        progress: js_sys::Function,
    ) -> Result<String, Failure> {
        bench::run(engine.device(), self.machine.clone(), preset, self.software, &progress).await
    }

    /// Has the browser's own compiler take every kernel that it may get; `progress` is called with how many are done. Returns their number.
    pub async fn compile_kernels(
        &self,
        engine: &Engine,
        progress: js_sys::Function,
    ) -> Result<usize, Failure> {
        let tell = |done: usize, all: usize| {
            let _ = progress.call2(&JsValue::NULL, &(done as u32).into(), &(all as u32).into());
        };
        match engine.device() {
            Device::Gpu(gpu) => Ok(cmm::check::compile_kernels(gpu, tell).await?),
            Device::Host => Err(Failure::input("the CPU runs no kernels")),
        }
    }
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
