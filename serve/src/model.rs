//! A model that is served: what is known of it, and the way of a request through it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use cmm::model::{Head, Pooler, Sequence};
use cmm::{CutSide, FastBert};
use tokio::sync::{Semaphore, oneshot};

use crate::meter::Meter;
use crate::problem::{Kind, Problem};
use crate::queue::{Job, Queue, Work};

/// The thread that reads a request of at most this many bytes also tokenizes it. That takes less
/// than a millisecond; handing the request to another thread would cost half as much again.
const AT_ONCE: usize = 1024;
/// The most bytes that a token stands for in nearly all texts.
const BYTES_OF_AN_ID: usize = 16;

/// A model on its device.
pub(crate) struct Loaded {
    pub(crate) model: FastBert,
    /// The number of classes of its head, if it has a classification head.
    pub(crate) classes: Option<usize>,
}

impl Loaded {
    /// Runs the model once, so that kernels are compiled before the first request, and a device
    /// that fails does so now.
    pub(crate) fn new(model: FastBert) -> Result<Self, String> {
        let run = async {
            let probe = [model.tokenizer().encode("a", model.second(None))?];
            model.pool_sequences(&probe).await?;
            let Head::Classifier { .. } = model.encoder().config().head else { return Ok(None) };
            Ok(model.classify_sequences(&probe).await?.pop().map(|scores| scores.len()))
        };
        let classes = pollster::block_on(run).map_err(|error: cmm::Error| error.to_string())?;
        Ok(Self { model, classes })
    }

    /// Returns whether the model scores a pair of texts with one number.
    pub(crate) fn is_reranker(&self) -> bool {
        self.classes == Some(1)
    }

    pub(crate) fn label(&self, class: usize) -> String {
        let labels = &self.model.encoder().config().labels;
        labels.get(class).cloned().unwrap_or_else(|| format!("LABEL_{class}"))
    }

    pub(crate) fn pooling(&self) -> &'static str {
        match self.model.pooling().0 {
            Pooler::ZeroIndex => "cls",
            Pooler::Max => "max",
            _ => "mean",
        }
    }

    /// Checks the `dimensions` of a request.
    pub(crate) fn dimensions(&self, asked: Option<u32>) -> Result<usize, Problem> {
        let width = self.model.encoder().config().hidden;
        match asked.map(|asked| asked as usize) {
            None => Ok(width),
            Some(asked) if (1..=width).contains(&asked) => Ok(asked),
            Some(asked) => Err(Problem::invalid("dimensions", format!("1 to {width}"), asked)),
        }
    }
}

/// Whether a model can run requests.
#[derive(Clone)]
pub(crate) enum Status {
    Loading,
    Ready(Arc<Loaded>),
    /// The reason why it has to be loaded again.
    Lost(String),
}

/// A status that the model's thread sets and requests read.
#[derive(Clone)]
pub(crate) struct StatusCell(Arc<RwLock<Status>>);

impl StatusCell {
    pub(crate) fn new() -> Self {
        Self(Arc::new(RwLock::new(Status::Loading)))
    }

    pub(crate) fn set(&self, status: Status) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn get(&self) -> Status {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A text of a request.
pub(crate) enum Text {
    One(String),
    Pair(String, String),
    /// The ids of tokens of the model's own tokenizer.
    Ids(Vec<u32>),
}

/// A text with its prompt and its place in the request.
pub(crate) struct Part {
    pub(crate) text: Text,
    pub(crate) prompt: Arc<str>,
    pub(crate) field: &'static str,
    /// The place, if the field is a list.
    pub(crate) place: Option<usize>,
}

impl Part {
    fn name(&self) -> String {
        match self.place {
            Some(place) => format!("{}[{place}]", self.field),
            None => self.field.to_owned(),
        }
    }
}

/// The texts of a request.
pub(crate) struct Asked {
    pub(crate) parts: Vec<Part>,
    pub(crate) cut: Cut,
}

impl Asked {
    /// Returns about how many bytes the tokenizer reads.
    fn bytes(&self) -> usize {
        let bytes = |part: &Part| {
            part.prompt.len()
                + match &part.text {
                    Text::One(text) => text.len(),
                    Text::Pair(first, second) => first.len() + second.len(),
                    Text::Ids(ids) => ids.len() * BYTES_OF_AN_ID,
                }
        };
        self.parts.iter().map(bytes).sum()
    }
}

/// The treatment of a text that is too long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Whether the text is cut. Otherwise it is an error.
    pub(crate) allowed: bool,
    pub(crate) side: Option<CutSide>,
}

/// A model with the name under which it is served.
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) status: StatusCell,
    pub(crate) queue: Arc<Queue>,
    /// Permits for tokenizing long requests, shared by all models: as many as the machine has
    /// threads.
    pub(crate) tokenizers: Arc<Semaphore>,
    pub(crate) most_texts: usize,
}

