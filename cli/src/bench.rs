//! `cmm bench`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use cmm::bench::{
    self, Effort, Machine, Measurement, PAPER, PRESETS, Peaks, Report, Workload, compare,
    measure_peaks,
};
use cmm::{AdapterChoice, Error, FffForm, FffShape, Gpu, GpuOptions, LeafForm, Precision};
use indicatif::ProgressBar;

use crate::output::{Failure, print};
use crate::pending::Pending;
use crate::shown::shown;
use crate::table::{row, table};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Subcommand)]
enum Other {
    /// Put two result files side by side
    Compare {
        /// The first result file
        a: PathBuf,
        /// The second
        b: PathBuf,
    },
    /// Print a result file again, or make a page of it
    Show {
        /// The result file
        file: PathBuf,
        #[command(flatten)]
        output: OutputArguments,
    },
}

#[derive(Args)]
struct OutputArguments {
    /// How to print the rows
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Write an HTML report with charts to this file
    #[arg(long)]
    html: Option<PathBuf>,
}

#[derive(Args)]
struct RunArguments {
    /// What to measure: bert-base, trees-vs-depth, gpt3, model, model-minilm; bert-base if nothing is said
    presets: Vec<String>,
    /// Fewer samples and smaller batches: a first impression in less than a minute
    #[arg(long)]
    quick: bool,
    /// Adapter: index, backend or a part of its name, as `cmm devices` lists them
    #[arg(long, default_value = "default")]
    device: AdapterChoice,
    /// Measure the host too: CMM and the best dense layer on its threads
    #[arg(long)]
    cpu: bool,
    /// Measure dense layers in every tile there is, not only in the one that would be chosen
    #[arg(long)]
    all_tiles: bool,
    /// Keep the run-time checks that wgpu adds to shaders
    #[arg(long)]
    check_shaders: bool,
    /// Measure the host alone
    #[arg(long)]
    no_gpu: bool,
    /// Threads of the CPU rows; 0: all
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Tokens at once, a list: 1,64,1024
    #[arg(short, long, value_delimiter = ',')]
    batch: Vec<usize>,
    /// Precisions of the weights
    #[arg(long, value_delimiter = ',')]
    precision: Vec<PrecisionArgument>,
    /// A layer of your own instead of a preset: width of x and y
    #[arg(long, conflicts_with = "presets")]
    width: Option<usize>,
    /// Trees and depth of its FFF layers, or of a preset's in place of its own, a list, each with its form if that is not the published one:
    /// 1x11,signed:1x11; of the leaf form depth and neurons of a leaf: leaf:7x32 [default: 1x11]
    #[arg(long, value_delimiter = ',')]
    fff: Vec<String>,
    /// Neurons of the dense layer beside it, or of a preset's in place of its own; of --width as many as the first FFF layer has if nothing is said
    #[arg(long)]
    neurons: Option<usize>,
    /// Result file, written after every row so that an interrupted run keeps what it has
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Md,
    Csv,
    Json,
}

