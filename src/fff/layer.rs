//! An FFF layer on a device: uploaded once, recorded into any compute pass, or run from host slices.

use std::sync::Arc;

use crate::error::{Error, Result, check_f16, check_finite};
use crate::fff::chunk::{Chunk, bytes_of};
use crate::fff::overflow::first_token;
use crate::fff::rows::Rows;
use crate::fff::{Activations, FffShape, FffWeights, Residual, Schedule};
use crate::gpu::{Buffer, Gpu, Kernel, KernelSource, Precision, Variant, WeightFormat};

/// Bytes of a single activation buffer that [`FffLayer::forward`] uses at most; longer inputs go through it in chunks.
const CHUNK_BYTES: u64 = 64 << 20;

/// Tokens up to which each lookahead is the fastest: measured on an H200, docs/kernels.md.
fn lookaheads(precision: Precision) -> [(u32, u64); 2] {
    match precision {
        Precision::F32 => [(3, 192), (2, 384)],
        Precision::F16 => [(3, 128), (2, 640)],
    }
}

/// An FFF layer on a device.
#[derive(Debug)]
pub struct FffLayer {
    gpu: Gpu,
    shape: FffShape,
    variant: Variant,
    activations: Activations,
    pub(super) plain: Kernels,
    /// By tokens: up to how many, and the kernels.
    lookahead: Vec<(u64, Kernels)>,
    schedule: Option<Schedule>,
    pub(super) linear_in: Buffer,
    pub(super) bias: Buffer,
    pub(super) linear_out: Buffer,
    overflow_passes: bool,
}

/// A schedule's kernels, compiled.
#[derive(Debug)]
pub(super) struct Kernels {
    pub(super) source: KernelSource,
    without_path: Arc<Kernel>,
    with_path: Arc<Kernel>,
}

impl Kernels {
    async fn compile(gpu: &Gpu, [without_path, with_path]: [KernelSource; 2]) -> Result<Self> {
        Ok(Self {
            with_path: gpu.kernel(&with_path).await?,
            without_path: gpu.kernel(&without_path).await?,
            source: without_path,
        })
    }
}

/// What a forward returns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forward {
    /// `[tokens, output]`.
    pub y: Vec<f32>,
    /// Nodes engaged, ids within their tree, `[tokens, trees, levels]`; empty unless asked for.
    pub path: Vec<u32>,
}

