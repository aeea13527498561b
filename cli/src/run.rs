//! `cmm run`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use cmm::{
    Checkpoint, Device, Error, FffForm, FffLayer, FffShape, FffWeights, Forward, GpuOptions,
    Precision, Variant, host,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::device::{DeviceChoice, device};
use crate::output::{Failure, print};
use crate::tensor_in::TensorIn;
use crate::tensor_out::TensorsOut;

/// Tokens between two steps of the progress bar; also what the CPU reference takes at once.
const TOKENS_PER_STEP: usize = 4096;

#[derive(Args)]
pub struct Arguments {
    /// Weights in the UltraFastBERT form (safetensors)
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// What stands before `.linear_in.weight` [default: found, if there is one layer]
    #[arg(long)]
    prefix: Option<String>,
    /// Trees, K
    #[arg(long)]
    trees: usize,
    /// Depth, D (a tree has D + 1 levels)
    #[arg(long)]
    depth: usize,
    /// What an engaged node adds: `published`, or `signed`, with two output rows a node
    #[arg(long, default_value = "published")]
    form: FffForm,
    /// Tokens, [..., width] in .npy or .safetensors
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Which tensor of a safetensors input
    #[arg(long, value_name = "NAME")]
    tensor: Option<String>,
    /// Result, [..., width], in .npy or .safetensors
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Also write the nodes each token engaged, [..., trees, levels]: as tensor `path`, or to OUTPUT.path.npy
    #[arg(long)]
    path: bool,
    /// Precision of the weights; sums are f32
    #[arg(long, value_enum, default_value = "f32")]
    precision: PrecisionArgument,
    /// Kernel variant, such as workgroup/f32; overrides --precision [default: the best of the device]
    #[arg(long, env = "CMM_VARIANT")]
    variant: Option<Variant>,
    /// `cpu`, or a GPU: an index of `cmm devices`, a backend, or part of a name [default: the best GPU, and the CPU where there is none but in
    /// software]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// Let sums that overflow pass, as infinities and NaN in the result
    #[arg(long)]
    allow_overflow: bool,
    /// Print a JSON summary
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum PrecisionArgument {
    F32,
    F16,
}

impl From<PrecisionArgument> for Precision {
    fn from(precision: PrecisionArgument) -> Self {
        match precision {
            PrecisionArgument::F32 => Self::F32,
            PrecisionArgument::F16 => Self::F16,
        }
    }
}

/// What was done, for `--json`.
#[derive(Serialize)]
struct Summary {
    device: String,
    variant: String,
    tokens: usize,
    output: Vec<PathBuf>,
}

/// What computes.
enum Engine {
    Gpu(Box<FffLayer>),
    Host { weights: FffWeights, allow_overflow: bool },
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut input = TensorIn::open(&arguments.input, arguments.tensor.as_deref())?;
    let weights = read_weights(arguments)?;
    let shape = weights.shape();
    let Some((&width, leading)) = input.shape().split_last() else {
        return Err(format!(
            "{}: a scalar, expected [..., {}]",
            arguments.input.display(),
            shape.input()
        )
        .into());
    };
    if width != shape.input() {
        return Err(Error::Input {
            what: format!("width of {}", arguments.input.display()),
            expected: format!("{}, as linear_in has", shape.input()),
            found: width.to_string(),
        }
        .into());
    }
    let leading = leading.to_vec();
    let tokens = leading
        .iter()
        .try_fold(1usize, |tokens, size| tokens.checked_mul(*size))
        .ok_or("the input's shape overflows")?;

    let engine = Engine::new(arguments, weights).await?;
    let extended = |more: &[usize]| leading.iter().chain(more).copied().collect::<Vec<_>>();
    let path_shape = arguments.path.then(|| extended(&[shape.trees(), shape.levels()]));
    let mut output =
        TensorsOut::create(&arguments.output, &extended(&[shape.output()]), path_shape.as_deref())?;

    let progress = ProgressBar::new(tokens as u64);
    progress.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} tokens, {eta} left")?);
    let mut done = 0;
    while done < tokens {
        let step = TOKENS_PER_STEP.min(tokens - done);
        let x = input.read(step * width)?;
        let result =
            engine.forward(&x, arguments.path).await.map_err(|error| at(error, done, width))?;
        output.write(&result.y, &result.path)?;
        done += step;
        progress.set_position(done as u64);
    }
    let output = output.finish()?;
    progress.finish_and_clear();

