//! Reads `.npy` files of floats, and believes a header only after it was checked.

use std::io::{Read, Seek};

use npyz::{NpyFile, NpyReader, Order};

/// The values of a file, in C order.
pub enum Values<R: Read> {
    F32(NpyReader<f32, R>),
    F16(NpyReader<half::f16, R>),
}

/// Reads the header of a file of `length` bytes: its shape, and a reader of its values.
pub fn open<R: Read + Seek>(mut file: R, length: u64) -> Result<(Vec<usize>, Values<R>), String> {
    check_header(&mut file, length)?;
    let npy = NpyFile::new(file).map_err(|cause| cause.to_string())?;
    if npy.order() != Order::C && npy.shape().len() > 1 {
        return Err(
            "the values are in Fortran order; save them in C order (numpy.ascontiguousarray)"
                .into(),
        );
    }
    let shape = npy.shape().iter().map(|&size| usize::try_from(size));
    let shape = shape.collect::<Result<Vec<_>, _>>().map_err(|cause| cause.to_string())?;
    let values = match npy.try_data::<f32>() {
        Ok(reader) => Values::F32(reader),
        Err(npy) => match npy.try_data::<half::f16>() {
            Ok(reader) => Values::F16(reader),
            Err(npy) => {
                let dtype = npy.dtype().descr();
                return Err(format!("expected dtype '<f4' or '<f2', found {dtype}"));
            }
        },
    };
    Ok((shape, values))
}

impl<R: Read> Values<R> {
    /// Reads the next `count` values, or fewer if the file ends.
    pub fn next(&mut self, count: usize) -> std::io::Result<Vec<f32>> {
        match self {
            Self::F32(reader) => reader.take(count).collect(),
            Self::F16(reader) => reader.take(count).map(|v| v.map(half::f16::to_f32)).collect(),
        }
    }
}

/// The longest header of a `.npy` file, in bytes. The limit of numpy is 10,000.
const LONGEST_HEADER: u64 = 64 << 10;
/// The deepest nesting of a header: a dictionary, a list of fields, a field, and its shape.
const DEEPEST: usize = 4;

/// Refuses a header that claims more than the file has, and one that numpy never writes: npyz believes the length that a header claims, and its
/// parser takes exponential time for nested braces.
fn check_header(file: &mut (impl Read + Seek), length: u64) -> Result<(), String> {
    let mut start = [0; 12];
    let missing = |_| "too short for a .npy file".to_owned();
    file.read_exact(&mut start[..10]).map_err(missing)?;
    if &start[..6] != b"\x93NUMPY" {
        return Err("expected a .npy file, found no \\x93NUMPY at its beginning".into());
    }
    let (a, b) = (start[8], start[9]);
    let (header, from) = match start[6] {
        1 => (u64::from(u16::from_le_bytes([a, b])), 10),
        2 | 3 => {
            file.read_exact(&mut start[10..]).map_err(missing)?;
            (u64::from(u32::from_le_bytes([a, b, start[10], start[11]])), 12)
        }
        version => return Err(format!("expected version 1, 2 or 3 of .npy, found {version}")),
    };
    if header > LONGEST_HEADER || header > length.saturating_sub(from) {
        let most = LONGEST_HEADER.min(length.saturating_sub(from));
        return Err(format!("its header claims {header} bytes, expected at most {most}"));
    }
    let mut text = vec![0; header as usize];
    file.read_exact(&mut text).map_err(missing)?;
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in &text {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let braces = text.iter().filter(|byte| **byte == b'{').count();
    if braces != 1 || deepest > DEEPEST {
        return Err("its header is no dictionary of descr, fortran_order and shape".into());
    }
    // npyz multiplies the sizes without asking whether that overflows. A value has two bytes at least.
    let text = String::from_utf8_lossy(&text);
    let mut parts = text.split("shape");
    let shape = parts.nth(1).filter(|_| parts.next().is_none());
    let sizes = shape.and_then(|rest| {
        rest.trim_start_matches(['\'', '"', ':', ' ']).strip_prefix('(')?.split_once(')')
    });
    let Some((sizes, _)) = sizes else {
        return Err("its header has no shape, or several".into());
    };
    let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
    let bytes = sizes
        .clone()
        .try_fold(2_u64, |bytes, size| bytes.checked_mul(size.trim_end_matches('L').parse().ok()?));
    if bytes.is_none_or(|bytes| bytes > length) {
        let shape = sizes.collect::<Vec<_>>().join(", ");
        return Err(format!("shape ({shape}) is more than its {length} bytes hold"));
    }
    file.rewind().map_err(|cause| cause.to_string())
}
