//! First ring, no device: every kernel in every variant is valid WGSL under exactly the capabilities it may use, binds what the host binds,
//! fits its workgroup into the limits, and is accepted by the writers of SPIR-V, HLSL and MSL.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use cmm::low_level::{Binding, KernelSource, kernels_of};
use cmm::{Activations, Capabilities, FffShape, Reduction, Variant, WeightFormat};
use naga::valid::{ValidationFlags, Validator};

/// A kernel that is valid under exactly the capabilities of its variant.
struct Checked {
    kernel: KernelSource,
    variant: Variant,
    valid: Arc<(naga::Module, naga::valid::ModuleInfo)>,
}

/// All of them, each text parsed and validated once for all tests.
fn checked() -> &'static [Checked] {
    static CHECKED: OnceLock<Vec<Checked>> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let mut texts = HashMap::new();
        let check = |(kernel, variant): (KernelSource, Variant)| {
            let allowed = capabilities(variant);
            let valid = texts.entry((kernel.wgsl.clone(), allowed.bits())).or_insert_with(|| {
                let module = parse(&kernel.wgsl, allowed);
                let module = module.unwrap_or_else(|e| panic!("{}\n{e}", kernel.name));
                let info = validate(&module, allowed);
                let info = info.unwrap_or_else(|e| panic!("{}\n{e}", kernel.name));
                Arc::new((module, info))
            });
            Checked { valid: valid.clone(), kernel, variant }
        };
        kernels().into_iter().map(check).collect()
    })
}

/// Every kernel that some device may get, in every variant, with subgroups of fixed and of varying sizes.
fn kernels() -> Vec<(KernelSource, Variant)> {
    let (mut kernels, mut seen) = (Vec::new(), HashSet::new());
    // What several variants share is held to the poorest of them, which come last.
    for variant in Variant::ALL.into_iter().rev() {
        let sizes: &[(u32, u32)] = match variant.reduction {
            Reduction::Workgroup => &[(32, 32)],
            Reduction::Subgroup => &[(4, 4), (8, 8), (32, 32), (64, 64), (8, 32), (4, 128)],
        };
        for subgroup in sizes {
            let all = kernels_of(&device(Some(*subgroup)), variant).unwrap();
            let new = all.into_iter().filter(|kernel| seen.insert(kernel.clone()));
            kernels.extend(new.map(|kernel| (kernel, variant)));
        }
    }
    kernels
}

fn device(subgroup: Option<(u32, u32)>) -> Capabilities {
    Capabilities {
        adapter: "test".into(),
        f16: true,
        packed_f16: true,
        subgroup,
        cooperative: false,
        timestamps: false,
        software: false,
        multiprocessors: 132,
        limits: wgpu::Limits::default(),
    }
}

/// The capabilities that naga allows on a device with just the features that the variant needs.
fn capabilities(variant: Variant) -> naga::valid::Capabilities {
    let mut features = wgpu::Features::empty();
    let mut downlevel = wgpu::DownlevelFlags::COMPUTE_SHADERS;
    if variant.reduction == Reduction::Subgroup {
        features |= wgpu::Features::SUBGROUP;
    }
    match variant.weights {
        WeightFormat::F32 => {}
        WeightFormat::F16 => features |= wgpu::Features::SHADER_F16,
        WeightFormat::Packed => downlevel |= wgpu::DownlevelFlags::SHADER_F16_IN_F32,
    }
    wgpu_naga_bridge::features_to_naga_capabilities(features, downlevel)
}

fn parse(wgsl: &str, capabilities: naga::valid::Capabilities) -> Result<naga::Module, String> {
    let options = naga::front::wgsl::Options { capabilities, ..naga::front::wgsl::Options::new() };
    naga::front::wgsl::Frontend::new_with_options(options)
        .parse(wgsl)
        .map_err(|error| error.emit_to_string(wgsl))
}

fn validate(
    module: &naga::Module,
    capabilities: naga::valid::Capabilities,
) -> Result<naga::valid::ModuleInfo, String> {
    let mut validator = Validator::new(ValidationFlags::all(), capabilities);
    validator.subgroup_stages(naga::valid::ShaderStages::COMPUTE);
    validator.subgroup_operations(naga::valid::SubgroupOperationSet::all());
    validator.validate(module).map_err(|error| format!("{error:?}"))
}

#[test]
fn valid_under_exactly_the_capabilities_of_the_variant() {
    // `checked` panics at the first kernel that is not.
    for variant in Variant::ALL {
        assert!(checked().iter().any(|checked| checked.variant == variant), "{variant}");
    }
}

