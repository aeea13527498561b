//! Third ring: every adapter, every variant, against the reference.

mod common;

use cmm::check::{Checked, check_case, golden_cases, random_cases};
use cmm::{
    Activations, Error, FffForm, FffLayer, FffShape, FffWeights, Gpu, GpuOptions, LeafActivation,
    LeafForm, Schedule, Variant, WeightFormat, reference,
};
use common::{gpus, gpus_and_variants, label, random_tokens, weights_as_stored};
use pollster::block_on;
use proptest::prelude::*;

#[test]
fn golden_layers() {
    let (cases, _) = golden_cases(&common::golden()).unwrap();
    for (gpu, variant) in gpus_and_variants() {
        for case in &cases {
            let outcome =
                block_on(check_case(case, &Checked::Variant(gpu.clone(), variant))).unwrap();
            assert!(outcome.passed(), "{}: {outcome:?}", label(&gpu, variant));
        }
    }
}

#[test]
fn random_layers() {
    let cases = random_cases(7).unwrap();
    for (gpu, variant) in gpus_and_variants() {
        for case in &cases {
            let outcome =
                block_on(check_case(case, &Checked::Variant(gpu.clone(), variant))).unwrap();
            assert!(outcome.passed(), "{}: {outcome:?}", label(&gpu, variant));
        }
    }
}

/// y and path agree with the reference of the weights as the variant stores them.
fn agrees(gpu: &Gpu, variant: Variant, weights: &FffWeights, x: &[f32]) -> Result<(), String> {
    let layer = block_on(FffLayer::builder(weights).variant(variant).upload(gpu))
        .map_err(|e| e.to_string())?;
    assert_eq!(layer.variant(), variant);
    let got = block_on(layer.forward_with_path(x)).map_err(|e| e.to_string())?;
    let truth = reference::fff(&weights_as_stored(weights, variant), x).unwrap();
    let result =
        reference::compare(weights.shape(), &truth, &got.y, &got.path, layer.roundings()).unwrap();
    if result.passed() {
        Ok(())
    } else {
        Err(format!("{} {}: {result:?}", label(gpu, variant), weights.shape()))
    }
}

#[test]
fn token_counts() {
    let weights = FffWeights::random(FffShape::new(8, 1, 2).unwrap(), 5);
    for (gpu, variant) in gpus_and_variants() {
        for tokens in [0, 1, 2, 3, 7, 65_535, 65_536] {
            agrees(&gpu, variant, &weights, &random_tokens(tokens * 8, tokens as u64)).unwrap();
        }
    }
}

#[test]
fn widths_around_every_boundary_of_units_and_lanes() {
    for (gpu, variant) in gpus_and_variants() {
        for width in [1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 63, 64, 65, 127, 129, 255, 256, 257, 1025] {
            let shape = FffShape::with_output(width, width + 3, 2, 2).unwrap();
            let weights = FffWeights::random(shape, width as u64);
            agrees(&gpu, variant, &weights, &random_tokens(5 * width, 1)).unwrap();
        }
    }
}

/// So wide that even 256 lanes keep more than a loop writes out.
#[test]
fn very_wide_rows() {
    let weights = FffWeights::random(FffShape::with_output(20_000, 17_000, 1, 1).unwrap(), 5);
    for (gpu, variant) in gpus_and_variants() {
        agrees(&gpu, variant, &weights, &random_tokens(3 * 20_000, 1)).unwrap();
    }
}

#[test]
fn many_trees_and_deep_ones() {
    for (trees, depth) in [(64, 3), (65, 0), (1, 15), (2, 16)] {
        let weights = FffWeights::random(FffShape::with_output(12, 9, trees, depth).unwrap(), 5);
        for (gpu, variant) in gpus_and_variants() {
            agrees(&gpu, variant, &weights, &random_tokens(20 * 12, 2)).unwrap();
        }
    }
}

/// Logits from -40 to 40 and more: the tails of GELU, where a polynomial of erf goes wrong.
#[test]
fn large_logits() {
    let shape = FffShape::new(1, 1, 0).unwrap();
    let weights = FffWeights::new(shape, [1.0], None, [1.0]).unwrap();
    let x: Vec<f32> =
        (-4000..=4000).map(|i| i as f32 / 100.0).chain([-3e4, 3e4, -1e30, 1e30]).collect();
    for (gpu, variant) in gpus_and_variants() {
        agrees(&gpu, variant, &weights, &x).unwrap();
    }
}

