//! The library's benchmark, sized for a browser tab.

use cmm::bench::{self, Effort, Machine, Report, Workload};
use cmm::{Device, FffShape, Precision};
use cmm_web::Failure;
use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::answer;

/// How much to measure. Browsers round timestamps to 100 us, and their clocks to 100 us or 1 ms, so that a pass must last longer than natively: on the
/// CPU a token's walk takes 3 us, and 40 of them passed for no time at all. The buffers with which memory is measured stay small.
pub fn effort(software: bool) -> Effort {
    if software {
        return Effort { pass_seconds: 10e-3, most_dispatches: 1000, ..Effort::QUICK };
    }
    Effort {
        samples: 9,
        pass_seconds: 20e-3,
        warm_seconds: 0.2,
        most_dispatches: 400,
        row_seconds: 1.0,
        copy_bytes: 64 << 20,
    }
}

pub async fn run(
    device: &Device,
    machine: Machine,
    preset: &str,
    software: bool,
    progress: &js_sys::Function,
) -> Result<String, Failure> {
    let effort = effort(software);
    let workload = workload(preset)?;
    let mut report = Report::new(machine, format!("browser demo, {preset}"));
    if let Device::Gpu(gpu) = device {
        bench::measure_peaks(gpu, effort, &mut report).await?;
    }
    let mut seen = |report: &Report| {
        if let Ok(json) = answer(report) {
            let _ = progress.call1(&JsValue::NULL, &json.into());
        }
    };
    match device {
        Device::Gpu(gpu) => bench::run(gpu, &workload, effort, &mut report, &mut seen).await?,
        Device::Host => bench::run_cpu(&workload, effort, &mut report, &mut seen)?,
    }
    report.complete = true;
    answer(&report)
}

/// One of the library's presets at its quick sizes, or a layer small enough for any adapter.
fn workload(preset: &str) -> Result<Workload, Failure> {
    if preset != "small" {
        return Ok(Workload::preset(preset, true)?);
    }
    let shape = FffShape::new(128, 1, 11)?;
    Ok(Workload {
        name: "128 wide".into(),
        layers: vec![shape],
        neurons: shape.nodes(),
        tokens: vec![1, 16, 64],
        precisions: vec![Precision::F32],
        all_tiles: false,
        encoder: None,
    })
}

/// A report from its JSON text.
pub fn report(name: &str, json: &str) -> Result<Report, Failure> {
    Ok(Report::from_json(name, json.as_bytes())?)
}

/// A row of one report beside the same row of another.
#[derive(Serialize)]
struct Compared {
    what: String,
    seconds: [f64; 2],
    beyond_noise: bool,
}

pub fn compare(here: &str, there: &str) -> Result<String, Failure> {
    let rows = bench::compare(&report("this page's result", here)?, &report("the file", there)?);
    let row = |row: bench::Compared| {
        let bench::Compared { what, seconds, beyond_noise } = row;
        Compared { what, seconds, beyond_noise }
    };
    answer(&rows.into_iter().map(row).collect::<Vec<_>>())
}