#[test]
fn the_lookahead_kernel_exists_where_a_subgroup_holds_a_token_and_only_there() {
    let count = checked().iter().filter(|c| c.kernel.name.starts_with("fff lookahead")).count();
    assert!(count >= 6, "{count}");
    let shape = FffShape::new(768, 1, 11).unwrap();
    let lookahead = |variant: usize, subgroup, ahead| {
        let (variant, device) = (Variant::ALL[variant], device(Some(subgroup)));
        KernelSource::fff_lookahead(shape, variant, Activations::F32, &device, false, ahead)
            .unwrap()
    };
    assert!(lookahead(0, (32, 32), 3).is_some());
    assert!(lookahead(0, (16, 32), 3).is_none(), "the size of subgroups varies");
    assert!(lookahead(3, (32, 32), 3).is_none(), "no subgroups");
    assert!(lookahead(0, (32, 32), 4).is_none(), "more invocations than the device allows");
    assert!(lookahead(0, (8, 8), 2).is_none(), "several subgroups a token");
}

#[test]
fn kernels_of_the_benchmark_are_valid() {
    let features = wgpu::Features::SHADER_F16;
    let downlevel = wgpu::DownlevelFlags::COMPUTE_SHADERS;
    let base = wgpu_naga_bridge::features_to_naga_capabilities(wgpu::Features::empty(), downlevel);
    let full = wgpu_naga_bridge::features_to_naga_capabilities(features, downlevel);
    for kernel in cmm::low_level::peak_kernels(true) {
        let allowed = if kernel.name == "fma f16" { full } else { base };
        let module =
            parse(&kernel.wgsl, allowed).unwrap_or_else(|e| panic!("{}\n{e}", kernel.name));
        validate(&module, allowed).unwrap_or_else(|e| panic!("{}\n{e}", kernel.name));
    }
}

/// Cooperative matrices: no software adapter has them, so that more is asked of the text.
#[test]
fn kernels_on_cooperative_matrices_are_valid_and_fit_where_they_are_used() {
    let features = wgpu::Features::SHADER_F16
        | wgpu::Features::SUBGROUP
        | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let downlevel = wgpu::DownlevelFlags::COMPUTE_SHADERS | wgpu::DownlevelFlags::SHADER_F16_IN_F32;
    let base = wgpu_naga_bridge::features_to_naga_capabilities(wgpu::Features::empty(), downlevel);
    let full = wgpu_naga_bridge::features_to_naga_capabilities(features, downlevel);
    let device = Capabilities { cooperative: true, ..device(Some((32, 32))) };
    let kernels = cmm::low_level::cooperative_kernels(&device).unwrap();
    // What lies between the products included: norms to f16 and to both, FFF layers from f16 to f32.
    for what in ["layer_norm 768 F16", "layer_norm 384 Both", "fff 1x3", "attention_coop 24"] {
        assert!(kernels.iter().any(|kernel| kernel.name.starts_with(what)), "{what}");
    }
    for kernel in kernels {
        let module = parse(&kernel.wgsl, full).unwrap_or_else(|e| panic!("{}\n{e}", kernel.name));
        let info = validate(&module, full).unwrap_or_else(|e| panic!("{}\n{e}", kernel.name));
        if ["_coop", "_blocked"].iter().any(|kind| kernel.name.contains(kind)) {
            assert!(parse(&kernel.wgsl, base).is_err(), "passes without cooperative matrices");
        }
        let (module, info) = overridden(&kernel, &module, &info);
        let bytes = workgroup_bytes(&module);
        assert!(bytes <= cmm::low_level::COOPERATIVE_STORAGE, "{}: {bytes}", kernel.name);
        // The larger ones are measured where a device allows them, and never chosen.
        assert!(kernel.group <= 512, "{}", kernel.name);
        let options = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
        let words = naga::back::spv::write_vec(&module, &info, &options, None);
        words.unwrap_or_else(|error| panic!("{}: {error}", kernel.name));
    }
}

#[test]
fn a_variant_is_refused_without_its_capability() {
    let base = Variant { reduction: Reduction::Workgroup, weights: WeightFormat::F32 };
    for variant in Variant::ALL.into_iter().filter(|v| *v != base) {
        let shape = FffShape::new(64, 1, 3).unwrap();
        let kernel =
            KernelSource::fff(shape, variant, Activations::F32, &device(Some((32, 32))), false)
                .unwrap();
        let allowed = capabilities(base);
        let refused = match parse(&kernel.wgsl, allowed) {
            Err(_) => true,
            Ok(module) => {
                Validator::new(ValidationFlags::all(), allowed).validate(&module).is_err()
            }
        };
        assert!(refused, "{variant} passes without what it needs");
    }
}

