//! One error type: what failed, where, what was expected and what was found.

use std::path::PathBuf;

/// Result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong. Causes are kept by [`source()`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A slice, buffer or tensor is not of the size or dtype that the operation needs.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The thing that is off.
        what: String,
        /// What it should have been.
        expected: String,
        /// What it was.
        found: String,
    },
    /// A model's configuration, or another file of its folder, is malformed, cannot be, or asks for what is not implemented.
    #[error("{what}: expected {expected}, found {found}")]
    Config {
        /// The file, its key, or the size.
        what: String,
        /// What it should have been.
        expected: String,
        /// What it was.
        found: String,
    },
    /// What a caller brought cannot be used: a text, a sequence, a row, a file, a choice that does not exist.
    #[error("{what}: expected {expected}, found {found}")]
    Input {
        /// The thing that is off.
        what: String,
        /// What it should have been.
        expected: String,
        /// What it was.
        found: String,
    },
    /// The checkpoint lacks the head that is asked for.
    #[error("this checkpoint: expected a {head} head, found {found}")]
    MissingHead {
        /// `masked-LM` or `classification`.
        head: &'static str,
        /// What there is.
        found: String,
    },
    /// A NaN or an infinity, or a number that the chosen precision cannot hold.
    #[error("{what}[{index}] is {value}: expected {expected}")]
    Value {
        /// The tensor or slice.
        what: String,
        /// Flat index of the first such element.
        index: usize,
        /// The element.
        value: f32,
        /// What is allowed there.
        expected: &'static str,
    },
    /// Finite weights and inputs, whose sums are beyond what they are kept in.
    #[error(
        "token {token}: the {what} at node {node} of tree {tree} overflows: its terms sum up to {magnitude:.2e}, the largest value is \
         {largest:.4e}; scale x or the weights, or let overflows pass (allow_overflow, --allow-overflow)"
    )]
    Overflow {
        /// The first token whose output is not finite.
        token: usize,
        /// The tree.
        tree: usize,
        /// The first node on the token's path, or leaf at its end, in heap order within its tree, whose sums may overflow.
        node: u32,
        /// `logit`, `neuron` or `output`.
        what: &'static str,
        /// Sum of the terms' magnitudes.
        magnitude: f64,
        /// What the sum is kept in holds.
        largest: f64,
    },
    /// A file is not a valid safetensors checkpoint.
    #[error("{name}: not a usable safetensors file: {reason}")]
    Checkpoint {
        /// The file, or what the bytes were called.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tokenizer file is malformed, or could not tokenize.
    #[error("{name}: {reason}")]
    Tokenizer {
        /// The file.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A tensor that is needed is not in the checkpoint.
    #[error("{file}: no tensor `{tensor}`; the file has: {available}")]
    MissingTensor {
        /// The checkpoint.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// Names that the file does have, shortened.
        available: String,
    },
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// No adapter fits the request.
    #[error("no GPU adapter {wanted}; available: {available}")]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// What is there.
        available: String,
    },
    /// The adapter lacks something that this work needs.
    #[error("{what} needs {missing}, which adapter `{adapter}` does not have")]
    Unsupported {
        /// The work.
        what: String,
        /// The adapter's name.
        adapter: String,
        /// The feature or limit.
        missing: String,
    },
    /// A buffer would be larger than the device allows.
    #[error("{what} needs {bytes} bytes, more than {limit_name} = {limit} of `{adapter}`; {hint}")]
    TooLarge {
        /// The buffer.
        what: String,
        /// Its size, bytes.
        bytes: u64,
        /// Name of the limit that forbids it.
        limit_name: &'static str,
        /// That limit, bytes.
        limit: u64,
        /// The adapter's name.
        adapter: String,
        /// What would fit.
        hint: &'static str,
    },
    /// The device had no memory left.
    #[error("out of device memory: {what}")]
    OutOfMemory {
        /// What was being allocated or run.
        what: String,
    },
    /// The device is gone; create a new [`Gpu`](crate::Gpu).
    #[error("the GPU device was lost: {reason}")]
    DeviceLost {
        /// The driver's words.
        reason: String,
    },
    /// wgpu or the driver refused something.
    #[error("{what}: {reason}")]
    Gpu {
        /// What was being done.
        what: String,
        /// The message of wgpu.
        reason: String,
    },
}

impl Error {
    pub(crate) fn shape(
        what: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        let [expected, found] = [expected.to_string(), found.to_string()];
        Self::Shape { what: what.into(), expected, found }
    }

    pub(crate) fn config(
        what: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        let [expected, found] = [expected.to_string(), found.to_string()];
        Self::Config { what: what.into(), expected, found }
    }

    pub(crate) fn input(
        what: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        let [expected, found] = [expected.to_string(), found.to_string()];
        Self::Input { what: what.into(), expected, found }
    }

    /// No head of this kind; `missing`: the tensor that its configuration names and its files lack.
    pub(crate) fn no_head(head: &'static str, missing: Option<&str>) -> Self {
        let found = match missing {
            Some(tensor) => format!("no tensor {tensor}"),
            None => "none; see the `architectures` of its config.json".into(),
        };
        Self::MissingHead { head, found }
    }

    /// The same error with a place before what is off.
    pub(crate) fn within(mut self, place: &str) -> Self {
        if let Self::Shape { what, .. } | Self::Config { what, .. } | Self::Input { what, .. } =
            &mut self
        {
            *what = format!("{place}: {what}");
        }
        self
    }

    pub(crate) fn gpu(what: impl Into<String>, cause: wgpu::Error) -> Self {
        let what = what.into();
        match cause {
            wgpu::Error::OutOfMemory { .. } => Self::OutOfMemory { what },
            cause => Self::Gpu { what, reason: cause.to_string() },
        }
    }
}

/// What f16 weights may be.
pub(crate) const F16_WEIGHTS: &str = "within ±65504 for f16 weights";

/// Refuses what f16 cannot hold: beyond ±65504, with what rounds to that.
pub(crate) fn check_f16(what: &str, values: &[f32], expected: &'static str) -> Result<()> {
    match values.iter().position(|v| !half::f16::from_f32(*v).is_finite()) {
        None => Ok(()),
        Some(index) => {
            Err(Error::Value { what: what.into(), index, value: values[index], expected })
        }
    }
}

/// Refuses NaN and infinities in data from outside.
pub(crate) fn check_finite(what: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(index) => Err(Error::Value {
            what: what.into(),
            index,
            value: values[index],
            expected: "a finite number",
        }),
    }
}
