//! Golden layers: a folder with an `index.json` of cases, each NAME.safetensors + NAME.json.

use std::path::Path;

use serde::Deserialize;

use crate::check::index::{IndexEntry, read_json};
use crate::check::model::is_model;
use crate::check::{Case, Expected};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::fff::{FffForm, FffShape, FffWeights};

/// The kinds of cases that are FFF layers: by the authors' code, and in the signed form, by `tests/golden/make_signed.py`.
const FFF_LAYERS: [&str; 2] = ["fff_ultrafastbert", "fff_signed"];

#[derive(Deserialize)]
struct Description {
    trees: usize,
    depth: usize,
    #[serde(default)]
    form: FffForm,
    #[serde(rename = "in")]
    input: usize,
    #[serde(rename = "out")]
    output: usize,
    exact_arithmetic: bool,
}

/// Reads the FFF layers that `folder/index.json` lists. Returns them, and the paths of the cases of kinds that this version does not check.
///
/// # Errors
/// [`Error::Io`], [`Error::Checkpoint`], [`Error::Shape`] name the file and what is wrong; an index without any FFF layer is an error.
pub fn golden_cases(folder: &Path) -> Result<(Vec<Case>, Vec<String>)> {
    let index: Vec<IndexEntry> = read_json(&folder.join("index.json"))?;
    let (layers, others): (Vec<_>, Vec<_>) =
        index.into_iter().partition(|entry| FFF_LAYERS.contains(&entry.kind.as_str()));
    if layers.is_empty() {
        let found = if others.is_empty() { "no case" } else { "other kinds only" };
        let what = format!("{}: cases", folder.join("index.json").display());
        return Err(Error::shape(what, format!("some of kind {}", FFF_LAYERS.join(" or ")), found));
    }
    let cases = layers.iter().map(|entry| read_case(folder, &entry.path)).collect::<Result<_>>()?;
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

fn read_case(folder: &Path, name: &str) -> Result<Case> {
    let about: Description = read_json(&folder.join(format!("{name}.json")))?;
    let shape = FffShape::with_output(about.input, about.output, about.trees, about.depth)?
        .in_form(about.form)?;
    let file = Checkpoint::open(folder.join(format!("{name}.safetensors")))?;
    let case = Case {
        name: name.to_owned(),
        weights: FffWeights::from_safetensors(&file, "", shape)?,
        x: file.floats("input.x")?,
        exact: about.exact_arithmetic,
        expected: Some(Expected {
            y: file.floats("expected.y")?,
            path: file.integers("expected.nodes")?.into_iter().map(i32::cast_unsigned).collect(),
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
            ("expected.y", tokens * shape.output(), expected.y.len()),
            ("expected.nodes", tokens * shape.engaged(), expected.path.len()),
            ("expected.min_margin", tokens, expected.margin.len()),
        ] {
            if want != got {
                return Err(Error::shape(format!("{name}: length of {tensor}"), want, got));
            }
        }
    }
    Ok(case)
}
