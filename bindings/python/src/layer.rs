//! An FFF layer on arrays, for `cmm.FffLayer`.

use cmm::{
    Device, FffForm, FffLayer, FffShape, FffWeights, Forward, GpuOptions, LeafActivation, LeafForm,
    Precision, host,
};
use numpy::{
    PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::devices::{precision, request, shown};
use crate::errors::{choice, exception, or_raise};
use crate::work::{Threads, Watch};

/// Multiplications that the host does between two checks for signals, which take a fraction of a
/// second.
const PRODUCTS_AT_ONCE: usize = 1 << 28;

/// The outputs y and the path.
type Results<'py> = (Bound<'py, PyArray2<f32>>, Bound<'py, PyArray2<u32>>);

enum Engine {
    Gpu(Box<FffLayer>),
    Host(Box<FffWeights>),
}

#[pyclass(frozen, module = "cmm._native")]
pub struct Layer {
    engine: Engine,
    shape: FffShape,
    threads: Threads,
    #[pyo3(get)]
    device: String,
}

#[pymethods]
impl Layer {
    /// Creates a layer from rows in the form of `FffWeights::new`: `linear_in [input_rows, input]`
    /// and `linear_out [output_rows, output]`.
    #[new]
    #[pyo3(signature = (linear_in, bias, linear_out, output_bias, *, trees, depth, form, leaf_width, activation, device, weights, threads))]
    #[allow(clippy::too_many_arguments, reason = "named in Python")]
    fn new(
        py: Python<'_>,
        linear_in: PyReadonlyArray2<'_, f32>,
        bias: Option<PyReadonlyArray1<'_, f32>>,
        linear_out: PyReadonlyArray2<'_, f32>,
        output_bias: Option<PyReadonlyArray2<'_, f32>>,
        trees: usize,
        depth: usize,
        form: &str,
        leaf_width: usize,
        activation: &str,
        device: &str,
        weights: &str,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let stored = precision(py, "precision", weights)?;
        let activation = choice(
            py,
            "activation",
            activation,
            &[("gelu", LeafActivation::Gelu), ("relu", LeafActivation::Relu)],
        )?;
        let leaf =
            LeafForm { width: leaf_width, activation, without_output_bias: output_bias.is_none() };
        let forms = [
            ("published", FffForm::Published),
            ("signed", FffForm::Signed),
            ("leaf", FffForm::Leaf(leaf)),
        ];
        let form = choice(py, "form", form, &forms)?;
        let threads = Threads::new(py, threads)?;
        let shape =
            FffShape::with_output(linear_in.shape()[1], linear_out.shape()[1], trees, depth)
                .and_then(|shape| shape.in_form(form));
        let shape = or_raise(py, shape)?;
        let (linear_in, linear_out) = (linear_in.as_slice()?, linear_out.as_slice()?);
        let bias = bias.map(|bias| bias.to_vec()).transpose()?;
        let output_bias = output_bias.as_ref().map(|bias| bias.as_slice()).transpose()?;
        let uploaded = threads.run(py, None, |_| {
            let mut weights = FffWeights::new(shape, linear_in, bias, linear_out)?;
            if let Some(output_bias) = output_bias {
                weights = weights.with_output_bias(output_bias)?;
            }
            let device = request(device, &GpuOptions::default().for_layer(shape, stored))?;
            let engine = match (&device, stored) {
                (Device::Gpu(gpu), stored) => Engine::Gpu(Box::new(pollster::block_on(
                    FffLayer::upload(gpu, &weights, stored),
                )?)),
                (Device::Host, Precision::F32) => Engine::Host(Box::new(weights)),
                (Device::Host, Precision::F16) => Engine::Host(Box::new(weights.rounded_to_f16()?)),
            };
            Ok((engine, device))
        })?;
        let (engine, device) = or_raise(py, uploaded)?;
        let threads = threads.serving(&device);
        Ok(Self { engine, shape, threads, device: shown(&device) })
    }

    /// Computes y, `[tokens, output]`, and the path, `[tokens, trees * levels]`, from x,
    /// `[tokens, input]`.
    fn forward<'py>(
        &self,
        py: Python<'py>,
        x: PyReadonlyArray2<'py, f32>,
        with_path: bool,
    ) -> PyResult<Results<'py>> {
        let (tokens, width) = (x.shape()[0], x.shape()[1]);
        if width != self.shape.input() {
            let message = format!("width of x: expected {}, found {width}", self.shape.input());
            return Err(exception(py, "InputError", message));
        }
        let x = x.as_slice()?;
        let result = self.threads.run(py, None, |watch| self.run(watch, x, with_path))?;
        let Forward { y, path } = or_raise(py, result)?;
        let places = if with_path { self.shape.path_len() } else { 0 };
        Ok((
            PyArray1::from_vec(py, y).reshape([tokens, self.shape.output()])?,
            PyArray1::from_vec(py, path).reshape([tokens, places])?,
        ))
    }
}

impl Layer {
    fn run(&self, watch: &Watch, x: &[f32], with_path: bool) -> cmm::Result<Forward> {
        let at_once = match &self.engine {
            Engine::Gpu(layer) => layer.tokens_per_chunk(),
            Engine::Host(_) => {
                PRODUCTS_AT_ONCE
                    / (self.shape.rows_read() * self.shape.input().max(self.shape.output())).max(1)
            }
        };
        let mut result = Forward::default();
        for (step, some) in x.chunks(at_once.max(1) * self.shape.input()).enumerate() {
            let first = step * at_once.max(1);
            let part =
                self.part(some, with_path).map_err(|error| at(error, first, self.shape.input()))?;
            if some.len() == x.len() {
                return Ok(part);
            }
            result.y.extend(part.y);
            result.path.extend(part.path);
            if watch.is_stopped() {
                break;
            }
        }
        Ok(result)
    }

    fn part(&self, x: &[f32], with_path: bool) -> cmm::Result<Forward> {
        match &self.engine {
            Engine::Gpu(layer) if with_path => pollster::block_on(layer.forward_with_path(x)),
            Engine::Gpu(layer) => {
                Ok(Forward { y: pollster::block_on(layer.forward(x))?, path: Vec::new() })
            }
            Engine::Host(weights) => {
                let mut result = host::fff(weights, x)?;
                if !with_path {
                    result.path = Vec::new();
                }
                Ok(result)
            }
        }
    }
}

/// Changes the places that an error names from those in a part, which begins at token `first`, to
/// those in the whole.
fn at(mut error: cmm::Error, first: usize, width: usize) -> cmm::Error {
    match &mut error {
        cmm::Error::Value { index, .. } => *index += first * width,
        cmm::Error::Overflow { token, .. } => *token += first,
        _ => {}
    }
    error
}
