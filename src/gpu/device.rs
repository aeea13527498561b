//! A device with its queue. Whatever goes wrong on it becomes a typed error.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use lru::LruCache;

use crate::error::{Error, Result};
use crate::gpu::adapter::{AdapterChoice, adapter};
use crate::gpu::buffer::Buffer;
use crate::gpu::capabilities::{COOPERATIVE_STORAGE, Capabilities, WANTED_FEATURES};
use crate::gpu::faults::{Fault, Faults};
use crate::gpu::kernel::Kernel;
use crate::gpu::source::KernelSource;

/// The most storage buffers that a kernel binds.
const STORAGE_BUFFERS: u32 = 7;
/// The most invocations of a kernel's workgroup.
const WORKGROUP: u32 = 1024;
/// Compiled kernels that are kept for later uploads: enough for several models. A kernel that is
/// dropped here lives on in the layers that use it.
pub(super) const KERNELS: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Options of [`Gpu::request`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GpuOptions {
    /// The adapter to use.
    pub adapter: AdapterChoice,
    /// The size of the largest single buffer that the work will bind, in bytes. WebGPU's default
    /// limit of 128 MiB is always available.
    pub largest_buffer: u64,
    /// Whether to keep the run-time checks that wgpu adds to shaders. The kernels do not need them
    /// and are faster without them; docs/kernels.md says by how much on an H200. (A browser always
    /// keeps them.)
    pub check_shaders: bool,
}

impl GpuOptions {
    /// Uses this adapter.
    pub fn adapter(mut self, adapter: AdapterChoice) -> Self {
        self.adapter = adapter;
        self
    }

    /// Asks for room for a buffer of `bytes`. The larger request counts if there are several.
    pub fn largest_buffer(mut self, bytes: u64) -> Self {
        self.largest_buffer = self.largest_buffer.max(bytes);
        self
    }

    /// Keeps or omits the run-time checks that wgpu adds to shaders.
    pub fn check_shaders(mut self, check: bool) -> Self {
        self.check_shaders = check;
        self
    }
}

/// A device and its queue. Clones are cheap: they share the device and the compiled kernels.
#[derive(Debug, Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    capabilities: Capabilities,
    lost: Arc<OnceLock<String>>,
    faults: Arc<Faults>,
    kernels: Mutex<LruCache<KernelSource, Arc<Kernel>>>,
    check_shaders: bool,
}

impl Gpu {
    /// Finds the adapter and creates a device on it, with only the features and limits that the
    /// kernels use.
    ///
    /// # Errors
    /// Returns [`Error::NoAdapter`] if no adapter fits and [`Error::Gpu`] if the device cannot be
    /// created. [`Error::Unsupported`] names a limit that the adapter does not reach.
    ///
    /// # Examples
    /// ```
    /// use cmm::{FffShape, Gpu, GpuOptions, Precision};
    ///
    /// # async fn example() -> Result<(), cmm::Error> {
    /// let shape = FffShape::new(768, 1, 11)?;
    /// let options = GpuOptions::default().for_layer(shape, Precision::F32);
    /// let gpu = Gpu::request(&options).await?;
    /// println!("{} runs {:?}", gpu.info().name, gpu.capabilities().best(Precision::F32)?);
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
    pub async fn request(options: &GpuOptions) -> Result<Self> {
        Self::from_adapter(&adapter(&options.adapter).await?, options).await
    }

    /// Creates a device on an adapter that was found elsewhere.
    ///
    /// # Errors
    /// Returns the errors of [`Gpu::request`].
    pub async fn from_adapter(adapter: &wgpu::Adapter, options: &GpuOptions) -> Result<Self> {
        let required_features = WANTED_FEATURES & adapter.features();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("cmm"),
            required_features,
            required_limits: needed_limits(adapter, options)?,
            experimental_features: experimental(required_features),
            ..Default::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(|cause| {
            Error::Gpu { what: "requesting a device".into(), reason: cause.to_string() }
        })?;
        Ok(Self::with_device(adapter, device, queue, options.check_shaders))
    }

    /// Uses the caller's own device, so that CMM can be recorded between the caller's own passes.
    /// It takes over the device's uncaptured-error and device-lost callbacks.
    pub fn from_device(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self::with_device(adapter, device, queue, false)
    }

    fn with_device(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
        check_shaders: bool,
    ) -> Self {
        let capabilities = Capabilities::new(adapter, device.features(), device.limits());
        let lost = Arc::new(OnceLock::new());
        let faults = Arc::<Faults>::default();
        device.set_device_lost_callback({
            let lost = lost.clone();
            move |reason, message| {
                let _ = lost.set(format!("{reason:?}: {message}"));
            }
        });
        device.on_uncaptured_error(Arc::new({
            let faults = faults.clone();
            move |error: wgpu::Error| {
                log::error!("uncaptured: {error}");
                faults.keep(match error {
                    wgpu::Error::OutOfMemory { .. } => Fault::OutOfMemory,
                    other => Fault::Other(other.to_string()),
                });
            }
        }));
        let info = adapter.get_info();
        let kernels = Mutex::new(LruCache::new(KERNELS));
        Self {
            inner: Arc::new(Inner {
                device,
                queue,
                info,
                capabilities,
                lost,
                faults,
                kernels,
                check_shaders,
            }),
        }
    }

