//! `cmm bench`: conditional against dense matrix multiplication, measured and checked.

mod arguments;
mod show;
mod workloads;

use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use cmm::bench::{self, Effort, Machine, Measurement, Report, Workload, measure_peaks};
use cmm::{AdapterChoice, Error, Gpu, GpuOptions};
use indicatif::ProgressBar;

use crate::device::{DeviceChoice, explained};
use crate::output::{Failure, print};

pub use arguments::Arguments;
use arguments::{Format, Other, RunArguments};
use show::{compared, finish, json, write};
use workloads::workloads;

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.other {
        None => measure(&arguments.run).await,
        Some(Other::Compare { a, b }) => {
            let text = compared(&read(a)?, &read(b)?)?;
            print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Other::Show { file, form }) => {
            finish(&read(file)?, form)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The GPU to measure. It is none if there is none, unless one was named.
async fn gpu(arguments: &RunArguments, workloads: &[Workload]) -> Result<Option<Gpu>, Failure> {
    let adapter = match &arguments.device {
        DeviceChoice::Cpu => return Ok(None),
        _ if arguments.no_gpu => return Ok(None),
        DeviceChoice::Auto => AdapterChoice::Default,
        DeviceChoice::Gpu(choice) => choice.clone(),
    };
    let named = adapter != AdapterChoice::Default;
    let largest_buffer = workloads.iter().map(Workload::largest_buffer).max().unwrap_or(0);
    let options = GpuOptions::default()
        .adapter(adapter)
        .largest_buffer(largest_buffer)
        .check_shaders(arguments.check_shaders);
    match Gpu::request(&options).await {
        Ok(gpu) => Ok(Some(gpu)),
        Err(Error::NoAdapter { .. }) if !named => {
            eprintln!("there is no GPU adapter: the CPU is measured");
            Ok(None)
        }
        Err(error) => Err(explained(error)),
    }
}

async fn measure(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    if let Some(form) = arguments.output.as_deref().and_then(Path::to_str)
        && Format::from_str(form, true).is_ok()
    {
        let format = format!("choose the form of the rows with --format {form}");
        return Err(format!("--output {form}: expected the name of a file; {format}").into());
    }
    let workloads = workloads(arguments)?;
    rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    let gpu = gpu(arguments, &workloads).await?;
    let effort = match (arguments.quick, &gpu) {
        (false, _) => Effort::FULL,
        (true, Some(gpu)) => Effort::quick(gpu.capabilities()),
        (true, None) => Effort::QUICK,
    };
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
        if let Some(output) = &arguments.output
            && let Err(error) = write(output, &json(report))
        {
            failure.get_or_insert(error);
        }
    };
    if let Some(gpu) = &gpu {
        bar.set_message(format!("the peaks of {}", gpu.info().name));
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
    finish(&report, &arguments.form)?;
    if report.passed() {
        return Ok(ExitCode::SUCCESS);
    }
    let wrong = report.measurements.iter().filter(|row| !row.check.passed).count();
    Err(format!("{wrong} rows are wrong and must not be published: see their `check`").into())
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
