//! Second ring: wgpu's noop device. Pipelines, bindings, sizes and errors as on a real one; no shader runs.

use std::sync::LazyLock;

use cmm::low_level::KernelSource;
use cmm::model::{Batch, EncoderConfig, EncoderWeights, Family, Ffn, Head, Output, Sequence, Tap};
use cmm::{
    Activations, Error, FffForm, FffLayer, FffShape, FffWeights, Gpu, GpuOptions, Precision,
    Variant,
};
use cmm::{Encoder, EncoderOptions};
use pollster::block_on;

fn noop() -> Gpu {
    static ADAPTER: LazyLock<wgpu::Adapter> = LazyLock::new(adapter);
    block_on(Gpu::from_adapter(&ADAPTER, &GpuOptions::default())).unwrap()
}

fn adapter() -> wgpu::Adapter {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::NOOP;
    descriptor.backend_options.noop =
        wgpu::NoopBackendOptions { enable: true, ..Default::default() };
    let instance = wgpu::Instance::new(descriptor);
    block_on(instance.enumerate_adapters(wgpu::Backends::NOOP)).swap_remove(0)
}

fn weights() -> FffWeights {
    FffWeights::random(FffShape::with_output(37, 5, 2, 3).unwrap(), 1)
}

#[test]
fn every_variant_it_can_run_compiles_and_dispatches() {
    let gpu = noop();
    for variant in gpu.capabilities().variants() {
        let layer = block_on(FffLayer::builder(&weights()).variant(variant).upload(&gpu)).unwrap();
        let result = block_on(layer.forward_with_path(&[0.5; 37 * 9])).unwrap();
        assert_eq!((result.y.len(), result.path.len()), (9 * 5, 9 * 2 * 4), "{variant}");
    }
}

#[test]
fn more_tokens_than_one_dimension_of_workgroups_holds() {
    let gpu = noop();
    let weights = FffWeights::random(FffShape::new(1, 1, 0).unwrap(), 1);
    let layer = block_on(FffLayer::upload(&gpu, &weights, Precision::F32)).unwrap();
    assert_eq!(block_on(layer.forward(&vec![1.0; 200_001])).unwrap().len(), 200_001);
}

#[test]
fn no_tokens_is_no_work() {
    let gpu = noop();
    let layer = block_on(FffLayer::upload(&gpu, &weights(), Precision::F32)).unwrap();
    assert!(block_on(layer.forward_with_path(&[])).unwrap().y.is_empty());
}

