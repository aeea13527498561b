//! `cmm check`: every kernel variant on every adapter against the CPU reference.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use cmm::check::{
    Case, Checked, ModelCase, Outcome, TextCases, check_case, check_embeddings, check_model,
    golden_cases, golden_models, golden_texts, random_cases,
};
use cmm::{Error, Gpu, GpuOptions, Precision, Variant, adapters};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::device::{DeviceChoice, explained};
use crate::help::{DEVICE, INPUT, OUTPUT};
use crate::output::{Failure, print};
use crate::table::{row, table};

#[derive(Args)]
pub struct Arguments {
    /// The folder of golden cases, with an index.json [default: tests/golden]
    ///
    /// The default is looked for in the working folder, and in the source tree that cmm was built from.
    #[arg(long, value_name = "DIR", help_heading = INPUT)]
    golden: Option<PathBuf>,
    /// The seed of the random cases
    #[arg(long, default_value_t = 1, help_heading = INPUT)]
    seed: u64,
    /// The folder of all-MiniLM-L6-v2, to check the golden sentences too
    ///
    /// That model does not come with cmm.
    #[arg(long, env = "CMM_MINILM", hide_env_values = true, value_name = "DIR", help_heading = INPUT)]
    minilm: Option<PathBuf>,
    /// The only device to check: cpu, or a GPU of `cmm devices` [default: all]
    ///
    /// A GPU is named by its index in `cmm devices`, its backend (vulkan, metal, dx12 or gl), its PCI bus id, or a part of its name.
    #[arg(long, value_name = "DEVICE", help_heading = DEVICE)]
    device: Option<DeviceChoice>,
    /// The only kernel variant to check, such as subgroup/packed [default: all]
    #[arg(long, env = "CMM_VARIANT", hide_env_values = true, help_heading = DEVICE)]
    variant: Option<Variant>,
    /// Print the result as JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// The things that are checked.
struct Cases {
    layers: Vec<Case>,
    models: Vec<ModelCase>,
    texts: TextCases,
    minilm: Option<PathBuf>,
}

/// Everything that `--json` prints.
#[derive(Serialize)]
struct Report {
    passed: bool,
    /// Whether the CPU alone was checked: there was no GPU adapter, or none was asked for.
    cpu_only: bool,
    not_checked: Vec<String>,
    runs: Vec<Run>,
}

/// The results of one variant on one device.
#[derive(Serialize)]
struct Run {
    device: String,
    variant: String,
    /// Why it did not run, if the adapter lacks something.
    unavailable: Option<String>,
    rows: Vec<Row>,
}

/// The result of one case.
#[derive(Serialize)]
struct Row {
    case: String,
    passed: bool,
    outcome: Option<Outcome>,
    error: Option<String>,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let folder = match &arguments.golden {
        Some(folder) => folder.clone(),
        None => default_golden()?,
    };
    let (mut layers, mut not_checked) = golden_cases(&folder)?;
    layers.extend(random_cases(arguments.seed)?);
    let texts = golden_texts(&folder)?;
    if arguments.minilm.is_none() {
        let needs =
            |(name, _): &(String, PathBuf)| format!("{name} (give --minilm DIR to check it)");
        not_checked.extend(texts.embeddings.iter().map(needs));
    }
    let models = golden_models(&folder)?;
    let cases = Cases { layers, models, texts, minilm: arguments.minilm.clone() };

    let adapters = match &arguments.device {
        None | Some(DeviceChoice::Auto) => adapters().await,
        Some(DeviceChoice::Cpu) => Vec::new(),
        Some(DeviceChoice::Gpu(choice)) => vec![cmm::adapter(choice).await.map_err(explained)?],
    };
    let progress =
        ProgressBar::new(((3 + adapters.len() * Variant::ALL.len()) * cases.steps()) as u64);
    progress.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?);

