//! Turns texts into vectors, for `/v1/embeddings`, `/embed`, `/similarity`, `/api/embed` and
//! `/search`.

use std::sync::Arc;

use axum::response::Response;
use cmm::{Prompts, cosine, normalized};
use serde::Serialize;

use crate::meter::Meter;
use crate::model::{Asked, Cut, Loaded, Part, Served, Text};
use crate::problem::Problem;
use crate::queue::Work;
use crate::state::State;

/// A request on its way through a model.
pub(crate) struct Run<'s> {
    pub(crate) state: &'s State,
    pub(crate) served: &'s Served,
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) meter: Meter,
}

impl<'s> Run<'s> {
    /// Counts the request and finds its model. `texts` is the number of texts in `field`.
    pub(crate) fn start(
        state: &'s State,
        model: Option<&str>,
        field: &str,
        texts: usize,
    ) -> Result<Self, Problem> {
        let meter = Meter::start(&state.metrics, texts > 1);
        let served = state.model(model)?;
        served.count(field, texts)?;
        let loaded = served.ready()?;
        Ok(Self { state, served, loaded, meter })
    }

    /// Returns the prompt of this name, or the model's own prompt for this use.
    pub(crate) fn prompt(
        &self,
        name: Option<&str>,
        own: impl FnOnce(&Prompts) -> &str,
    ) -> Result<String, Problem> {
        let prompts = self.loaded.model.prompts();
        match name {
            None => Ok(own(prompts).to_owned()),
            Some(name) => {
                let found = prompts.get(name).map(str::to_owned);
                found.map_err(|error| Problem::of(&error).about("prompt_name"))
            }
        }
    }

    /// Returns a vector for each text, not normalised.
    pub(crate) async fn vectors(
        &mut self,
        parts: Vec<Part>,
        cut: Cut,
    ) -> Result<Vec<Vec<f32>>, Problem> {
        let asked = Asked { parts, cut };
        self.served.run(self.loaded.clone(), Work::Vectors, asked, &mut self.meter).await
    }

    /// Returns the head's scores for each text or pair.
    pub(crate) async fn scores(
        &mut self,
        parts: Vec<Part>,
        cut: Cut,
    ) -> Result<Vec<Vec<f32>>, Problem> {
        let asked = Asked { parts, cut };
        self.served.run(self.loaded.clone(), Work::Classes, asked, &mut self.meter).await
    }

    pub(crate) fn answer(self, body: impl Serialize) -> Response {
        let device = match self.loaded.model.encoder().gpu() {
            Some(_) => "gpu",
            None => "cpu",
        };
        self.meter.answer(&self.state.metrics, device, body)
    }

    /// Returns how texts that are too long are treated, given what the request says.
    pub(crate) fn cut(&self, truncate: Option<bool>, side: Option<cmm::CutSide>) -> Cut {
        Cut { allowed: truncate.unwrap_or(self.state.settings.cut), side }
    }
}

/// Returns the texts of one field, all with the same prompt.
pub(crate) fn parts(
    texts: impl IntoIterator<Item = Text>,
    several: bool,
    field: &'static str,
    prompt: &str,
) -> Vec<Part> {
    let prompt: Arc<str> = prompt.into();
    let part = |(place, text)| {
        let place = several.then_some(place);
        Part { text, prompt: prompt.clone(), field, place }
    };
    texts.into_iter().enumerate().map(part).collect()
}

/// Returns the first values of a vector, divided by its length if `unit` asks for that.
pub(crate) fn shaped(mut vector: Vec<f32>, dimensions: usize, unit: bool) -> Vec<f32> {
    vector.truncate(dimensions);
    if unit { normalized(&vector) } else { vector }
}

/// Returns the cosines of the first vector with each of the others.
pub(crate) fn cosines(vectors: &[Vec<f32>]) -> Vec<f64> {
    match vectors {
        [first, others @ ..] => others.iter().map(|other| cosine(first, other)).collect(),
        [] => Vec::new(),
    }
}
