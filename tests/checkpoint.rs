//! Hostile and broken safetensors files: a clear error each, no panic, and nothing allocated on a lie.

use cmm::{Checkpoint, Error, FffShape, FffWeights};

/// A file from a header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn tensor(name: &str, dtype: &str, shape: &str, start: usize, end: usize) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

/// A whole layer 2 -> 1, K 1, D 0: in.weight [1, 2], bias [1], out.weight [1, 1].
fn layer(dtype: &str, value_bytes: usize, data: &[u8]) -> Vec<u8> {
    let b = value_bytes;
    let tensors = [
        tensor("linear_in.weight", dtype, "[1,2]", 0, 2 * b),
        tensor("linear_in.bias", dtype, "[1]", 2 * b, 3 * b),
        tensor("linear_out.weight", dtype, "[1,1]", 3 * b, 4 * b),
    ];
    file(&format!("{{{}}}", tensors.join(",")), data)
}

fn shape() -> FffShape {
    FffShape::with_output(2, 1, 1, 0).unwrap()
}

fn load(bytes: &[u8]) -> Result<FffWeights, Error> {
    FffWeights::from_safetensors(&Checkpoint::from_bytes("test", bytes)?, "", shape())
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn three_dtypes_give_the_same_layer() {
    let values = [0.5, -2.0, 0.25, 4.0];
    let want = load(&layer("F32", 4, &f32s(&values))).unwrap();
    assert_eq!(
        (want.linear_in(), want.bias(), want.linear_out()),
        (&[0.5, -2.0][..], &[0.25][..], &[4.0][..])
    );
    let f16: Vec<u8> = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let bf16: Vec<u8> =
        values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect();
    assert_eq!(load(&layer("F16", 2, &f16)).unwrap(), want);
    assert_eq!(load(&layer("BF16", 2, &bf16)).unwrap(), want);
}

#[test]
fn eight_bit_rows_are_scaled_by_row_or_by_column() {
    let load = |scale_shape: &str, scale_dtype: &str, scales: &[u8]| {
        let header = [
            tensor("w", "I8", "[2,3]", 0, 6),
            tensor("w.scale", scale_dtype, scale_shape, 6, 6 + scales.len()),
        ];
        let values = [1i8, -2, 127, -128, 0, 5].map(i8::cast_unsigned);
        let bytes = file(&format!("{{{}}}", header.join(",")), &[&values, scales].concat());
        let checkpoint = Checkpoint::from_bytes("test", &bytes)?;
        checkpoint.expect("w", &[2, 3])?;
        assert_eq!(checkpoint.floats("w")?[2..5], checkpoint.floats_at("w", 2, 3)?);
        checkpoint.floats("w")
    };
    let by_row = load("[2,1]", "F32", &f32s(&[0.5, 2.0])).unwrap();
    assert_eq!(by_row, [0.5, -1.0, 63.5, -256.0, 0.0, 10.0]);
    let by_column = load("[1,3]", "F32", &f32s(&[1.0, 0.5, 0.25])).unwrap();
    assert_eq!(by_column, [1.0, -1.0, 31.75, -128.0, 0.0, 1.25]);

    let wrong = load("[3,1]", "F32", &f32s(&[1.0; 3])).unwrap_err().to_string();
    assert!(wrong.contains("w.scale") && wrong.contains("[3, 1]"), "{wrong}");
    let wrong = load("[2,1]", "I8", &[1, 1]).unwrap_err().to_string();
    assert!(wrong.contains("w.scale") && wrong.contains("I8"), "{wrong}");
    let alone = file(&format!("{{{}}}", tensor("w", "I8", "[2,3]", 0, 6)), &[0; 6]);
    let alone =
        Checkpoint::from_bytes("test", &alone).unwrap().floats("w").unwrap_err().to_string();
    assert!(alone.contains("w.scale"), "{alone}");
}

#[test]
fn the_output_matrix_is_transposed_and_a_missing_bias_is_zero() {
    let header = [
        tensor("a.linear_in.weight", "F32", "[3,1]", 0, 12),
        tensor("a.linear_out.weight", "F32", "[2,3]", 12, 36),
    ];
    let bytes = file(
        &format!("{{{}}}", header.join(",")),
        &f32s(&[1., 2., 3., 10., 20., 30., 40., 50., 60.]),
    );
    let file = Checkpoint::from_bytes("test", &bytes).unwrap();
    let shape = FffShape::with_output(1, 2, 1, 1).unwrap();
    let weights = FffWeights::from_safetensors(&file, "a", shape).unwrap();
    assert_eq!(weights.linear_out(), [10., 40., 20., 50., 30., 60.]);
    assert_eq!(weights.bias(), [0.0; 3]);
}

#[test]
fn every_truncation_is_an_error() {
    let whole = layer("F32", 4, &f32s(&[1.0, 2.0, 3.0, 4.0]));
    assert!(load(&whole).is_ok());
    for length in 0..whole.len() {
        let error = load(&whole[..length]).unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }), "{length}: {error}");
    }
    let mut longer = whole;
    longer.push(0);
    assert!(load(&longer).is_err(), "a byte that no tensor owns");
}

