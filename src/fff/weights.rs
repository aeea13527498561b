//! The weights of an FFF layer on the host, one row for each node.

use crate::checkpoint::Checkpoint;
use crate::error::{Error, F16_WEIGHTS, Result, check_f16, check_finite};
use crate::fff::FffShape;

/// The weights of an FFF layer on the host, in f32. Every value is finite.
#[derive(Debug, Clone, PartialEq)]
pub struct FffWeights {
    shape: FffShape,
    linear_in: Vec<f32>,
    bias: Vec<f32>,
    linear_out: Vec<f32>,
    /// The output bias of the leaf form; empty if the layer has none.
    output_bias: Vec<f32>,
}

impl FffWeights {
    /// Creates weights from slices. Each node is a row, trees follow one another, and nodes are in
    /// heap order (the children of n are 2n+1 and 2n+2). In the leaf form the rows of the neurons
    /// follow, leaf by leaf.
    ///
    /// `linear_in` is `[input_rows, input]` and `bias` is `[input_rows]`; `None` means zeros.
    /// `linear_out` is `[output_rows, output]`, one row for each neuron. In the signed form a
    /// neuron has two rows, the first of them for a logit of at most zero. The output bias of
    /// leaves is zero: see [`FffWeights::with_output_bias`].
    ///
    /// # Errors
    /// [`Error::Shape`] names a slice of the wrong length, [`Error::Value`] the first NaN or
    /// infinity.
    pub fn new(
        shape: FffShape,
        linear_in: impl Into<Vec<f32>>,
        bias: Option<Vec<f32>>,
        linear_out: impl Into<Vec<f32>>,
    ) -> Result<Self> {
        let rows = shape.input_rows();
        let weights = Self {
            shape,
            linear_in: linear_in.into(),
            bias: bias.unwrap_or_else(|| vec![0.0; rows]),
            linear_out: linear_out.into(),
            output_bias: vec![0.0; output_biases(shape)],
        };
        for (what, values, expected) in [
            ("linear_in", &weights.linear_in, rows * shape.input()),
            ("linear_in.bias", &weights.bias, rows),
            ("linear_out", &weights.linear_out, shape.output_rows() * shape.output()),
        ] {
            check(what, values, expected)?;
        }
        Ok(weights)
    }

    /// Returns the same layer with this output bias, `[leaves, output]`: each leaf adds its row to
    /// its output.
    ///
    /// # Errors
    /// Returns [`Error::Shape`] if the bias has another length, if the layer is not in the leaf
    /// form, or if its form leaves b2 out. Returns [`Error::Value`] for a NaN or an infinity.
    pub fn with_output_bias(self, output_bias: impl Into<Vec<f32>>) -> Result<Self> {
        let output_bias = output_bias.into();
        check("the output bias", &output_bias, output_biases(self.shape))?;
        Ok(Self { output_bias, ..self })
    }

    /// Reads a layer from a checkpoint, in F32, F16, BF16, or I8 with scales. With an empty prefix
    /// the tensors' names have no prefix and no dot.
    ///
    /// The published form and the signed form are stored as UltraFastBERT stores them:
    /// `<prefix>.linear_in.weight [nodes, input]`, `<prefix>.linear_in.bias [nodes]` (zeros if it
    /// is missing) and `<prefix>.linear_out.weight [output, output_rows]`. A node is a column of
    /// the latter, or two columns in the signed form, the first of them for a logit of at most
    /// zero. This matrix is transposed here, once.
    ///
    /// The leaf form is stored as the package `fastfeedforward` names its tensors:
    /// `node_weights [2^D - 1, input]`, `node_biases [2^D - 1, 1]`, `w1s [2^D, input, width]`,
    /// `b1s [2^D, width]`, `w2s [2^D, width, output]`, and `b2s [2^D, output]` unless b2 is left
    /// out.
    ///
    /// # Errors
    /// Returns [`Error::MissingTensor`], or [`Error::Shape`] for a wrong shape or dtype, before the
    /// data of any tensor is read; [`Error::Value`] for a NaN or an infinity.
    pub fn from_safetensors(file: &Checkpoint, prefix: &str, shape: FffShape) -> Result<Self> {
        let name = |tensor: &str| match prefix {
            "" => tensor.to_owned(),
            prefix => format!("{prefix}.{tensor}"),
        };
        for (tensor, dimensions) in tensors(shape) {
            if tensor != BIAS || file.has(&name(tensor)) {
                file.expect(&name(tensor), &dimensions)?;
            }
        }
        Self::read(
            shape,
            |tensor, _| {
                let tensor = name(tensor);
                let values = file.floats(&tensor)?;
                check_finite(&tensor, &values)?;
                Ok(values)
            },
            file.has(&name(BIAS)),
        )
    }

    /// Puts a layer together from its tensors, wherever they come from. `tensor` is asked for each
    /// of them by its name without a prefix and by its shape.
    pub(crate) fn read(
        shape: FffShape,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
        with_bias: bool,
    ) -> Result<Self> {
        let mut read = Vec::new();
        for (name, dimensions) in tensors(shape) {
            let there = name != BIAS || with_bias;
            read.push(if there { Some(tensor(name, &dimensions)?) } else { None });
        }
        let mut read = read.into_iter();
        let mut next = || read.next().flatten();
        let (input, output) = (shape.input(), shape.output());
        let Some(leaf) = shape.leaf_form() else {
            let (linear_in, bias, columns) = (next(), next(), next());
            let linear_out = transposed(&columns.unwrap_or_default(), output, shape.output_rows());
            return Self::new(shape, linear_in.unwrap_or_default(), bias, linear_out);
        };
        let (mut linear_in, mut bias) = (next().unwrap_or_default(), next().unwrap_or_default());
        let w1s = next().unwrap_or_default();
        linear_in.reserve(w1s.len());
        for w1 in w1s.chunks_exact(input * leaf.width) {
            linear_in.extend(transposed(w1, input, leaf.width));
        }
        bias.extend(next().unwrap_or_default());
        let layer = Self::new(shape, linear_in, Some(bias), next().unwrap_or_default())?;
        match next() {
            Some(output_bias) => layer.with_output_bias(output_bias),
            None => Ok(layer),
        }
    }

