//! Models of every form: sizes that nothing divides, both families with both kinds of feedforward layer, stored forms, batches, refusals.

#[path = "common/checkpoints.rs"]
mod checkpoints;
mod common;

use std::ops::ControlFlow;

use checkpoints::{Form, Spec, TINY};
use cmm::check::{Checked, check_case, check_model, golden_cases, golden_models, random_cases};
use cmm::model::{Batch, EncoderConfig, EncoderWeights, Output, Pooler, Sequence, Tap};
use cmm::{Encoder, EncoderOptions};
use cmm::{Precision, reference};
use pollster::block_on;
use tempfile::tempdir;

fn sequences(vocabulary: usize) -> Vec<Sequence> {
    let mut random = fastrand::Rng::with_seed(5);
    [7, 1, 40, 33]
        .into_iter()
        .map(|length| Sequence {
            ids: (0..length).map(|_| random.u32(..vocabulary as u32)).collect(),
            types: Vec::new(),
            mask: if length == 40 { (0..40).map(|_| random.bool()).collect() } else { Vec::new() },
        })
        .collect()
}

fn assert_close(what: &str, want: &[f64], got: &[f32], width: usize, rtol: f64) {
    assert_eq!(want.len(), got.len(), "{what}");
    for (row, (want, got)) in want.chunks(width).zip(got.chunks(width)).enumerate() {
        let error = reference::row_error(want, got);
        assert!(error <= rtol, "{what}: row {row} is off by {error}");
    }
}

/// Both families, FFF and dense, heads of 8, 10 and 7, hidden sizes that 8 does not divide: what the golden models are not.
#[test]
fn every_stage_of_a_crammed_model_with_dense_layers() {
    every_stage(&Spec { fff: None, ..TINY });
}

#[test]
fn every_stage_of_a_crammed_model_30_wide() {
    every_stage(&Spec { hidden: 30, ..TINY });
}

#[test]
fn every_stage_of_a_bert_21_wide_with_dense_layers() {
    every_stage(&Spec { crammed: false, fff: None, hidden: 21, ..TINY });
}

#[test]
fn every_stage_of_a_bert_21_wide_with_signed_layers() {
    every_stage(&Spec {
        crammed: false,
        fff: Some((1, 4)),
        form: Form::Signed,
        hidden: 21,
        ..TINY
    });
}

#[test]
fn every_stage_of_a_bert_21_wide_with_leaves_of_13_neurons() {
    every_stage(&Spec {
        crammed: false,
        fff: Some((1, 3)),
        form: Form::Leaf(13),
        hidden: 21,
        ..TINY
    });
}

/// On every adapter in every variant, against the reference.
fn every_stage(spec: &Spec) {
    let dir = tempdir().unwrap();
    spec.write(dir.path(), 7, 1);
    let open = |p| EncoderWeights::open(dir.path()).unwrap().stored_as(p);
    let sequences = sequences(spec.vocabulary);
    stages_of(spec, &sequences, &open);
    if matches!(spec.form, Form::Leaf(_)) {
        // So few that each token has a workgroup of its own.
        stages_of(spec, &sequences[..2], &open);
    }
}

fn stages_of(
    spec: &Spec,
    sequences: &[Sequence],
    open: &dyn Fn(Precision) -> EncoderWeights<'static>,
) {
    let batch = Batch::new(open(Precision::F32).config(), sequences).unwrap();
    let output = Output::Tokens((0..batch.len() as u32).step_by(3).collect());
    let truths = [Precision::F32, Precision::F16]
        .map(|p| reference::encoder(&open(p), &batch, &output).unwrap());
    for (gpu, variant) in common::gpus_and_variants() {
        let precision = variant.weights.precision();
        let truth = &truths[usize::from(precision == Precision::F16)];
        let label = common::label(&gpu, variant);
        let encoder = block_on(Encoder::upload(
            &gpu,
            &open(precision),
            &EncoderOptions::default().variant(variant),
        ))
        .unwrap();
        let got = block_on(encoder.forward(&batch, &output, Tap::Stages)).unwrap();
        assert_eq!(got.paths, truth.paths, "{label}");
        assert_eq!(got.paths.len(), if spec.fff.is_some() { 2 } else { 0 });
        assert!(got.stages.len() >= 2 * 2, "{label}");
        for (name, values) in &got.stages {
            let name = format!("{label} {name}");
            let want = &truth.stages[name.rsplit(' ').next().unwrap()];
            assert_close(&name, want, values, spec.hidden, 2e-5);
        }
        assert_close(&label, &truth.values, &got.values, spec.vocabulary, 2e-5);
    }
}

