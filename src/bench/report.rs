//! What a run of the benchmark leaves: the machine, its peaks and the measured rows, one JSON file a machine.

use serde::{Deserialize, Serialize};

use crate::bench::{Stats, Timing};
use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::fff::{FffForm, FffShape};
use crate::gpu::Gpu;
use crate::reference::Comparison;

/// Version of the file's form.
pub const SCHEMA: u32 = 1;

/// The backend of a machine whose GPUs were not asked.
const NO_BACKEND: &str = "none";

/// Seconds that a measurement may be: below is less than a clock's tick, above more than ten years.
const PLAUSIBLE_SECONDS: std::ops::Range<f64> = 1e-12..3e8;
/// Operations or bytes of a forward.
const PLAUSIBLE_SIZES: std::ops::Range<f64> = 1.0..1e24;

/// A run of the benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of this crate.
    pub version: String,
    /// Commit it was built from, if that is known.
    pub commit: Option<String>,
    /// The command that made it.
    pub command: String,
    /// Whether the run came to its end; every row that is there is whole.
    pub complete: bool,
    /// Where it ran.
    pub machine: Machine,
    /// What the device reaches.
    pub peaks: Option<Peaks>,
    /// What was measured.
    #[serde(rename = "rows")]
    pub measurements: Vec<Measurement>,
}

/// Where a run took place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Machine {
    /// Name of the adapter.
    pub adapter: String,
    /// PCI ids of vendor and device, 0 where unknown.
    pub ids: (u32, u32),
    /// Discrete, integrated, software, ...
    pub kind: String,
    /// Vulkan, Metal, ...
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// Optional features in use.
    pub features: Vec<String>,
    /// Smallest and largest subgroup.
    pub subgroup: Option<(u32, u32)>,
    /// Operating system and architecture.
    pub system: String,
    /// Threads that the CPU rows use.
    pub threads: usize,
}

/// What a device reaches, measured before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Peaks {
    /// Bytes a second of a large copy, read and written counted.
    pub copy: f64,
    /// Floating-point operations a second in f32, from registers.
    pub f32: f64,
    /// The same in f16, where shaders have it.
    pub f16: Option<f64>,
    /// Seconds of an empty dispatch in a chain of dependent ones.
    pub dispatch: f64,
}

/// Where a row ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// The adapter.
    Gpu,
    /// The host.
    Cpu,
}

/// What a row computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Computation {
    /// Conditional: an FFF layer.
    Cmm {
        /// Width of x.
        input: usize,
        /// Width of y.
        output: usize,
        /// Trees.
        trees: usize,
        /// Depth of a tree.
        depth: usize,
        /// What a token engages on its way.
        #[serde(default, skip_serializing_if = "FffForm::is_published")]
        form: FffForm,
    },
    /// Dense: x * W1^T + b1, GELU, * W2^T + b2.
    Dmm {
        /// Width of x.
        input: usize,
        /// Width of y.
        output: usize,
        /// Neurons between.
        neurons: usize,
    },
    /// A whole encoder, without its head.
    Encoder {
        /// Transformer layers.
        layers: usize,
        /// Width.
        hidden: usize,
        /// Tokens of a sequence.
        length: usize,
        /// Trees of each FFF layer; 0: the feedforward layers are dense.
        trees: usize,
        /// Depth of a tree.
        depth: usize,
        /// What a token engages on its way.
        #[serde(default, skip_serializing_if = "FffForm::is_published")]
        form: FffForm,
        /// Neurons of each dense layer, where there are no trees.
        neurons: usize,
    },
}

/// One measurement, with the proof that what ran was right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Measurement {
    /// Name of the workload.
    pub workload: String,
    /// Where it ran.
    pub unit: Unit,
    /// What it computed.
    #[serde(rename = "layer")]
    pub computation: Computation,
    /// How.
    pub kernel: String,
    /// Precision of the weights.
    pub precision: Precision,
    /// Precision of x and y.
    #[serde(default)]
    pub activations: Precision,
    /// Tokens at once.
    pub tokens: usize,
    /// Where `seconds` come from.
    pub timing: Timing,
    /// One forward of all tokens.
    pub seconds: Stats,
    /// The same by the host's clock, submission and waiting included, over `runs` forwards in a row.
    pub wall: Stats,
    /// Forwards between two looks at a clock.
    pub runs: usize,
    /// Floating-point operations of the neurons engaged, a multiply and an add counted as two.
    pub flops: f64,
    /// Bytes that have to move at least once: activations in and out, and the weights of the neurons engaged.
    pub bytes: f64,
    /// Distinct paths that the tokens took, in all trees.
    pub leaves: Option<usize>,
    /// Whether it was right.
    pub check: Check,
}

