//! The CPU reference against stored results, of the paper's authors' own code or of a script that shares none, and what would be wrong in it.

mod common;

use cmm::check::{Checked, check_case, golden_cases};
use cmm::{FffWeights, reference};

#[test]
fn the_reference_reproduces_the_stored_results() {
    let (cases, others) = golden_cases(&common::golden()).unwrap();
    assert_eq!((cases.len(), others.len()), (16, 0));
    for case in cases {
        let outcome = pollster::block_on(check_case(&case, &Checked::Reference)).unwrap();
        assert_eq!(outcome.golden_disagreements, Some(0), "{}", case.name);
        assert!(outcome.passed(), "{}", case.name);
    }
}

#[test]
fn ties_are_reached_and_go_left() {
    let (cases, _) = golden_cases(&common::golden()).unwrap();
    let case = cases.iter().find(|case| case.exact).unwrap();
    let truth = reference::fff(&case.weights, &case.x).unwrap();
    let levels = case.weights.shape().levels();
    let ties = (0..truth.logits.len())
        .filter(|i| i % levels < levels - 1 && truth.logits[*i] == 0.0)
        .inspect(|i| assert_eq!(truth.path[i + 1], 2 * truth.path[*i] + 1))
        .count();
    assert!(ties > 10, "only {ties} ties");
}

/// Each of these is a layer that differs from the stored one in one weight or sign: all must be found out.
#[test]
fn a_corrupted_layer_disagrees_with_the_stored_results() {
    let (cases, _) = golden_cases(&common::golden()).unwrap();
    for mut case in cases {
        let original = case.weights.clone();
        let engaged = reference::fff(&original, &case.x).unwrap().path[0] as usize;
        for what in ["linear_in", "bias", "linear_out"] {
            case.weights = corrupted(&original, what, engaged);
            let outcome = pollster::block_on(check_case(&case, &Checked::Reference)).unwrap();
            assert_ne!(outcome.golden_disagreements, Some(0), "{} {what}", case.name);
        }
    }
}

fn corrupted(weights: &FffWeights, what: &str, row: usize) -> FffWeights {
    let shape = weights.shape();
    let mut linear_in = weights.linear_in().to_vec();
    let mut bias = weights.bias().to_vec();
    let mut linear_out = weights.linear_out().to_vec();
    if shape.leaf_form().is_some() {
        // Which leaf a token comes to, and every neuron: those that a case engages are among them.
        match what {
            "linear_in" => linear_in.iter_mut().skip(1).for_each(|weight| *weight += 1.0),
            "bias" => bias[0] = -1e3 * if bias[0] < 0.0 { -1.0 } else { 1.0 },
            _ => linear_out.iter_mut().for_each(|weight| *weight += 1.0),
        }
        let changed = FffWeights::new(shape, linear_in, Some(bias), linear_out).unwrap();
        return changed.with_output_bias(weights.output_bias()).unwrap();
    }
    match what {
        "linear_in" => linear_in[row * shape.input() + 1] += 1.0,
        "bias" => bias[row] = -bias[row] - 0.25,
        _ => linear_out[row * shape.output()] += 1.0,
    }
    FffWeights::new(shape, linear_in, Some(bias), linear_out).unwrap()
}