    /// Returns random weights from a seed, for tests and measurements. `linear_in` is scaled so
    /// that an input of unit variance has logits of about 1.
    pub fn random(shape: FffShape, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut uniform = |count: usize, scale: f32| -> Vec<f32> {
            (0..count).map(|_| (2.0 * random.f32() - 1.0) * scale).collect()
        };
        let scale = |fan: usize| (3.0 / fan as f32).sqrt();
        let linear_in = uniform(shape.input_rows() * shape.input(), scale(shape.input()));
        let bias = uniform(shape.input_rows(), 0.1);
        let linear_out = uniform(shape.output_rows() * shape.output(), scale(shape.engaged()));
        let output_bias = uniform(output_biases(shape), 0.1);
        Self { shape, linear_in, bias, linear_out, output_bias }
    }

    /// Returns the same layer with `linear_in` and `linear_out` rounded to f16 and back, which are
    /// the values that the f16 variants compute with. Biases stay as they are.
    ///
    /// # Errors
    /// [`Error::Value`] names the first weight that f16 cannot hold (beyond ±65,504).
    pub fn rounded_to_f16(&self) -> Result<Self> {
        let mut rounded = self.clone();
        for (what, values) in
            [("linear_in", &mut rounded.linear_in), ("linear_out", &mut rounded.linear_out)]
        {
            check_f16(what, values, F16_WEIGHTS)?;
            values.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
        }
        Ok(rounded)
    }

    /// Returns the sizes of the layer.
    pub fn shape(&self) -> FffShape {
        self.shape
    }

    /// Returns `linear_in`, `[input_rows, input]`: the nodes, and in the leaf form the neurons
    /// after them.
    pub fn linear_in(&self) -> &[f32] {
        &self.linear_in
    }

    /// Returns the bias, `[input_rows]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Returns `linear_out`, `[output_rows, output]`: one row for each neuron, or two in the signed
    /// form.
    pub fn linear_out(&self) -> &[f32] {
        &self.linear_out
    }

    /// Returns the output bias, `[leaves, output]`, which a leaf adds whatever its neurons compute.
    /// It is empty in the other forms.
    pub fn output_bias(&self) -> &[f32] {
        &self.output_bias
    }

    /// Returns the output bias of one leaf, if there is one.
    pub(crate) fn output_bias_of(&self, leaf: usize) -> Option<&[f32]> {
        self.output_bias.chunks_exact(self.shape.output()).nth(leaf)
    }
}

/// The name of the tensor that may be missing.
const BIAS: &str = "linear_in.bias";

/// Returns the names, without a prefix, and the shapes of a layer's tensors in a checkpoint.
fn tensors(shape: FffShape) -> Vec<(&'static str, Vec<usize>)> {
    let (input, output, nodes, leaves) =
        (shape.input(), shape.output(), shape.nodes(), shape.leaves());
    let Some(leaf) = shape.leaf_form() else {
        return vec![
            ("linear_in.weight", vec![nodes, input]),
            (BIAS, vec![nodes]),
            ("linear_out.weight", vec![output, shape.output_rows()]),
        ];
    };
    let mut tensors = vec![
        ("node_weights", vec![nodes, input]),
        ("node_biases", vec![nodes, 1]),
        ("w1s", vec![leaves, input, leaf.width]),
        ("b1s", vec![leaves, leaf.width]),
        ("w2s", vec![leaves, leaf.width, output]),
    ];
    if !leaf.without_output_bias {
        tensors.push(("b2s", vec![leaves, output]));
    }
    tensors
}

fn output_biases(shape: FffShape) -> usize {
    let biased = shape.leaf_form().is_some_and(|leaf| !leaf.without_output_bias);
    if biased { shape.leaves() * shape.output() } else { 0 }
}

fn check(what: &str, values: &[f32], expected: usize) -> Result<()> {
    if values.len() != expected {
        return Err(Error::shape(format!("length of {what}"), expected, values.len()));
    }
    check_finite(what, values)
}

/// Transposes `[rows, columns]` to `[columns, rows]`, in square tiles, so that both sides stay in
/// cache.
pub(crate) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const TILE: usize = 32;
    let mut out = vec![0.0; values.len()];
    for row0 in (0..rows).step_by(TILE) {
        for column0 in (0..columns).step_by(TILE) {
            for row in row0..rows.min(row0 + TILE) {
                for column in column0..columns.min(column0 + TILE) {
                    out[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_beyond_a_tile() {
        let (rows, columns) = (3, 70);
        let values: Vec<f32> = (0..rows * columns).map(|v| v as f32).collect();
        let out = transposed(&values, rows, columns);
        assert_eq!(out[69 * rows + 2], values[2 * columns + 69]);
        assert_eq!(transposed(&out, columns, rows), values);
    }

    #[test]
    fn f16_refuses_what_it_cannot_hold() {
        let shape = FffShape::new(1, 1, 0).unwrap();
        let weights = FffWeights::new(shape, [1.0], None, [65520.0]).unwrap();
        let message = weights.rounded_to_f16().unwrap_err().to_string();
        assert!(message.contains("linear_out[0] is 65520"), "{message}");
    }
}
