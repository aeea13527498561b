//! A model with its tokenizer, for `cmm.SentenceTransformer` and `cmm.CrossEncoder`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use cmm::model::EncoderWeights;
use cmm::{EncoderOptions, FastBert, GpuOptions, ModelOptions};
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::devices::{is_auto, precision, request, shown};
use crate::errors::{exception, or_raise};
use crate::work::{Threads, Watch};

/// The token ids and token types of a text.
type Tokens = (Vec<u32>, Vec<u32>);

#[pyclass(frozen, module = "cmm._native")]
pub struct Model {
    model: FastBert,
    threads: Threads,
    #[pyo3(get)]
    device: String,
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (folder, *, device, weights, activations, int8, batch_tokens, threads))]
    #[allow(clippy::too_many_arguments, reason = "named in Python")]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        device: &str,
        weights: &str,
        activations: &str,
        int8: bool,
        batch_tokens: usize,
        threads: Option<usize>,
    ) -> PyResult<Self> {
        let (weights, activations) =
            (precision(py, "precision", weights)?, precision(py, "activations", activations)?);
        let threads = Threads::new(py, threads)?;
        // No GPU computes products in int8, so asking for them chooses the CPU.
        let device = if int8 && is_auto(device) { "cpu" } else { device };
        let stored = EncoderOptions::default().weights(weights).activations(activations).int8(int8);
        let options = ModelOptions::default().stored(stored).batch_tokens(batch_tokens);
        let loaded = threads.run(py, None, |_| {
            let config = EncoderWeights::open(&folder)?.config().clone();
            let device = request(device, &GpuOptions::default().for_encoder(&config, weights))?;
            let model = pollster::block_on(FastBert::load_with(&device, &folder, &options))?;
            Ok((model, device))
        })?;
        let (model, device) = or_raise(py, loaded)?;
        Ok(Self { model, threads: threads.serving(&device), device: shown(&device) })
    }

    /// Returns the number of values of a vector.
    #[getter]
    fn width(&self) -> usize {
        self.model.encoder().config().hidden
    }

    /// Returns the number of tokens that a text is cut to.
    #[getter]
    fn max_tokens(&self) -> usize {
        self.model.tokenizer().longest()
    }

    /// Returns the prompts that the model declares, by name.
    #[getter]
    fn prompts(&self) -> BTreeMap<String, String> {
        self.model.prompts().named().map(|(name, prompt)| (name.into(), prompt.into())).collect()
    }

    /// Returns the names of the classes.
    #[getter]
    fn labels(&self) -> Vec<String> {
        self.model.encoder().config().labels.clone()
    }

    /// Returns the vectors of a list of texts, `[texts, width]`. At most `batch` texts run at once.
    fn embed<'py>(
        &self,
        py: Python<'py>,
        texts: &Bound<'py, PyList>,
        prompt: &str,
        batch: usize,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let texts = read_texts(texts)?;
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        let rows = self.threads.run(py, progress, |watch| {
            in_steps(watch, &texts, batch, |texts, take| {
                pollster::block_on(self.model.embed_batches(prompt, texts, take))
            })
        })?;
        let values = or_raise(py, rows)?;
        PyArray1::from_vec(py, values).reshape([texts.len(), self.width()])
    }

    /// Returns the scores of a list of pairs, `[pairs, classes]`. At most `batch` pairs run at
    /// once.
    fn classify<'py>(
        &self,
        py: Python<'py>,
        pairs: &Bound<'py, PyList>,
        batch: usize,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let pairs = read_pairs(pairs)?;
        let pairs: Vec<_> =
            pairs.iter().map(|[first, second]| (&**first, Some(&**second))).collect();
        let rows = self.threads.run(py, progress, |watch| {
            in_steps(watch, &pairs, batch, |pairs, take| {
                pollster::block_on(self.model.classify_batches(pairs, take))
            })
        })?;
        let values = or_raise(py, rows)?;
        let classes =
            if pairs.is_empty() { self.labels().len() } else { values.len() / pairs.len() };
        PyArray1::from_vec(py, values).reshape([pairs.len(), classes])
    }

    /// Returns the ids and types of each text's tokens.
    fn tokenize(&self, py: Python<'_>, texts: &Bound<'_, PyList>) -> PyResult<Vec<Tokens>> {
        let texts = read_texts(texts)?;
        let tokenizer = self.model.tokenizer();
        let encode = |text: &PyBackedStr| {
            tokenizer.encode(text, None).map(|sequence| (sequence.ids, sequence.types))
        };
        let tokens: cmm::Result<_> = py.detach(|| texts.iter().map(encode).collect());
        or_raise(py, tokens)
    }
}

/// Runs `work` on `at_once` items after another, and puts the row of each item into its place.
fn in_steps<I>(
    watch: &Watch,
    items: &[I],
    at_once: usize,
    work: impl Fn(&[I], &mut dyn FnMut(&[usize], &[f32]) -> ControlFlow<()>) -> cmm::Result<()>,
) -> cmm::Result<Vec<f32>> {
    let (mut values, mut width) = (Vec::new(), 0);
    for (step, some) in items.chunks(at_once.max(1)).enumerate() {
        let mut take = |places: &[usize], rows: &[f32]| {
            if values.is_empty() {
                width = rows.len() / places.len();
                values = vec![0.0; items.len() * width];
            }
            for (place, row) in places.iter().zip(rows.chunks_exact(width.max(1))) {
                let place = (step * at_once + place) * width;
                values[place..place + width].copy_from_slice(row);
            }
            watch.add(places.len());
            if watch.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        work(some, &mut take)?;
        if watch.is_stopped() {
            break;
        }
    }
    Ok(values)
}

/// Returns the texts of a list without copying them from Python.
fn read_texts(texts: &Bound<'_, PyList>) -> PyResult<Vec<PyBackedStr>> {
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| read_text(&text, || format!("sentences[{index}]")))
        .collect()
}

fn read_pairs(pairs: &Bound<'_, PyList>) -> PyResult<Vec<[PyBackedStr; 2]>> {
    let read = |(index, pair): (usize, Bound<'_, PyAny>)| {
        let part = |place: usize| {
            let text = pair.cast::<PyTuple>()?.get_item(place)?;
            read_text(&text, || format!("pairs[{index}][{place}]"))
        };
        Ok([part(0)?, part(1)?])
    };
    pairs.iter().enumerate().map(read).collect()
}

fn read_text(text: &Bound<'_, PyAny>, name: impl Fn() -> String) -> PyResult<PyBackedStr> {
    let py = text.py();
    let Ok(string) = text.cast::<PyString>() else {
        let found = text.get_type().name()?;
        return Err(exception(
            py,
            "InputTypeError",
            format!("{}: expected str, found {found}", name()),
        ));
    };
    // Python's strings may hold halves of surrogate pairs, which no encoding of text has.
    string.extract().map_err(|cause| {
        exception(
            py,
            "InputError",
            format!("{}: expected text that UTF-8 can hold, found {cause}", name()),
        )
    })
}
