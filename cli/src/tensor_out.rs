//! Writes results piece by piece to a temporary file, which gets its name only when it is whole.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use npyz::{NpyWriter, WriterBuilder};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::output::Failure;
use crate::pending::Pending;

/// `y`, and the path if it is wanted: in one safetensors file, or in two `.npy` files.
pub enum TensorsOut {
    Npy { y: Box<Npy<f32>>, path: Option<Box<Npy<u32>>> },
    Safetensors { file: Pending, y_at: u64, path_at: Option<u64> },
}

/// A `.npy` file that is being written.
pub struct Npy<T: npyz::Serialize> {
    pending: Pending,
    writer: NpyWriter<T, BufWriter<File>>,
}

impl TensorsOut {
    /// Starts the files, whose kind the extension of `target` says. With `path_shape`, the path is written too.
    pub fn create(
        target: &Path,
        y_shape: &[usize],
        path_shape: Option<&[usize]>,
    ) -> Result<Self, Failure> {
        match target.extension().and_then(|e| e.to_str()) {
            Some("npy") => Ok(Self::Npy {
                y: Box::new(Npy::create(target, y_shape)?),
                path: path_shape
                    .map(|shape| Npy::create(&path_file(target), shape).map(Box::new))
                    .transpose()?,
            }),
            Some("safetensors") => {
                let y_bytes = bytes(y_shape)?;
                let mut tensors = vec![("y".to_owned(), info(Dtype::F32, y_shape, 0, y_bytes))];
                if let Some(shape) = path_shape {
                    let end = y_bytes + bytes(shape)?;
                    tensors.push(("path".to_owned(), info(Dtype::U32, shape, y_bytes, end)));
                }
                let mut header = serde_json::to_vec(&Metadata::new(None, tensors)?)?;
                header.resize(header.len().next_multiple_of(8), b' ');
                let mut file = Pending::create(target)?;
                file.temporary.write_all(&(header.len() as u64).to_le_bytes())?;
                file.temporary.write_all(&header)?;
                let y_at = 8 + header.len() as u64;
                let path_at = path_shape.map(|_| y_at + y_bytes as u64);
                Ok(Self::Safetensors { file, y_at, path_at })
            }
            _ => Err(format!(
                "{}: expected a name that ends in .npy or .safetensors",
                target.display()
            )
            .into()),
        }
    }

    /// Appends values to y, and nodes to the path if it is wanted.
    pub fn write(&mut self, y: &[f32], nodes: &[u32]) -> Result<(), Failure> {
        match self {
            Self::Npy { y: file, path } => {
                file.writer.extend(y.iter().copied())?;
                if let Some(path) = path {
                    path.writer.extend(nodes.iter().copied())?;
                }
            }
            Self::Safetensors { file, y_at, path_at } => {
                let y = (y_at, bytemuck::cast_slice::<_, u8>(y));
                let path = path_at.as_mut().map(|at| (at, bytemuck::cast_slice(nodes)));
                for (at, bytes) in std::iter::once(y).chain(path) {
                    file.temporary.seek(SeekFrom::Start(*at))?;
                    file.temporary.write_all(bytes)?;
                    *at += bytes.len() as u64;
                }
            }
        }
        Ok(())
    }

    /// Gives the files their names, and returns the names.
    pub fn finish(self) -> Result<Vec<PathBuf>, Failure> {
        match self {
            Self::Npy { y, path } => {
                let path = path.map(|path| path.finish()).transpose()?;
                Ok([y.finish()?].into_iter().chain(path).collect())
            }
            Self::Safetensors { file, .. } => Ok(vec![file.finish()?]),
        }
    }
}

impl<T: npyz::AutoSerialize> Npy<T> {
    fn create(target: &Path, shape: &[usize]) -> Result<Self, Failure> {
        let pending = Pending::create(target)?;
        let shape: Vec<_> = shape.iter().map(|size| *size as u64).collect();
        let writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&shape)
            .writer(BufWriter::new(pending.temporary.as_file().try_clone()?))
            .begin_nd()?;
        Ok(Self { pending, writer })
    }
}

impl<T: npyz::Serialize> Npy<T> {
    fn finish(self) -> Result<PathBuf, Failure> {
        self.writer.finish()?;
        self.pending.finish()
    }
}

/// The name of the file of the path: `y.path.npy` beside `y.npy`.
fn path_file(target: &Path) -> PathBuf {
    target.with_extension("path.npy")
}

fn bytes(shape: &[usize]) -> Result<usize, Failure> {
    shape
        .iter()
        .try_fold(4usize, |bytes, size| bytes.checked_mul(*size))
        .ok_or_else(|| format!("an output of shape {shape:?} is too large").into())
}

fn info(dtype: Dtype, shape: &[usize], start: usize, end: usize) -> TensorInfo {
    TensorInfo { dtype, shape: shape.to_vec(), data_offsets: (start, end) }
}