/// Inputs longer than what goes to the device at once.
#[test]
fn inputs_in_chunks() {
    let weights = FffWeights::random(FffShape::with_output(3, 3, 1, 1).unwrap(), 5);
    for gpu in gpus() {
        let variant = gpu.capabilities().best(cmm::Precision::F32).unwrap();
        let layer = block_on(FffLayer::builder(&weights).variant(variant).upload(&gpu)).unwrap();
        let tokens = layer.tokens_per_chunk() + 1;
        let x = random_tokens(tokens * 3, 3);
        let y = block_on(layer.forward(&x)).unwrap();
        let last = block_on(layer.forward(&x[(tokens - 1) * 3..])).unwrap();
        assert_eq!(y.len(), tokens * 3);
        assert_eq!(y[(tokens - 1) * 3..], last[..], "{}", label(&gpu, variant));
    }
}

/// The padding of the caller's buffer, even NaN, must not reach y, and y's own padding is zero.
#[test]
fn padding_is_ignored_and_zeroed() {
    let weights = FffWeights::random(FffShape::with_output(5, 3, 1, 2).unwrap(), 5);
    let x = [0.5, -1.0, 2.0, 0.25, -0.125];
    for (gpu, variant) in gpus_and_variants() {
        let layer = block_on(FffLayer::builder(&weights).variant(variant).upload(&gpu)).unwrap();
        let want = block_on(layer.forward(&x)).unwrap();
        let buffer = |usage| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 32,
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC | usage,
                mapped_at_creation: false,
            })
        };
        let (device_x, y) =
            (buffer(wgpu::BufferUsages::STORAGE), buffer(wgpu::BufferUsages::STORAGE));
        let mut padded = [f32::NAN; 8];
        padded[..5].copy_from_slice(&x);
        gpu.queue().write_buffer(&device_x, 0, bytemuck::cast_slice(&padded));
        gpu.queue().write_buffer(&y, 0, bytemuck::cast_slice(&[f32::NAN; 8]));
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        layer.record(&mut pass, device_x.slice(..), y.slice(..), None).unwrap();
        drop(pass);
        gpu.queue().submit([encoder.finish()]);
        let (sender, receiver) = std::sync::mpsc::channel();
        wgpu::util::DownloadBuffer::read_buffer(
            gpu.device(),
            gpu.queue(),
            &y.slice(..),
            move |result| {
                sender.send(bytemuck::pod_collect_to_vec::<u8, f32>(&result.unwrap())).unwrap();
            },
        );
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let got = receiver.recv().unwrap();
        assert_eq!(got[..3], want[..], "{}", label(&gpu, variant));
        assert_eq!(got[3..], [0.0; 5], "{}", label(&gpu, variant));
    }
}

#[test]
fn a_lost_device_is_a_typed_error() {
    let weights = FffWeights::random(FffShape::new(8, 1, 2).unwrap(), 5);
    for gpu in gpus() {
        let layer = block_on(FffLayer::upload(&gpu, &weights, cmm::Precision::F32)).unwrap();
        gpu.device().destroy();
        let error = block_on(layer.forward(&[1.0; 8])).unwrap_err();
        assert!(matches!(error, cmm::Error::DeviceLost { .. }), "{}: {error}", gpu.info().name);
    }
}

/// Two trees of depth 2, 8 -> 3: in tree 1 every token goes right, to node 2, whose row of `linear_in` is 1000s; every output is 1.
fn overflowing() -> FffWeights {
    let shape = FffShape::with_output(8, 3, 2, 2).unwrap();
    let (mut linear_in, mut bias) = (vec![0.0; 14 * 8], vec![0.0; 14]);
    bias[7] = 1.0;
    linear_in[9 * 8..][..8].fill(1000.0);
    FffWeights::new(shape, linear_in, Some(bias), vec![1.0; 14 * 3]).unwrap()
}

#[test]
fn sums_that_overflow_name_the_token_and_the_node_unless_they_may_pass() {
    let mut x = vec![1.0; 3 * 8];
    x[8..16].fill(3e38);
    let weights = overflowing();
    for (gpu, variant) in gpus_and_variants() {
        let layer = block_on(FffLayer::builder(&weights).variant(variant).upload(&gpu)).unwrap();
        let error = block_on(layer.forward(&x)).unwrap_err();
        let expected =
            matches!(error, Error::Overflow { token: 1, tree: 1, node: 2, what: "logit", .. });
        assert!(expected, "{}: {error}", label(&gpu, variant));
        let layer = FffLayer::builder(&weights).variant(variant).allow_overflow().upload(&gpu);
        let layer = block_on(layer).unwrap();
        let y = block_on(layer.forward(&x)).unwrap();
        let finite: Vec<_> = y.iter().map(|v| v.is_finite()).collect();
        assert_eq!(finite, [true, true, true, false, false, false, true, true, true]);
    }
}

