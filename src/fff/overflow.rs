//! Sums that leave what f32, or an f16 output, holds: which token, and which node of it.

use crate::error::{Error, Result};
use crate::fff::{FffForm, FffShape, FffWeights};

/// The largest value of f32, and of f16.
const LARGEST: f64 = f32::MAX as f64;
pub(crate) const LARGEST_F16: f64 = 65_504.0;

/// An engaged node: its row of `linear_in`, its bias, its rows of `linear_out`, one after another.
pub(crate) type Engaged<'a> = (&'a [f32], f32, &'a [f32]);

/// The first token of `y: [tokens, output]` with a value that is not finite.
pub(crate) fn first_token(y: &[f32], output: usize) -> Option<usize> {
    y.iter().position(|v| !v.is_finite()).map(|index| index / output)
}

/// The error of a token whose y is not finite: the first node on its path whose terms are so large that their sum, in whatever order a kernel
/// adds them, may leave f32, or y what it is stored in (`largest_y`). As long as the magnitudes stay below, no partial sum can.
///
/// `nodes`: the engaged ones in the order of `path: [trees, levels]`.
pub(crate) fn overflow<'a>(
    shape: FffShape,
    token: usize,
    x: &[f32],
    path: &[u32],
    nodes: impl Iterator<Item = Engaged<'a>>,
    largest_y: Option<f64>,
) -> Error {
    let mut reached = vec![0.0; shape.output()];
    for (place, (node, (w_in, bias, w_out))) in path.iter().zip(nodes).enumerate() {
        let at = |what, magnitude, largest| Error::Overflow {
            token,
            tree: place / shape.levels(),
            node: *node,
            what,
            magnitude,
            largest,
        };
        let product = |(x, w): (&f32, &f32)| f64::from(*x) * f64::from(*w);
        let terms = || x.iter().zip(w_in).map(product);
        let magnitude = terms().map(f64::abs).sum::<f64>() + f64::from(bias.abs());
        if magnitude > LARGEST {
            return at("logit", magnitude, LARGEST);
        }
        let z = terms().sum::<f64>() + f64::from(bias);
        // GELU(z) is below z where z > 0, and above -0.17 elsewhere.
        let (engaged, side) = match shape.form() {
            FffForm::Published => (z.max(0.17), 0),
            FffForm::Signed => (z.abs(), usize::from(z > 0.0)),
        };
        let w_out = w_out.chunks(shape.output()).nth(side).unwrap_or(&[]);
        let largest = largest_y.unwrap_or(LARGEST);
        for (reached, w) in reached.iter_mut().zip(w_out) {
            *reached += engaged * f64::from(w.abs());
            if *reached > largest {
                return at("output", *reached, largest);
            }
        }
    }
    Error::Value {
        what: format!("y of token {token}"),
        index: 0,
        value: f32::NAN,
        expected: "finite, as no sum on its path can overflow",
    }
}

impl FffWeights {
    /// Refuses the result of a forward with these weights if sums overflowed. `x`: `[tokens, input]`, `y`: `[tokens, output]`,
    /// `path`: `[tokens, trees, levels]`.
    ///
    /// # Errors
    /// [`Error::Overflow`] names the first token with a value that is not finite, and the node.
    pub fn check_overflow(&self, x: &[f32], y: &[f32], path: &[u32]) -> Result<()> {
        let shape = self.shape();
        let Some(token) = first_token(y, shape.output()) else { return Ok(()) };
        let part = |values: usize| token * values..(token + 1) * values;
        let sizes = |what, expected: usize, found: usize| {
            Err(Error::shape(format!("length of {what}"), format!("{expected} or more"), found))
        };
        let Some(x) = x.get(part(shape.input())) else {
            return sizes("x", part(shape.input()).end, x.len());
        };
        let Some(path) = path.get(part(shape.engaged())) else {
            return sizes("path", part(shape.engaged()).end, path.len());
        };
        let nodes = path.iter().enumerate().map_while(|(place, node)| {
            let row = place / shape.levels() * shape.nodes_per_tree() + *node as usize;
            let w_in = self.linear_in().get(row * shape.input()..)?.get(..shape.input())?;
            let rows = shape.form().sides() * shape.output();
            let w_out = self.linear_out().get(row * rows..)?.get(..rows)?;
            Some((w_in, *self.bias().get(row)?, w_out))
        });
        Err(overflow(shape, token, x, path, nodes, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_and_node_are_named() {
        let shape = FffShape::with_output(2, 1, 1, 1).unwrap();
        // The root lets every token go right, to a node whose output is too large for the third.
        let weights =
            FffWeights::new(shape, [1.0, 0.0, 0.0, 0.0, 0.0, 2.0], None, [0.0, 0.0, 3e38]).unwrap();
        let x = [1.0, 0.1, 1.0, 0.2, 1.0, 1.0, f32::MAX, f32::MAX];
        let path = [0, 2, 0, 2, 0, 2, 0, 2];
        let check = |y: &[f32]| weights.check_overflow(&x, y, &path);
        assert!(check(&[1.0, 2.0, 3.0, 4.0]).is_ok());
        let error = check(&[1.0, 2.0, f32::INFINITY, f32::NAN]).unwrap_err();
        let expected =
            matches!(error, Error::Overflow { token: 2, tree: 0, node: 2, what: "output", .. });
        assert!(expected, "{error}");
        let error = check(&[1.0, 2.0, 3.0, f32::NAN]).unwrap_err();
        let expected =
            matches!(error, Error::Overflow { token: 3, tree: 0, node: 2, what: "logit", .. });
        assert!(expected, "{error}");
    }
}
