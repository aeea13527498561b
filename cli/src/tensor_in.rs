//! A tensor read from a `.npy` or safetensors file, piece by piece.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use cmm::Checkpoint;

use crate::npy::{self, Values};
use crate::output::Failure;

/// An open tensor of floats.
pub struct TensorIn {
    path: PathBuf,
    shape: Vec<usize>,
    source: Source,
}

enum Source {
    Npy(Values<BufReader<File>>),
    Safetensors { file: Box<Checkpoint<'static>>, tensor: String, next: usize },
}

impl TensorIn {
    /// Opens a file by its extension. `tensor` names the tensor to read if a safetensors file has several.
    pub fn open(path: &Path, tensor: Option<&str>) -> Result<Self, Failure> {
        let shown = path.display();
        let (shape, source) = match path.extension().and_then(|e| e.to_str()) {
            Some("npy") => {
                let (file, length) = cmm::open_file(path)?;
                let opened = npy::open(BufReader::new(file), length);
                let (shape, values) = opened.map_err(|reason| format!("{shown}: {reason}"))?;
                (shape, Source::Npy(values))
            }
            Some("safetensors") => {
                let file = Checkpoint::open(path)?;
                let tensor = match (tensor, &file.names()[..]) {
                    (Some(tensor), _) => tensor.to_owned(),
                    (None, [only]) => only.clone(),
                    (None, names) => {
                        return Err(format!(
                            "{shown}: it has {} tensors; choose one with --tensor: {}",
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

    /// The shape of the tensor.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Reads the next `count` values, row by row.
    pub fn read(&mut self, count: usize) -> Result<Vec<f32>, Failure> {
        let values = match &mut self.source {
            Source::Npy(values) => values.next(count),
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