/// Every value of a row is found again where the rows were packed: the node is the one whose weights are large.
#[test]
fn the_node_of_an_overflow_is_found_in_rows_of_any_width() {
    // The form, the logit of the last node, and which of the output rows is large at its end: in the signed form one of that node's two.
    for (form, logit, row) in
        [(FffForm::Published, 1e36, 3), (FffForm::Signed, 1e36, 6), (FffForm::Signed, -1e36, 5)]
    {
        // Rows are packed alike in both forms.
        let widths: &[usize] = if row == 3 { &[1, 7, 40, 300, 1500] } else { &[7, 300] };
        for width in widths.iter().copied() {
            let shape = FffShape::with_output(width, width, 1, 1).unwrap().in_form(form).unwrap();
            let mut linear_out = vec![0.5; shape.output_rows() * width];
            linear_out[row * width - 1] = 60_000.0;
            let (linear_in, bias) = (vec![0.0; 3 * width], vec![1.0, 1.0, logit]);
            let weights = FffWeights::new(shape, linear_in, Some(bias), linear_out).unwrap();
            let expected = |error: &Error| {
                matches!(error, Error::Overflow { token: 0, node: 2, what: "output", magnitude, .. }
                    if (5.9e40..6.1e40).contains(magnitude))
            };
            let error = cmm::host::fff(&weights, &vec![1.0; width]).unwrap_err();
            assert!(expected(&error), "host {shape}: {error}");
            for (gpu, variant) in gpus_and_variants() {
                let layer = FffLayer::builder(&weights).variant(variant).upload(&gpu);
                let error = block_on(block_on(layer).unwrap().forward(&vec![1.0; width]));
                let error = error.unwrap_err();
                assert!(expected(&error), "{} {shape}: {error}", label(&gpu, variant));
            }
        }
    }
}

/// In the leaf form: a decision whose logit overflows may not send its token on to another leaf's numbers, and a leaf whose sums overflow is named
/// by its place in the tree. Other tokens are as they were.
#[test]
fn overflow_in_decisions_and_leaves_is_named_in_both_schedules() {
    let width = 7;
    let leaf = LeafForm { width: 3, ..LeafForm::default() };
    let shape = FffShape::leaf(width, width, 1, leaf).unwrap();
    let mut linear_in = vec![0.0; shape.input_rows() * width];
    linear_in[..width].fill(1e38);
    let mut linear_out = vec![0.5; shape.output_rows() * width];
    // The second neuron of the right leaf.
    linear_out[4 * width..][..width].fill(60_000.0);
    let mut bias = vec![0.5; shape.input_rows()];
    (bias[0], bias[1 + 4]) = (-1.0, 1e36);
    let weights = FffWeights::new(shape, linear_in, Some(bias), linear_out).unwrap();
    // Left, to a leaf that is well; beyond f32 at the root; right, to the leaf that is not.
    let x: Vec<f32> = [0.0, 1e3, 1e-30].iter().flat_map(|x| [*x; 7]).collect();
    let named = |error: Error, at: u32, of: &str| matches!(error, Error::Overflow { token: 0, node, what, .. } if node == at && what == of);
    for (token, node, what) in [(1, 0, "logit"), (2, 2, "output")] {
        let x = &x[token * width..][..width];
        let error = cmm::host::fff(&weights, x).unwrap_err();
        assert!(named(error, node, what), "host {what}");
    }
    let host = cmm::host::fff_allowing_overflow(&weights, &x).unwrap();
    assert!(host.y[..width].iter().all(|y| y.is_finite()) && host.y[width].is_nan());
    // Weights of 1e38 are none that f16 holds.
    for (gpu, variant) in gpus_and_variants() {
        if variant.weights != WeightFormat::F32 {
            continue;
        }
        let builder = || FffLayer::builder(&weights).variant(variant);
        let mut layer = block_on(builder().upload(&gpu)).unwrap();
        let mut passing = block_on(builder().allow_overflow().upload(&gpu)).unwrap();
        for schedule in [Schedule::Plain, Schedule::Grouped] {
            layer = layer.with_schedule(schedule).unwrap();
            passing = passing.with_schedule(schedule).unwrap();
            let label = format!("{} {schedule:?}", label(&gpu, variant));
            for (token, node, what) in [(1, 0, "logit"), (2, 2, "output")] {
                let x = &x[token * width..][..width];
                let error = block_on(layer.forward(x)).unwrap_err();
                assert!(named(error, node, what), "{label} {what}");
            }
            let y = block_on(passing.forward(&x)).unwrap();
            assert!(y[..width].iter().all(|y| y.is_finite()), "{label}: {y:?}");
            assert!(y[width..].iter().all(|y| !y.is_finite()), "{label}: {y:?}");
        }
    }
}

