//! Every kernel that some device may get, for tests and for a device's own compiler.

use std::collections::HashSet;

use crate::dtype::Precision;
use crate::error::Result;
use crate::fff::{FffForm, FffShape, LeafActivation, LeafForm};
use crate::gpu::{Candidate, Capabilities, KernelSource, Variant, WeightFormat};
use crate::kernels::{
    Activations, BLOCKED_SHAPES, DenseSpec, FffSpec, Residual, TOKENS, attention, candidates,
};
use crate::model::{EncoderConfig, Family, Ffn, Head, Output, Pooler};
use crate::plan::{Activation, Facts, HeadFacts, Plan, Target};

/// Input, output, trees and depth of layers that reach every launch.
const LAYERS: [(usize, usize, usize, usize); 5] =
    [(768, 768, 1, 11), (1, 1, 1, 0), (37, 5, 3, 4), (12_288, 12_288, 1, 3), (50_000, 8, 2, 1)];
/// Input, output, depth and width of leaves that reach every launch and every tile.
const LEAVES: [(usize, usize, usize, usize); 5] = [
    (384, 384, 7, 32),
    (768, 768, 5, 128),
    (37, 5, 0, 3),
    (5000, 12_288, 1, 2000),
    (8, 12_288, 2, 1),
];

/// Returns layers of every form.
fn layers() -> Result<Vec<FffShape>> {
    let mut layers = Vec::new();
    for (input, output, trees, depth) in LAYERS {
        let shape = FffShape::with_output(input, output, trees, depth)?;
        layers.extend([shape, shape.in_form(FffForm::Signed)?]);
    }
    for (input, output, depth, width) in LEAVES {
        let activation = match depth {
            0 => LeafActivation::Relu,
            _ => LeafActivation::Gelu,
        };
        let leaf = LeafForm { width, activation, ..LeafForm::default() };
        layers.push(FffShape::leaf(input, output, depth, leaf)?);
    }
    Ok(layers)
}

/// Width and heads of encoders. The sizes are ordinary and odd: heads of 8, 16 and 32 vec4, and one
/// whose loop is not written out.
const ENCODERS: [(usize, usize); 5] = [(768, 12), (384, 12), (30, 3), (1024, 8), (600, 1)];

/// Returns every kernel of a variant that a device of these capabilities may get, except
/// cooperative ones: layers with and without paths, residuals, lookahead, f16 x and y, and all
/// steps of encoders. Their shapes reach every launch.
///
/// # Errors
/// Returns [`Error::Unsupported`](crate::Error::Unsupported) if the device lacks what the variant
/// needs.
pub fn kernels_of(device: &Capabilities, variant: Variant) -> Result<Vec<KernelSource>> {
    let mut kernels = Vec::new();
    let mut stored = vec![Activations::F32];
    if variant.weights == WeightFormat::Packed {
        use Precision::{F16, F32};
        stored.extend([(F16, F16), (F16, F32), (F32, F16)].map(|(x, y)| Activations { x, y }));
    }
    for shape in layers()? {
        let (input, output) = (shape.input(), shape.output());
        let same = (input == output).then_some(Residual::Input);
        for keep_path in [false, true] {
            for activations in &stored {
                let residuals: &[_] = match *activations == Activations::F32 {
                    true => &[None, Some(Residual::Output), same],
                    false => &[None],
                };
                for residual in residuals.iter().copied() {
                    let activations = *activations;
                    let spec = FffSpec { shape, activations, residual, keep_path };
                    let all = spec.candidates(variant, device)?;
                    kernels.extend(all.into_iter().flat_map(Candidate::sources));
                }
            }
        }
    }
    for (hidden, heads) in ENCODERS {
        encoder_kernels(hidden, heads, Precision::F32, variant, device, &mut kernels)?;
    }
    Ok(unique(kernels))
}

/// Returns the kernels of encoders on cooperative matrices, including the norms and layers between
/// them, and the kernels on cooperative matrices that the benchmark measures.
///
/// # Errors
/// Returns [`Error::Unsupported`](crate::Error::Unsupported) if the device has no packed f16.
pub fn cooperative_kernels(device: &Capabilities) -> Result<Vec<KernelSource>> {
    let mut kernels = Vec::new();
    for variant in device.variants() {
        if variant.weights == WeightFormat::Packed {
            for (hidden, heads) in [(768, 12), (384, 12), (384, 24)] {
                encoder_kernels(hidden, heads, Precision::F16, variant, device, &mut kernels)?;
            }
        }
    }
    let spec = |input, output, activation, adds| DenseSpec {
        input,
        output,
        activation,
        adds,
        extent: TOKENS,
    };
    for shape in BLOCKED_SHAPES {
        kernels.push(spec(768, 4095, Activation::Gelu, false).blocked_source(shape));
        kernels.push(spec(4095, 768, Activation::None, true).blocked_source(shape));
    }
    kernels.push(attention::attention_coop(12, 64, 0.125));
    Ok(unique(kernels))
}

/// Returns the kernels of all steps to all outputs of encoders, for both families and both kinds of
/// feedforward layers.
fn encoder_kernels(
    hidden: usize,
    heads: usize,
    activations: Precision,
    variant: Variant,
    device: &Capabilities,
    kernels: &mut Vec<KernelSource>,
) -> Result<()> {
    let classifier = HeadFacts::Classifier { mapped: hidden, classes: 3 };
    let pooled = |pooler| Output::Pooled { pooler, normalized: true };
    let outputs = [
        (HeadFacts::MaskedLm { transform: true }, Output::Tokens(Vec::new())),
        (classifier.clone(), Output::Classes),
        (classifier.clone(), pooled(Pooler::MeanUnmasked)),
        (classifier.clone(), pooled(Pooler::Avg)),
        (classifier.clone(), pooled(Pooler::Max)),
        (classifier, pooled(Pooler::Lse)),
    ];
    for family in [Family::Bert, Family::CrammedBert] {
        let leaf = |width| FffForm::Leaf(LeafForm { width, ..LeafForm::default() });
        let fff = |form| Ffn::Fff { trees: 1, depth: 3, form };
        let dense = Ffn::Dense { width: 4 * hidden };
        let mut all = vec![dense, fff(FffForm::Published), fff(leaf(32))];
        // On cooperative matrices leaves of other widths have other tiles.
        all.extend((activations == Precision::F16).then(|| fff(leaf(64))));
        for ffn in all {
            for (head, output) in &outputs {
                let mut config = EncoderConfig::new(family, 1, hidden, heads, ffn);
                config.head = Head::Classifier { pooler: Pooler::ZeroIndex };
                let facts = Facts { scales: vec![0.125], head: head.clone() };
                let head = config.head_width().next_multiple_of(4);
                // The vocabulary comes in two parts, like one that is larger than a binding.
                let target = Target { activations, head, vocabulary: vec![0..64, 64..100] };
                for paths in [false, true] {
                    let plan = Plan::new(&config, &facts, &target, output, paths)?;
                    for step in &plan.steps {
                        let all = candidates(&plan, step, variant, device)?;
                        kernels.extend(all.into_iter().flat_map(Candidate::sources));
                    }
                }
            }
        }
    }
    Ok(())
}

fn unique(kernels: Vec<KernelSource>) -> Vec<KernelSource> {
    let mut seen = HashSet::new();
    kernels.into_iter().filter(|kernel| seen.insert(kernel.clone())).collect()
}