/// Widths whose rows are padded, which a sum over a whole row must not see, and sums that overflow, which no maximum may pass over.
#[test]
fn pooled_rows_are_the_references_and_overflow_in_none_goes_unnoticed() {
    let dir = tempdir().unwrap();
    Spec { crammed: false, fff: Some((1, 4)), hidden: 21, ..TINY }.write(dir.path(), 7, 1);
    let weights = EncoderWeights::open(dir.path()).unwrap();
    let batch = Batch::new(weights.config(), &sequences(weights.config().vocabulary)).unwrap();
    // A norm in the first layer that scales beyond f32: infinities, and NaN in all that follows.
    let huge = tempdir().unwrap();
    Spec { crammed: false, fff: Some((1, 4)), hidden: 21, ..TINY }.write(huge.path(), 7, 1);
    let file = huge.path().join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = {
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let names = tensors.names();
        let name = names.iter().find(|name| name.ends_with("layer.0.output.LayerNorm.weight"));
        tensors.tensor(name.unwrap()).unwrap().data().as_ptr() as usize - bytes.as_ptr() as usize
    };
    bytes[at..][..4].copy_from_slice(&3e38_f32.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    let huge = EncoderWeights::open(huge.path()).unwrap();
    for gpu in common::gpus() {
        let options = EncoderOptions::default();
        let encoder = block_on(Encoder::upload(&gpu, &weights, &options)).unwrap();
        let overflowing = block_on(Encoder::upload(&gpu, &huge, &options)).unwrap();
        let host = Encoder::on_host(&huge).unwrap();
        for pooler in
            [Pooler::MeanUnmasked, Pooler::Avg, Pooler::Max, Pooler::Lse, Pooler::ZeroIndex]
        {
            let output = Output::Pooled { pooler, normalized: true };
            let want = reference::encoder(&weights, &batch, &output).unwrap().values;
            let got = block_on(encoder.forward(&batch, &output, Tap::None)).unwrap().values;
            let label = format!("{} {pooler:?}", gpu.info().name);
            assert_close(&label, &want, &got, 21, 2e-5);
            for encoder in [&overflowing, &host] {
                let error = block_on(encoder.forward(&batch, &output, Tap::None));
                assert!(error.is_err(), "{label}: {error:?}");
            }
        }
    }
}

#[test]
fn what_a_model_does_not_have_comes_from_its_base() {
    let folder = tempdir().unwrap();
    let [base, own] = ["base", "own"].map(|name| folder.path().join(name));
    std::fs::create_dir(&base).unwrap();
    std::fs::create_dir(&own).unwrap();
    let spec = Spec { crammed: false, ..TINY };
    spec.write(&base, 3, 1);
    // Of another seed, the second of two files: every other tensor.
    spec.write(&own, 4, 2);
    let whole = [EncoderWeights::open(&base), EncoderWeights::open(&own)].map(Result::unwrap);
    std::fs::rename(own.join("model-1.safetensors"), own.join("model.safetensors")).unwrap();
    let mut config = spec.config();
    config["base"] = "base".into();
    let write = |config: &serde_json::Value| {
        std::fs::write(own.join("config.json"), config.to_string()).unwrap();
    };
    write(&config);
    let mixed = EncoderWeights::open(&own).unwrap();
    let part = cmm::Checkpoint::open(own.join("model.safetensors")).unwrap();
    assert_eq!(mixed.tensors().len(), whole[0].tensors().len());
    let words = "embeddings.word_embeddings.weight";
    let from = usize::from(part.names().iter().any(|name| name.ends_with(words)));
    assert_eq!(mixed.embedding().unwrap().words, whole[from].embedding().unwrap().words);
    assert_ne!(mixed.embedding().unwrap().words, whole[1 - from].embedding().unwrap().words);
    let layer = mixed.layer(0).unwrap();
    assert!(whole.iter().all(|whole| whole.layer(0).unwrap() != layer));

    for name in ["../base", "", ".", "..", "a/b", "/a", "a\\b", "c:\\d", "a\0b"] {
        config["base"] = name.into();
        write(&config);
        let message = EncoderWeights::open(&own).unwrap_err().to_string();
        assert!(message.contains("base in") && message.contains("beside"), "{message}");
    }
    config["base"] = "nowhere".into();
    write(&config);
    let message = EncoderWeights::open(&own).unwrap_err().to_string();
    assert!(message.contains("nowhere"), "{message}");
}

#[test]
fn alone_in_a_batch_in_another_order_or_padded_a_sequence_gives_the_same() {
    let dir = tempdir().unwrap();
    TINY.write(dir.path(), 3, 1);
    let weights = EncoderWeights::open(dir.path()).unwrap();
    let all = sequences(TINY.vocabulary);
    let pooled = Output::Pooled { pooler: Pooler::MeanUnmasked, normalized: true };
    let upload = |gpu| block_on(Encoder::upload(&gpu, &weights, &EncoderOptions::default()));
    let mut encoders: Vec<_> = common::gpus().into_iter().map(|gpu| upload(gpu).unwrap()).collect();
    encoders
        .extend([Encoder::on_host(&weights).unwrap(), Encoder::on_host_in_int8(&weights).unwrap()]);
    for encoder in encoders {
        let run = |sequences: &[Sequence]| {
            let batch = encoder.batch(sequences).unwrap();
            block_on(encoder.forward(&batch, &pooled, Tap::None)).unwrap().values
        };
        let together = run(&all);
        let reversed = run(&all.iter().rev().cloned().collect::<Vec<_>>());
        for (index, sequence) in all.iter().enumerate() {
            let row = |values: &[f32], index: usize| values[index * 24..][..24].to_vec();
            let alone = run(std::slice::from_ref(sequence));
            // Few tokens and many take different kernels, which sum in different orders.
            let close = |a: &[f32], b: &[f32]| {
                for (a, b) in a.iter().zip(b) {
                    assert!((a - b).abs() < 1e-6, "{index}: {a} {b}");
                }
            };
            close(&row(&together, index), &alone);
            close(&row(&reversed, all.len() - 1 - index), &alone);
            let mut padded = sequence.clone();
            padded.mask.resize(padded.mask.len().max(sequence.ids.len()), true);
            if sequence.mask.is_empty() {
                padded.mask = vec![true; sequence.ids.len()];
            }
            padded.ids.extend([0; 5]);
            padded.mask.extend([false; 5]);
            let padded = run(&[padded]);
            close(&padded, &alone);
        }
        assert!(run(&[]).is_empty());
    }
}

#[test]
fn every_stored_form_is_the_same_model() {
    let logits = |spec: Spec, shards: usize| {
        let dir = tempdir().unwrap();
        spec.write(dir.path(), 11, shards);
        let weights = EncoderWeights::open(dir.path()).unwrap();
        let batch = Batch::new(weights.config(), &sequences(spec.vocabulary)).unwrap();
        reference::encoder(&weights, &batch, &Output::Tokens(vec![0, 9])).unwrap().values
    };
    for crammed in [true, false] {
        let spec = Spec { crammed, ..TINY };
        let want = logits(spec, 1);
        assert_eq!(logits(spec, 3), want);
        assert_eq!(logits(Spec { dtype: "BF16", ..spec }, 2), want);
        assert_eq!(logits(Spec { tied: [true, false], ..spec }, 1), want);
        assert_eq!(logits(Spec { tied: [false, true], ..spec }, 1), want);
        let half = logits(Spec { dtype: "F16", ..spec }, 1);
        assert!(half.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-2));
    }
}

