//! The sizes of an FFF layer, validated once.

use crate::dtype::row_stride;
use crate::error::{Error, Result};
use crate::fff::{FffForm, LeafForm};

/// The sizes of an FFF layer: its widths, trees K, depth D and form. Once it exists, none of the
/// derived sizes can overflow.
///
/// ```
/// use cmm::FffShape;
///
/// let shape = FffShape::new(768, 1, 11)?; // width, trees, depth
/// assert_eq!((shape.neurons(), shape.engaged()), (4095, 12));
/// # Ok::<(), cmm::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FffShape {
    input: usize,
    output: usize,
    trees: usize,
    depth: usize,
    form: FffForm,
}

impl FffShape {
    /// Describes a layer whose input and output are both `width` wide.
    ///
    /// # Errors
    /// Returns the errors of [`FffShape::with_output`].
    pub fn new(width: usize, trees: usize, depth: usize) -> Result<Self> {
        Self::with_output(width, width, trees, depth)
    }

    /// Describes a layer with inputs `input` wide and outputs `output` wide. It has `trees` (K)
    /// trees of depth `depth` (D), so each tree has D + 1 levels.
    ///
    /// # Errors
    /// Returns [`Error::Shape`] if a width or `trees` is 0, or if there are more than 2^32 - 1
    /// nodes, or more than 2^32 - 1 values in a matrix.
    pub fn with_output(input: usize, output: usize, trees: usize, depth: usize) -> Result<Self> {
        let limit = u64::from(u32::MAX);
        for (what, value) in [("input width", input), ("output width", output), ("trees", trees)] {
            if value == 0 || value as u64 > limit {
                return Err(Error::shape(what, format!("1 to {limit}"), value));
            }
        }
        let rows = u32::try_from(depth)
            .ok()
            .and_then(|depth| depth.checked_add(1))
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

    /// Describes a layer in the leaf form (arXiv 2308.14711) with inputs `input` wide and outputs
    /// `output` wide: one tree of `depth` D decisions, and 2^D leaves behind them.
    ///
    /// # Errors
    /// Returns the errors of [`FffShape::with_output`] and [`FffShape::in_form`].
    pub fn leaf(input: usize, output: usize, depth: usize, leaf: LeafForm) -> Result<Self> {
        Self::with_output(input, output, 1, depth)?.in_form(FffForm::Leaf(leaf))
    }

    /// Returns the same layer in another form.
    ///
    /// # Errors
    /// Returns [`Error::Shape`] if a matrix would hold more than 2^32 - 1 values, if leaves have no
    /// neurons, or if a layer in the leaf form has several trees.
    pub fn in_form(self, form: FffForm) -> Result<Self> {
        if let FffForm::Leaf(leaf) = form {
            if self.trees != 1 {
                return Err(Error::shape("trees of a layer in the leaf form", "1", self.trees));
            }
            let most = u32::MAX as usize;
            if leaf.width == 0 || leaf.width > most {
                return Err(Error::shape("leaf width", format!("1 to {most}"), leaf.width));
            }
            // There are no more rows below than neurons here, so once this has passed their number
            // does not overflow.
            let neurons = (1_u64 << self.depth).checked_mul(leaf.width as u64);
            let rows = neurons.and_then(|neurons| neurons.checked_add(1 << self.depth));
            for width in [self.input, self.output, 1] {
                check_matrix(rows.unwrap_or(u64::MAX), width)?;
            }
            check_matrix(1 << self.depth, leaf.width)?;
        }
        let shape = Self { form, ..self };
        check_matrix(shape.input_rows() as u64, self.input)?;
        check_matrix(shape.output_rows() as u64, self.output)?;
        Ok(shape)
    }

    /// Returns the form: the published one, unless [`FffShape::in_form`] chose another.
    pub fn form(&self) -> FffForm {
        self.form
    }

    /// Returns the description of the leaves, in the leaf form.
    pub fn leaf_form(&self) -> Option<LeafForm> {
        match self.form {
            FffForm::Leaf(leaf) => Some(leaf),
            FffForm::Published | FffForm::Signed => None,
        }
    }

    /// Returns the number of rows of `linear_in`: one for each node. In the leaf form the rows of
    /// the neurons follow, leaf by leaf.
    pub fn input_rows(&self) -> usize {
        match self.form {
            FffForm::Published | FffForm::Signed => self.nodes(),
            FffForm::Leaf(_) => self.nodes() + self.neurons(),
        }
    }

    /// Returns the number of rows of the transposed `linear_out`: one for each neuron, or two in
    /// the signed form.
    pub fn output_rows(&self) -> usize {
        match self.form {
            FffForm::Published | FffForm::Leaf(_) => self.neurons(),
            FffForm::Signed => 2 * self.neurons(),
        }
    }

    /// Returns the number of leaves of all trees, K * 2^D.
    pub fn leaves(&self) -> usize {
        self.trees << self.depth
    }

    /// Returns the number of neurons of all trees: the nodes, or in the leaf form the neurons of
    /// the leaves.
    pub fn neurons(&self) -> usize {
        match self.form {
            FffForm::Published | FffForm::Signed => self.nodes(),
            FffForm::Leaf(leaf) => self.leaves() * leaf.width,
        }
    }

    /// Returns the number of neurons that one token engages: K * (D+1), or in the leaf form the
    /// neurons of one leaf.
    pub fn engaged(&self) -> usize {
        match self.form {
            FffForm::Published | FffForm::Signed => self.path_len(),
            FffForm::Leaf(leaf) => leaf.width,
        }
    }

    /// Returns the number of rows of `linear_in` and `linear_out` that one token reads.
    pub fn rows_read(&self) -> usize {
        match self.form {
            FffForm::Published | FffForm::Signed => 2 * self.path_len(),
            FffForm::Leaf(leaf) => self.depth + 2 * leaf.width,
        }
    }

    /// Returns the width of the input.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Returns the width of the output.
    pub fn output(&self) -> usize {
        self.output
    }

    /// Returns the number of trees, K.
    pub fn trees(&self) -> usize {
        self.trees
    }

    /// Returns the depth D, which is the number of decisions on a path.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Returns the number of levels of a tree, D + 1, from the root to the leaves.
    pub fn levels(&self) -> usize {
        self.depth + 1
    }

    /// Returns the number of nodes of one tree: 2^(D+1) - 1, or 2^D - 1 in the leaf form, whose
    /// leaves are not nodes.
    pub fn nodes_per_tree(&self) -> usize {
        match self.form {
            FffForm::Published | FffForm::Signed => (1 << self.levels()) - 1,
            FffForm::Leaf(_) => (1 << self.depth) - 1,
        }
    }

    /// Returns the number of nodes of all trees.
    pub fn nodes(&self) -> usize {
        self.trees * self.nodes_per_tree()
    }

    /// Returns the length of one token's path, K * (D+1): the node of each level, in heap order
    /// (the children of n are 2n+1 and 2n+2). In the leaf form the last entry of a tree is the
    /// leaf, numbered like a node of the level below the others.
    pub fn path_len(&self) -> usize {
        self.trees * self.levels()
    }

    /// Returns the rows of `linear_in` that a path leads to, tree by tree, each with its place in
    /// the path and its rows of `linear_out`. A node in the signed form has two of these, and a
    /// node that only routes has none. An entry that is in no tree leads nowhere.
    pub(crate) fn rows_of(&self, path: &[u32]) -> Vec<(usize, usize, std::ops::Range<usize>)> {
        let (levels, nodes) = (self.levels(), self.nodes_per_tree());
        let mut rows = Vec::new();
        for (place, node) in path.iter().enumerate() {
            let (node, last) = (*node as usize, place % levels == self.depth);
            match self.form {
                FffForm::Leaf(leaf) if last && (nodes..=2 * nodes).contains(&node) => {
                    let first = (node - nodes) * leaf.width;
                    rows.extend((first..first + leaf.width).map(|n| (place, nodes + n, n..n + 1)));
                }
                FffForm::Leaf(_) if !last && node < nodes => rows.push((place, node, 0..0)),
                FffForm::Published | FffForm::Signed if node < nodes => {
                    let (row, sides) = (place / levels * nodes + node, self.form.sides());
                    rows.push((place, row, row * sides..(row + 1) * sides));
                }
                _ => {}
            }
        }
        rows
    }

    /// Returns the values from one token to the next in a device buffer of inputs: the width,
    /// padded to whole units.
    pub fn input_stride(&self) -> usize {
        row_stride(self.input)
    }

    /// Returns the values from one token to the next in a device buffer of outputs: the width,
    /// padded to whole units.
    pub fn output_stride(&self) -> usize {
        row_stride(self.output)
    }
}

impl std::fmt::Display for FffShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { input, output, trees, depth, form } = self;
        write!(f, "{} {input}->{output}", form.label(*trees, *depth))
    }
}

