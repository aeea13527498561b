//! Uploads a layer to a device.

use std::sync::Arc;

use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::fff::FffWeights;
use crate::gpu::{Buffer, Gpu, KernelSource, Operation, Variant};
use crate::kernels::{Activations, FffSpec};
use crate::layer::{FffLayer, upload_fff};

/// A layer that is about to be uploaded; see [`FffLayer::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing is uploaded before `upload`"]
pub struct FffLayerBuilder<'w> {
    weights: &'w FffWeights,
    precision: Precision,
    variant: Option<Variant>,
    activations: Activations,
    overflow_passes: bool,
    kernels: Option<[KernelSource; 2]>,
}

/// The operations of a layer, without a path and with one, on the same weights.
#[derive(Debug)]
pub(super) struct Uploaded {
    pub(super) plain: Operation,
    pub(super) with_path: Operation,
    /// The buffers of `linear_in`, the bias and `linear_out`.
    pub(super) weights: Vec<Arc<Buffer>>,
    /// The lanes by which rows of f16 weights are ordered.
    pub(super) lanes: u32,
}

impl FffLayer {
    /// Uploads a layer with weights of this precision, in the variant that suits the device best.
    ///
    /// # Errors
    /// Returns the errors of [`FffLayerBuilder::upload`].
    pub async fn upload(gpu: &Gpu, weights: &FffWeights, precision: Precision) -> Result<Self> {
        Self::builder(weights).precision(precision).upload(gpu).await
    }

    /// Starts an upload. By default weights and activations are f32, in the variant that suits the
    /// device best.
    pub fn builder(weights: &FffWeights) -> FffLayerBuilder<'_> {
        FffLayerBuilder {
            weights,
            precision: Precision::F32,
            variant: None,
            activations: Activations::F32,
            overflow_passes: false,
            kernels: None,
        }
    }
}

impl FffLayerBuilder<'_> {
    /// Sets the precision of the weights.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets the variant of the kernels, which also decides how weights are stored.
    pub fn variant(mut self, variant: Variant) -> Self {
        self.variant = Some(variant);
        self
    }

    /// Sets the precision of x and y on the device. f16 needs packed weights.
    pub fn activations(mut self, activations: Activations) -> Self {
        self.activations = activations;
        self
    }

    /// Lets infinities and NaN in results pass. Without this, [`FffLayer::forward`] refuses them.
    pub fn allow_overflow(mut self) -> Self {
        self.overflow_passes = true;
        self
    }

    /// Uses the caller's own kernels, one without a path and one with it. They must bind what the
    /// kernel of [`KernelSource::fff`] binds. This is for experiments, and for tests that show that
    /// a wrong kernel is found out. The kernels are compiled with the checks that wgpu adds,
    /// because nobody knows whether they stay within their buffers.
    pub fn kernels(mut self, plain: KernelSource, with_path: KernelSource) -> Self {
        self.kernels = Some([plain, with_path]);
        self
    }

    /// Uploads the layer.
    ///
    /// # Errors
    /// Returns [`Error::TooLarge`] if a matrix exceeds what one binding may hold; [`Error::Value`]
    /// if f16 cannot hold a weight; [`Error::Unsupported`] if the device lacks what the variant
    /// needs, or if f16 activations are asked for with weights that are not packed;
    /// [`Error::Shape`] if a kernel of the caller's has no lanes, no invocations or no tokens, or
    /// if its lanes are not those by which the other kernel orders weights; [`Error::Gpu`] if a
    /// kernel does not compile; [`Error::OutOfMemory`] or [`Error::DeviceLost`].
    pub async fn upload(self, gpu: &Gpu) -> Result<FffLayer> {
        let (weights, activations, device) = (self.weights, self.activations, gpu.capabilities());
        let shape = weights.shape();
        let variant = match self.variant {
            Some(variant) => variant,
            None => device.best(self.precision)?,
        };
        let candidates = |keep_path| {
            FffSpec { shape, activations, residual: None, keep_path }.candidates(variant, device)
        };
        let [plain, with_path] = [candidates(false)?, candidates(true)?];
        let sources: Vec<&KernelSource> = match &self.kernels {
            Some(kernels) => vec![checked(kernels)?],
            None => {
                let stages = plain.iter().flat_map(|candidate| &candidate.stages);
                stages.map(|stage| &stage.source).collect()
            }
        };
        let lanes = sources.iter().map(|source| source.lanes).max().unwrap_or(1);
        let roundings = sources.iter().map(|source| source.roundings).max().unwrap_or(0);
        let buffers = upload_fff(gpu, weights, variant.weights, activations, lanes).await?;
        let own = |candidates| Operation::new(candidates, buffers.clone());
        let foreign = async |source: &KernelSource| {
            let kernel = gpu.foreign_kernel(source).await?;
            Ok::<_, Error>(Operation::of_kernel(kernel, source.clone(), buffers.clone()))
        };
        let [plain, with_path] = match &self.kernels {
            Some([plain, with_path]) => [foreign(plain).await?, foreign(with_path).await?],
            None => [own(plain), own(with_path)],
        };
        // This compiles now, so that recording never waits for a compiler.
        plain.compile_all(gpu).await?;
        with_path.compile_all(gpu).await?;
        Ok(FffLayer {
            gpu: gpu.clone(),
            shape,
            variant,
            activations,
            overflow_passes: self.overflow_passes,
            schedule: None,
            roundings,
            uploaded: Uploaded { plain, with_path, weights: buffers, lanes },
        })
    }
}

/// Returns the first of a caller's kernels, after checking both for what the host computes from
/// them.
fn checked(kernels: &[KernelSource; 2]) -> Result<&KernelSource> {
    let [plain, _] = kernels;
    for kernel in kernels {
        let sizes = [kernel.lanes, kernel.group, kernel.grid.rows().unwrap_or(0)];
        if sizes.contains(&0) || kernel.lanes != plain.lanes {
            let what = format!("lanes, invocations and tokens of {}", kernel.name);
            let expected = format!("at least 1 each, and {} lanes", plain.lanes.max(1));
            return Err(Error::shape(what, expected, format!("{sizes:?}")));
        }
    }
    Ok(plain)
}
