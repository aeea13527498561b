//! The parts that GPU tests share: every adapter of the machine, and what to do when there is none.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};

use cmm::{Gpu, GpuOptions, Precision, Variant};

/// The repository, of which the package under test may be a part.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = here.ancestors().find(|dir| dir.join("tests/golden").is_dir());
    found.expect("the repository's tests/golden").to_path_buf()
}

/// The golden layers that ship.
pub fn golden() -> PathBuf {
    root().join("tests/golden")
}

/// A device on every adapter. Without any, says so loudly; with `CMM_REQUIRE_GPU=1` that is a failure.
pub fn gpus() -> Vec<Gpu> {
    let adapters = pollster::block_on(cmm::adapters());
    if adapters.is_empty() {
        let required = std::env::var("CMM_REQUIRE_GPU").is_ok_and(|v| v == "1");
        assert!(!required, "CMM_REQUIRE_GPU=1, and no GPU adapter was found");
        eprintln!(
            "\n*** NO GPU ADAPTER: THIS TEST RAN NO KERNEL. Software adapter on Linux: apt-get install mesa-vulkan-drivers ***\n"
        );
    }
    adapters
        .iter()
        .map(|adapter| {
            let gpu = pollster::block_on(Gpu::from_adapter(adapter, &GpuOptions::default()));
            gpu.unwrap_or_else(|error| panic!("{}: {error}", adapter.get_info().name))
        })
        .collect()
}

/// Every variant that every adapter can run.
pub fn gpus_and_variants() -> impl Iterator<Item = (Gpu, Variant)> {
    gpus().into_iter().flat_map(|gpu| {
        let variants = gpu.capabilities().variants();
        assert!(!variants.is_empty());
        variants.into_iter().map(move |variant| (gpu.clone(), variant))
    })
}

/// A label for messages.
pub fn label(gpu: &Gpu, variant: Variant) -> String {
    format!("{} ({}) {variant}", gpu.info().name, gpu.info().backend)
}

/// Seeded values in -1.7..1.7, of variance about 1.
pub fn random_tokens(count: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (2.0 * random.f32() - 1.0) * 1.7).collect()
}

/// The weights that a variant computes with.
pub fn weights_as_stored(weights: &cmm::FffWeights, variant: Variant) -> cmm::FffWeights {
    match variant.weights.precision() {
        Precision::F32 => weights.clone(),
        Precision::F16 => weights.rounded_to_f16().unwrap(),
    }
}