#[test]
fn bad_inputs_are_named() {
    let gpu = noop();
    let layer = block_on(FffLayer::upload(&gpu, &weights(), Precision::F32)).unwrap();
    let message = |x: &[f32]| block_on(layer.forward(x)).unwrap_err().to_string();
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
        layer.record(&mut pass, x, y, Some(path.slice(..)))
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
    let upload =
        FffLayer::builder(&weights).variant(variant).kernels(kernel.clone(), kernel).upload(&gpu);
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
        let error = block_on(layer.forward(&[1.0; 37])).unwrap_err();
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

/// Two layers, 8 wide, of one head, over so many ids.
fn encoder(gpu: &Gpu, vocabulary: usize) -> Encoder {
    let weights = EncoderWeights::random(config(vocabulary), 3).unwrap();
    block_on(Encoder::upload(gpu, &weights, &EncoderOptions::default())).unwrap()
}

fn config(vocabulary: usize) -> EncoderConfig {
    let ffn = Ffn::Fff { trees: 1, depth: 2, form: FffForm::Published };
    let mut config = EncoderConfig::new(Family::Bert, 2, 8, 1, ffn);
    (config.vocabulary, config.positions) = (vocabulary, 16);
    config.head = Head::MaskedLm { transform: false };
    config
}

#[test]
fn f16_activations_need_f16_weights_and_a_device_for_them() {
    let gpu = noop();
    let weights = EncoderWeights::random(config(10), 3).unwrap();
    let upload =
        |options: EncoderOptions| block_on(Encoder::upload(&gpu, &weights, &options)).unwrap_err();
    let half = EncoderOptions::default().activations(Precision::F16);
    let error = upload(half);
    assert!(matches!(error, Error::Input { .. }), "{error}");
    let error = upload(half.variant("workgroup/f32".parse().unwrap()));
    assert!(matches!(error, Error::Input { .. }), "{error}");
    let error = upload(half.weights(Precision::F16));
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

fn sequence(ids: &[u32]) -> Sequence {
    Sequence { ids: ids.to_vec(), ..Sequence::default() }
}

#[test]
fn a_batch_of_a_larger_model_is_refused_before_it_reads_beyond_a_table() {
    let gpu = noop();
    let small = encoder(&gpu, 10);
    let forward = |batch: &Batch| block_on(small.forward(batch, &Output::Hidden, Tap::None));
    forward(&small.batch(&[sequence(&[9, 1])]).unwrap()).unwrap();
    let larger = |change: fn(&mut EncoderConfig), sequence: Sequence| {
        let mut config = config(10);
        change(&mut config);
        forward(&Batch::new(&config, &[sequence]).unwrap()).unwrap_err().to_string()
    };
    assert_eq!(
        larger(|c| c.vocabulary = 20, sequence(&[3, 10])),
        "ids of the batch: expected below this encoder's 10, found 10"
    );
    assert_eq!(
        larger(|c| c.positions = 20, sequence(&[1; 17])),
        "positions of the batch: expected below this encoder's 16, found 16"
    );
    assert_eq!(
        larger(|c| c.token_types = 4, Sequence { types: vec![3], ..sequence(&[1]) }),
        "token types of the batch: expected below this encoder's 2, found 3"
    );
}

#[test]
fn scores_of_no_tokens_with_a_tap_are_no_values_and_all_stages() {
    let gpu = noop();
    let encoder = encoder(&gpu, 10);
    let batch = encoder.batch(&[sequence(&[1, 2, 3])]).unwrap();
    let got = block_on(encoder.forward(&batch, &Output::Tokens(vec![]), Tap::Stages)).unwrap();
    assert!(got.values.is_empty() && got.width == 10);
    assert_eq!((got.paths.len(), got.stages.last().unwrap().1.len()), (2, 3 * 8));
}

#[test]
fn a_configuration_made_by_hand_is_held_to_what_a_file_is_held_to() {
    let refused = |change: fn(&mut EncoderConfig)| {
        let mut config = config(10);
        change(&mut config);
        assert_eq!(config.head_width(), config.hidden.checked_div(config.heads).unwrap_or(0));
        let files = EncoderWeights::new(config.clone(), Vec::new()).unwrap_err().to_string();
        let random = EncoderWeights::random(config, 1).unwrap_err().to_string();
        assert_eq!(files, random);
        random
    };
    let zero = |what: &str| format!("{what}: expected 1 to 268435456, found 0");
    assert_eq!(refused(|c| c.heads = 0), zero("attention heads"));
    assert_eq!(refused(|c| c.layers = 0), zero("layers"));
    assert_eq!(refused(|c| c.vocabulary = 0), zero("vocabulary"));
    assert_eq!(refused(|c| c.positions = 0), zero("positions"));
    assert_eq!(refused(|c| c.token_types = 0), zero("token types"));
    assert_eq!(refused(|c| c.ffn = Ffn::Dense { width: 0 }), zero("feedforward width or trees"));
    assert!(refused(|c| c.hidden = 0).contains("input width"));
    assert!(
        refused(|c| c.ffn = Ffn::Fff { trees: 1, depth: 99, form: FffForm::Published })
            .contains("depth 99")
    );
    assert!(refused(|c| c.heads = 3).contains("a multiple of the 3 heads"));
    assert!(refused(|c| c.norm_eps = f64::NAN).contains("0 < eps < 1"));
    assert!(refused(|c| c.hidden = 1 << 15).contains("values of the projection"));
    // Its table has one row, whatever the number says: a batch's types would be read beyond it.
    let crammed = refused(|c| (c.family, c.token_types) = (Family::CrammedBert, 2));
    assert!(crammed.contains("token types: expected 0 or 1"), "{crammed}");
}

#[test]
fn a_pass_of_another_device_is_an_error_of_that_device() {
    let (own, other) = (noop(), noop());
    let layer = block_on(FffLayer::upload(&own, &weights(), Precision::F32)).unwrap();
    let buffer = |gpu: &Gpu, bytes| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    for gpu in [&own, &other] {
        let (x, y) = (buffer(gpu, 160), buffer(gpu, 32));
        let scope = other.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let mut encoder = other.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        layer.record(&mut pass, x.slice(..), y.slice(..), None).unwrap();
        drop(pass);
        encoder.finish();
        assert!(block_on(scope.pop()).is_some(), "a foreign pass went unnoticed");
    }
    // Buffers of the other device were refused by the layer's own.
    assert!(own.check().is_err());
}

#[test]
fn a_fault_is_told_to_the_thread_that_caused_it() {
    let gpu = noop();
    let layer = block_on(FffLayer::upload(&gpu, &weights(), Precision::F32)).unwrap();
    let bad = || {
        // A buffer that may be mapped for reading and bound at once: outside of any error scope.
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::STORAGE;
        let _ = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage,
            mapped_at_creation: false,
        });
    };
    bad();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            block_on(layer.forward(&[1.0; 37])).unwrap();
            gpu.check().unwrap();
        });
    });
    assert!(matches!(gpu.check(), Err(Error::Gpu { .. })));
    gpu.check().unwrap();
}
