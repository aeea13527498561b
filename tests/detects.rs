//! Negative controls: a kernel, or an uploaded layer, that is wrong in one place is found out on every adapter and variant.

mod common;

use cmm::check::{Case, Outcome, check_layer, golden_cases, random_cases};
use cmm::low_level::KernelSource;
use cmm::{Activations, FffLayer, FffWeights, Gpu, Schedule, Variant};
use common::{gpus_and_variants, label};
use pollster::block_on;

fn cases() -> Vec<Case> {
    let (mut cases, _) = golden_cases(&common::golden()).unwrap();
    cases.extend(random_cases(1).unwrap().into_iter().filter(|case| case.exact));
    // The leaf form has kernels of its own.
    cases.retain(|case| case.weights.shape().leaf_form().is_none());
    cases
}

/// Layers in the leaf form, of one leaf of a few neurons to many.
fn leaf_cases() -> Vec<Case> {
    let (mut cases, _) = golden_cases(&common::golden()).unwrap();
    cases.extend(random_cases(1).unwrap());
    let small = |case: &Case| case.x.len() < 10_000;
    cases.retain(|case| case.weights.shape().leaf_form().is_some() && small(case));
    cases
}

/// The outcomes of the cases with a kernel whose text has been changed, each computed when it is asked for.
fn with_kernel(
    gpu: &Gpu,
    variant: Variant,
    cases: &[Case],
    from: &str,
    to: &str,
) -> impl Iterator<Item = Outcome> {
    let kernel = move |case: &Case, path| {
        let mut kernel = KernelSource::fff(
            case.weights.shape(),
            variant,
            Activations::F32,
            gpu.capabilities(),
            path,
        )
        .unwrap();
        assert!(kernel.wgsl.contains(from), "`{from}` is not in the kernel any more");
        kernel.wgsl = kernel.wgsl.replace(from, to);
        kernel
    };
    cases.iter().map(move |case| {
        let layer = FffLayer::builder(&case.weights).variant(variant);
        let layer = layer.kernels(kernel(case, false), kernel(case, true));
        let layer = block_on(layer.upload(gpu)).unwrap();
        block_on(check_layer(case, &layer)).unwrap()
    })
}

fn detected_everywhere(from: &str, to: &str) {
    let cases = cases();
    for (gpu, variant) in gpus_and_variants() {
        let mut outcomes = with_kernel(&gpu, variant, &cases, from, to);
        assert!(outcomes.any(|o| !o.passed()), "{}: `{to}` passed", label(&gpu, variant));
    }
}

#[test]
fn an_unchanged_kernel_passes() {
    let cases = cases();
    for (gpu, variant) in gpus_and_variants() {
        let same = "z > 0.0";
        assert!(with_kernel(&gpu, variant, &cases, same, same).all(|o| o.passed()));
    }
}

/// A caller's kernel is compiled with wgpu's checks, of which this sees one: a division by zero gives the dividend, as WGSL wants, and not
/// whatever the device makes of it. (On GL wgpu adds other checks, and not this one.)
#[test]
fn a_kernel_of_the_callers_own_is_compiled_with_checks() {
    let cases = cases();
    let from = "z > 0.0";
    let to = "z > f32(5u / u32(abs(z) * 0.0) - 5u)";
    let checked = |(gpu, _): &(Gpu, _)| gpu.info().backend != wgpu::Backend::Gl;
    for (gpu, variant) in gpus_and_variants().filter(checked) {
        let mut outcomes = with_kernel(&gpu, variant, &cases, from, to);
        assert!(outcomes.all(|o| o.passed()), "{}", label(&gpu, variant));
    }
}

#[test]
fn ties_to_the_right() {
    detected_everywhere("z > 0.0", "z >= 0.0");
}

#[test]
fn tanh_gelu() {
    detected_everywhere(
        "engaged_by(z)",
        "(0.5 * z * (1.0 + tanh(clamp(0.7978845608 * (z + 0.044715 * z * z * z), -20.0, 20.0))))",
    );
}

#[test]
fn the_last_level_dropped() {
    detected_everywhere("engaged_by(z)", "select(engaged_by(z), 0.0, level == DEPTH)");
}

#[test]
fn the_bias_forgotten() {
    detected_everywhere("partial = linear_in_bias[row];", "partial = 0.0;");
}

/// The layer on the device is not the one that the reference computes with.
#[test]
fn one_weight_or_one_sign_flipped() {
    let cases = cases();
    for (gpu, variant) in gpus_and_variants() {
        for case in &cases {
            for what in ["linear_in", "bias", "linear_out"] {
                let flipped = flipped(case, what);
                let upload = FffLayer::builder(&flipped).variant(variant).upload(&gpu);
                let outcome = block_on(check_layer(case, &block_on(upload).unwrap())).unwrap();
                assert!(!outcome.passed(), "{} {} {what}", label(&gpu, variant), case.name);
            }
        }
    }
}

