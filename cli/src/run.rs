//! `cmm run`: an FFF layer on a file of tokens.

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
use crate::help::{DEVICE, INPUT, LAYER, OUTPUT};
use crate::output::{Failure, print};
use crate::tensor_in::TensorIn;
use crate::tensor_out::TensorsOut;

/// The tokens of a step of the progress bar, which run at once.
const TOKENS_PER_STEP: usize = 4096;

#[derive(Args)]
pub struct Arguments {
    /// The safetensors file of the weights
    ///
    /// It has the UltraFastBERT form, or with --form leaf the one in which the package fastfeedforward saves a layer.
    #[arg(long, value_name = "FILE", help_heading = LAYER)]
    weights: PathBuf,
    /// The name before `.linear_in.weight` or `.w1s` [default: the only layer's]
    #[arg(long, help_heading = LAYER)]
    prefix: Option<String>,
    /// The number of trees, K, which the leaf form does not have
    #[arg(long, help_heading = LAYER)]
    trees: Option<usize>,
    /// The depth of the trees, D, of which the leaf form needs none
    ///
    /// A tree has D + 1 levels. In the leaf form, the weights say the depth.
    #[arg(long, help_heading = LAYER)]
    depth: Option<usize>,
    /// The form of the layer
    #[arg(long, value_enum, default_value = "published", help_heading = LAYER)]
    form: FormArgument,
    /// The activation of the neurons of a leaf, which no file says
    #[arg(long, value_enum, help_heading = LAYER)]
    activation: Option<ActivationArgument>,
    /// Leave b2 of a leaf out, as the evaluation of the package fastfeedforward does
    #[arg(long, help_heading = LAYER)]
    no_output_bias: bool,
    /// The .npy or .safetensors file of the tokens, [..., width]
    #[arg(long, value_name = "FILE", aliases = ["in", "file"], help_heading = INPUT)]
    input: PathBuf,
    /// The tensor to read of a safetensors input [default: the only one]
    #[arg(long, value_name = "NAME", help_heading = INPUT)]
    tensor: Option<String>,
    /// The device: cpu, or a GPU that `cmm devices` lists [default: the best]
    ///
    /// A GPU is named by its index in `cmm devices`, its backend (vulkan, metal, dx12 or gl), its PCI bus id, or a part of its name. The default is
    /// the best GPU; where there is none, or only one in software, it is the CPU.
    #[arg(long, value_name = "DEVICE", help_heading = DEVICE)]
    device: Option<DeviceChoice>,
    /// The precision of the weights
    ///
    /// Sums are in f32 with either precision.
    #[arg(long, value_enum, default_value = "f32", help_heading = DEVICE)]
    precision: PrecisionArgument,
    /// The kernel variant, such as workgroup/f32 [default: the best of the device]
    ///
    /// A variant has a precision of its own, which comes before --precision.
    #[arg(long, env = "CMM_VARIANT", hide_env_values = true, help_heading = DEVICE)]
    variant: Option<Variant>,
    /// Let sums that overflow pass, as infinities and NaN in the result
    #[arg(long, help_heading = DEVICE)]
    allow_overflow: bool,
    /// The .npy or .safetensors file to write the result to, [..., width]
    #[arg(short, long, value_name = "FILE", alias = "out", help_heading = OUTPUT)]
    output: PathBuf,
    /// Write the nodes that each token engages too, [..., trees, levels]
    ///
    /// They are the tensor `path` of a .safetensors file, or a file of their own, `y.path.npy` beside `y.npy`.
    #[arg(long, help_heading = OUTPUT)]
    path: bool,
    /// Print a summary as JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum FormArgument {
    /// A node adds its output row, as in the paper
    Published,
    /// A node has two output rows, and its decision chooses one of them
    Signed,
    /// Decisions lead to a leaf, which is a small dense layer
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

/// The object that `--json` prints.
#[derive(Serialize)]
struct Summary {
    device: String,
    variant: String,
    tokens: usize,
    output: Vec<PathBuf>,
}

/// The layer on its device.
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

/// Makes the index in an error of a chunk, which begins at token `first`, that of the whole input.
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
                [] => {
                    return Err(format!(
                        "{}: it has no tensor *.{mark}; is it in another --form?",
                        file.name()
                    )
                    .into());
                }
                _ => {
                    let layers = layers.join(", ");
                    return Err(format!(
                        "{}: there are several layers; choose one with --prefix: {layers}",
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
                return Err("name the trees and their depth, as in --trees 1 --depth 11".into());
            };
            if arguments.activation.is_some() || arguments.no_output_bias {
                return Err("--activation and --no-output-bias belong to --form leaf: add it, or leave them out".into());
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

/// The shape of a layer in the leaf form, from those of `w1s [2^D, input, width]` and `w2s [2^D, width, output]`.
fn leaf_shape(arguments: &Arguments, w1s: &[usize], w2s: &[usize]) -> Result<FffShape, Failure> {
    let (leaves, input, width, output) = (w1s[0], w1s[1], w1s[2], w2s[2]);
    if !leaves.is_power_of_two() {
        return Err(
            format!("expected a number of leaves that is a power of two, found {leaves}").into()
        );
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
            return Err("name the activation: --activation relu, which is the default of fastfeedforward, or gelu".into());
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
