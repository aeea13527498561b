//! `cmm run` on layers in other forms than the published one.

use std::path::Path;

use cmm::Checkpoint;

use crate::common;
use crate::folder::{cmm, error};

#[test]
fn a_signed_layer_runs_where_it_is_said_to_be_one() {
    let golden = common::golden().join("fff_signed/s3_k3_d4.safetensors");
    let (file, dir) = (golden.to_str().unwrap(), tempfile::tempdir().unwrap());
    let out = dir.path().join("y.safetensors");
    let run = ["run", "--trees", "3", "--depth", "4", "--weights", file, "--input", file];
    let run = [&run[..], &["--tensor", "input.x", "--output", out.to_str().unwrap()]].concat();
    assert!(error(&cmm(&run)).contains("expected [5, 93], found [5, 186]"));
    assert!(cmm(&[&run[..], &["--form", "signed"]].concat()).status.success());
    let values = |path: &Path, name| Checkpoint::open(path).unwrap().floats(name).unwrap();
    let (got, want) = (values(&out, "y"), values(&golden, "expected.y"));
    assert!(got.len() == want.len() && got.iter().zip(want).all(|(y, w)| (y - w).abs() < 1e-5));
}

/// A state dict of the package `fastfeedforward`, with b2 and without: depth and widths are those of its tensors, the activation is in no file.
#[test]
fn a_leaf_layer_runs_as_the_package_saves_it() {
    let golden = common::golden().join("fff_leaf/d3_d4_ties_relu.safetensors");
    let (file, dir) = (golden.to_str().unwrap(), tempfile::tempdir().unwrap());
    let out = dir.path().join("y.safetensors");
    let run = ["run", "--form", "leaf", "--weights", file, "--input", file];
    let run = [&run[..], &["--tensor", "input.x", "--output", out.to_str().unwrap()]].concat();
    assert!(error(&cmm(&run)).contains("name the activation: --activation relu"));
    let run = [&run[..], &["--activation", "relu"]].concat();
    assert!(error(&cmm(&[&run[..], &["--depth", "3"]].concat())).contains("one tree of depth 4"));
    let values = |path: &Path, name| Checkpoint::open(path).unwrap().floats(name).unwrap();
    for (more, name) in
        [(&[][..], "expected.y_eval_plus_b2"), (&["--no-output-bias"][..], "expected.y_eval")]
    {
        assert!(cmm(&[&run[..], more].concat()).status.success());
        assert_eq!(values(&out, "y"), values(&golden, name), "small integers are exact");
    }
}
