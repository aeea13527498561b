//! The weights of an FFF layer on the host, one row a node.

use crate::checkpoint::Checkpoint;
use crate::error::{Error, F16_WEIGHTS, Result, check_f16, check_finite};
use crate::fff::FffShape;

/// The weights of an FFF layer, f32 on the host; every value is finite.
#[derive(Debug, Clone, PartialEq)]
pub struct FffWeights {
    shape: FffShape,
    linear_in: Vec<f32>,
    bias: Vec<f32>,
    linear_out: Vec<f32>,
}

impl FffWeights {
    /// Weights from slices, a node a row, trees one after another, nodes in heap order (children of n: 2n+1 and 2n+2).
    ///
    /// `linear_in`: `[nodes, input]`; `bias`: `[nodes]`, `None` = zero; `linear_out`: `[output_rows, output]`, a row a node, or in the signed form two,
    /// that for a logit of at most zero first.
    ///
    /// # Errors
    /// [`Error::Shape`] names the slice whose length is off, [`Error::Value`] the first NaN or infinity.
    pub fn new(
        shape: FffShape,
        linear_in: impl Into<Vec<f32>>,
        bias: Option<Vec<f32>>,
        linear_out: impl Into<Vec<f32>>,
    ) -> Result<Self> {
        let nodes = shape.nodes();
        let weights = Self {
            shape,
            linear_in: linear_in.into(),
            bias: bias.unwrap_or_else(|| vec![0.0; nodes]),
            linear_out: linear_out.into(),
        };
        for (what, values, expected) in [
            ("linear_in", &weights.linear_in, nodes * shape.input()),
            ("linear_in.bias", &weights.bias, nodes),
            ("linear_out", &weights.linear_out, shape.output_rows() * shape.output()),
        ] {
            if values.len() != expected {
                return Err(Error::shape(format!("length of {what}"), expected, values.len()));
            }
            check_finite(what, values)?;
        }
        Ok(weights)
    }

    /// Reads a layer in the UltraFastBERT form: `<prefix>.linear_in.weight [nodes, input]`, `<prefix>.linear_in.bias [nodes]`
    /// (missing = zero) and `<prefix>.linear_out.weight [output, output_rows]`, where a node is a column, or in the signed form two, that for a logit
    /// of at most zero first: it is transposed here, once.
    /// F32, F16 and BF16. An empty prefix means names without one.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], or [`Error::Shape`] on shape or dtype, before any tensor's data is read;
    /// [`Error::Value`] on a NaN or infinity.
    pub fn from_safetensors(file: &Checkpoint, prefix: &str, shape: FffShape) -> Result<Self> {
        let name = |suffix: &str| match prefix {
            "" => suffix.to_owned(),
            prefix => format!("{prefix}.{suffix}"),
        };
        let (input, output, nodes) = (shape.input(), shape.output(), shape.nodes());
        let (name_in, name_bias, name_out) =
            (name("linear_in.weight"), name("linear_in.bias"), name("linear_out.weight"));
        let with_bias = file.has(&name_bias);
        file.expect(&name_in, &[nodes, input])?;
        if with_bias {
            file.expect(&name_bias, &[nodes])?;
        }
        file.expect(&name_out, &[output, shape.output_rows()])?;

        let linear_in = file.floats(&name_in)?;
        let bias = if with_bias { Some(file.floats(&name_bias)?) } else { None };
        let columns = file.floats(&name_out)?;
        check_finite(&name_in, &linear_in)?;
        check_finite(&name_out, &columns)?;
        Self::from_columns(shape, linear_in, bias, &columns)
    }

    /// As [`FffWeights::new`], with `linear_out` as a checkpoint stores it: `[output, output_rows]`.
    pub(crate) fn from_columns(
        shape: FffShape,
        linear_in: Vec<f32>,
        bias: Option<Vec<f32>>,
        columns: &[f32],
    ) -> Result<Self> {
        Self::new(shape, linear_in, bias, transposed(columns, shape.output(), shape.output_rows()))
    }

    /// Seeded random weights, `linear_in` scaled so that logits of a unit-variance input are O(1); for tests and measurements.
    pub fn random(shape: FffShape, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut uniform = |count: usize, scale: f32| -> Vec<f32> {
            (0..count).map(|_| (2.0 * random.f32() - 1.0) * scale).collect()
        };
        let scale = |fan: usize| (3.0 / fan as f32).sqrt();
        let linear_in = uniform(shape.nodes() * shape.input(), scale(shape.input()));
        let bias = uniform(shape.nodes(), 0.1);
        let linear_out = uniform(shape.output_rows() * shape.output(), scale(shape.engaged()));
        Self { shape, linear_in, bias, linear_out }
    }

    /// The same layer with `linear_in` and `linear_out` rounded to f16 and back: what the f16 variants compute with. The bias stays.
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

    /// Sizes.
    pub fn shape(&self) -> FffShape {
        self.shape
    }

    /// `[nodes, input]`.
    pub fn linear_in(&self) -> &[f32] {
        &self.linear_in
    }

    /// `[nodes]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// `[output_rows, output]`: a node a row, or in the signed form two.
    pub fn linear_out(&self) -> &[f32] {
        &self.linear_out
    }
}

/// `[rows, columns]` to `[columns, rows]`, in square tiles so that both sides stay in cache.
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