impl FffLayer {
    /// Uploads a layer in the variant that suits the device best.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if a matrix exceeds what one binding may hold, [`Error::Value`] if f16 cannot hold a weight,
    /// [`Error::Unsupported`], [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub async fn upload(gpu: &Gpu, weights: &FffWeights, precision: Precision) -> Result<Self> {
        Self::upload_as(gpu, weights, gpu.capabilities().best(precision)?).await
    }

    /// Uploads a layer in a given variant.
    ///
    /// # Errors
    /// As [`FffLayer::upload`].
    pub async fn upload_as(gpu: &Gpu, weights: &FffWeights, variant: Variant) -> Result<Self> {
        Self::upload_as_is(gpu, weights, variant, Activations::F32, |kernel| kernel).await
    }

    /// Uploads a layer whose x, y or both are f16 on the device, in a given variant, whose weights are packed.
    ///
    /// # Errors
    /// As [`FffLayer::upload`]; [`Error::Unsupported`] beside weights of another format.
    pub async fn upload_with_activations(
        gpu: &Gpu,
        weights: &FffWeights,
        variant: Variant,
        activations: Activations,
    ) -> Result<Self> {
        Self::upload_as_is(gpu, weights, variant, activations, |kernel| kernel).await
    }

    /// Uploads a layer whose [`FffLayer::record`] adds a residual to its output.
    pub(crate) async fn upload_with_residual(
        gpu: &Gpu,
        weights: &FffWeights,
        variant: Variant,
        activations: Activations,
        residual: Residual,
    ) -> Result<Self> {
        let changed = |kernel: KernelSource| kernel.with_residual(residual);
        Self::upload_as_is(gpu, weights, variant, activations, changed).await
    }

    async fn upload_as_is(
        gpu: &Gpu,
        weights: &FffWeights,
        variant: Variant,
        activations: Activations,
        changed: impl Fn(KernelSource) -> KernelSource,
    ) -> Result<Self> {
        let (shape, device) = (weights.shape(), gpu.capabilities());
        let plain =
            |path| KernelSource::fff(shape, variant, activations, device, path).map(&changed);
        let kernels = Kernels::compile(gpu, [plain(false)?, plain(true)?]).await?;
        let mut layer = Self::upload_kernels(gpu, weights, variant, activations, kernels).await?;
        for (ahead, tokens) in lookaheads(variant.weights.precision()) {
            let kernel = |path| {
                let source =
                    KernelSource::fff_lookahead(shape, variant, activations, device, path, ahead);
                source.map(|source| source.map(&changed))
            };
            if let (Some(without_path), Some(with_path)) = (kernel(false)?, kernel(true)?) {
                let kernels = Kernels::compile(gpu, [without_path, with_path]).await?;
                layer.lookahead.push((tokens, kernels));
            }
        }
        Ok(layer)
    }

    /// Uploads a layer with kernels of the caller's own, which bind what [`KernelSource::fff`]'s bind: for experiments, and for tests
    /// that show that a wrong kernel is found out. They are compiled with the checks that wgpu adds, since nobody here knows that they stay
    /// within their buffers.
    ///
    /// # Errors
    /// As [`FffLayer::upload`], [`Error::Gpu`] if a kernel does not compile, [`Error::Mismatch`] if it has no lanes, no invocations or no tokens,
    /// or its lanes are not those that the other one orders weights by.
    pub async fn upload_with(
        gpu: &Gpu,
        weights: &FffWeights,
        variant: Variant,
        plain: KernelSource,
        with_path: KernelSource,
    ) -> Result<Self> {
        for kernel in [&plain, &with_path] {
            let sizes = [kernel.lanes, kernel.group, kernel.tokens_per_group];
            if sizes.contains(&0) || kernel.lanes != plain.lanes {
                let what = format!("lanes, invocations and tokens of {}", kernel.name);
                let expected = format!("at least 1 each, and {} lanes", plain.lanes.max(1));
                return Err(Error::mismatch(what, expected, format!("{sizes:?}")));
            }
        }
        let kernels = Kernels {
            without_path: Kernel::compile_checked(gpu, &plain).await?.into(),
            with_path: Kernel::compile_checked(gpu, &with_path).await?.into(),
            source: plain,
        };
        Self::upload_kernels(gpu, weights, variant, Activations::F32, kernels).await
    }

    async fn upload_kernels(
        gpu: &Gpu,
        weights: &FffWeights,
        variant: Variant,
        activations: Activations,
        plain: Kernels,
    ) -> Result<Self> {
        let shape = weights.shape();
        if variant.weights.precision() == Precision::F16 {
            weights.rounded_to_f16()?;
        }
        let lanes = plain.source.lanes as usize;
        // A unit of f32 activations is two vec4 in blocks of lanes; of f16 ones, values side by side.
        let rows = |values, stored: Precision| Rows {
            values,
            format: variant.weights,
            lanes: (stored == Precision::F32).then_some(lanes),
        };
        let linear_in = rows(weights.linear_in(), activations.x)
            .upload(gpu, "linear_in", shape.nodes(), shape.input(), shape.input_stride())
            .await?;
        let linear_out = rows(weights.linear_out(), activations.y)
            .upload(gpu, "linear_out", shape.nodes(), shape.output(), shape.output_stride())
            .await?;
        let bias = Rows { values: weights.bias(), format: WeightFormat::F32, lanes: None }
            .upload(gpu, "linear_in.bias", shape.nodes(), 1, 1)
            .await?;
        Ok(Self {
            gpu: gpu.clone(),
            shape,
            variant,
            activations,
            plain,
            lookahead: Vec::new(),
            schedule: None,
            linear_in,
            bias,
            linear_out,
            overflow_passes: false,
        })
    }

    /// The device that the layer lies on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Sizes.
    pub fn shape(&self) -> FffShape {
        self.shape
    }

    /// The variant that runs.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// How x and y are stored on the device.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// The most roundings that a product passes through into a logit; see [`logit_bound`](crate::reference::logit_bound).
    pub fn roundings(&self) -> u32 {
        let of = |kernels: &Kernels| kernels.source.roundings;
        self.lookahead.iter().map(|(_, kernels)| of(kernels)).fold(of(&self.plain), u32::max)
    }

    /// The schedules that the layer can run by on its device.
    pub fn schedules(&self) -> Vec<Schedule> {
        let lookahead = (0..self.lookahead.len()).map(Schedule::Lookahead);
        std::iter::once(Schedule::Plain).chain(lookahead).collect()
    }

    /// The schedule for so many tokens: the fastest one, unless [`FffLayer::with_schedule`] has fixed it.
    pub fn schedule(&self, tokens: u64) -> Schedule {
        self.schedule.unwrap_or_else(|| {
            let index = self.lookahead.iter().position(|(most, _)| tokens <= *most);
            index.map_or(Schedule::Plain, Schedule::Lookahead)
        })
    }

    /// Fixes the schedule, for measurements and tests.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if it is not among [`FffLayer::schedules`].
    pub fn with_schedule(mut self, schedule: Schedule) -> Result<Self> {
        let possible = self.schedules();
        if !possible.contains(&schedule) {
            let (expected, found) = (format!("one of {possible:?}"), format!("{schedule:?}"));
            return Err(Error::mismatch("schedule", expected, found));
        }
        self.schedule = Some(schedule);
        Ok(self)
    }

    /// Lets infinities and NaN in results pass, which [`FffLayer::forward`] refuses else.
    pub fn with_overflow_passing(mut self) -> Self {
        self.overflow_passes = true;
        self
    }

    /// Records the layer into the caller's pass; nothing is submitted. The number of tokens is what `x` holds. In a browser the layer must
    /// live until the pass is submitted: its memory is given back when it is dropped.
    ///
    /// `x`: `[tokens, `[`input_stride`](FffShape::input_stride)`]`, what follows the width is ignored;
    /// `y`: `[tokens, `[`output_stride`](FffShape::output_stride)`]`, padded with zeros, both f32 unless
    /// [`FffLayer::activations`] says f16;
    /// `path`: u32 `[tokens, trees, levels]`, if wanted. All with usage `STORAGE`, at offsets that the device allows for bindings.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if a slice is not of such a size, [`Error::TooLarge`] if it is more than one binding holds. What the device
    /// finds wrong comes out of the caller's error scope, or of [`Gpu::check`].
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
        path: Option<wgpu::BufferSlice<'_>>,
    ) -> Result<()> {
        let [x_row, y_row, path_row] = self.row_bytes();
        if !x.size().is_multiple_of(x_row) || x.size() == 0 {
            return Err(Error::mismatch("bytes of x", format!("a multiple of {x_row}"), x.size()));
        }
        let tokens = x.size() / x_row;
        let limit = self.gpu.capabilities().limits.max_storage_buffer_binding_size;
        for (what, slice, row) in
            [("x", Some(x), x_row), ("y", Some(y), y_row), ("path", path, path_row)]
        {
            let Some(slice) = slice else { continue };
            if slice.size() != tokens * row {
                let expected = format!("{} for {tokens} tokens", tokens * row);
                return Err(Error::mismatch(format!("bytes of {what}"), expected, slice.size()));
            }
            if slice.size() > limit {
                return Err(Error::TooLarge {
                    what: what.into(),
                    bytes: slice.size(),
                    limit_name: "max_storage_buffer_binding_size",
                    limit,
                    adapter: self.gpu.info().name.clone(),
                    hint: "record fewer tokens at once",
                });
            }
        }
        let kernels = match self.schedule(tokens) {
            Schedule::Plain => &self.plain,
            Schedule::Lookahead(index) => &self.lookahead[index].1,
        };
        let tokens = u32::try_from(tokens)
            .map_err(|_| Error::mismatch("tokens", format!("at most {}", u32::MAX), tokens))?;
        let kernel = if path.is_some() { &kernels.with_path } else { &kernels.without_path };
        let (linear_in, bias, linear_out) =
            (self.linear_in.slice(..), self.bias.slice(..), self.linear_out.slice(..));
        let mut buffers = vec![x, linear_in, bias, linear_out, y];
        buffers.extend(path);
        let groups = kernels.source.workgroups(tokens, self.gpu.capabilities());
        kernel.record(&self.gpu, pass, &buffers, groups);
        Ok(())
    }

    /// Computes `x: [tokens, input]`, rounded to f16 first if the device's x is, to `[tokens, output]`; any number of tokens, in chunks if need be.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if `x` is not a whole number of tokens, [`Error::Value`] if it holds a NaN, an infinity, or what an f16 x cannot hold;
    /// [`Error::Overflow`] if sums overflow, unless [`FffLayer::with_overflow_passing`] lets them;
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`], [`Error::Gpu`].
    pub async fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        Ok(self.run(x, false).await?.y)
    }

    /// As [`FffLayer::forward`], with the nodes that each token engaged.
    ///
    /// # Errors
    /// As [`FffLayer::forward`].
    pub async fn forward_with_path(&self, x: &[f32]) -> Result<Forward> {
        self.run(x, true).await
    }

    /// Tokens that [`FffLayer::forward`] sends to the device at once.
    pub fn tokens_per_chunk(&self) -> usize {
        let limits = &self.gpu.capabilities().limits;
        let bytes =
            CHUNK_BYTES.min(limits.max_storage_buffer_binding_size).min(limits.max_buffer_size);
        let widest = self.row_bytes().into_iter().max().unwrap_or(1);
        (bytes / widest).max(1) as usize
    }

    /// Bytes of a token's row of x, of y and of the path on the device.
    pub(super) fn row_bytes(&self) -> [u64; 3] {
        let bytes = |values: usize, precision| values as u64 * bytes_of(precision);
        [
            bytes(self.shape.input_stride(), self.activations.x),
            bytes(self.shape.output_stride(), self.activations.y),
            self.shape.engaged() as u64 * 4,
        ]
    }

    async fn run(&self, x: &[f32], want_path: bool) -> Result<Forward> {
        let width = self.shape.input();
        if !x.len().is_multiple_of(width) {
            let expected = format!("a multiple of the input width {width}");
            return Err(Error::mismatch("length of x", expected, x.len()));
        }
        check_finite("x", x)?;
        if self.activations.x == Precision::F16 {
            check_f16("x", x, "within ±65504 for f16 activations")?;
        }
        let tokens = x.len() / width;
        let mut result = Forward {
            y: Vec::with_capacity(tokens * self.shape.output()),
            path: Vec::with_capacity(if want_path { tokens * self.shape.engaged() } else { 0 }),
        };
        if tokens == 0 {
            return Ok(result);
        }
        let at_once = self.tokens_per_chunk().min(tokens);
        let chunk = Chunk::new(&self.gpu, self.row_bytes(), at_once as u64, want_path).await?;
        for x in x.chunks(at_once * width) {
            chunk.run(self, x, &mut result).await?;
        }
        if !self.overflow_passes
            && let Some(token) = first_token(&result.y, self.shape.output())
        {
            return Err(self.overflow(token, &x[token * width..][..width]).await?);
        }
        Ok(result)
    }
}
