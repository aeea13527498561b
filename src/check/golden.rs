//! Golden layers: a folder with an `index.json` of cases, each a NAME.safetensors and a NAME.json.

use std::path::Path;

use serde::Deserialize;

use crate::check::index::{IndexEntry, read_json};
use crate::check::model::is_model;
use crate::check::{Case, Expected};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::fff::{FffForm, FffShape, FffWeights, LeafActivation, LeafForm};

/// The kinds of cases that are FFF layers. The published form comes from the authors' code, the
/// leaf form from the code of the earlier paper, and the signed form from
/// `tests/golden/make_signed.py`.
const LEAF: &str = "fff_fastfeedforward";
const FFF_LAYERS: [&str; 3] = ["fff_ultrafastbert", LEAF, "fff_signed"];

#[derive(Deserialize)]
struct Description {
    /// The trees of the forms whose nodes are neurons.
    trees: Option<usize>,
    #[serde(default)]
    form: FffForm,
    depth: usize,
    /// The width of a leaf, in the leaf form.
    leaf_width: Option<usize>,
    #[serde(default)]
    activation: LeafActivation,
    #[serde(rename = "in")]
    input: usize,
    #[serde(rename = "out")]
    output: usize,
    exact_arithmetic: bool,
}

/// Reads the FFF layers that `folder/index.json` lists. Returns them, and the paths of cases whose
/// kinds this version does not check.
///
/// # Errors
/// [`Error::Io`], [`Error::Checkpoint`] and [`Error::Shape`] name the file and what is wrong with
/// it. An index without any FFF layer is an error too.
pub fn golden_cases(folder: &Path) -> Result<(Vec<Case>, Vec<String>)> {
    let index: Vec<IndexEntry> = read_json(&folder.join("index.json"))?;
    let (layers, others): (Vec<_>, Vec<_>) =
        index.into_iter().partition(|entry| FFF_LAYERS.contains(&entry.kind.as_str()));
    if layers.is_empty() {
        let found = if others.is_empty() { "none" } else { "only other kinds" };
        let what = format!("{}: cases", folder.join("index.json").display());
        return Err(Error::shape(what, format!("kind {}", FFF_LAYERS.join(" or ")), found));
    }
    let mut cases = Vec::new();
    for entry in &layers {
        cases.extend(read_cases(folder, entry)?);
    }
    let known = |kind: &str| {
        #[cfg(feature = "text")]
        let text = crate::check::text::is_text(kind);
        #[cfg(not(feature = "text"))]
        let text = false;
        text || is_model(kind)
    };
    let others = others.into_iter().filter(|entry| !known(&entry.kind)).map(|entry| entry.path);
    Ok((cases, others.collect()))
}

/// Reads the layer of an entry. A layer in the leaf form is returned twice, with b2 and without it.
fn read_cases(folder: &Path, entry: &IndexEntry) -> Result<Vec<Case>> {
    let name = &entry.path;
    let about: Description = read_json(&folder.join(format!("{name}.json")))?;
    let file = Checkpoint::open(folder.join(format!("{name}.safetensors")))?;
    let Description { input, output, depth, .. } = about;
    let missing = |what| Error::shape(format!("{name}.json: {what}"), "a number", "none");
    if entry.kind != LEAF {
        let trees = about.trees.ok_or_else(|| missing("trees"))?;
        let shape = FffShape::with_output(input, output, trees, depth)?.in_form(about.form)?;
        return Ok(vec![read_case(
            name.clone(),
            &file,
            shape,
            "expected.y",
            about.exact_arithmetic,
        )?]);
    }
    let width = about.leaf_width.ok_or_else(|| missing("leaf_width"))?;
    let case = |(y, without_output_bias): (&str, bool)| {
        let leaf = LeafForm { width, activation: about.activation, without_output_bias };
        let name = format!("{name}{}", if without_output_bias { " without b2" } else { "" });
        let shape = FffShape::leaf(input, output, depth, leaf)?;
        read_case(name, &file, shape, y, about.exact_arithmetic)
    };
    [("expected.y_eval_plus_b2", false), ("expected.y_eval", true)].into_iter().map(case).collect()
}

fn read_case(
    name: String,
    file: &Checkpoint,
    shape: FffShape,
    y: &str,
    exact: bool,
) -> Result<Case> {
    let nodes: Vec<u32> =
        file.integers("expected.nodes")?.into_iter().map(i32::cast_unsigned).collect();
    // In the leaf form the stored nodes are those that decide; the leaves are stored elsewhere.
    let path = match shape.leaf_form() {
        None => nodes,
        Some(_) => {
            let leaves = file.integers("expected.leaf")?.into_iter().map(i32::cast_unsigned);
            let first = shape.nodes() as u32;
            let depth = shape.depth();
            let walk = |(token, leaf): (usize, u32)| {
                let nodes = nodes.get(token * depth..(token + 1) * depth).unwrap_or(&[]);
                nodes.iter().copied().chain([first.saturating_add(leaf)]).collect::<Vec<_>>()
            };
            leaves.enumerate().flat_map(walk).collect()
        }
    };
    let case = Case {
        name: name.clone(),
        weights: FffWeights::from_safetensors(file, "", shape)?,
        x: file.floats("input.x")?,
        exact,
        expected: Some(Expected {
            y: file.floats(y)?,
            path,
            margin: file.floats("expected.min_margin")?,
        }),
    };
    if !case.x.len().is_multiple_of(shape.input()) {
        let expected = format!("a multiple of {}", shape.input());
        return Err(Error::shape(format!("{name}: length of input.x"), expected, case.x.len()));
    }
    let tokens = case.x.len() / shape.input();
    if let Some(expected) = &case.expected {
        for (tensor, want, got) in [
            (y, tokens * shape.output(), expected.y.len()),
            ("expected.nodes", tokens * shape.path_len(), expected.path.len()),
            ("expected.min_margin", tokens, expected.margin.len()),
        ] {
            if want != got {
                return Err(Error::shape(format!("{name}: length of {tensor}"), want, got));
            }
        }
    }
    Ok(case)
}
