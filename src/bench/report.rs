//! The report of a benchmark run: the machine, its peaks and the measured rows, as one JSON file
//! per machine.

use serde::{Deserialize, Serialize};

use crate::bench::{Stats, Timing};
use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::fff::{FffForm, FffShape};
use crate::gpu::Gpu;
use crate::reference::Comparison;

/// The version of the report's schema.
pub const SCHEMA: u32 = 1;

/// The backend of a machine whose GPUs were not asked.
const NO_BACKEND: &str = "none";

/// Seconds that a measurement may have: less than the lower bound is below a clock's tick, more
/// than the upper one is ten years.
const PLAUSIBLE_SECONDS: std::ops::Range<f64> = 1e-12..3e8;
/// Operations or bytes that a forward may have.
const PLAUSIBLE_SIZES: std::ops::Range<f64> = 1.0..1e24;

/// A run of the benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The schema's version, [`SCHEMA`].
    pub schema: u32,
    /// The version of this crate.
    pub version: String,
    /// The commit that the program was built from, if it is known.
    pub commit: Option<String>,
    /// The command that wrote the report.
    pub command: String,
    /// Whether the run came to its end. Every row that is present is whole either way.
    pub complete: bool,
    /// The machine that ran it.
    pub machine: Machine,
    /// The peaks that the device reaches.
    pub peaks: Option<Peaks>,
    /// The measured rows.
    #[serde(rename = "rows")]
    pub measurements: Vec<Measurement>,
}

/// The machine of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Machine {
    /// The name of the adapter.
    pub adapter: String,
    /// The PCI ids of vendor and device; 0 where they are unknown.
    pub ids: (u32, u32),
    /// The kind of adapter: discrete, integrated, software, ...
    pub kind: String,
    /// The backend: Vulkan, Metal, ...
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// The optional features in use.
    pub features: Vec<String>,
    /// The sizes of the smallest and the largest subgroup.
    pub subgroup: Option<(u32, u32)>,
    /// The operating system and the architecture.
    pub system: String,
    /// Threads that the CPU rows use.
    pub threads: usize,
}

/// The peaks of a device, measured before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Peaks {
    /// Bytes per second of a large copy; bytes read and bytes written both count.
    pub copy: f64,
    /// Floating-point operations per second in f32, from registers.
    pub f32: f64,
    /// Floating-point operations per second in f16, where shaders have it.
    pub f16: Option<f64>,
    /// Seconds of an empty dispatch in a chain of dependent ones.
    pub dispatch: f64,
}

/// The unit that a row ran on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// The adapter.
    Gpu,
    /// The host.
    Cpu,
}

/// The computation that a row measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Computation {
    /// An FFF layer, which is conditional.
    Cmm {
        /// Width of x.
        input: usize,
        /// Width of y.
        output: usize,
        /// Number of trees.
        trees: usize,
        /// Depth of a tree.
        depth: usize,
        /// The form of the layer.
        #[serde(default, skip_serializing_if = "FffForm::is_published")]
        form: FffForm,
    },
    /// A dense layer: x * W1^T + b1, GELU, * W2^T + b2.
    Dmm {
        /// Width of x.
        input: usize,
        /// Width of y.
        output: usize,
        /// Neurons between the two matrices.
        neurons: usize,
    },
    /// A whole encoder, without its head.
    Encoder {
        /// Number of transformer layers.
        layers: usize,
        /// Width of the model.
        hidden: usize,
        /// Tokens of a sequence.
        length: usize,
        /// Trees of each FFF layer; 0 means that the feedforward layers are dense.
        trees: usize,
        /// Depth of a tree.
        depth: usize,
        /// The form of the layer.
        #[serde(default, skip_serializing_if = "FffForm::is_published")]
        form: FffForm,
        /// Neurons of each dense feedforward layer, if `trees` is 0.
        neurons: usize,
    },
}

/// One measurement, with the result of the check that proves it right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measurement {
    /// The name of the workload.
    pub workload: String,
    /// The unit that it ran on.
    pub unit: Unit,
    /// The computation that was measured.
    #[serde(rename = "layer")]
    pub computation: Computation,
    /// The kernel that ran.
    pub kernel: String,
    /// The precision of the weights.
    pub precision: Precision,
    /// The precision of x and y.
    #[serde(default)]
    pub activations: Precision,
    /// Tokens of one forward.
    pub tokens: usize,
    /// The clock that `seconds` come from.
    pub timing: Timing,
    /// Seconds of one forward of all tokens.
    pub seconds: Stats,
    /// The same by the host's clock, including submission and waiting, over `runs` forwards in a
    /// row.
    pub wall: Stats,
    /// Forwards between two readings of a clock.
    pub runs: usize,
    /// Floating-point operations of the engaged neurons; a multiply and an add count as two.
    pub flops: f64,
    /// Bytes that have to move at least once: activations in and out, and the weights of the
    /// engaged neurons.
    pub bytes: f64,
    /// The number of distinct paths that the tokens took, over all trees.
    pub leaves: Option<usize>,
    /// How the output compares with the reference.
    pub check: Check,
}

