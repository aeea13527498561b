//! A tensor read from a `.npy` or safetensors file, piece by piece.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use cmm::Checkpoint;
use npyz::{NpyFile, NpyReader, Order};

use crate::cli::Failure;

/// An open tensor of floats.
pub struct TensorIn {
    path: PathBuf,
    shape: Vec<usize>,
    source: Source,
}

enum Source {
    Npy32(NpyReader<f32, BufReader<File>>),
    Npy16(NpyReader<half::f16, BufReader<File>>),
    Safetensors { file: Box<Checkpoint<'static>>, tensor: String, next: usize },
}

impl TensorIn {
    /// Opens a file by its extension. `tensor` names the one to read where a safetensors file has several.
    pub fn open(path: &Path, tensor: Option<&str>) -> Result<Self, Failure> {
        let shown = path.display();
        let (shape, source) = match path.extension().and_then(|e| e.to_str()) {
            Some("npy") => open_npy(path)?,
            Some("safetensors") => {
                let file = Checkpoint::open(path)?;
                let tensor = match (tensor, &file.names()[..]) {
                    (Some(tensor), _) => tensor.to_owned(),
                    (None, [only]) => only.clone(),
                    (None, names) => {
                        return Err(format!(
                            "{shown}: {} tensors; choose one with --tensor: {}",
                            names.len(),
                            names.join(", ")
                        )
                        .into());
                    }
                };
                let shape = file.info(&tensor)?.shape.clone();
                file.expect(&tensor, &shape)?;
                (shape, Source::Safetensors { file: Box::new(file), tensor, next: 0 })
            }
            _ => return Err(format!("{shown}: expected a .npy or .safetensors file").into()),
        };
        Ok(Self { path: path.into(), shape, source })
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The next `count` values, row-major.
    pub fn read(&mut self, count: usize) -> Result<Vec<f32>, Failure> {
        let values = match &mut self.source {
            Source::Npy32(reader) => reader.take(count).collect::<Result<Vec<_>, _>>(),
            Source::Npy16(reader) => {
                reader.take(count).map(|value| value.map(half::f16::to_f32)).collect()
            }
            Source::Safetensors { file, tensor, next } => {
                let values = file.floats_at(tensor, *next, count)?;
                *next += count;
                Ok(values)
            }
        };
        let values = values.map_err(|cause| format!("{}: {cause}", self.path.display()))?;
        if values.len() < count {
            return Err(format!("{}: it ends before its shape does", self.path.display()).into());
        }
        Ok(values)
    }
}

/// The longest header of a `.npy` file, bytes; numpy's own limit is 10,000.
const LONGEST_HEADER: u64 = 64 << 10;
/// How deep a header nests: a dictionary, a list of fields, a field, its shape.
const DEEPEST: usize = 4;

/// Refuses a header that claims more than the file has, or that no writer of numpy's makes: npyz believes its length, and its parser takes
/// exponential time for nested braces.
fn check_npy_header(file: &mut File, length: u64) -> Result<(), String> {
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
    // npyz multiplies the sizes without asking whether that overflows. Two bytes a value at least.
    let text = String::from_utf8_lossy(&text);
    let sizes = text.split("shape").nth(1).and_then(|rest| rest.split(['(', ')']).nth(1));
    let sizes = sizes.unwrap_or_default().split(',').map(str::trim).filter(|size| !size.is_empty());
    let bytes = sizes
        .clone()
        .try_fold(2_u64, |bytes, size| bytes.checked_mul(size.trim_end_matches('L').parse().ok()?));
    if bytes.is_none_or(|bytes| bytes > length) {
        let shape = sizes.collect::<Vec<_>>().join(", ");
        return Err(format!("shape ({shape}) is more than its {length} bytes hold"));
    }
    file.rewind().map_err(|cause| cause.to_string())
}

fn open_npy(path: &Path) -> Result<(Vec<usize>, Source), Failure> {
    let shown = path.display();
    let bad = |reason: String| -> Failure { format!("{shown}: {reason}").into() };
    let (mut file, length) = cmm::open_file(path)?;
    check_npy_header(&mut file, length).map_err(bad)?;
    let npy = NpyFile::new(BufReader::new(file)).map_err(|cause| bad(cause.to_string()))?;
    if npy.order() != Order::C && npy.shape().len() > 1 {
        return Err(bad("in Fortran order; save it in C order (numpy.ascontiguousarray)".into()));
    }
    let shape =
        npy.shape().iter().map(|&size| usize::try_from(size)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|cause| bad(cause.to_string()))?;
    let source = match npy.try_data::<f32>() {
        Ok(reader) => Source::Npy32(reader),
        Err(npy) => match npy.try_data::<half::f16>() {
            Ok(reader) => Source::Npy16(reader),
            Err(npy) => {
                let dtype = npy.dtype().descr();
                return Err(bad(format!("dtype {dtype}, expected '<f4' or '<f2'")));
            }
        },
    };
    Ok((shape, source))
}
