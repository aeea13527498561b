//! Reads safetensors files. Every name, dtype, shape and bound is checked before anything of that
//! size is allocated.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::error::{Error, Result};
use crate::files::open_file;

/// The longest header that is read, in bytes; the safetensors library has the same bound.
const MAX_HEADER: u64 = 100_000_000;

/// A safetensors file or byte slice whose header has been checked. Each tensor is read when it is
/// asked for.
///
/// ```no_run
/// # fn main() -> cmm::Result<()> {
/// let file = cmm::Checkpoint::open("model.safetensors")?;
/// for name in file.names() {
///     println!("{name} {:?}", file.info(&name)?.shape);
/// }
/// let shape = cmm::FffShape::new(768, 1, 11)?; // width, trees, depth
/// let weights = cmm::FffWeights::from_safetensors(&file, "encoder.layers.0.ffn.fff", shape)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Checkpoint<'data> {
    name: String,
    metadata: Metadata,
    data_start: u64,
    source: Source<'data>,
}

#[derive(Debug)]
enum Source<'data> {
    Bytes(&'data [u8]),
    File(File),
}

impl Checkpoint<'static> {
    /// Opens a file and reads its header only.
    ///
    /// # Errors
    /// Returns [`Error::Io`] if the file cannot be read, and [`Error::Checkpoint`] if the header is
    /// malformed or does not describe exactly the bytes of the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (file, length) = open_file(path)?;
        let name = path.display().to_string();
        let (metadata, data_start) = read_header(&name, &file, length)?;
        Ok(Self { name, metadata, data_start, source: Source::File(file) })
    }
}

impl<'data> Checkpoint<'data> {
    /// Reads the header of a checkpoint in memory; errors call it `name`.
    ///
    /// # Errors
    /// Returns the errors of [`Checkpoint::open`].
    pub fn from_bytes(name: impl Into<String>, bytes: &'data [u8]) -> Result<Self> {
        let name = name.into();
        let (metadata, data_start) = read_header(&name, bytes, bytes.len() as u64)?;
        Ok(Self { name, metadata, data_start, source: Source::Bytes(bytes) })
    }

    /// Returns the file's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.metadata.tensors().into_keys().collect();
        names.sort_unstable();
        names
    }

    /// Returns whether the checkpoint has this tensor.
    pub fn has(&self, tensor: &str) -> bool {
        self.metadata.info(tensor).is_some()
    }

    /// Returns a tensor's dtype and shape.
    ///
    /// # Errors
    /// Returns [`Error::MissingTensor`] if the checkpoint does not have it.
    pub fn info(&self, tensor: &str) -> Result<&TensorInfo> {
        self.metadata.info(tensor).ok_or_else(|| Error::MissingTensor {
            file: self.name.clone(),
            tensor: tensor.into(),
            available: shortened(&self.names()),
        })
    }

    /// Checks that a tensor exists, and that it has this shape and a float dtype.
    ///
    /// # Errors
    /// Returns [`Error::MissingTensor`] or [`Error::Shape`] if it does not.
    pub fn expect(&self, tensor: &str, shape: &[usize]) -> Result<()> {
        let info = self.info(tensor)?;
        if info.shape != shape {
            let what = format!("shape of `{tensor}` in {}", self.name);
            return Err(Error::shape(what, format!("{shape:?}"), format!("{:?}", info.shape)));
        }
        self.float_bytes(tensor).map(|_| ())
    }

    /// Reads a float tensor, or an I8 matrix with its scales, as f32.
    ///
    /// The scales of an I8 matrix `name`, `[rows, columns]`, are the float tensor `name.scale`,
    /// which is `[rows, 1]` or `[1, columns]`. If `name` holds several matrices,
    /// `[matrices, rows, columns]`, the scales are `[matrices, rows, 1]` or
    /// `[matrices, 1, columns]`.
    ///
    /// # Errors
    /// Returns [`Error::MissingTensor`]; [`Error::Shape`] if the dtype is not F32, F16, BF16 or I8,
    /// or if the scales do not fit; [`Error::Io`] if the file cannot be read.
    pub fn floats(&self, tensor: &str) -> Result<Vec<f32>> {
        let values = self.info(tensor)?.shape.iter().product();
        self.floats_at(tensor, 0, values)
    }

    /// Reads part of a float tensor as f32: `count` values from the flat index `first`. This is for
    /// tensors larger than memory.
    ///
    /// # Errors
    /// Returns the errors of [`Checkpoint::floats`], and [`Error::Shape`] if the tensor has fewer
    /// values.
    pub fn floats_at(&self, tensor: &str, first: usize, count: usize) -> Result<Vec<f32>> {
        let value_bytes = self.float_bytes(tensor)?;
        let info = self.info(tensor)?;
        let values = info.shape.iter().product();
        if first.checked_add(count).is_none_or(|end| end > values) {
            let what = format!("values of `{tensor}` in {}", self.name);
            return Err(Error::shape(what, format!("{count} from {first}"), values));
        }
        let bytes = self.bytes(tensor, first * value_bytes, count * value_bytes)?;
        if info.dtype != Dtype::I8 {
            return Ok(floats_from_bytes(info.dtype, &bytes));
        }
        let (by_row, [rows, columns]) = self.scaled(tensor)?;
        let scales = self.floats(&scale_of(tensor))?;
        let scale = |at: usize| match by_row {
            true => scales[at / columns],
            false => scales[at / (rows * columns) * columns + at % columns],
        };
        Ok((first..)
            .zip(bytes.iter())
            .map(|(at, b)| f32::from(b.cast_signed()) * scale(at))
            .collect())
    }

    /// Returns how an I8 matrix is scaled (`true`: by row, `false`: by column), and the rows and
    /// columns of one matrix.
    fn scaled(&self, tensor: &str) -> Result<(bool, [usize; 2])> {
        let shape = &self.info(tensor)?.shape;
        let name = scale_of(tensor);
        let scale = self.info(&name)?;
        if let ([matrices @ .., rows, columns], [of @ .., down, across]) =
            (&shape[..], &scale.shape[..])
            && matrices == of
            && *columns > 0
        {
            if down == rows && *across == 1 {
                return Ok((true, [*rows, *columns]));
            }
            if *down == 1 && across == columns {
                return Ok((false, [*rows, *columns]));
            }
        }
        Err(Error::shape(
            format!("shape of `{name}` in {}", self.name),
            format!("[.., rows, 1] or [.., 1, columns] of {shape:?}"),
            format!("{:?}", scale.shape),
        ))
    }

    /// Reads an I32 tensor.
    ///
    /// # Errors
    /// Returns [`Error::MissingTensor`]; [`Error::Shape`] if the tensor has another dtype;
    /// [`Error::Io`] if the file cannot be read.
    pub fn integers(&self, tensor: &str) -> Result<Vec<i32>> {
        let dtype = self.info(tensor)?.dtype;
        if dtype != Dtype::I32 {
            return Err(Error::shape(
                format!("dtype of `{tensor}` in {}", self.name),
                "I32",
                format!("{dtype:?}"),
            ));
        }
        let (start, end) = self.info(tensor)?.data_offsets;
        let bytes = self.bytes(tensor, 0, end - start)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|b| i32::from_le_bytes(*b)).collect())
    }

    /// Returns the bytes of one value of a float tensor or of an I8 matrix with scales. Any other
    /// dtype is refused.
    fn float_bytes(&self, tensor: &str) -> Result<usize> {
        match self.info(tensor)?.dtype {
            Dtype::F32 => Ok(4),
            Dtype::F16 | Dtype::BF16 => Ok(2),
            Dtype::I8 if !tensor.ends_with(SCALE) => self.scaled(tensor).map(|_| 1),
            other => Err(Error::shape(
                format!("dtype of `{tensor}` in {}", self.name),
                "F32, F16, BF16, or I8 with scales",
                format!("{other:?}"),
            )),
        }
    }

    /// Returns bytes of a tensor's data. The caller has checked that the tensor has them.
    fn bytes(&self, tensor: &str, skip: usize, length: usize) -> Result<Cow<'data, [u8]>> {
        let start = self.data_start + (self.info(tensor)?.data_offsets.0 + skip) as u64;
        match &self.source {
            // This is in bounds, because read_header compared the header with the length.
            Source::Bytes(bytes) => Ok(Cow::Borrowed(&bytes[start as usize..][..length])),
            Source::File(file) => {
                let mut bytes = vec![0; length];
                read_at(file, &mut bytes, start)
                    .map_err(|source| Error::Io { path: self.name.clone().into(), source })?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

/// Fills `bytes` from a place in the file. No position is shared, so several threads may read at
/// once.
#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], start: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, start)
}

#[cfg(windows)]
fn read_at(file: &File, mut bytes: &mut [u8], mut start: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, bytes, start)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[count..];
        start += count as u64;
    }
    Ok(())
}

