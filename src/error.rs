//! The error type of the crate: what failed, where, what was expected and what was found.

use std::path::PathBuf;

/// The result of a function of this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. [`source()`](std::error::Error::source) returns its cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A slice, buffer or tensor does not have the size or dtype that the operation needs.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The slice, buffer or tensor.
        what: String,
        /// The size or dtype that was expected.
        expected: String,
        /// The size or dtype that was found.
        found: String,
    },
    /// A model's configuration, or another file of its folder, is malformed, contradicts itself, or
    /// asks for something that is not implemented.
    #[error("{what}: expected {expected}, found {found}")]
    Config {
        /// The file, its key, or the size.
        what: String,
        /// The value that was expected.
        expected: String,
        /// The value that was found.
        found: String,
    },
    /// The caller's input cannot be used: a text, a sequence, a row, a file, or a choice that does
    /// not exist.
    #[error("{what}: expected {expected}, found {found}")]
    Input {
        /// The input.
        what: String,
        /// The input that was expected.
        expected: String,
        /// The input that was found.
        found: String,
    },
    /// The checkpoint lacks the head that was asked for.
    #[error("this checkpoint: expected a {head} head, found {found}")]
    MissingHead {
        /// `masked-LM` or `classification`.
        head: &'static str,
        /// The head that the checkpoint has.
        found: String,
    },
    /// A value is a NaN or an infinity, or the chosen precision cannot hold it.
    #[error("{what}[{index}] is {value}: expected {expected}")]
    Value {
        /// The tensor or slice.
        what: String,
        /// The flat index of the first such element.
        index: usize,
        /// The value of the element.
        value: f32,
        /// The values that are allowed.
        expected: &'static str,
    },
    /// Weights and inputs are finite, but a sum exceeds the type that it is kept in.
    #[error(
        "token {token}: the {what} at node {node} of tree {tree} overflows: its terms sum up to {magnitude:.2e}, the largest value is \
         {largest:.4e}; scale x or the weights, or let overflows pass (allow_overflow, --allow-overflow)"
    )]
    Overflow {
        /// The first token whose output is not finite.
        token: usize,
        /// The tree.
        tree: usize,
        /// The first node on the token's path, or the leaf at its end, whose sums may overflow: its
        /// index in heap order within its tree.
        node: u32,
        /// The sum that overflows: `logit`, `neuron` or `output`.
        what: &'static str,
        /// The sum of the terms' magnitudes.
        magnitude: f64,
        /// The largest value that the type of the sum holds.
        largest: f64,
    },
    /// A file is not a valid safetensors checkpoint.
    #[error("{name}: not a usable safetensors file: {reason}")]
    Checkpoint {
        /// The file, or the name that the caller gave the bytes.
        name: String,
        /// The fault of the file.
        reason: String,
    },
    /// A tokenizer file is malformed, or the tokenizer failed.
    #[error("{name}: {reason}")]
    Tokenizer {
        /// The file.
        name: String,
        /// The fault of the file or of the text.
        reason: String,
    },
    /// The checkpoint lacks a tensor that is needed.
    #[error("{file}: no tensor `{tensor}`; the file has: {available}")]
    MissingTensor {
        /// The checkpoint.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// The names that the file does have, shortened.
        available: String,
    },
    /// Reading or writing a file failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// No adapter fits the request.
    #[error("no GPU adapter {wanted}; available: {available}")]
    NoAdapter {
        /// The adapter that was asked for.
        wanted: String,
        /// The adapters that exist.
        available: String,
    },
    /// The adapter lacks a feature or limit that the work needs.
    #[error("{what} needs {missing}, which adapter `{adapter}` does not have")]
    Unsupported {
        /// The work that needs it.
        what: String,
        /// The adapter's name.
        adapter: String,
        /// The missing feature or limit.
        missing: String,
    },
    /// A buffer would be larger than the device allows.
    #[error("{what} needs {bytes} bytes, more than {limit_name} = {limit} of `{adapter}`; {hint}")]
    TooLarge {
        /// The buffer.
        what: String,
        /// The size that it needs, in bytes.
        bytes: u64,
        /// The name of the limit that forbids it.
        limit_name: &'static str,
        /// The value of that limit, in bytes.
        limit: u64,
        /// The adapter's name.
        adapter: String,
        /// A hint at what would fit.
        hint: &'static str,
    },
    /// The device had no memory left.
    #[error("out of device memory: {what}")]
    OutOfMemory {
        /// The allocation or the work that failed.
        what: String,
    },
    /// The device is gone; create a new [`Gpu`](crate::Gpu).
    #[error("the GPU device was lost: {reason}")]
    DeviceLost {
        /// The message of the driver.
        reason: String,
    },
    /// wgpu or the driver refused an operation.
    #[error("{what}: {reason}")]
    Gpu {
        /// The operation.
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

    /// The checkpoint has no head of this kind. `missing` is the tensor that its configuration
    /// implies and its files lack.
    pub(crate) fn no_head(head: &'static str, missing: Option<&str>) -> Self {
        let found = match missing {
            Some(tensor) => format!("no tensor {tensor}"),
            None => "none; see the `architectures` of its config.json".into(),
        };
        Self::MissingHead { head, found }
    }

    /// Returns the same error with the place put before the name of the faulty thing.
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

/// The values that f16 weights may have, in words.
pub(crate) const F16_WEIGHTS: &str = "within ±65504 for f16 weights";

/// Refuses values that f16 cannot hold: those beyond ±65504 after rounding.
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
