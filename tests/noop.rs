//! Second ring: wgpu's noop device. Pipelines, bindings, sizes and errors as on a real one; no shader runs.

use cmm::{
    Activations, Error, FffLayer, FffShape, FffWeights, Gpu, GpuOptions, KernelSource, Precision,
    Variant,
};
use pollster::block_on;

fn noop() -> Gpu {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop =
        wgpu::NoopBackendOptions { enable: true, ..Default::default() };
    let adapters =
        block_on(wgpu::Instance::new(descriptor).enumerate_adapters(wgpu::Backends::NOOP));
    block_on(Gpu::from_adapter(&adapters[0], &GpuOptions::default())).unwrap()
}

fn weights() -> FffWeights {
    FffWeights::random(FffShape::with_output(37, 5, 2, 3).unwrap(), 1)
}

#[test]
fn every_variant_it_can_run_compiles_and_dispatches() {
    let gpu = noop();
    for variant in gpu.capabilities().variants() {
        let layer = block_on(FffLayer::upload_as(&gpu, &weights(), variant)).unwrap();
        let result = block_on(layer.forward_with_path(&gpu, &[0.5; 37 * 9])).unwrap();
        assert_eq!((result.y.len(), result.path.len()), (9 * 5, 9 * 2 * 4), "{variant}");
    }
}

#[test]
fn more_tokens_than_one_dimension_of_workgroups_holds() {
    let gpu = noop();
    let weights = FffWeights::random(FffShape::new(1, 1, 0).unwrap(), 1);
    let layer = block_on(FffLayer::upload(&gpu, &weights, Precision::F32)).unwrap();
    assert_eq!(block_on(layer.forward(&gpu, &vec![1.0; 200_001])).unwrap().len(), 200_001);
}

#[test]
fn no_tokens_is_no_work() {
    let gpu = noop();
    let layer = block_on(FffLayer::upload(&gpu, &weights(), Precision::F32)).unwrap();
    assert!(block_on(layer.forward_with_path(&gpu, &[])).unwrap().y.is_empty());
}

#[test]
fn bad_inputs_are_named() {
    let gpu = noop();
    let layer = block_on(FffLayer::upload(&gpu, &weights(), Precision::F32)).unwrap();
    let message = |x: &[f32]| block_on(layer.forward(&gpu, x)).unwrap_err().to_string();
    assert_eq!(
        message(&[1.0; 38]),
        "length of x: expected a multiple of the input width 37, found 38"
    );
    let mut x = [1.0; 74];
    x[40] = f32::NAN;
    assert_eq!(message(&x), "x[40] is NaN: expected a finite number");
}

#[test]
fn slices_of_the_wrong_size_are_refused_before_anything_is_recorded() {
    let gpu = noop();
    let layer = block_on(FffLayer::upload(&gpu, &weights(), Precision::F32)).unwrap();
    let buffer = |bytes| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let (x, y, path) = (buffer(3 * 40 * 4), buffer(3 * 8 * 4), buffer(3 * 8 * 4));
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    let mut record = |x: wgpu::BufferSlice<'_>, y: wgpu::BufferSlice<'_>| {
        layer.record(&gpu, &mut pass, x, y, Some(path.slice(..)))
    };
    record(x.slice(..), y.slice(..)).unwrap();
    let error = record(x.slice(..100), y.slice(..)).unwrap_err().to_string();
    assert_eq!(error, "bytes of x: expected a multiple of 160, found 100");
    let error = record(x.slice(..320), y.slice(..)).unwrap_err().to_string();
    assert_eq!(error, "bytes of y: expected 64 for 2 tokens, found 96");
}

#[test]
fn a_matrix_beyond_the_limit_says_which_limit_and_what_would_fit() {
    let gpu = noop();
    let limit = gpu.capabilities().limits.max_storage_buffer_binding_size;
    // One row more than the limit holds.
    let width = 1 << 20;
    let depth = (limit / 4 / width as u64).ilog2() as usize;
    let shape = FffShape::with_output(width, 1, 1, depth).unwrap();
    let error = block_on(FffLayer::upload(&gpu, &FffWeights::random(shape, 1), Precision::F32));
    match error.unwrap_err() {
        Error::TooLarge { limit_name, what, .. } => {
            assert_eq!(
                (limit_name, what.as_str()),
                ("max_storage_buffer_binding_size", "linear_in")
            );
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_kernel_that_does_not_compile_is_an_error_with_the_place() {
    let gpu = noop();
    let variant: Variant = "workgroup/f32".parse().unwrap();
    let mut kernel =
        KernelSource::fff(weights().shape(), variant, Activations::F32, gpu.capabilities(), false)
            .unwrap();
    kernel.wgsl.push_str("fn broken( {");
    let weights = weights();
    let upload = FffLayer::upload_with(&gpu, &weights, variant, kernel.clone(), kernel);
    let error = block_on(upload).unwrap_err();
    assert!(matches!(error, Error::Gpu { .. }), "{error}");
    assert!(error.to_string().contains("broken"), "{error}");
}

#[test]
fn a_lost_device_is_a_typed_error_from_then_on() {
    let gpu = noop();
    let layer = block_on(FffLayer::upload(&gpu, &weights(), Precision::F32)).unwrap();
    gpu.device().destroy();
    for _ in 0..2 {
        let error = block_on(layer.forward(&gpu, &[1.0; 37])).unwrap_err();
        assert!(matches!(error, Error::DeviceLost { .. }), "{error}");
    }
}

#[test]
fn a_variant_the_device_lacks_is_refused_by_name() {
    let gpu = noop();
    let mut poor = gpu.capabilities().clone();
    poor.subgroup = None;
    let error =
        KernelSource::fff(weights().shape(), Variant::ALL[0], Activations::F32, &poor, false)
            .unwrap_err();
    assert!(error.to_string().contains("subgroup/f32") && error.to_string().contains("SUBGROUP"));
}