#[test]
fn bindings_and_names_are_what_the_host_binds() {
    for Checked { kernel, valid, .. } in checked() {
        let module = &valid.0;
        let mut found: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| {
                let binding = variable.binding?;
                assert_eq!(binding.group, 0);
                let usage = match variable.space {
                    naga::AddressSpace::Uniform => Binding::Extents,
                    naga::AddressSpace::Storage { access } => {
                        match access.contains(naga::StorageAccess::STORE) {
                            true => Binding::Write,
                            false => Binding::Read,
                        }
                    }
                    other => panic!("{}: {other:?}", kernel.name),
                };
                Some((binding.binding, usage, variable.name.clone().unwrap()))
            })
            .collect();
        found.sort_by_key(|(binding, ..)| *binding);
        let usages: Vec<_> = found.iter().map(|(_, usage, _)| *usage).collect();
        let names: Vec<_> = found.iter().map(|(.., name)| name.as_str()).collect();
        assert_eq!(usages, kernel.bindings, "{}", kernel.name);
        let all: &[&str] = match kernel.name.split(' ').next().unwrap() {
            "fff" | "leaf_few" => {
                &["extents", "x", "linear_in", "linear_in_bias", "linear_out", "y", "path"]
            }
            "leaf_route" => {
                &["extents", "x", "linear_in", "linear_in_bias", "linear_out", "routes", "path"]
            }
            "leaf_group" => &["routes", "tiles"],
            "leaf_order" => &["extents", "routes", "order"],
            "leaf_up" | "leaf_down" => {
                &["extents", "x", "weight", "bias", "y", "order", "tiles", "layer_x"]
            }
            "dense" | "dense_few" | "layer_norm" => &["extents", "x", "weight", "bias", "y"],
            "l2_norm" => &["extents", "x", "y"],
            "embed" => &["extents", "tokens", "words", "positions", "types", "y"],
            "attention" => &["extents", "qkv", "masked", "tiles", "context"],
            "gather" => &["extents", "x", "rows", "y"],
            "pool" => &["extents", "x", "sequences", "masked", "y"],
            other => panic!("{other}"),
        };
        assert_eq!(names, all[..kernel.bindings.len()]);
    }
}

/// The layouts on which the host's packing relies: bytes from one unit to the next.
#[test]
fn units_have_the_strides_that_the_host_packs() {
    for Checked { kernel, variant, valid } in checked() {
        let module = &valid.0;
        let values = if variant.weights == WeightFormat::F32 { 4 } else { 8 };
        let weight_bytes = if variant.weights == WeightFormat::F32 { 4 } else { 2 };
        for (_, variable) in module.global_variables.iter() {
            let stride = match module.types[variable.ty].inner {
                naga::TypeInner::Array { stride, .. } => stride,
                _ => continue,
            };
            match variable.name.as_deref() {
                Some("y") if kernel.name.starts_with("dense_few") => assert_eq!(stride, 4),
                // Of the leaf form's tiles, in f16: four values.
                Some("x" | "y") if kernel.name.starts_with("leaf_") && stride == 8 => {
                    assert_eq!(variant.weights, WeightFormat::Packed);
                }
                Some("x" | "y") => assert_eq!(stride, 16, "{}", kernel.name),
                Some("linear_in" | "linear_out") => assert_eq!(stride, values * weight_bytes),
                Some("linear_in_bias" | "path") => assert_eq!(stride, 4),
                _ => {}
            }
        }
    }
}

#[test]
fn workgroups_fit_every_webgpu_device_once_overrides_are_resolved() {
    let limits = wgpu::Limits::downlevel_defaults();
    for Checked { kernel, valid, .. } in checked() {
        let (module, _) = overridden(kernel, &valid.0, &valid.1);
        let entry = module.entry_points.iter().find(|entry| entry.name == "main").unwrap();
        assert_eq!(entry.workgroup_size, [kernel.group, 1, 1], "{}", kernel.name);
        assert!(kernel.group <= limits.max_compute_invocations_per_workgroup, "{}", kernel.name);
        assert!(kernel.group <= limits.max_compute_workgroup_size_x, "{}", kernel.name);
        let shared = workgroup_bytes(&module);
        // The larger tile of the dense kernel is used only where this much is there.
        let allowed = match kernel.name.starts_with("dense") && kernel.name.ends_with(" 16") {
            true => wgpu::Limits::default().max_compute_workgroup_storage_size,
            false => limits.max_compute_workgroup_storage_size,
        };
        assert!(shared <= allowed, "{}: {shared}", kernel.name);
    }
}

