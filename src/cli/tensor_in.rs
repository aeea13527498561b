//! A tensor read from a `.npy` or safetensors file, piece by piece.

use std::fs::File;
use std::io::BufReader;
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

fn open_npy(path: &Path) -> Result<(Vec<usize>, Source), Failure> {
    let shown = path.display();
    let bad = |reason: String| -> Failure { format!("{shown}: {reason}").into() };
    let file = File::open(path).map_err(|cause| bad(cause.to_string()))?;
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