/// How a row's output compares with the f64 reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Check {
    /// Whether the row may be published.
    pub passed: bool,
    /// Tokens compared.
    pub tokens: usize,
    /// Largest |got - want| / max(1, max|want|) of a token's row; null for NaN or infinity.
    pub error: Option<f64>,
    /// What that may be.
    pub allowed: f64,
    /// Nodes engaged that may not have been.
    pub wrong_nodes: usize,
    /// Decisions that rounding may take either way, and took the other way.
    pub flips: usize,
}

impl Check {
    /// How some tokens compared.
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
    /// Of an FFF layer.
    pub fn cmm(shape: FffShape) -> Self {
        let (trees, depth, form) = (shape.trees(), shape.depth(), shape.form());
        Self::Cmm { input: shape.input(), output: shape.output(), trees, depth, form }
    }

    /// Neurons present, and neurons that a token engages.
    pub fn neurons(&self) -> (usize, usize) {
        // Without overflow, since a report may say anything; `Measurement::broken` tells what no layer can be.
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

    /// Whether there can be such a layer: sizes below 2^32, and trees of nodes that can be counted so.
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

    /// Whether feedforward layers are conditional.
    pub fn is_conditional(&self) -> bool {
        match self {
            Self::Cmm { .. } => true,
            Self::Dmm { .. } => false,
            Self::Encoder { trees, .. } => *trees > 0,
        }
    }

    /// Width of x and of y.
    pub fn widths(&self) -> (usize, usize) {
        match *self {
            Self::Cmm { input, output, .. } | Self::Dmm { input, output, .. } => (input, output),
            Self::Encoder { hidden, .. } => (hidden, hidden),
        }
    }

    /// Multiplications and additions of `tokens` tokens.
    pub fn flops(&self, tokens: usize) -> f64 {
        let (input, output) = self.widths();
        // In the leaf form, decisions come beside the neurons.
        let decisions = match *self {
            Self::Cmm { depth, form: FffForm::Leaf(_), .. }
            | Self::Encoder { depth, form: FffForm::Leaf(_), .. } => depth as f64 * input as f64,
            _ => 0.0,
        };
        let products = self.neurons().1 as f64 * (input + output) as f64 + decisions;
        let ffn = 2.0 * tokens as f64 * products;
        match *self {
            // Beside it four projections, and each token's scores and sums over its sequence.
            Self::Encoder { layers, hidden, length, .. } => {
                let keys = length.min(tokens) as f64;
                let attention = tokens as f64 * hidden as f64 * (8.0 * hidden as f64 + 4.0 * keys);
                layers as f64 * (ffn + attention)
            }
            _ => ffn,
        }
    }

    /// Bytes that move at least once: activations, and the weights of the neurons that are engaged at all, each in its precision.
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
    /// What no measurement can have left here, of a file that was damaged or made up: such a row is marked, and no ratio or chart is made of it.
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

    /// Whether the row passed its check and is not broken: only such rows are compared and drawn.
    pub fn is_sound(&self) -> bool {
        self.check.passed && self.broken().is_none()
    }

    /// Tokens a second.
    pub fn rate(&self) -> f64 {
        self.tokens as f64 / self.seconds.median
    }

    /// Share of the nearer of the device's two ceilings, arithmetic and memory, that the row reaches; above 1 where caches serve it.
    pub fn share_of_peak(&self, peaks: &Peaks) -> f64 {
        let rate = match self.precision {
            Precision::F32 => peaks.f32,
            Precision::F16 => peaks.f16.unwrap_or(peaks.f32).max(peaks.f32),
        };
        (self.flops / rate).max(self.bytes / peaks.copy) / self.seconds.median
    }
}

impl Report {
    /// An empty report of this build.
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
    /// [`Error::Input`] if it is none, or of another schema.
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

    /// Whether the adapter is a program on a CPU: what it measures says nothing about GPUs.
    pub fn is_software(&self) -> bool {
        self.machine.kind == "Cpu" && self.machine.backend != NO_BACKEND
    }

    /// Whether every row passed its check.
    pub fn passed(&self) -> bool {
        self.measurements.iter().all(|row| row.check.passed)
    }
}

impl Machine {
    /// Of a host without a GPU.
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

    /// Of a device.
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