/// The module as a backend sees it: overrides replaced by the values that the host sets.
fn overridden(
    kernel: &KernelSource,
    module: &naga::Module,
    info: &naga::valid::ModuleInfo,
) -> (naga::Module, naga::valid::ModuleInfo) {
    let constants: naga::back::PipelineConstants = kernel
        .overrides
        .iter()
        .map(|(name, value)| ((*name).to_owned(), f64::from(*value)))
        .collect();
    let entry = Some((naga::ShaderStage::Compute, "main"));
    let (module, info) =
        naga::back::pipeline_constants::process_overrides(module, info, entry, &constants)
            .unwrap_or_else(|error| panic!("{}: {error:?}", kernel.name));
    (module.into_owned(), info.into_owned())
}

fn workgroup_bytes(module: &naga::Module) -> u32 {
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let variables = module.global_variables.iter();
    variables
        .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
        .map(|(_, variable)| layouter[variable.ty].size)
        .sum()
}

#[test]
fn a_misspelt_or_missing_override_is_found_out() {
    let shape = FffShape::new(64, 1, 3).unwrap();
    let kernel =
        KernelSource::fff(shape, Variant::ALL[3], Activations::F32, &device(None), false).unwrap();
    let allowed = capabilities(Variant::ALL[3]);
    let module = parse(&kernel.wgsl, allowed).unwrap();
    let info = validate(&module, allowed).unwrap();
    let missing = naga::back::PipelineConstants::default();
    let entry = Some((naga::ShaderStage::Compute, "main"));
    assert!(
        naga::back::pipeline_constants::process_overrides(&module, &info, entry, &missing).is_err()
    );
    let names: Vec<_> = module.overrides.iter().filter_map(|(_, o)| o.name.clone()).collect();
    for (name, _) in &kernel.overrides {
        assert!(names.iter().any(|n| n == name), "{name} is set but not declared");
    }
    assert_eq!(names.len(), kernel.overrides.len());
}

#[test]
fn every_backend_accepts_every_kernel() {
    use naga::back::{hlsl, msl, spv};
    for Checked { kernel, valid, .. } in checked() {
        let (module, info) = overridden(kernel, &valid.0, &valid.1);
        let failed =
            |backend: &str, error: String| -> ! { panic!("{} {backend}: {error}", kernel.name) };

        let options = spv::Options { lang_version: (1, 3), ..Default::default() };
        let pipeline = spv::PipelineOptions {
            shader_stage: naga::ShaderStage::Compute,
            entry_point: "main".into(),
        };
        let words = spv::write_vec(&module, &info, &options, Some(&pipeline))
            .unwrap_or_else(|error| failed("SPIR-V", error.to_string()));
        assert_eq!(words[0], 0x0723_0203);

        let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_2, ..Default::default() };
        let pipeline = hlsl::PipelineOptions::default();
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&module, &info, None)
            .unwrap_or_else(|error| failed("HLSL", error.to_string()));
        assert!(text.contains("numthreads"));

        let options = msl::Options {
            lang_version: (2, 4),
            fake_missing_bindings: true,
            ..Default::default()
        };
        let pipeline = msl::PipelineOptions::default();
        let (text, _) = msl::write_string(&module, &info, &options, &pipeline)
            .unwrap_or_else(|error| failed("MSL", error.to_string()));
        assert!(text.contains("kernel void"));
    }
}

/// Arrays that must live in registers are indexed by constants only: no loop over a lane's units is left at ordinary widths.
#[test]
fn loops_over_registers_are_written_out() {
    let shape = FffShape::new(768, 1, 11).unwrap();
    for variant in Variant::ALL {
        let kernel =
            KernelSource::fff(shape, variant, Activations::F32, &device(Some((32, 32))), true)
                .unwrap();
        assert!(!kernel.wgsl.contains("_PER_LANE; i++"), "{}", kernel.name);
        assert!(kernel.wgsl.contains("const i = 0u;"), "{}", kernel.name);
    }
    let wide = FffShape::new(50_000, 1, 1).unwrap();
    let kernel =
        KernelSource::fff(wide, Variant::ALL[3], Activations::F32, &device(None), true).unwrap();
    assert!(kernel.wgsl.contains("i < IN_PER_LANE; i++"), "49 units a lane stay a loop");
}