    let (device, variant) = engine.names();
    let summary = Summary { device, variant, tokens, output };
    print(&if arguments.json {
        serde_json::to_string(&summary)? + "\n"
    } else {
        summary.to_text()
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The index in an error of a chunk, which begins at token `first`, becomes that of the whole input.
fn at(error: Error, first: usize, width: usize) -> Error {
    match error {
        Error::Value { what, index, value, expected } => {
            Error::Value { what, index: first * width + index, value, expected }
        }
        Error::Overflow { token, tree, node, what, magnitude, largest } => {
            Error::Overflow { token: first + token, tree, node, what, magnitude, largest }
        }
        other => other,
    }
}

fn read_weights(arguments: &Arguments) -> Result<FffWeights, Failure> {
    const LINEAR_IN: &str = "linear_in.weight";
    let file = Checkpoint::open(&arguments.weights)?;
    let prefix = match &arguments.prefix {
        Some(prefix) => prefix.clone(),
        None => {
            let names = file.names();
            let layers: Vec<_> = names
                .iter()
                .filter_map(|name| name.strip_suffix(LINEAR_IN))
                .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
                .map(|prefix| prefix.trim_end_matches('.'))
                .collect();
            match layers[..] {
                [only] => only.to_owned(),
                [] => return Err(format!("{}: no tensor *.{LINEAR_IN}", file.name()).into()),
                _ => {
                    let layers = layers.join(", ");
                    return Err(format!(
                        "{}: several layers; choose one with --prefix: {layers}",
                        file.name()
                    )
                    .into());
                }
            }
        }
    };
    let name =
        |suffix: &str| if prefix.is_empty() { suffix.into() } else { format!("{prefix}.{suffix}") };
    let width = |name: String, axis: usize| -> Result<usize, Failure> {
        match file.info(&name)?.shape[..] {
            [rows, columns] => Ok([rows, columns][axis]),
            ref other => {
                Err(format!("{}: `{name}` has shape {other:?}, expected a matrix", file.name())
                    .into())
            }
        }
    };
    let (input, output) = (width(name(LINEAR_IN), 1)?, width(name("linear_out.weight"), 0)?);
    let shape = FffShape::with_output(input, output, arguments.trees, arguments.depth)?
        .in_form(arguments.form)?;
    Ok(FffWeights::from_safetensors(&file, &prefix, shape)?)
}

impl Engine {
    async fn new(arguments: &Arguments, weights: FffWeights) -> Result<Self, Failure> {
        let precision = arguments
            .variant
            .map_or(arguments.precision.into(), |variant| variant.weights.precision());
        let shape = weights.shape();
        let options = |adapter| GpuOptions::default().adapter(adapter).for_layer(shape, precision);
        let wanted = arguments.device.as_ref();
        let gpu = match device(wanted, arguments.variant.is_some(), options).await? {
            Device::Gpu(gpu) => gpu,
            Device::Host => {
                let weights = match precision {
                    Precision::F32 => weights,
                    Precision::F16 => weights.rounded_to_f16()?,
                };
                return Ok(Self::Host { weights, allow_overflow: arguments.allow_overflow });
            }
        };
        let mut layer = FffLayer::builder(&weights).precision(precision);
        if let Some(variant) = arguments.variant {
            layer = layer.variant(variant);
        }
        if arguments.allow_overflow {
            layer = layer.allow_overflow();
        }
        Ok(Self::Gpu(Box::new(layer.upload(&gpu).await?)))
    }

    async fn forward(&self, x: &[f32], with_path: bool) -> Result<Forward, Error> {
        match self {
            Self::Gpu(layer) if with_path => layer.forward_with_path(x).await,
            Self::Gpu(layer) => Ok(Forward { y: layer.forward(x).await?, path: Vec::new() }),
            Self::Host { weights, allow_overflow: true } => host::fff_allowing_overflow(weights, x),
            Self::Host { weights, allow_overflow: false } => host::fff(weights, x),
        }
    }

    fn names(&self) -> (String, String) {
        match self {
            Self::Gpu(layer) => (layer.gpu().info().name.clone(), layer.variant().to_string()),
            Self::Host { .. } => ("cpu".into(), "f32".into()),
        }
    }
}

impl Summary {
    fn to_text(&self) -> String {
        let Self { device, variant, tokens, output } = self;
        let files: Vec<_> = output.iter().map(|file| file.display().to_string()).collect();
        format!("{tokens} tokens on {device} ({variant}) -> {}\n", files.join(", "))
    }
}