#[test]
fn what_a_config_asks_for_and_is_not_implemented_is_refused_by_name() {
    let crammed = TINY.config();
    let bert = Spec { crammed: false, ..TINY }.config();
    let signed = Spec { crammed: false, form: Form::Signed, ..TINY }.config();
    let leaves = Spec { crammed: false, form: Form::Leaf(5), ..TINY }.config();
    for (base, pointer, value, named) in [
        (&crammed, "/model_type", "roberta".into(), "model_type"),
        (&crammed, "/arch/nonlin", "GELUglu".into(), "arch.nonlin"),
        (&crammed, "/arch/norm_scheme", "post".into(), "arch.norm_scheme"),
        (&crammed, "/arch/intermed_type", "moe".into(), "arch.intermed_type"),
        (&crammed, "/arch/attention/rotary_embedding", true.into(), "rotary_embedding"),
        (&crammed, "/arch/attention/type", "fourier".into(), "attention.type"),
        (&crammed, "/arch/embedding/pos_embedding", "learned".into(), "pos_embedding"),
        (&crammed, "/arch/hidden_size", 25.into(), "embedding_dim"),
        (&crammed, "/arch/attention/num_attention_heads", 7.into(), "hidden size"),
        (&crammed, "/architectures/0", "GPT2Model".into(), "architectures"),
        (&crammed, "/arch/num_transformer_layers", (-1).into(), "num_transformer_layers"),
        (&bert, "/hidden_act", "relu".into(), "hidden_act"),
        (&bert, "/ffn/type", "moe".into(), "ffn.type"),
        (&signed, "/ffn/form", "leafy".into(), "ffn.form"),
        (&signed, "/ffn/form", "leaf".into(), "ffn.trees"),
        (&leaves, "/ffn/form", "signed".into(), "ffn.leaf_width"),
        (&leaves, "/ffn/leaf_width", 0.into(), "ffn.leaf_width"),
        (&bert, "/layer_norm_eps", "x".into(), "layer_norm_eps"),
    ] {
        let mut config = base.clone();
        *config.pointer_mut(pointer).unwrap() = value;
        let error = EncoderConfig::from_json("config.json", config.to_string().as_bytes());
        let message = error.expect_err(pointer).to_string();
        assert!(message.contains(named), "{pointer}: {message}");
    }
    let mut config = crammed.clone();
    config["arch"]["deepnorm"] = true.into();
    let error = EncoderConfig::from_json("config.json", config.to_string().as_bytes());
    assert!(error.unwrap_err().to_string().contains("arch.deepnorm"));
    let mut config = bert.clone();
    config["position_embedding_type"] = "relative_key".into();
    assert!(EncoderConfig::from_json("config.json", config.to_string().as_bytes()).is_err());
}

