//! Benchmark rows of the host: FFF layers against the best dense layer there, and whole encoders,
//! on the same threads.

use std::collections::HashSet;

use web_time::Instant;

use crate::bench::encoders::{Short, computation, random_encoders};
use crate::bench::layers::{DENSE_RTOL, check_dense, dense_twin};
use crate::bench::workload::random_tokens;
use crate::bench::{
    Check, Computation, Effort, EncoderShape, Measurement, Progress, Report, Stats, Timing, Unit,
    Workload,
};
use crate::dtype::Precision;
use crate::error::Result;
use crate::fff::FffWeights;
use crate::host::{self, HostEncoder};
use crate::model::{Batch, DenseWeights, EncoderWeights, Output, Tap};
use crate::plan::Activation;
use crate::reference;

/// Returns the number of inputs that the runs of a row cycle through. Small inputs need many, so
/// that no cache holds the weight rows of all of them.
fn inputs(tokens: usize) -> u64 {
    (4096 / tokens as u64).clamp(4, 256)
}

/// Measures a workload on the current rayon pool, in f32, and appends its rows to the report.
///
/// # Errors
/// Returns [`Error::Value`](crate::Error::Value) if an encoder's sums overflow. The sizes of a
/// valid workload cause no other error.
pub fn run_cpu(
    workload: &Workload,
    effort: Effort,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<()> {
    let mut emit = |row: Measurement| {
        report.measurements.push(row);
        progress(report);
    };
    if let Some(shape) = workload.encoder {
        for weights in random_encoders(workload, shape) {
            encoder(workload, shape, &weights?, effort, &mut emit)?;
        }
        return Ok(());
    }
    for shape in &workload.layers {
        let weights = FffWeights::random(*shape, 1);
        for tokens in &workload.tokens {
            let x: Vec<_> = (0..inputs(*tokens))
                .map(|seed| random_tokens(tokens * shape.input(), seed))
                .collect();
            emit(cmm(workload, &weights, &x, effort)?);
        }
    }
    if workload.neurons == 0 {
        return Ok(());
    }
    let dense = dense_twin(workload);
    for tokens in &workload.tokens {
        let x = (0..4).map(|seed| random_tokens(tokens * dense[0].input, seed));
        emit(dmm(workload, &dense, &x.collect::<Vec<_>>(), effort));
    }
    Ok(())
}

/// Measures an encoder and returns a row for each batch size.
fn encoder(
    workload: &Workload,
    shape: EncoderShape,
    weights: &EncoderWeights<'_>,
    effort: Effort,
    emit: &mut impl FnMut(Measurement),
) -> Result<()> {
    let encoder = HostEncoder::read(weights, false)?;
    let short = Short::new(shape, weights)?;
    let got = encoder.forward(&short.batch, &Output::Hidden, Tap::Stages)?;
    let check = short.check(weights, &got, Precision::F32);
    for tokens in &workload.tokens {
        let batch = Batch::new(weights.config(), &shape.sequences(*tokens))?;
        let mut failed = None;
        let (seconds, runs) = measure(effort, |_| {
            failed = encoder.forward(&batch, &Output::Hidden, Tap::None).err().or(failed.take());
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let head = (workload, computation(shape, weights), "cpu/simd", *tokens);
        emit(row(head, seconds, runs, None, check));
    }
    Ok(())
}

/// Measures an FFF layer. Its runs cycle through the inputs `x`, each `[tokens, input]`.
pub(crate) fn cmm(
    workload: &Workload,
    weights: &FffWeights,
    x: &[Vec<f32>],
    effort: Effort,
) -> Result<Measurement> {
    let shape = weights.shape();
    let tokens = x[0].len() / shape.input();
    let mut y = vec![0.0; tokens * shape.output()];
    let mut path = vec![0; tokens * shape.path_len()];
    let (seconds, runs) = measure(effort, |run| {
        host::fff_into(weights, None, &x[run % x.len()], &mut y, &mut path);
    });
    let got = host::fff(weights, &x[0])?;
    let truth = reference::fff(weights, &x[0])?;
    let compared = reference::compare(shape, &truth, &got.y, &got.path, host::roundings(shape))?;
    let walks = got.path.chunks(shape.levels()).enumerate();
    let leaves: HashSet<_> =
        walks.map(|(walk, path)| (walk % shape.trees(), path[shape.depth()])).collect();
    let check = Check::of(&compared);
    let head = (workload, Computation::cmm(shape), "cpu/simd", tokens);
    Ok(row(head, seconds, runs, Some(leaves.len()), check))
}

/// Measures a dense layer of two matrices with GELU between them, in the same way as [`cmm`].
pub(crate) fn dmm(
    workload: &Workload,
    [up, down]: &[DenseWeights; 2],
    x: &[Vec<f32>],
    effort: Effort,
) -> Measurement {
    let tokens = x[0].len() / up.input;
    let mut neurons = vec![0.0; tokens * up.output];
    let mut y = vec![0.0; tokens * down.output];
    let mut forward = |run: usize| {
        host::dense(up, Activation::Gelu, false, &x[run % x.len()], &mut neurons);
        host::dense(down, Activation::None, false, &neurons, &mut y);
    };
    let (seconds, runs) = measure(effort, &mut forward);
    forward(0);
    let check = check_dense(up, down, &x[0], &y, DENSE_RTOL);
    let computation = Computation::Dmm { input: up.input, output: down.output, neurons: up.output };
    row((workload, computation, "cpu/gemm", tokens), seconds, runs, None, check)
}

fn row(
    (workload, computation, kernel, tokens): (&Workload, Computation, &str, usize),
    seconds: Stats,
    runs: usize,
    leaves: Option<usize>,
    check: Check,
) -> Measurement {
    Measurement {
        workload: workload.name.clone(),
        unit: Unit::Cpu,
        computation,
        kernel: kernel.into(),
        precision: Precision::F32,
        activations: Precision::F32,
        tokens,
        timing: Timing::Wall,
        wall: seconds.clone(),
        seconds,
        runs,
        flops: computation.flops(tokens),
        bytes: computation.bytes(tokens, [Precision::F32; 2]),
        leaves,
        check,
    }
}

/// Returns the seconds of a run, and how many runs lie between two readings of the clock.
fn measure(effort: Effort, mut run: impl FnMut(usize)) -> (Stats, usize) {
    let begun = Instant::now();
    run(0);
    let start = Instant::now();
    run(1);
    let once = start.elapsed().as_secs_f64().max(1e-9);
    let runs = ((effort.pass_seconds / once).ceil() as usize).clamp(1, effort.most_dispatches);
    let mut samples = Vec::new();
    let mut done = 0;
    while samples.len() < effort.samples
        && (samples.len() < 3 || begun.elapsed().as_secs_f64() < effort.row_seconds)
    {
        let start = Instant::now();
        for _ in 0..runs {
            run(done);
            done += 1;
        }
        samples.push(start.elapsed().as_secs_f64() / runs as f64);
    }
    (Stats::new(samples), runs)
}