fn check_matrix(rows: u64, width: usize) -> Result<()> {
    let limit = u64::from(u32::MAX);
    // This is computed in 64 bits, because the padding of a width near 2^32 would wrap in 32.
    let values = (width as u64).checked_next_multiple_of(row_stride(1) as u64);
    let values = values.and_then(|stride| stride.checked_mul(rows));
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
            (8, 1, usize::MAX),
            (usize::MAX, 1, 0),
            (8, usize::MAX, 3),
            (1 << 20, 1, 15),
        ] {
            assert!(FffShape::new(width, trees, depth).is_err(), "{width} {trees} {depth}");
        }
        // A layer of half the largest matrix, and one twice as wide.
        let large = FffShape::new(1 << 16, 1, 14).unwrap();
        assert!(large.in_form(FffForm::Published).is_ok());
        let larger = FffShape::new(1 << 17, 1, 14).unwrap();
        assert!(larger.in_form(FffForm::Signed).is_err());
        for (depth, width) in [(3, 0), (20, 1 << 40), (31, 1 << 31), (3, usize::MAX)] {
            let form = LeafForm { width, ..LeafForm::default() };
            assert!(FffShape::leaf(8, 8, depth, form).is_err(), "{depth} {width}");
        }
        let trees = FffShape::new(8, 2, 3).unwrap();
        assert!(trees.in_form(FffForm::Leaf(LeafForm::default())).is_err());
    }
}
