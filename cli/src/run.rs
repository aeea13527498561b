//! `cmm run`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use cmm::{
    Checkpoint, Device, Error, FffForm, FffLayer, FffShape, FffWeights, Forward, GpuOptions,
    LeafActivation, LeafForm, Precision, Variant, host,
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
    /// Weights (safetensors): in the UltraFastBERT form, or in the leaf form as the package fastfeedforward saves them
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// What stands before `.linear_in.weight`, or in the leaf form `.w1s` [default: found, if there is one layer]
    #[arg(long)]
    prefix: Option<String>,
    /// Trees, K; not in the leaf form
    #[arg(long)]
    trees: Option<usize>,
    /// Depth, D (a tree has D + 1 levels); the leaf form's is that of the weights
    #[arg(long)]
    depth: Option<usize>,
    /// What a token engages: `published`, `signed`, with two output rows a node, or `leaf`, a small dense layer behind the decisions
    #[arg(long, value_enum, default_value = "published")]
    form: FormArgument,
    /// What a leaf's neurons make of their logits; no file says it
    #[arg(long, value_enum)]
    activation: Option<ActivationArgument>,
    /// Leave a leaf's b2 out, as the evaluation of the package fastfeedforward does
    #[arg(long)]
    no_output_bias: bool,
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
    /// `cpu`, or a GPU: an index of `cmm devices`, a backend, a PCI bus id, or part of a name [default: the best GPU, and the CPU where there is none but in
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

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum FormArgument {
    Published,
    Signed,
    Leaf,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum ActivationArgument {
    Gelu,
    Relu,
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
            expected: format!("{}, as the weights have", shape.input()),
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
    let mark = match arguments.form {
        FormArgument::Leaf => "w1s",
        FormArgument::Published | FormArgument::Signed => "linear_in.weight",
    };
    let file = Checkpoint::open(&arguments.weights)?;
    let prefix = match &arguments.prefix {
        Some(prefix) => prefix.clone(),
        None => {
            let names = file.names();
            let layers: Vec<_> = names
                .iter()
                .filter_map(|name| name.strip_suffix(mark))
                .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
                .map(|prefix| prefix.trim_end_matches('.'))
                .collect();
            match layers[..] {
                [only] => only.to_owned(),
                [] => return Err(format!("{}: no tensor *.{mark}", file.name()).into()),
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
    let sizes = |tensor: &str, axes: usize| -> Result<Vec<usize>, Failure> {
        let tensor = name(tensor);
        let shape = &file.info(&tensor)?.shape;
        if shape.len() != axes {
            let expected = format!("has shape {shape:?}, expected {axes} axes");
            return Err(format!("{}: `{tensor}` {expected}", file.name()).into());
        }
        Ok(shape.clone())
    };
    let shape = match arguments.form {
        FormArgument::Leaf => leaf_shape(arguments, &sizes("w1s", 3)?, &sizes("w2s", 3)?)?,
        FormArgument::Published | FormArgument::Signed => {
            let (input, output) = (sizes(mark, 2)?[1], sizes("linear_out.weight", 2)?[0]);
            let (Some(trees), Some(depth)) = (arguments.trees, arguments.depth) else {
                return Err("give --trees and --depth, as in --trees 1 --depth 11".into());
            };
            if arguments.activation.is_some() || arguments.no_output_bias {
                return Err("--activation and --no-output-bias are of --form leaf".into());
            }
            let form = match arguments.form {
                FormArgument::Signed => FffForm::Signed,
                FormArgument::Published | FormArgument::Leaf => FffForm::Published,
            };
            FffShape::with_output(input, output, trees, depth)?.in_form(form)?
        }
    };
    Ok(FffWeights::from_safetensors(&file, &prefix, shape)?)
}

/// From the shapes of `w1s [2^D, input, width]` and `w2s [2^D, width, output]`.
fn leaf_shape(arguments: &Arguments, w1s: &[usize], w2s: &[usize]) -> Result<FffShape, Failure> {
    let (leaves, input, width, output) = (w1s[0], w1s[1], w1s[2], w2s[2]);
    if !leaves.is_power_of_two() {
        return Err(format!("{leaves} leaves, expected a power of two").into());
    }
    let depth = leaves.ilog2() as usize;
    if arguments.trees.is_some_and(|trees| trees != 1)
        || arguments.depth.is_some_and(|given| given != depth)
    {
        return Err(format!(
            "the weights are one tree of depth {depth}: leave --trees and --depth out"
        )
        .into());
    }
    let activation = match arguments.activation {
        Some(ActivationArgument::Gelu) => LeafActivation::Gelu,
        Some(ActivationArgument::Relu) => LeafActivation::Relu,
        None => {
            return Err("say --activation relu (fastfeedforward's default) or gelu".into());
        }
    };
    let leaf = LeafForm { width, activation, without_output_bias: arguments.no_output_bias };
    Ok(FffShape::leaf(input, output, depth, leaf)?)
}

impl Engine {
    async fn new(arguments: &Arguments, weights: FffWeights) -> Result<Self, Failure> {
        let precision = arguments
            .variant
            .map_or(arguments.precision.into(), |variant| variant.weights.precision());
        let shape = weights.shape();
        let options = GpuOptions::default().for_layer(shape, precision);
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
