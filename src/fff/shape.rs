//! The sizes of an FFF layer, validated once.

use serde::{Deserialize, Serialize};

use crate::dtype::row_stride;
use crate::error::{Error, Result};

/// What a node that a token engages adds to its output, z being the node's logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FffForm {
    /// `GELU(z) * w_out[node]` (arXiv 2311.10770, algorithm 1).
    #[default]
    Published,
    /// `GELU(|z|) * w_out[node, z > 0]`: the decision chooses the output row too, so that a token that goes left adds something. Each node has
    /// two output rows, that for z <= 0 first; a token engages as many rows as in the published form.
    Signed,
}

impl FffForm {
    /// Output rows of a node.
    pub fn sides(self) -> usize {
        match self {
            Self::Published => 1,
            Self::Signed => 2,
        }
    }

    /// Whether it is the published one, which files leave unsaid.
    pub(crate) fn is_published(&self) -> bool {
        *self == Self::Published
    }

    /// What stands before trees and depth: "signed 1x11".
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Published => "",
            Self::Signed => "signed ",
        }
    }
}

impl std::str::FromStr for FffForm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "published" => Ok(Self::Published),
            "signed" => Ok(Self::Signed),
            _ => Err(Error::input("form of an FFF layer", "published or signed", text)),
        }
    }
}

/// The sizes of an FFF layer: widths, trees K and depth D; and its form. Every derived size is known not to overflow once this exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FffShape {
    input: usize,
    output: usize,
    trees: usize,
    depth: usize,
    form: FffForm,
}

impl FffShape {
    /// A layer whose input and output are both `width` wide.
    ///
    /// # Errors
    /// As [`FffShape::with_output`].
    pub fn new(width: usize, trees: usize, depth: usize) -> Result<Self> {
        Self::with_output(width, width, trees, depth)
    }

    /// A layer `input` wide, with an output of `output`, of `trees` (K) trees of `depth` D, that is D + 1 levels each.
    ///
    /// # Errors
    /// [`Error::Shape`] if a width or `trees` is 0, or if nodes, or values of a matrix, are more than 2^32 - 1.
    pub fn with_output(input: usize, output: usize, trees: usize, depth: usize) -> Result<Self> {
        let limit = u64::from(u32::MAX);
        for (what, value) in [("input width", input), ("output width", output), ("trees", trees)] {
            if value == 0 || value as u64 > limit {
                return Err(Error::shape(what, format!("1 to {limit}"), value));
            }
        }
        let rows = u32::try_from(depth + 1)
            .ok()
            .and_then(|levels| 1u64.checked_shl(levels))
            .and_then(|leaves| (leaves - 1).checked_mul(trees as u64))
            .filter(|rows| depth < 32 && *rows <= limit);
        let Some(rows) = rows else {
            return Err(Error::shape(
                format!("nodes of {trees} trees of depth {depth}"),
                format!("at most {limit}"),
                "more",
            ));
        };
        for width in [input, output] {
            check_matrix(rows, width)?;
        }
        Ok(Self { input, output, trees, depth, form: FffForm::Published })
    }

    /// The same layer in another form.
    ///
    /// # Errors
    /// [`Error::Shape`] if the output rows hold more than 2^32 - 1 values.
    pub fn in_form(self, form: FffForm) -> Result<Self> {
        check_matrix(self.nodes() as u64 * form.sides() as u64, self.output)?;
        Ok(Self { form, ..self })
    }

    /// The form: published, unless [`FffShape::in_form`] said otherwise.
    pub fn form(&self) -> FffForm {
        self.form
    }

    /// Rows of the transposed `linear_out`: those of the nodes, or in the signed form two a node.
    pub fn output_rows(&self) -> usize {
        self.nodes() * self.form.sides()
    }

    /// Width of a token going in.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Width of a token coming out.
    pub fn output(&self) -> usize {
        self.output
    }

    /// Number of trees, K.
    pub fn trees(&self) -> usize {
        self.trees
    }

    /// Depth D: the number of decisions on a path.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Levels of a tree, D + 1: the nodes of one tree that a token engages.
    pub fn levels(&self) -> usize {
        self.depth + 1
    }

    /// Nodes of one tree, 2^(D+1) - 1.
    pub fn nodes_per_tree(&self) -> usize {
        (1 << self.levels()) - 1
    }

    /// Nodes of all trees, `K * (2^(D+1) - 1)`: the rows of `linear_in`.
    pub fn nodes(&self) -> usize {
        self.trees * self.nodes_per_tree()
    }

    /// Nodes that one token engages, K * (D+1).
    pub fn engaged(&self) -> usize {
        self.trees * self.levels()
    }

    /// Values from one token to the next in a device buffer of inputs: the width, padded to whole units.
    pub fn input_stride(&self) -> usize {
        row_stride(self.input)
    }

    /// Values from one token to the next in a device buffer of outputs: the width, padded to whole units.
    pub fn output_stride(&self) -> usize {
        row_stride(self.output)
    }
}

impl std::fmt::Display for FffShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { input, output, trees, depth, form } = self;
        write!(f, "{}{trees}x{depth} {input}->{output}", form.prefix())
    }
}

fn check_matrix(rows: u64, width: usize) -> Result<()> {
    let limit = u64::from(u32::MAX);
    let values = (row_stride(width) as u64).checked_mul(rows);
    // On a 32-bit host (wasm32) the bytes must fit usize too.
    if values.is_none_or(|v| v > limit || usize::try_from(v * 4).is_err()) {
        return Err(Error::shape(
            format!("values of a [{rows}, {width}] matrix"),
            format!("at most {limit}, and their bytes addressable"),
            "more",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_layer() {
        let shape = FffShape::new(768, 1, 11).unwrap();
        assert_eq!((shape.nodes(), shape.engaged(), shape.levels()), (4095, 12, 12));
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        for (width, trees, depth) in [
            (0, 1, 1),
            (8, 0, 1),
            (8, 1, 32),
            (8, 1, usize::MAX - 1),
            (usize::MAX, 1, 0),
            (8, usize::MAX, 3),
            (1 << 20, 1, 15),
        ] {
            assert!(FffShape::new(width, trees, depth).is_err(), "{width} {trees} {depth}");
        }
        // Half of what a matrix may hold, twice.
        let large = FffShape::new(1 << 16, 1, 14).unwrap();
        assert!(large.in_form(FffForm::Published).is_ok());
        let larger = FffShape::new(1 << 17, 1, 14).unwrap();
        assert!(larger.in_form(FffForm::Signed).is_err());
    }
}