#[derive(Clone, Copy, ValueEnum)]
enum PrecisionArgument {
    F32,
    F16,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.other {
        None => measure(&arguments.run).await,
        Some(Other::Compare { a, b }) => {
            let text = compared(&read(a)?, &read(b)?)?;
            print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Other::Show { file, output }) => {
            finish(&read(file)?, output)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The GPU to measure; none where there is none, unless one was named.
async fn gpu(arguments: &RunArguments, workloads: &[Workload]) -> Result<Option<Gpu>, Failure> {
    if arguments.no_gpu {
        return Ok(None);
    }
    let largest_buffer = workloads.iter().map(Workload::largest_buffer).max().unwrap_or(0);
    let options = GpuOptions::default()
        .adapter(arguments.device.clone())
        .largest_buffer(largest_buffer)
        .check_shaders(arguments.check_shaders);
    match Gpu::request(&options).await {
        Ok(gpu) => Ok(Some(gpu)),
        Err(Error::NoAdapter { .. }) if matches!(arguments.device, AdapterChoice::Default) => {
            eprintln!("no GPU adapter: the CPU is measured");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn measure(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let workloads = workloads(arguments)?;
    let effort = if arguments.quick { Effort::QUICK } else { Effort::FULL };
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    let gpu = gpu(arguments, &workloads).await?;
    let cpu = arguments.cpu || gpu.is_none();
    let threads = if cpu { rayon::current_num_threads() } else { 0 };
    let machine = match &gpu {
        Some(gpu) => Machine::of(gpu, threads),
        None => Machine::host(threads),
    };
    let mut report = Report::new(machine, command_line());
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let mut failure = None;
    let mut seen = |report: &Report| {
        if let Some(row) = report.measurements.last() {
            bar.println(progress_line(row));
        }
        if let Some(out) = &arguments.out
            && let Err(error) = write(out, &json(report))
        {
            failure.get_or_insert(error);
        }
    };
    if let Some(gpu) = &gpu {
        bar.set_message(format!("{}: what it reaches", gpu.info().name));
        measure_peaks(gpu, effort, &mut report).await?;
    }
    for workload in &workloads {
        if let Some(gpu) = &gpu {
            bar.set_message(format!("{} on {}", workload.name, gpu.info().name));
            bench::run(gpu, workload, effort, &mut report, &mut seen).await?;
        }
        if cpu {
            bar.set_message(format!("{} on {threads} threads", workload.name));
            bench::run_cpu(workload, effort, &mut report, &mut seen)?;
        }
    }
    bar.finish_and_clear();
    report.complete = true;
    seen(&report);
    if let Some(failure) = failure {
        return Err(failure);
    }
    finish(&report, &arguments.output)?;
    if report.passed() {
        return Ok(ExitCode::SUCCESS);
    }
    let wrong = report.measurements.iter().filter(|row| !row.check.passed).count();
    Err(format!("{wrong} rows are wrong and must not be published: see their `check`").into())
}

fn workloads(arguments: &RunArguments) -> Result<Vec<Workload>, Failure> {
    let mut workloads = Vec::new();
    if let Some(width) = arguments.width {
        let mut layers = layers(width, &arguments.fff)?;
        if layers.is_empty() {
            layers.push(FffShape::new(width, 1, 11)?);
        }
        let nodes = layers.first().map_or(0, |shape| shape.neurons());
        workloads.push(Workload {
            name: format!("{width} wide"),
            layers,
            neurons: arguments.neurons.unwrap_or(nodes),
            tokens: vec![1, 64, 1024],
            precisions: vec![Precision::F32, Precision::F16],
            all_tiles: false,
            encoder: None,
        });
    }
    for preset in &arguments.presets {
        workloads.push(Workload::preset(preset, arguments.quick)?);
    }
    if workloads.is_empty() {
        workloads.push(Workload::preset(PRESETS[0].0, arguments.quick)?);
    }
    for workload in &mut workloads {
        let others = layers(workload.widths().0, &arguments.fff)?;
        if !others.is_empty() {
            workload.layers = others;
        }
        if let Some(neurons) = arguments.neurons {
            workload.neurons = neurons;
        }
        workload.all_tiles = arguments.all_tiles;
        if !arguments.batch.is_empty() {
            workload.tokens.clone_from(&arguments.batch);
        }
        if workload.tokens.contains(&0) {
            return Err("a batch of 0 tokens: give positive numbers, as in -b 1,64".into());
        }
        if !arguments.precision.is_empty() {
            let precision = |p: &PrecisionArgument| match p {
                PrecisionArgument::F32 => Precision::F32,
                PrecisionArgument::F16 => Precision::F16,
            };
            workload.precisions = arguments.precision.iter().map(precision).collect();
        }
    }
    Ok(workloads)
}

fn layers(width: usize, texts: &[String]) -> Result<Vec<FffShape>, Failure> {
    texts.iter().map(|text| layer(width, text)).collect()
}

/// A layer by what `--fff` says: `KxD`, `signed:KxD`, `leaf:DxNEURONS`.
fn layer(width: usize, text: &str) -> Result<FffShape, Failure> {
    let (form, size) = text.split_once(':').unwrap_or(("published", text));
    let parts = size.split_once('x').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    let Some((first, second)) = parts else {
        let expected = "trees and depth, as in 1x11 or signed:1x11, or leaf:7x32";
        return Err(format!("--fff {text}: expected {expected}").into());
    };
    let trees = |form| FffShape::new(width, first, second)?.in_form(form);
    Ok(match form {
        "published" => trees(FffForm::Published)?,
        "signed" => trees(FffForm::Signed)?,
        "leaf" => {
            let leaf = LeafForm { width: second, ..LeafForm::default() };
            FffShape::leaf(width, width, first, leaf)?
        }
        _ => return Err(format!("--fff {text}: expected published, signed or leaf").into()),
    })
}

/// The command as it was typed, without the path of the program.
fn command_line() -> String {
    let rest: Vec<_> = std::env::args().skip(1).collect();
    format!("cmm {}", rest.join(" "))
}

fn progress_line(row: &Measurement) -> String {
    let verdict = if row.check.passed { "" } else { "  WRONG" };
    let (us, tokens) = (row.seconds.median * 1e6, row.tokens);
    format!(
        "{:?} {} {} {tokens} tokens: {us:.2} us{verdict}",
        row.unit, row.computation, row.kernel
    )
}

fn read(path: &Path) -> Result<Report, Failure> {
    let bytes = cmm::read_file(path, cmm::LONGEST_JSON)?;
    Ok(Report::from_json(&path.display().to_string(), &bytes)?)
}

fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}

/// Writes a file whole.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = Pending::create(path)?;
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    file.temporary.write_all(text.as_bytes()).map_err(failed)?;
    file.finish()?;
    Ok(())
}

fn finish(report: &Report, output: &OutputArguments) -> Result<(), Failure> {
    if let Some(path) = &output.html {
        write(path, &bench::html(report)?)?;
    }
    let rows = bench::table(report);
    match output.output {
        Format::Json => print(&json(report)),
        Format::Csv => {
            let quoted = |cell: &String| match cell.contains([',', '"', '\n', '\r']) {
                true => format!("\"{}\"", shown(cell).replace('"', "\"\"")),
                false => shown(cell).into_owned(),
            };
            let lines = rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(","));
            print(&(lines.collect::<Vec<_>>().join("\n") + "\n"))
        }
        Format::Md => {
            let cell = |cell: &String| shown(cell).replace('|', "\\|");
            let line = |row: &Vec<String>| {
                format!("| {} |\n", row.iter().map(cell).collect::<Vec<_>>().join(" | "))
            };
            let mut text = line(&rows[0]) + &"|---".repeat(rows[0].len()) + "|\n";
            text.extend(rows[1..].iter().map(line));
            print(&text)
        }
        Format::Table => {
            let mut text = machine_lines(report);
            text.push_str(&table(&rows));
            for note in bench::notes(report) {
                text.push_str(&format!("{}\n", shown(&note)));
            }
            text.push_str(
                "\nThe paper's table 2 (BERT-base layer, batch 16,384) for comparison:\n",
            );
            for (what, ratio) in PAPER {
                text.push_str(&format!("  {ratio:7.2}x  {what}\n"));
            }
            print(&text)
        }
    }
}

fn machine_lines(report: &Report) -> String {
    let Machine { adapter, kind, backend, driver, system, threads, .. } = &report.machine;
    let machine = format!("{adapter} ({kind}, {backend}, {driver}), {system}");
    let mut text = shown(&machine).into_owned();
    if *threads > 0 {
        text.push_str(&format!(", {threads} CPU threads"));
    }
    text.push('\n');
    if let Some(Peaks { copy, f32, f16, dispatch, .. }) = &report.peaks {
        let tera = |rate: f64| format!("{:.2} TFLOP/s", rate * 1e-12);
        text.push_str(&format!(
            "measured: copy {:.0} GB/s, f32 {}, f16 {}, empty dispatch {:.2} us\n",
            copy * 1e-9,
            tera(*f32),
            f16.map_or("none".into(), tera),
            dispatch * 1e6,
        ));
    }
    text + "\n"
}

fn compared(a: &Report, b: &Report) -> Result<String, Failure> {
    let rows = compare(a, b);
    if rows.is_empty() {
        return Err("the two files have no row in common: measure the same workloads".into());
    }
    let mut lines = vec![row([&"", &a.machine.adapter, &b.machine.adapter, &"second is", &""])];
    for compared in rows {
        let [x, y] = compared.seconds;
        let us = |seconds: f64| format!("{:.2} us", seconds * 1e6);
        let ratio =
            if y <= x { format!("{:.2}x faster", x / y) } else { format!("{:.2}x slower", y / x) };
        let noise = if compared.beyond_noise { "" } else { "within noise" };
        lines.push(row([&compared.what, &us(x), &us(y), &ratio, &noise]));
    }
    Ok(table(&lines))
}