/// How a row's output compares with the f64 reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Check {
    /// Whether the row passed, so that it may be published.
    pub passed: bool,
    /// The number of tokens compared.
    pub tokens: usize,
    /// The largest |got - want| / max(1, max|want|) of a token's row; `None` (null) for NaN or
    /// infinity.
    pub error: Option<f64>,
    /// The largest `error` that passes.
    pub allowed: f64,
    /// The number of engaged nodes that the reference does not allow.
    pub wrong_nodes: usize,
    /// The number of decisions that rounding may take either way and that differ from the
    /// reference.
    pub flips: usize,
}

impl Check {
    /// Sums up the comparison of some tokens.
    pub(crate) fn of(compared: &Comparison) -> Self {
        Self {
            passed: compared.passed(),
            tokens: compared.tokens,
            error: Some(compared.worst_error).filter(|error| error.is_finite()),
            allowed: compared.allowed_error,
            wrong_nodes: compared.wrong_nodes,
            flips: compared.legitimate_flips,
        }
    }
}

impl Computation {
    /// The computation of an FFF layer.
    pub fn cmm(shape: FffShape) -> Self {
        let (trees, depth, form) = (shape.trees(), shape.depth(), shape.form());
        Self::Cmm { input: shape.input(), output: shape.output(), trees, depth, form }
    }

    /// Returns the number of neurons, and the number of neurons that a token engages.
    pub fn neurons(&self) -> (usize, usize) {
        // Saturates, because a report may say anything. `Measurement::broken` finds impossible
        // layers.
        let power = |exponent: usize| {
            let exponent = u32::try_from(exponent).ok();
            exponent.and_then(|exponent| 1_usize.checked_shl(exponent)).unwrap_or(usize::MAX)
        };
        match *self {
            Self::Dmm { neurons, .. } | Self::Encoder { neurons, trees: 0, .. } => {
                (neurons, neurons)
            }
            Self::Cmm { depth, form: FffForm::Leaf(leaf), .. }
            | Self::Encoder { depth, form: FffForm::Leaf(leaf), .. } => {
                (power(depth).saturating_mul(leaf.width), leaf.width)
            }
            Self::Cmm { trees, depth, .. } | Self::Encoder { trees, depth, .. } => {
                let levels = depth.saturating_add(1);
                let nodes = power(levels).saturating_sub(1);
                (trees.saturating_mul(nodes), trees.saturating_mul(levels))
            }
        }
    }

    /// Returns whether such a layer can exist: its sizes are below 2^32, and so is its number of
    /// nodes.
    fn is_possible(&self) -> bool {
        let sizes = match *self {
            Self::Cmm { input, output, trees, .. } => [input, output, trees, 0],
            Self::Dmm { input, output, neurons } => [input, output, neurons, 0],
            Self::Encoder { layers, hidden, length, neurons, .. } => {
                [layers, hidden, length, neurons]
            }
        };
        sizes.iter().all(|size| u32::try_from(*size).is_ok())
            && u32::try_from(self.neurons().0).is_ok()
    }

    /// Returns whether the feedforward layers are conditional.
    pub fn is_conditional(&self) -> bool {
        match self {
            Self::Cmm { .. } => true,
            Self::Dmm { .. } => false,
            Self::Encoder { trees, .. } => *trees > 0,
        }
    }

    /// Returns the widths of x and of y.
    pub fn widths(&self) -> (usize, usize) {
        match *self {
            Self::Cmm { input, output, .. } | Self::Dmm { input, output, .. } => (input, output),
            Self::Encoder { hidden, .. } => (hidden, hidden),
        }
    }

    /// Returns the number of multiplications and additions for `tokens` tokens.
    pub fn flops(&self, tokens: usize) -> f64 {
        let (input, output) = self.widths();
        // The leaf form has decisions in addition to its neurons.
        let decisions = match *self {
            Self::Cmm { depth, form: FffForm::Leaf(_), .. }
            | Self::Encoder { depth, form: FffForm::Leaf(_), .. } => depth as f64 * input as f64,
            _ => 0.0,
        };
        let products = self.neurons().1 as f64 * (input + output) as f64 + decisions;
        let ffn = 2.0 * tokens as f64 * products;
        match *self {
            // An encoder also has four projections, and each token's scores and sums over its
            // sequence.
            Self::Encoder { layers, hidden, length, .. } => {
                let keys = length.min(tokens) as f64;
                let attention = tokens as f64 * hidden as f64 * (8.0 * hidden as f64 + 4.0 * keys);
                layers as f64 * (ffn + attention)
            }
            _ => ffn,
        }
    }

