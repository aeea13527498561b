//! An FFF layer on a device. It is recorded into any compute pass, or run from host slices.

use crate::dtype::Precision;
use crate::error::{Error, Result, check_f16, check_finite};
use crate::fff::{FffShape, Forward, first_token};
use crate::gpu::{Bound, Buffer, Buffers, Dispatch, Gpu, Variant};
use crate::kernels::{Activations, FffSpec, Schedule};
use crate::layer::builder::Uploaded;
use crate::layer::chunk::Chunk;

/// The most bytes of a single activation buffer of [`FffLayer::forward`]; longer inputs pass
/// through it in chunks.
const CHUNK_BYTES: u64 = 64 << 20;

/// An FFF layer on a device.
///
/// ```
/// use cmm::{FffLayer, FffShape, FffWeights, Gpu, GpuOptions};
///
/// # async fn example() -> Result<(), cmm::Error> {
/// let gpu = Gpu::request(&GpuOptions::default()).await?;
/// let weights = FffWeights::random(FffShape::new(64, 2, 5)?, 42);
/// let layer = FffLayer::builder(&weights).upload(&gpu).await?;
/// let y = layer.forward(&vec![0.5; 3 * 64]).await?; // three tokens
/// assert_eq!(y.len(), 3 * 64);
/// # Ok(())
/// # }
/// # fn main() -> Result<(), cmm::Error> {
/// #     match pollster::block_on(example()) {
/// #         Err(error @ cmm::Error::NoAdapter { .. })
/// #             if std::env::var_os("CMM_REQUIRE_GPU").is_none() =>
/// #         {
/// #             eprintln!("SKIPPED: {error}");
/// #             Ok(())
/// #         }
/// #         result => result,
/// #     }
/// # }
/// ```
#[derive(Debug)]
pub struct FffLayer {
    pub(super) gpu: Gpu,
    pub(super) shape: FffShape,
    pub(super) variant: Variant,
    pub(super) activations: Activations,
    pub(super) overflow_passes: bool,
    pub(super) schedule: Option<Schedule>,
    pub(super) roundings: u32,
    pub(super) uploaded: Uploaded,
}

/// A layer bound to buffers that were checked against it. It can be recorded any number of times.
#[derive(Debug)]
pub struct BoundFff {
    dispatch: Dispatch,
    bound: Bound,
    /// The buffers between the kernels of the dispatch. In a browser their memory is freed when
    /// this value is dropped.
    _scratch: Vec<Buffer>,
}

impl BoundFff {
    /// Records the layer into the caller's pass and submits nothing. In a browser the layer and
    /// this value must live until the pass is submitted, because their memory is freed when they
    /// are dropped.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.dispatch.record(pass, &self.bound);
    }
}

impl FffLayer {
    /// Returns the device that holds the layer.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Returns the sizes of the layer.
    pub fn shape(&self) -> FffShape {
        self.shape
    }

    /// Returns the variant that runs.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Returns the precision of x and y on the device.
    pub fn activations(&self) -> Activations {
        self.activations
    }

    /// Returns the most roundings that a product passes through on its way into a logit; see
    /// [`logit_bound`](crate::reference::logit_bound).
    pub fn roundings(&self) -> u32 {
        self.roundings
    }

    /// Returns the schedules by which the layer can run on its device.
    pub fn schedules(&self) -> Vec<Schedule> {
        let choices = self.uploaded.plain.choices();
        (0..choices).rev().map(|place| self.schedule_at(place)).collect()
    }

    /// Returns the schedule of a candidate. The plain kernel, for any number of tokens, is the last
    /// one; in the leaf form it is the first of two.
    fn schedule_at(&self, place: usize) -> Schedule {
        let choices = self.uploaded.plain.choices();
        let last = place + 1 == choices;
        match (self.shape.leaf_form(), last) {
            (Some(_), true) if choices > 1 => Schedule::Grouped,
            (Some(_), _) | (None, true) => Schedule::Plain,
            (None, false) => Schedule::Lookahead(place),
        }
    }

    /// Returns the schedule for this many tokens: the fastest one, unless
    /// [`FffLayer::with_schedule`] has fixed it.
    pub fn schedule(&self, tokens: u64) -> Schedule {
        let fastest = || self.uploaded.plain.choice(u32::try_from(tokens).unwrap_or(u32::MAX));
        self.schedule.unwrap_or_else(|| self.schedule_at(fastest()))
    }