    let mut runs = vec![run_on(Checked::Reference, &cases, &progress).await];
    if arguments.variant.is_none() && !matches!(arguments.device, Some(DeviceChoice::Gpu(_))) {
        for on in [Checked::Host, Checked::HostInt8] {
            runs.push(run_on(on, &cases, &progress).await);
        }
    }
    let (mut ran, mut gave_device) = (false, false);
    for adapter in &adapters {
        // A driver may list an adapter that gives no device, which says nothing about the others.
        let gpu = match request(adapter, &cases.layers).await {
            Ok(gpu) => gpu,
            Err(error) => {
                let info = adapter.get_info();
                let device = format!("{} ({})", info.name, info.backend.to_str());
                let unavailable = Some(format!("no device: {error}"));
                runs.push(Run { device, variant: "all".into(), unavailable, rows: Vec::new() });
                continue;
            }
        };
        gave_device = true;
        let variants =
            Variant::ALL.into_iter().filter(|v| arguments.variant.is_none_or(|w| w == *v));
        for variant in variants {
            let run = run_on(Checked::Variant(gpu.clone(), variant), &cases, &progress).await;
            ran |= run.unavailable.is_none();
            runs.push(run);
        }
        if gpu.capabilities().cooperative && arguments.variant.is_none() {
            progress.inc_length(cases.steps() as u64);
            runs.push(run_on(Checked::Cooperative(gpu), &cases, &progress).await);
        }
    }
    progress.finish_and_clear();