/// Systems without such a call (wasm32) have a single thread.
#[cfg(not(any(unix, windows)))]
fn read_at(mut file: &File, bytes: &mut [u8], start: u64) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(bytes)
}

/// The scales of an I8 matrix are called by its name and this suffix.
const SCALE: &str = ".scale";

fn scale_of(tensor: &str) -> String {
    format!("{tensor}{SCALE}")
}

/// Converts little-endian F32, F16 or BF16 bytes to f32.
fn floats_from_bytes(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let pairs = || bytes.as_chunks::<2>().0.iter();
    match dtype {
        Dtype::F16 => pairs().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|b| half::bf16::from_le_bytes(*b).to_f32()).collect(),
        _ => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    }
}

fn read_header(name: &str, mut source: impl Read, length: u64) -> Result<(Metadata, u64)> {
    let bad = |reason: String| Error::Checkpoint { name: name.into(), reason };
    let mut size = [0; 8];
    source
        .read_exact(&mut size)
        .map_err(|_| bad(format!("{length} bytes are too few for a header")))?;
    if &size == b"version " {
        let reason = "it is a git-lfs pointer to the file; run `git lfs pull` in its folder";
        return Err(bad(reason.into()));
    }
    let header = u64::from_le_bytes(size);
    if header > MAX_HEADER {
        return Err(bad(format!("its header claims {header} bytes, more than {MAX_HEADER}")));
    }
    if header > length.saturating_sub(8) {
        return Err(bad(format!("its header claims {header} bytes, but the file has {length}")));
    }
    let mut text = vec![0; header as usize];
    source.read_exact(&mut text).map_err(|e| bad(e.to_string()))?;
    // The deserializer of Metadata checks names, order and overlap, and that shape, dtype and
    // offsets agree, without overflow.
    let metadata: Metadata =
        serde_json::from_slice(&text).map_err(|e| bad(format!("its header is malformed: {e}")))?;
    let end = 8 + header + metadata.data_len() as u64;
    if end != length {
        return Err(bad(format!("its header describes {end} bytes, but the file has {length}")));
    }
    Ok((metadata, 8 + header))
}

fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.len() {
        0 => "none".into(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{}, ... ({n} in all)", names[..SHOWN].join(", ")),
    }
}
