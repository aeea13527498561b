//! Every kernel that a device may get, and a device's own compiler on all of them.

use crate::error::Result;
use crate::fff::{Activations, FffShape, Residual};
use crate::gpu::{Capabilities, Gpu, Kernel, KernelSource, Precision, Variant, WeightFormat};
use crate::model::{EncoderConfig, Family, Ffn, Head};
use crate::ops::encoder_kernels;

/// Input, output, trees and depth of layers that reach each launch.
const LAYERS: [(usize, usize, usize, usize); 5] =
    [(768, 768, 1, 11), (1, 1, 1, 0), (37, 5, 3, 4), (12_288, 12_288, 1, 3), (50_000, 8, 2, 1)];

/// Width and heads of encoders: ordinary and odd sizes, heads of 8, 16, 32 vec4 and one that stays a loop.
const ENCODERS: [(usize, usize); 5] = [(768, 12), (384, 12), (30, 3), (1024, 8), (600, 1)];

/// Every kernel of a variant that a device of these capabilities may get, cooperative ones apart: layers with and without paths, residuals,
/// lookahead, f16 x and y, and the other operations of encoders; of shapes that reach each launch.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) if the device lacks what the variant needs.
pub fn kernels_of(device: &Capabilities, variant: Variant) -> Result<Vec<KernelSource>> {
    let mut kernels = Vec::new();
    let mut activations = vec![Activations::F32];
    if variant.weights == WeightFormat::Packed {
        use Precision::{F16, F32};
        activations.extend([(F16, F16), (F16, F32), (F32, F16)].map(|(x, y)| Activations { x, y }));
    }
    for (input, output, trees, depth) in LAYERS {
        let shape = FffShape::with_output(input, output, trees, depth)?;
        for keep_path in [false, true] {
            for stored in &activations {
                let plain = KernelSource::fff(shape, variant, *stored, device, keep_path)?;
                if input == output && *stored == Activations::F32 {
                    kernels.push(plain.clone().with_residual(Residual::Input));
                    kernels.push(plain.clone().with_residual(Residual::Output));
                }
                kernels.push(plain);
            }
            for ahead in [2, 3] {
                let stored = Activations::F32;
                kernels.extend(KernelSource::fff_lookahead(
                    shape, variant, stored, device, keep_path, ahead,
                )?);
            }
        }
    }
    for (hidden, heads) in ENCODERS {
        let config = EncoderConfig {
            family: Family::Bert,
            layers: 1,
            hidden,
            heads,
            vocabulary: 100,
            positions: 64,
            token_types: 2,
            norm_eps: 1e-12,
            embedding_norm: true,
            final_norm: false,
            ffn: Ffn::Dense { width: 64 },
            head: Head::None,
            problem: crate::model::Problem::Unsaid,
            labels: Vec::new(),
        };
        kernels.extend(encoder_kernels(&config, variant, device)?);
    }
    Ok(kernels)
}

/// Has a device's own shader compiler read every kernel that it may get: a browser's knows rules that naga does not check, uniformity among
/// them. No pipelines are made. `progress` is told how many are done, of how many. Returns how many there were.
///
/// # Errors
/// [`Error::Gpu`](crate::Error::Gpu) names the kernel that was refused, with the compiler's words.
pub async fn compile_kernels(gpu: &Gpu, mut progress: impl FnMut(usize, usize)) -> Result<usize> {
    let device = gpu.capabilities();
    let mut all = crate::bench::peak_kernels(device.f16);
    for variant in device.variants() {
        all.extend(kernels_of(device, variant)?);
    }
    for (index, source) in all.iter().enumerate() {
        Kernel::validate(gpu, source).await?;
        progress(index + 1, all.len());
    }
    Ok(all.len())
}