impl Served {
    /// Returns the model if it can run requests now.
    pub(crate) fn ready(&self) -> Result<Arc<Loaded>, Problem> {
        match self.status.get() {
            Status::Ready(loaded) => Ok(loaded),
            Status::Loading => {
                let message = format!("{} is being loaded; try again soon", self.name);
                Err(Problem::new(Kind::Unavailable, message))
            }
            Status::Lost(reason) => {
                let message = format!("{} is being loaded again: {reason}", self.name);
                Err(Problem::new(Kind::Unavailable, message))
            }
        }
    }

    /// Refuses a list that is empty or too long.
    pub(crate) fn count(&self, field: &str, texts: usize) -> Result<(), Problem> {
        if texts == 0 {
            let message = format!("`{field}` cannot be empty");
            return Err(Problem::new(Kind::Empty, message).about(field));
        }
        if texts > self.most_texts {
            let most = self.most_texts;
            let message = format!("`{field}` has {texts} texts, a request may have {most}");
            return Err(Problem::new(Kind::TooLarge, message).about(field));
        }
        Ok(())
    }

    /// Tokenizes and runs the texts. Returns a row for each text, in their order.
    pub(crate) async fn run(
        &self,
        loaded: Arc<Loaded>,
        work: Work,
        asked: Asked,
        meter: &mut Meter,
    ) -> Result<Vec<Vec<f32>>, Problem> {
        let stopped = || Problem::new(Kind::Unavailable, "the server is stopping");
        let since;
        let tokens = if asked.bytes() <= AT_ONCE {
            since = Instant::now();
            tokenized(&loaded.model, work, &asked)?
        } else {
            let permit = self.tokenizers.clone().acquire_owned().await.map_err(|_| stopped())?;
            since = Instant::now();
            let tokenize = move || {
                let _permit = permit;
                tokenized(&loaded.model, work, &asked)
            };
            tokio::task::spawn_blocking(tokenize).await.map_err(|_| stopped())??
        };
        meter.tokenized(since.elapsed(), &tokens);
        let (reply, answer) = oneshot::channel();
        let (sequences, tokens) = (tokens.sequences, tokens.tokens);
        self.queue.admit(Job { work, sequences, tokens, since: Instant::now(), reply })?;
        let lost = || Problem::new(Kind::Unavailable, "the model's thread ended");
        let answer = answer.await.map_err(|_| lost())??;
        meter.ran(answer.queued, answer.ran);
        Ok(answer.rows)
    }
}

/// The tokens of a request.
pub(crate) struct Tokens {
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) tokens: usize,
    pub(crate) characters: usize,
    /// The number of texts that were cut.
    pub(crate) cut: usize,
}

fn tokenized(model: &FastBert, work: Work, asked: &Asked) -> Result<Tokens, Problem> {
    let tokenizer = model.tokenizer();
    let mut all = Tokens { sequences: Vec::new(), tokens: 0, characters: 0, cut: 0 };
    for part in &asked.parts {
        let field = part.name();
        let named = |problem: Problem| problem.about(field.clone());
        let empty =
            || Err(named(Problem::new(Kind::Empty, format!("`{field}` cannot be an empty text"))));
        let decoded;
        let (first, second) = match &part.text {
            Text::One(text) => (text.as_str(), None),
            Text::Pair(first, second) => (first.as_str(), Some(second.as_str())),
            Text::Ids(ids) => {
                if ids.is_empty() {
                    return empty();
                }
                let known = tokenizer.vocabulary();
                if let Some(id) = ids.iter().find(|id| **id as usize >= known) {
                    let expected = format!("ids of this model's {known} tokens");
                    return Err(Problem::invalid(&field, expected, id));
                }
                decoded = tokenizer.decode(ids).map_err(|error| named(Problem::of(&error)))?;
                (decoded.as_str(), None)
            }
        };
        if first.is_empty() && second.is_none_or(str::is_empty) {
            return empty();
        }
        all.characters += first.chars().count() + second.map_or(0, |second| second.chars().count());
        let second = if work == Work::Classes { model.second(second) } else { second };
        let prompted = format!("{}{first}", part.prompt);
        let read = tokenizer.tokenize(&prompted, second, asked.cut.side);
        let read = read.map_err(|error| named(Problem::of(&error)))?;
        if read.is_cut() && !asked.cut.allowed {
            let message = format!(
                "`{field}` has {} tokens, the model reads at most {}; shorten it, or set `truncate` to have it cut",
                read.whole,
                tokenizer.longest()
            );
            return Err(named(Problem::new(Kind::TooLarge, message)));
        }
        all.cut += usize::from(read.is_cut());
        if read.sequence.ids.is_empty() {
            return empty();
        }
        all.tokens += read.sequence.ids.len();
        all.sequences.push(read.sequence);
    }
    Ok(all)
}