/// The case's weights with one value negated, the one that matters most at the first tree's root: every token engages that node.
fn flipped(case: &Case, what: &str) -> FffWeights {
    let weights = &case.weights;
    let mut linear_in = weights.linear_in().to_vec();
    let mut bias = weights.bias().to_vec();
    let mut linear_out = weights.linear_out().to_vec();
    let largest = |values: &[f32]| {
        (0..values.len()).max_by(|a, b| values[*a].abs().total_cmp(&values[*b].abs())).unwrap()
    };
    match what {
        "linear_in" => {
            let i = largest(&linear_in[..weights.shape().input()]);
            linear_in[i] = -linear_in[i];
        }
        "bias" => {
            // Among all nodes that some token engages: a root's own bias may be zero.
            let shape = weights.shape();
            let path = cmm::reference::fff(weights, &case.x).unwrap().path;
            let row = (0..path.len())
                .map(|i| {
                    i / shape.levels() % shape.trees() * shape.nodes_per_tree() + path[i] as usize
                })
                .max_by(|a, b| bias[*a].abs().total_cmp(&bias[*b].abs()))
                .unwrap();
            bias[row] = -bias[row];
        }
        _ => {
            let i = largest(&linear_out[..weights.shape().output()]);
            linear_out[i] = -linear_out[i];
        }
    }
    FffWeights::new(weights.shape(), linear_in, Some(bias), linear_out).unwrap()
}

/// The same of leaves, in both schedules: a decision's weight, a neuron's weights and its bias, and the output bias of a leaf that some token comes to.
#[test]
fn one_value_of_a_leaf_negated() {
    for (gpu, variant) in gpus_and_variants() {
        for case in &leaf_cases() {
            for what in ["node", "neuron", "bias", "linear_out", "output_bias"] {
                let Some(changed) = changed_leaf(case, what) else { continue };
                let upload = FffLayer::builder(&changed).variant(variant).upload(&gpu);
                let mut layer = block_on(upload).unwrap();
                for schedule in [Schedule::Plain, Schedule::Grouped] {
                    layer = layer.with_schedule(schedule).unwrap();
                    let outcome = block_on(check_layer(case, &layer)).unwrap();
                    let label = label(&gpu, variant);
                    assert!(!outcome.passed(), "{label} {} {what} {schedule:?}", case.name);
                }
            }
        }
    }
}

/// The case's weights with one value changed on the way of a token whose neuron adds the most; none where there is no such value.
fn changed_leaf(case: &Case, what: &str) -> Option<FffWeights> {
    let (weights, shape) = (&case.weights, case.weights.shape());
    let (input, output, width) = (shape.input(), shape.output(), shape.leaf_form()?.width);
    let mut linear_in = weights.linear_in().to_vec();
    let mut bias = weights.bias().to_vec();
    let mut linear_out = weights.linear_out().to_vec();
    let mut output_bias = weights.output_bias().to_vec();
    let path = cmm::reference::fff(weights, &case.x).unwrap().path;
    // The token and the neuron of its leaf with the largest logit, which no activation silences.
    let leaf = |token: usize| path[(token + 1) * shape.levels() - 1] as usize - shape.nodes();
    let logit = |(token, neuron): &(usize, usize)| {
        let row = shape.nodes() + leaf(*token) * width + neuron;
        let x = &case.x[token * input..][..input];
        let products = x.iter().zip(&weights.linear_in()[row * input..][..input]);
        products.map(|(x, w)| x * w).sum::<f32>() + weights.bias()[row]
    };
    let all = (0..case.x.len() / input).flat_map(|token| (0..width).map(move |n| (token, n)));
    let (token, neuron) = all.max_by(|a, b| logit(a).total_cmp(&logit(b)))?;
    let (row, leaf) = (leaf(token) * width + neuron, leaf(token));
    match what {
        // The root sends all tokens to one side.
        "node" if shape.depth() == 0 => return None,
        "node" => bias[0] = if path.contains(&1) { 1e4 } else { -1e4 },
        "neuron" => linear_in[(shape.nodes() + row) * input..][..input].fill(0.0),
        "bias" => bias[shape.nodes() + row] += 1.0,
        "linear_out" => linear_out[row * output..][..output].iter_mut().for_each(|w| *w += 1.0),
        _ => *output_bias.get_mut(leaf * output)? += 1.0,
    }
    let changed = FffWeights::new(shape, linear_in, Some(bias), linear_out).unwrap();
    Some(changed.with_output_bias(output_bias).unwrap())
}