    /// Returns the wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// Returns the wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Returns the adapter's name, driver, backend and kind.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.inner.info
    }

    /// Returns the capabilities of the device.
    pub fn capabilities(&self) -> &Capabilities {
        &self.inner.capabilities
    }

    pub(crate) fn checks_shaders(&self) -> bool {
        self.inner.check_shaders
    }

    /// Reports a lost device, or an error that this thread caused since its last call and that
    /// nothing else has reported.
    ///
    /// # Errors
    /// Returns [`Error::DeviceLost`], [`Error::OutOfMemory`] or [`Error::Gpu`].
    pub fn check(&self) -> Result<()> {
        if let Some(reason) = self.inner.lost.get() {
            return Err(Error::DeviceLost { reason: reason.clone() });
        }
        let fault = self.inner.faults.take();
        let what = "GPU work".to_owned();
        match fault {
            None => Ok(()),
            Some(Fault::OutOfMemory) => Err(Error::OutOfMemory { what }),
            Some(Fault::Other(reason)) => Err(Error::Gpu { what, reason }),
        }
    }

    /// Runs `work`. Whatever it does wrong on the device comes back as an error that names `what`.
    pub(crate) async fn scoped<T>(&self, what: &str, work: impl FnOnce() -> T) -> Result<T> {
        self.check()?;
        let device = self.device();
        let outer = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let middle = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let inner = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let result = work();
        let (inner, middle, outer) = (inner.pop(), middle.pop(), outer.pop());
        let errors = [inner.await, middle.await, outer.await];
        if errors.iter().any(Option::is_some) {
            // On a lost device everything is invalid. Polling wgpu tells why the device was lost.
            let _ = self.device().poll(wgpu::PollType::Poll);
        }
        self.check()?;
        match errors.into_iter().flatten().next() {
            Some(cause) => Err(Error::gpu(what, cause)),
            None => Ok(result),
        }
    }

    /// Returns extents of this many tokens and of nothing else, for kernels whose caller brings the
    /// buffers. The caller opens the error scope.
    pub(crate) fn extents(&self, tokens: u32) -> wgpu::Buffer {
        let buffer = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("extents"),
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&[tokens, 0, 0, 0]));
        buffer
    }

    /// Creates a buffer of zeros that passes between kernels. The caller opens the error scope.
    pub(crate) fn scratch(&self, bytes: u64) -> Buffer {
        Buffer(self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("scratch"),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        }))
    }

    /// Returns the cache of compiled kernels.
    pub(super) fn kernels(&self) -> MutexGuard<'_, LruCache<KernelSource, Arc<Kernel>>> {
        self.inner.kernels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the token that wgpu wants where an experimental feature is used.
#[allow(unsafe_code, reason = "wgpu hands the token out by an unsafe function")]
fn experimental(features: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if !features.intersects(wgpu::Features::all_experimental_mask()) {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: wgpu wants its users to know that an experimental feature may be unsound. The only
    // one used is cooperative matrices, in two kernels (shaders/dense_coop.wgsl,
    // attention_coop.wgsl); their arithmetic keeps every access to memory inside the buffers.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// Returns the limits that the kernels and `options` need, and nothing above them. All other limits
/// are as low as WebGPU lets them be.
fn needed_limits(adapter: &wgpu::Adapter, options: &GpuOptions) -> Result<wgpu::Limits> {
    let available = adapter.limits();
    let base = wgpu::Limits::downlevel_defaults().or_worse_values_from(&available);
    let defaults = wgpu::Limits::default();
    let limits = wgpu::Limits {
        max_storage_buffers_per_shader_stage: STORAGE_BUFFERS,
        max_storage_buffer_binding_size: defaults
            .max_storage_buffer_binding_size
            .min(available.max_storage_buffer_binding_size)
            .max(options.largest_buffer.min(available.max_storage_buffer_binding_size)),
        // This is for the larger tiles of the dense kernel, which uses smaller ones where there is
        // less.
        max_compute_workgroup_storage_size: defaults
            .max_compute_workgroup_storage_size
            .max(COOPERATIVE_STORAGE)
            .min(available.max_compute_workgroup_storage_size),
        // This is for the lookahead kernel. Where there is less, it looks less far ahead or is not
        // used.
        max_compute_invocations_per_workgroup: available
            .max_compute_invocations_per_workgroup
            .min(WORKGROUP),
        max_compute_workgroup_size_x: available.max_compute_workgroup_size_x.min(WORKGROUP),
        max_buffer_size: defaults
            .max_buffer_size
            .min(available.max_buffer_size)
            .max(options.largest_buffer.min(available.max_buffer_size)),
        ..base
    };
    let mut lacking = None;
    limits.check_limits_with_fail_fn(&available, false, |name, wanted, allowed| {
        lacking.get_or_insert(format!("{name} = {wanted} (it has {allowed})"));
    });
    match lacking {
        None => Ok(limits),
        Some(missing) => Err(Error::Unsupported {
            what: "the FFF kernel".into(),
            adapter: adapter.get_info().name,
            missing,
        }),
    }
}