#[test]
fn ids_lengths_and_rows_outside_the_model_are_named() {
    let config = EncoderConfig::from_json("c", TINY.config().to_string().as_bytes()).unwrap();
    let message = |sequence: Sequence| Batch::new(&config, &[sequence]).unwrap_err().to_string();
    let ids = |ids: Vec<u32>| Sequence { ids, ..Sequence::default() };
    assert_eq!(message(ids(vec![60])), "an id of sequence 0: expected below 60, found 60");
    assert_eq!(message(ids(vec![])), "tokens of sequence 0: expected 1 to 128, found 0");
    assert_eq!(message(ids(vec![0; 129])), "tokens of sequence 0: expected 1 to 128, found 129");
    let wrong = Sequence { ids: vec![1, 2], mask: vec![true], types: vec![] };
    assert_eq!(message(wrong), "mask of sequence 0: expected 2 values, found 1");
    let wrong = Sequence { ids: vec![1], mask: vec![], types: vec![1] };
    assert_eq!(message(wrong), "a token type of sequence 0: expected below 1, found 1");
}

#[test]
fn golden_models_and_layers_on_the_host() {
    for model in golden_models(&common::golden()).unwrap() {
        for on in [Checked::Host, Checked::HostInt8] {
            for outcome in block_on(check_model(&model, &on)).unwrap() {
                assert!(outcome.passed(), "{outcome:?}");
            }
        }
    }
    let (mut cases, _) = golden_cases(&common::golden()).unwrap();
    cases.extend(random_cases(3).unwrap());
    for case in cases {
        let outcome = block_on(check_case(&case, &Checked::Host)).unwrap();
        assert!(outcome.passed(), "{outcome:?}");
    }
}

/// Lengths around every block of queries and vector of keys, masks with holes, heads of any width.
#[test]
fn the_host_computes_what_the_reference_computes_whatever_the_lengths() {
    let bert = Spec { crammed: false, ..TINY };
    let signed = Spec { form: Form::Signed, ..bert };
    let leaves = Spec { form: Form::Leaf(5), ..bert };
    for spec in [TINY, bert, signed, leaves, Spec { fff: None, ..bert }] {
        let dir = tempdir().unwrap();
        spec.write(dir.path(), 9, 1);
        let weights = EncoderWeights::open(dir.path()).unwrap();
        let host = Encoder::on_host(&weights).unwrap();
        let longest = weights.config().positions;
        let sequences: Vec<_> = [1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, longest]
            .into_iter()
            .filter(|length| *length <= longest)
            .map(|length| Sequence {
                ids: (0..length).map(|i| (i * 7 % spec.vocabulary) as u32).collect(),
                mask: (0..length).map(|i| i % 5 != 3).collect(),
                ..Sequence::default()
            })
            .collect();
        let batch = host.batch(&sequences).unwrap();
        for output in [
            Output::Hidden,
            Output::Tokens(vec![0, 5]),
            Output::Pooled { pooler: Pooler::MeanUnmasked, normalized: true },
            Output::Pooled { pooler: Pooler::Lse, normalized: false },
        ] {
            let want = reference::encoder(&weights, &batch, &output).unwrap();
            let got = block_on(host.forward(&batch, &output, Tap::Stages)).unwrap();
            assert_eq!(got.paths, want.paths);
            for (got, want) in got.values.iter().zip(&want.values) {
                assert!(
                    (f64::from(*got) - want).abs() < 2e-5 * want.abs().max(1.0),
                    "{got} {want}"
                );
            }
            let alone = host.batch(&sequences[4..5]).unwrap();
            if let Output::Pooled { .. } = output {
                let alone = block_on(host.forward(&alone, &output, Tap::None)).unwrap().values;
                let width = alone.len();
                for (a, b) in alone.iter().zip(&got.values[4 * width..]) {
                    assert!((a - b).abs() < 1e-6, "{a} {b}");
                }
            }
        }
    }
}