    /// Fixes the schedule, for measurements and tests.
    ///
    /// # Errors
    /// Returns [`Error::Input`] if it is not among [`FffLayer::schedules`].
    pub fn with_schedule(mut self, schedule: Schedule) -> Result<Self> {
        let possible = self.schedules();
        if !possible.contains(&schedule) {
            let (expected, found) = (format!("one of {possible:?}"), format!("{schedule:?}"));
            return Err(Error::input("schedule", expected, found));
        }
        self.schedule = Some(schedule);
        Ok(self)
    }

    /// Binds the layer to the caller's buffers, so that it can be recorded into passes. The size of
    /// `x` decides the number of tokens.
    ///
    /// - `x` is `[tokens, `[`input_stride`](FffShape::input_stride)`]`; values beyond the width are
    ///   ignored.
    /// - `y` is `[tokens, `[`output_stride`](FffShape::output_stride)`]`, padded with zeros.
    /// - `path` is `[tokens, trees, levels]` in u32, if it is wanted.
    ///
    /// x and y are f32 unless [`FffLayer::activations`] says f16. All buffers need the usage
    /// `STORAGE` and offsets that the device allows for bindings.
    ///
    /// # Errors
    /// Returns [`Error::Shape`] if a slice does not have such a size, and [`Error::TooLarge`] if it
    /// is more than one binding holds. Other faults are reported by the caller's error scope, or by
    /// [`Gpu::check`].
    ///
    /// ```no_run
    /// # fn example(
    /// #     layer: cmm::FffLayer,
    /// #     device: wgpu::Device,
    /// #     queue: wgpu::Queue,
    /// #     [x, y]: [wgpu::Buffer; 2],
    /// # ) -> cmm::Result<()> {
    /// let bound = layer.bind(x.slice(..), y.slice(..), None)?;
    /// for _ in 0..10 {
    ///     let mut encoder = device.create_command_encoder(&Default::default());
    ///     let mut pass = encoder.begin_compute_pass(&Default::default());
    ///     bound.record(&mut pass); // between kernels of your own
    ///     drop(pass);
    ///     queue.submit([encoder.finish()]);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind(
        &self,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
        path: Option<wgpu::BufferSlice<'_>>,
    ) -> Result<BoundFff> {
        let [x_row, y_row, path_row] = self.row_bytes();
        if !x.size().is_multiple_of(x_row) || x.size() == 0 {
            return Err(Error::shape("bytes of x", format!("a multiple of {x_row}"), x.size()));
        }
        let tokens = x.size() / x_row;
        let limit = self.gpu.capabilities().limits.max_storage_buffer_binding_size;
        for (what, slice, row) in
            [("x", Some(x), x_row), ("y", Some(y), y_row), ("path", path, path_row)]
        {
            let Some(slice) = slice else { continue };
            if slice.size() != tokens * row {
                let expected = format!("{} for {tokens} tokens", tokens * row);
                return Err(Error::shape(format!("bytes of {what}"), expected, slice.size()));
            }
            if slice.size() > limit {
                return Err(self.too_large(what, slice.size()));
            }
        }
        let operation = match path {
            None => &self.uploaded.plain,
            Some(_) => &self.uploaded.with_path,
        };
        let schedule = self.schedule(tokens);
        let choice = (0..operation.choices()).find(|place| self.schedule_at(*place) == schedule);
        let tokens = u32::try_from(tokens)
            .map_err(|_| Error::shape("tokens", format!("at most {}", u32::MAX), tokens))?;
        let extents = self.gpu.extents(tokens);
        let writes: Vec<_> = std::iter::once(y).chain(path).collect();
        let compiled = choice.and_then(|choice| operation.compiled(&self.gpu, choice, tokens));
        let dispatch = compiled
            .ok_or_else(|| Error::shape("this layer", "kernels compiled at its upload", "none"))?;
        let scratch: Vec<Buffer> = match schedule {
            Schedule::Grouped => {
                // Kernels use indices up to twice the leaves plus twice the tokens in 32 bits, and
                // keep one bit of a token's number for themselves.
                let most = (1 << 31) - self.shape.leaves() as u64;
                if u64::from(tokens) > most {
                    let expected = format!("at most {most}");
                    return Err(Error::shape("tokens grouped by leaf", expected, tokens));
                }
                let sizes = operation.scratch(tokens);
                let limit = limit.min(self.gpu.capabilities().limits.max_buffer_size);
                if let Some(bytes) = sizes.iter().copied().find(|bytes| *bytes > limit) {
                    return Err(self.too_large("the buffer between kernels", bytes));
                }
                sizes.into_iter().map(|bytes| self.gpu.scratch(bytes)).collect()
            }
            Schedule::Plain | Schedule::Lookahead(_) => Vec::new(),
        };
        let buffers =
            Buffers { extents: &extents, reads: &[x], scratch: &scratch, writes: &writes };
        let bound = operation.bind(&self.gpu, &dispatch, buffers);
        Ok(BoundFff { dispatch, bound, _scratch: scratch })
    }

    /// Returns the precision in which a leaf's neurons pass to y if tokens are grouped: f16 on
    /// cooperative matrices.
    pub(super) fn neurons_in_between(&self) -> Precision {
        let Self { shape, activations, .. } = *self;
        let spec = FffSpec { shape, activations, residual: None, keep_path: false };
        match spec.on_matrices(self.variant, self.gpu.capabilities()) {
            true => Precision::F16,
            false => Precision::F32,
        }
    }

    fn too_large(&self, what: &str, bytes: u64) -> Error {
        Error::TooLarge {
            what: what.into(),
            bytes,
            limit_name: "max_storage_buffer_binding_size",
            limit: self.gpu.capabilities().limits.max_storage_buffer_binding_size,
            adapter: self.gpu.info().name.clone(),
            hint: "record fewer tokens at once",
        }
    }

    /// Binds the layer as [`FffLayer::bind`] does, and records it once.
    ///
    /// # Errors
    /// Returns the errors of [`FffLayer::bind`].
    pub fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
        path: Option<wgpu::BufferSlice<'_>>,
    ) -> Result<()> {
        self.bind(x, y, path)?.record(pass);
        Ok(())
    }

    /// Computes `x: [tokens, input]` to `[tokens, output]`, for any number of tokens, in chunks if
    /// needed. x is rounded to f16 first if the device stores it so.
    ///
    /// # Errors
    /// Returns [`Error::Shape`] if `x` is not a whole number of tokens; [`Error::Value`] if it
    /// holds a NaN, an infinity, or a value that an f16 x cannot hold; [`Error::Overflow`] if sums
    /// overflow, unless [`allow_overflow`](crate::FffLayerBuilder::allow_overflow) lets them;
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`] or [`Error::Gpu`].
    pub async fn forward(&self, x: &[f32]) -> Result<Vec<f32>> {
        Ok(self.run(x, false).await?.y)
    }

    /// Computes like [`FffLayer::forward`], and also returns the nodes that each token engaged.
    ///
    /// # Errors
    /// Returns the errors of [`FffLayer::forward`].
    pub async fn forward_with_path(&self, x: &[f32]) -> Result<Forward> {
        self.run(x, true).await
    }

    /// Returns the number of tokens that [`FffLayer::forward`] sends to the device at once.
    pub fn tokens_per_chunk(&self) -> usize {
        let limits = &self.gpu.capabilities().limits;
        let bytes =
            CHUNK_BYTES.min(limits.max_storage_buffer_binding_size).min(limits.max_buffer_size);
        let between = self.uploaded.plain.scratch_row_bytes();
        let widest = self.row_bytes().into_iter().chain([between]).max().unwrap_or(1);
        (bytes / widest).max(1) as usize
    }

    /// Returns the bytes of a token's row of x, of y and of the path on the device.
    pub(super) fn row_bytes(&self) -> [u64; 3] {
        let bytes = |values: usize, stored: Precision| (values * stored.bytes()) as u64;
        [
            bytes(self.shape.input_stride(), self.activations.x),
            bytes(self.shape.output_stride(), self.activations.y),
            self.shape.path_len() as u64 * 4,
        ]
    }

    async fn run(&self, x: &[f32], want_path: bool) -> Result<Forward> {
        let width = self.shape.input();
        if !x.len().is_multiple_of(width) {
            let expected = format!("a multiple of the input width {width}");
            return Err(Error::shape("length of x", expected, x.len()));
        }
        check_finite("x", x)?;
        if self.activations.x == Precision::F16 {
            check_f16("x", x, "within ±65504 for f16 activations")?;
        }
        let tokens = x.len() / width;
        let mut result = Forward {
            y: Vec::with_capacity(tokens * self.shape.output()),
            path: Vec::with_capacity(if want_path { tokens * self.shape.path_len() } else { 0 }),
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