    /// Returns the bytes that move at least once: activations, and the weights of all engaged
    /// neurons, each in its precision.
    pub fn bytes(&self, tokens: usize, [weights, activations]: [Precision; 2]) -> f64 {
        let (input, output) = self.widths();
        let (present, engaged) = self.neurons();
        let size = |precision| if precision == Precision::F32 { 4.0 } else { 2.0 };
        let sides = match self {
            Self::Cmm { form, .. } | Self::Encoder { form, .. } => form.sides(),
            Self::Dmm { .. } => 1,
        };
        let engaged = tokens.saturating_mul(engaged);
        let rows = |present: usize, width: usize| present.min(engaged) as f64 * width as f64;
        let ffn = rows(present, input) + rows(present.saturating_mul(sides), output);
        let ffn = ffn * size(weights);
        let tokens = (input + output) as f64 * tokens as f64 * size(activations);
        match *self {
            Self::Encoder { layers, hidden, .. } => {
                let projections = 4.0 * (hidden * hidden) as f64 * size(weights);
                layers as f64 * (ffn + projections + tokens)
            }
            _ => ffn + tokens,
        }
    }
}

impl std::fmt::Display for Computation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cmm { trees, depth, form, .. } => {
                write!(f, "FFF {}", form.label(*trees, *depth))
            }
            Self::Dmm { neurons, .. } => write!(f, "dense {neurons}"),
            Self::Encoder { layers, hidden, trees: 0, neurons, .. } => {
                write!(f, "encoder {layers}x{hidden}, dense {neurons}")
            }
            Self::Encoder { layers, hidden, trees, depth, form, .. } => {
                write!(f, "encoder {layers}x{hidden}, FFF {}", form.label(*trees, *depth))
            }
        }
    }
}

impl Measurement {
    /// Returns a value that no measurement can have, if the row holds one: the file was damaged or
    /// made up. Such a row is marked, and no ratio or chart uses it.
    pub fn broken(&self) -> Option<String> {
        let times = [&self.seconds, &self.wall].into_iter().flat_map(|s| [s.median, s.min, s.max]);
        let sizes = [self.flops, self.bytes];
        let time = |v: &f64| !PLAUSIBLE_SECONDS.contains(v);
        let size = |v: &f64| !PLAUSIBLE_SIZES.contains(v);
        if !self.computation.is_possible() {
            return Some(format!("a layer of {}", self.computation));
        }
        let off = times.clone().find(time).map(|v| format!("a time of {v:e} s"));
        off.or_else(|| sizes.into_iter().find(size).map(|v| format!("{v:e} operations or bytes")))
    }

    /// Returns whether the row passed its check and is not broken. Only such rows are compared and
    /// drawn.
    pub fn is_sound(&self) -> bool {
        self.check.passed && self.broken().is_none()
    }

    /// Returns the number of tokens per second.
    pub fn rate(&self) -> f64 {
        self.tokens as f64 / self.seconds.median
    }

    /// Returns the share of the nearer of the device's two ceilings, arithmetic and memory, that
    /// the row reaches. It is above 1 where caches serve the row.
    pub fn share_of_peak(&self, peaks: &Peaks) -> f64 {
        let rate = match self.precision {
            Precision::F32 => peaks.f32,
            Precision::F16 => peaks.f16.unwrap_or(peaks.f32).max(peaks.f32),
        };
        (self.flops / rate).max(self.bytes / peaks.copy) / self.seconds.median
    }
}

impl Report {
    /// Creates an empty report of this build.
    pub fn new(machine: Machine, command: String) -> Self {
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").into(),
            commit: option_env!("CMM_COMMIT").map(Into::into),
            command,
            complete: false,
            machine,
            peaks: None,
            measurements: Vec::new(),
        }
    }

    /// Reads a report.
    ///
    /// # Errors
    /// Returns [`Error::Input`] if the file is not a report, or has another schema.
    pub fn from_json(name: &str, json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let bad = |found: String| Error::input(name, "a result file of `cmm bench`", found);
        let Version { schema } = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        if schema != SCHEMA {
            return Err(bad(format!("schema {schema}; this version reads schema {SCHEMA}")));
        }
        serde_json::from_slice(json).map_err(|e| bad(e.to_string()))
    }

    /// Returns whether the adapter is a program on a CPU, whose measurements say nothing about GPUs.
    pub fn is_software(&self) -> bool {
        self.machine.kind == "Cpu" && self.machine.backend != NO_BACKEND
    }

    /// Returns whether every row passed its check.
    pub fn passed(&self) -> bool {
        self.measurements.iter().all(|row| row.check.passed)
    }
}

impl Machine {
    /// Describes a host without a GPU.
    pub fn host(threads: usize) -> Self {
        Self {
            adapter: "none".into(),
            ids: (0, 0),
            kind: "Cpu".into(),
            backend: NO_BACKEND.into(),
            driver: String::new(),
            features: Vec::new(),
            subgroup: None,
            system: system(),
            threads,
        }
    }

    /// Describes a device.
    pub fn of(gpu: &Gpu, threads: usize) -> Self {
        let info = gpu.info();
        let features = gpu.device().features();
        Self {
            adapter: info.name.clone(),
            ids: (info.vendor, info.device),
            kind: format!("{:?}", info.device_type),
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
            features: features.iter_names().map(|(name, _)| name.to_owned()).collect(),
            subgroup: gpu.capabilities().subgroup,
            system: system(),
            threads,
        }
    }
}

fn system() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}