    let all_passed = runs.iter().flat_map(|run| &run.rows).all(|row| row.passed);
    if let (Some(variant), false, false) = (arguments.variant, ran, adapters.is_empty()) {
        return Err(format!(
            "no adapter here can run variant {variant}; `cmm devices` lists the variant of each"
        )
        .into());
    }
    if !adapters.is_empty() && !gave_device {
        let reasons: Vec<_> = runs.iter().filter_map(|run| run.unavailable.clone()).collect();
        return Err(format!("no adapter here gives a device: {}", reasons.join("; ")).into());
    }
    let no_gpu = adapters.is_empty() && arguments.device.is_none();
    let report = Report { passed: all_passed, cpu_only: adapters.is_empty(), not_checked, runs };
    if no_gpu {
        eprintln!(
            "NO GPU ADAPTER FOUND: only the CPU was checked, no kernel ran. On Linux without a GPU: apt-get install mesa-vulkan-drivers"
        );
    }
    if arguments.json {
        print(&(serde_json::to_string_pretty(&report)? + "\n"))?;
    } else {
        print(&report.to_text())?;
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The golden cases in the working folder, or in the source tree that this program was built from.
fn default_golden() -> Result<PathBuf, Failure> {
    let shipped = Path::new("tests/golden");
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(shipped);
    [shipped.to_path_buf(), built]
        .into_iter()
        .find(|folder| folder.join("index.json").is_file())
        .ok_or_else(|| "tests/golden/index.json is not here: run cmm in its source tree, or name the folder with --golden".into())
}

async fn request(adapter: &cmm::wgpu::Adapter, cases: &[Case]) -> Result<Gpu, Failure> {
    let options = cases.iter().fold(GpuOptions::default(), |options, case| {
        options.for_layer(case.weights.shape(), Precision::F32)
    });
    Ok(Gpu::from_adapter(adapter, &options).await?)
}

/// Runs all cases on one device in one variant.
async fn run_on(on: Checked, cases: &Cases, progress: &ProgressBar) -> Run {
    let (device, variant) = (on.device(), on.form());
    let unavailable = on.missing().map(|missing| format!("not on this adapter: needs {missing}"));
    let mut rows = Vec::new();
    let begun = |case: &str| {
        progress.inc(1);
        progress.set_message(format!("{device} {variant} {case}"));
        unavailable.is_none()
    };
    for case in &cases.layers {
        if begun(&case.name) {
            rows.extend(Row::of(&on, &case.name, check_case(case, &on).await));
        }
    }
    for case in &cases.models {
        if begun(&case.name) {
            rows.extend(Row::of_all(&on, &case.name, check_model(case, &on).await));
        }
    }
    for (golden, model) in cases.texts.embeddings.iter().zip(&cases.minilm) {
        if begun(&golden.0) {
            rows.extend(Row::of(&on, &golden.0, check_embeddings(golden, model, &on).await));
        }
    }
    if let Checked::Reference = on {
        rows.extend(Row::of_all(&on, "tokenizers", cases.texts.check_tokenizers()));
    }
    Run { device, variant, unavailable, rows }
}

impl Cases {
    fn steps(&self) -> usize {
        let embeddings = self.minilm.iter().count() * self.texts.embeddings.len();
        self.layers.len() + self.models.len() + embeddings
    }
}

impl Row {
    /// The row of a case that has one result.
    fn of(on: &Checked, case: &str, outcome: cmm::Result<Outcome>) -> Vec<Self> {
        Self::of_all(on, case, outcome.map(|outcome| vec![outcome]))
    }

    /// The rows of a case that has several results. There are none if the case has no such form, as with heads that no cooperative matrix fits.
    fn of_all(on: &Checked, case: &str, outcomes: cmm::Result<Vec<Outcome>>) -> Vec<Self> {
        match (outcomes, on) {
            (Ok(outcomes), _) => outcomes.into_iter().map(Self::right_or_wrong).collect(),
            (Err(Error::Unsupported { .. }), Checked::Reference) => Vec::new(),
            (Err(Error::Unsupported { .. }), on) if on.encoders_only() => Vec::new(),
            (Err(error), _) => {
                let error = Some(error.to_string());
                vec![Self { case: case.to_owned(), passed: false, outcome: None, error }]
            }
        }
    }

    fn right_or_wrong(outcome: Outcome) -> Self {
        let (case, passed) = (outcome.case.clone(), outcome.passed());
        Self { case, passed, outcome: Some(outcome), error: None }
    }
}

impl Report {
    fn to_text(&self) -> String {
        let mut rows = vec![row([
            &"variant",
            &"case",
            &"tokens",
            &"path agreement",
            &"flips allowed",
            &"worst error",
            &"bound",
            &"result",
        ])];
        let mut text = String::new();
        let mut device = "";
        for run in &self.runs {
            if run.device != device {
                if !device.is_empty() {
                    text += &(table(&rows) + "\n");
                    rows.truncate(1);
                }
                device = &run.device;
                text += &format!("{device}\n");
            }
            match &run.unavailable {
                Some(missing) => {
                    rows.push(row([&run.variant, &format!("({missing})")]));
                }
                None => rows.extend(run.rows.iter().map(|row| row.cells(&run.variant))),
            }
        }
        text += &table(&rows);
        for path in &self.not_checked {
            text += &format!("not checked by this version: {path}\n");
        }
        let results = || self.runs.iter().flat_map(|run| &run.rows);
        let failed = results().filter(|row| !row.passed).count();
        let passed = results().count() - failed;
        text += &format!("\n{passed} passed, {failed} failed\n");
        if self.cpu_only {
            text += "CPU only: no kernel ran\n";
        }
        text
    }
}

impl Row {
    fn cells(&self, variant: &str) -> Vec<String> {
        let result = if self.passed { "pass" } else { "FAIL" };
        let Some(outcome) = &self.outcome else {
            let error = self.error.as_deref().unwrap_or("no result");
            return row([
                &variant,
                &self.case,
                &"-",
                &"-",
                &"-",
                &"-",
                &"-",
                &format!("{result} {error}"),
            ]);
        };
        let c = &outcome.reference;
        let agreeing = c.decisions.saturating_sub(c.legitimate_flips + c.wrong_nodes);
        let golden = match outcome.golden_disagreements {
            None | Some(0) => String::new(),
            Some(tokens) => format!(" ({tokens} tokens differ from the golden results)"),
        };
        row([
            &variant,
            &self.case,
            &c.tokens,
            &format!("{agreeing}/{}", c.decisions),
            &c.legitimate_flips,
            &format!("{:.1e}", c.worst_error),
            &format!("{:.0e}", c.allowed_error),
            &format!("{result}{golden}"),
        ])
    }
}