#[test]
fn lies_in_the_header_are_errors() {
    let data = f32s(&[1.0, 2.0, 3.0, 4.0]);
    let one = |tensors: &str| file(&format!("{{{tensors}}}"), &data);
    let max = usize::MAX;
    for (what, bytes) in [
        ("empty", vec![]),
        ("not JSON", file("hello", &data)),
        ("JSON of another kind", file("[1,2]", &data)),
        ("not UTF-8", [&2u64.to_le_bytes()[..], &[0xff, 0xfe]].concat()),
        ("a header of 2^64 - 1 bytes", max.to_le_bytes().to_vec()),
        ("a header of 90 MB in a file of 8 bytes", 90_000_000u64.to_le_bytes().to_vec()),
        ("a header of 10 GB", 10_000_000_000u64.to_le_bytes().to_vec()),
        (
            "overlap",
            one(&[tensor("a", "F32", "[2]", 0, 8), tensor("b", "F32", "[3]", 4, 16)].join(",")),
        ),
        (
            "a gap",
            one(&[tensor("a", "F32", "[2]", 0, 8), tensor("b", "F32", "[1]", 12, 16)].join(",")),
        ),
        ("beyond the end", one(&tensor("a", "F32", "[8]", 0, 32))),
        ("end before start", one(&tensor("a", "F32", "[4]", 16, 0))),
        ("offsets that overflow", one(&tensor("a", "F32", "[4]", max - 4, max))),
        (
            "a shape that overflows",
            one(&tensor("a", "F32", "[4294967296,4294967296,4294967296]", 0, 16)),
        ),
        ("shape and bytes disagree", one(&tensor("a", "F32", "[3]", 0, 16))),
        ("a negative size", one(&tensor("a", "F32", "[-4]", 0, 16))),
        ("an unknown dtype", one(&tensor("a", "F99", "[4]", 0, 16))),
    ] {
        let error = Checkpoint::from_bytes("test", &bytes).unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }), "{what}: {error}");
        assert!(error.to_string().starts_with("test: "), "{what}: {error}");
    }
}

#[test]
fn wrong_tensors_are_named_with_what_was_expected() {
    let message = |bytes: &[u8]| load(bytes).unwrap_err().to_string();
    let f64s = layer("F64", 8, &[0; 32]);
    assert_eq!(
        message(&f64s),
        "dtype of `linear_in.weight` in test: expected F32, F16, BF16, or I8 with scales, found F64"
    );
    let renamed =
        file(&format!("{{{}}}", tensor("other", "F32", "[1,2]", 0, 8)), &f32s(&[1.0, 2.0]));
    assert_eq!(message(&renamed), "test: no tensor `linear_in.weight`; the file has: other");
    let good = layer("F32", 4, &f32s(&[1.0, 2.0, 3.0, 4.0]));
    let file = Checkpoint::from_bytes("test", &good).unwrap();
    let wider = FffShape::with_output(3, 1, 1, 0).unwrap();
    assert_eq!(
        FffWeights::from_safetensors(&file, "", wider).unwrap_err().to_string(),
        "shape of `linear_in.weight` in test: expected [1, 3], found [1, 2]"
    );
}

#[test]
fn nan_and_infinite_weights_are_refused_with_their_place() {
    for (place, name) in
        [(1, "linear_in.weight[1]"), (2, "linear_in.bias[0]"), (3, "linear_out.weight[0]")]
    {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut values = [1.0, 2.0, 3.0, 4.0];
            values[place] = bad;
            let error = load(&layer("F32", 4, &f32s(&values))).unwrap_err();
            assert!(error.to_string().starts_with(name), "{error}");
        }
    }
}

#[test]
fn slices_of_the_wrong_length_are_named() {
    let error = FffWeights::new(shape(), [1.0; 2], None, [1.0; 2]).unwrap_err();
    assert_eq!(error.to_string(), "length of linear_out: expected 1, found 2");
}

#[test]
fn parts_of_a_tensor() {
    let bytes = layer("F32", 4, &f32s(&[1.0, 2.0, 3.0, 4.0]));
    let file = Checkpoint::from_bytes("test", &bytes).unwrap();
    assert_eq!(file.floats_at("linear_in.weight", 1, 1).unwrap(), [2.0]);
    assert!(file.floats_at("linear_in.weight", 1, 2).is_err());
    assert!(file.floats_at("linear_in.weight", usize::MAX, 2).is_err());
}

#[test]
fn files_and_folders() {
    let dir = tempfile::tempdir().unwrap();
    let message = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(message.ends_with("expected a regular file, found a folder"), "{message}");
    assert!(matches!(Checkpoint::open(dir.path().join("none")), Err(Error::Io { .. })));
    let path = dir.path().join("layer.safetensors");
    std::fs::write(&path, layer("F32", 4, &f32s(&[1.0, 2.0, 3.0, 4.0]))).unwrap();
    let weights =
        FffWeights::from_safetensors(&Checkpoint::open(&path).unwrap(), "", shape()).unwrap();
    assert_eq!(weights.linear_out(), [4.0]);
}

/// Threads that read one file at once get each tensor's own values.
#[test]
fn several_threads_read_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.safetensors");
    let (count, width) = (64, 257);
    let parts: Vec<_> = (0..count)
        .map(|i| {
            let (start, end) = (i * width * 4, (i + 1) * width * 4);
            tensor(&format!("t{i}"), "F32", &format!("[{width}]"), start, end)
        })
        .collect();
    let data: Vec<f32> = (0..count * width).map(|i| (i / width) as f32).collect();
    std::fs::write(&path, file(&format!("{{{}}}", parts.join(",")), &f32s(&data))).unwrap();
    let file = Checkpoint::open(&path).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for i in (0..20 * count).map(|i| i * 7 % count) {
                    assert_eq!(file.floats(&format!("t{i}")).unwrap(), vec![i as f32; width]);
                }
            });
        }
    });
}