/// ReLU makes no 0 of a logit that overflowed, and an output bias that an f16 y does not hold is named as what it is.
#[test]
fn overflow_behind_a_relu_and_in_an_output_bias_is_named_in_both_schedules() {
    let leaf = LeafForm { width: 1, activation: LeafActivation::Relu, ..LeafForm::default() };
    let shape = FffShape::leaf(8, 8, 0, leaf).unwrap();
    let layer = |weight: f32, bias: f32| {
        let weights = FffWeights::new(shape, [weight; 8], None, [0.5; 8]).unwrap();
        weights.with_output_bias([bias; 8]).unwrap()
    };
    let named = |error: &Error, of: &str| matches!(error, Error::Overflow { token: 0, node: 0, what, .. } if *what == of);
    // The logit's terms are -3e38 each.
    let (logit, bias) = (layer(-3e38, 0.0), layer(1.0, 1e5));
    let error = cmm::host::fff(&logit, &[1.0; 8]).unwrap_err();
    assert!(named(&error, "logit"), "host: {error}");
    for (gpu, variant) in gpus_and_variants() {
        let builder = match variant.weights {
            WeightFormat::F32 => FffLayer::builder(&logit),
            WeightFormat::Packed => FffLayer::builder(&bias).activations(Activations::F16),
            WeightFormat::F16 => continue,
        };
        let what = if variant.weights == WeightFormat::F32 { "logit" } else { "output" };
        let mut layer = block_on(builder.variant(variant).upload(&gpu)).unwrap();
        for schedule in [Schedule::Plain, Schedule::Grouped] {
            layer = layer.with_schedule(schedule).unwrap();
            let error = block_on(layer.forward(&[1.0; 8])).unwrap_err();
            assert!(named(&error, what), "{} {schedule:?}: {error}", label(&gpu, variant));
        }
    }
}

#[test]
fn f16_activations_beyond_their_range_are_refused_on_both_sides() {
    let shape = FffShape::with_output(8, 1, 2, 0).unwrap();
    let weights = FffWeights::new(shape, [1.0; 16], Some(vec![0.0, 0.0]), [100.0, 200.0]).unwrap();
    for (gpu, variant) in gpus_and_variants() {
        if variant.weights != WeightFormat::Packed {
            continue;
        }
        let upload =
            FffLayer::builder(&weights).variant(variant).activations(Activations::F16).upload(&gpu);
        let layer = block_on(upload).unwrap();
        let forward = |x: f32| block_on(layer.forward(&[x; 8]));
        assert!((forward(20.0).unwrap()[0] - 48_000.0).abs() < 32.0);
        let error = forward(65_520.0).unwrap_err().to_string();
        assert_eq!(error, "x[0] is 65520: expected within ±65504 for f16 activations");
        let error = forward(40.0).unwrap_err();
        let expected =
            matches!(error, Error::Overflow { token: 0, tree: 1, node: 0, what: "output", .. });
        assert!(expected, "{}: {error}", label(&gpu, variant));
    }
}

/// Destroyed while another thread computes: that thread gets a typed error, and what the error advises, a new device, goes on.
#[test]
fn a_device_destroyed_while_it_works_is_lost_and_a_new_one_goes_on() {
    let weights = FffWeights::random(FffShape::new(64, 1, 5).unwrap(), 5);
    let x = random_tokens(64 * 64, 3);
    for adapter in block_on(cmm::adapters()) {
        // GL's context belongs to one thread at a time.
        if adapter.get_info().backend == wgpu::Backend::Gl {
            continue;
        }
        let upload = || {
            let gpu = block_on(Gpu::from_adapter(&adapter, &GpuOptions::default())).unwrap();
            block_on(FffLayer::upload(&gpu, &weights, cmm::Precision::F32)).unwrap()
        };
        let layer = upload();
        let want = block_on(layer.forward(&x)).unwrap();
        let (started, runs) = std::sync::mpsc::channel();
        let error = std::thread::scope(|threads| {
            let work = threads.spawn(|| {
                loop {
                    if let Err(error) = block_on(layer.forward(&x)) {
                        break error;
                    }
                    let _ = started.send(());
                }
            });
            runs.recv().unwrap();
            layer.gpu().device().destroy();
            work.join().unwrap()
        });
        assert!(matches!(error, Error::DeviceLost { .. }), "{}: {error}", adapter.get_info().name);
        assert_eq!(block_on(upload().forward(&x)).unwrap(), want);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape(
        input in 1usize..200, output in 1usize..200, trees in 1usize..6, depth in 0usize..7, tokens in 1usize..40,
        seed in any::<u64>(),
    ) {
        let weights = FffWeights::random(FffShape::with_output(input, output, trees, depth).unwrap(), seed);
        let x = random_tokens(tokens * input, seed);
        for (gpu, variant) in gpus_and_variants() {
            if let Err(difference) = agrees(&gpu, variant, &weights, &x) {
                prop_assert!(false, "{difference}");
            }
        }
    }
}
