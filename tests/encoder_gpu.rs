//! Whole models on every adapter in every variant, against golden data and the reference.

mod common;

use std::path::PathBuf;

use cmm::check::{check_model, check_model_reference, golden_models};
use pollster::block_on;

fn golden() -> PathBuf {
    common::golden()
}

#[test]
fn the_reference_computes_what_the_authors_code_computes() {
    let models = golden_models(&golden()).unwrap();
    assert_eq!(models.len(), 3);
    for model in models {
        for outcome in check_model_reference(&model).unwrap() {
            assert!(outcome.passed(), "{outcome:?}");
        }
    }
}

#[test]
fn golden_models_on_every_adapter_and_variant() {
    for (gpu, variant) in common::gpus_and_variants() {
        for model in golden_models(&golden()).unwrap() {
            for outcome in block_on(check_model(&gpu, &model, variant)).unwrap() {
                assert!(outcome.passed(), "{}: {outcome:?}", common::label(&gpu, variant));
            }
        }
    }
}
