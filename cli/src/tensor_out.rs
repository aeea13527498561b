//! Writes results piece by piece to a temporary file, which gets its name only when it is whole.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use npyz::WriterBuilder;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::output::Failure;
use crate::pending::Pending;

/// `y`, and the path if it is wanted: in one safetensors file, or in two `.npy` files.
pub enum TensorsOut {
    Npy { y: Npy, path: Option<Npy> },
    Safetensors { file: Pending, y_at: u64, path_at: Option<u64> },
}

/// A `.npy` file that is being written. Its values go into the file as they lie in memory: npyz writes them one by one, which beside an H200 took almost
/// as long as the model did.
pub struct Npy {
    pending: Pending,
    /// The bytes of values that are still to come.
    missing: usize,
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
                y: Npy::create::<f32>(target, y_shape)?,
                path: path_shape
                    .map(|shape| Npy::create::<u32>(&path_file(target), shape))
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
                file.write(bytemuck::cast_slice(y))?;
                if let Some(path) = path {
                    path.write(bytemuck::cast_slice(nodes))?;
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

impl Npy {
    fn create<T: npyz::AutoSerialize>(target: &Path, shape: &[usize]) -> Result<Self, Failure> {
        let mut pending = Pending::create(target)?;
        let sizes: Vec<_> = shape.iter().map(|size| *size as u64).collect();
        npyz::WriteOptions::new_header_only()
            .dtype(T::default_dtype())
            .shape(&sizes)
            .writer(&mut pending.temporary)
            .write_header_only()?;
        Ok(Self { pending, missing: bytes(shape)? })
    }

    fn write(&mut self, values: &[u8]) -> Result<(), Failure> {
        self.missing = self
            .missing
            .checked_sub(values.len())
            .ok_or("more values than the output's shape has")?;
        Ok(self.pending.temporary.write_all(values)?)
    }

    fn finish(self) -> Result<PathBuf, Failure> {
        match self.missing {
            0 => self.pending.finish(),
            missing => Err(format!("{missing} bytes of the output were not written").into()),
        }
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