#[test]
fn a_shard_outside_the_directory_is_refused() {
    let dir = tempdir().unwrap();
    TINY.write(dir.path(), 1, 2);
    let index = dir.path().join("model.safetensors.index.json");
    let secret = dir.path().join("secret.safetensors").display().to_string();
    for name in ["../secret.safetensors", &secret, "..", "a\\b", "", "a\0b", "C:x", ".x", "a/b"] {
        let json = serde_json::json!({ "weight_map": { "a": name } });
        std::fs::write(&index, json.to_string()).unwrap();
        let error = EncoderWeights::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("beside it"), "{name:?}: {error}");
    }
}

#[test]
fn a_model_in_memory_is_the_model_on_disk() {
    use cmm::{FastBert, ModelFiles, ModelOptions};
    let dir = common::golden().join("mlm_tiny");
    let mut files = ModelFiles::new();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        files.insert(name.into(), std::fs::read(dir.join(name)).unwrap());
    }
    let texts =
        ["Replace me by any text you'd like.", "", "a longer text than the others, with <mask>"];
    let options = ModelOptions::default();
    for gpu in common::gpus() {
        let disk = block_on(FastBert::load(&gpu, &dir)).unwrap();
        let memory = block_on(FastBert::load_files(&gpu, &files, &options)).unwrap();
        let want = block_on(disk.embed(&texts)).unwrap();
        let paths = block_on(disk.paths(&texts)).unwrap();
        let got = block_on(memory.embed_with_paths(&texts)).unwrap();
        assert_eq!(got.len(), texts.len());
        for ((got, want), (sequence, path)) in got.iter().zip(&want).zip(&paths) {
            assert_eq!(&got.vector, want);
            assert_eq!((&got.sequence, &got.paths), (sequence, path));
        }
        for missing in ["config.json", "model.safetensors", "tokenizer.json"] {
            let mut some = files.clone();
            some.remove(missing);
            let error = block_on(FastBert::load_files(&gpu, &some, &options)).unwrap_err();
            assert!(error.to_string().starts_with(missing), "{error}");
        }
    }
}

/// The batches that are handed on are the vectors of all texts, and a caller who has enough gets no more of them.
#[test]
fn batches_are_handed_on_until_the_caller_has_enough() {
    let options = cmm::ModelOptions::default().batch_tokens(16);
    let model =
        block_on(cmm::FastBert::load_with(&cmm::Device::Host, "models/fastminilm", &options));
    let model = model.unwrap();
    let texts = ["a flute", "somebody makes music in the street", "x", "two eggs and some flour"];
    let whole = block_on(model.embed_with_prompt("about: ", &texts)).unwrap();
    let (mut found, mut batches) = (vec![Vec::new(); texts.len()], 0);
    let take = |places: &[usize], rows: &[f32]| {
        for (place, row) in places.iter().zip(rows.chunks(384)) {
            found[*place] = row.to_vec();
        }
        batches += 1;
        ControlFlow::Continue(())
    };
    block_on(model.embed_batches("about: ", &texts, take)).unwrap();
    assert!(batches > 1 && found == whole);
    let mut taken = 0;
    let enough = |places: &[usize], _: &[f32]| {
        taken += places.len();
        ControlFlow::Break(())
    };
    block_on(model.embed_batches("", &texts, enough)).unwrap();
    assert!(taken > 0 && taken < texts.len());
}
