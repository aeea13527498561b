//! The thread of a model. It loads the model, runs the waiting jobs, and loads the model again if
//! its device was lost.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cmm::model::Sequence;
use cmm::{Error, FastBert};

use crate::metrics::{Metrics, ModelMetrics};
use crate::model::{Loaded, Status, StatusCell};
use crate::problem::{Kind, Problem};
use crate::queue::{Answer, Job, Queue, Work};
use crate::settings::ModelSource;

/// The time that the thread waits before it loads a model again: at first, and at most.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

pub(crate) struct Worker {
    pub(crate) source: ModelSource,
    pub(crate) status: StatusCell,
    pub(crate) queue: Arc<Queue>,
    pub(crate) metrics: Arc<Metrics>,
}

/// A job that has begun, or is about to begin.
struct Active {
    job: Job,
    rows: Vec<Vec<f32>>,
    begun: Option<Instant>,
    ran: Duration,
}

/// The reason why a model stopped running.
enum Stopped {
    /// The queue has ended and is empty.
    Ended,
    /// The device, or the model's own state, cannot be used any more.
    Lost(String),
}

impl Worker {
    /// Runs until the queue ends. `first` receives the result of the first loading.
    pub(crate) fn run(self, first: impl FnOnce(Result<(), String>)) {
        let mut first = Some(first);
        let mut wait = WAITS[0];
        let name = &self.source.name;
        loop {
            let since = Instant::now();
            let loaded = guarded(|| (self.source.load)()).and_then(Loaded::new);
            let reason = match loaded {
                Ok(loaded) => {
                    let seconds = since.elapsed().as_secs_f64();
                    tracing::info!(model = name, seconds, "the model is loaded");
                    wait = WAITS[0];
                    let loaded = Arc::new(loaded);
                    self.status.set(Status::Ready(loaded.clone()));
                    self.queue.open();
                    if let Some(first) = first.take() {
                        first(Ok(()));
                    }
                    match self.serve(&loaded.model) {
                        Stopped::Ended => return,
                        Stopped::Lost(reason) => reason,
                    }
                }
                Err(reason) => match first.take() {
                    Some(first) => return first(Err(reason)),
                    None => reason,
                },
            };
            // The queue is shut before anybody is told, so nothing is admitted that would never
            // run.
            let message = format!("{name} is being loaded again: {reason}");
            self.queue.shut(&Problem::new(Kind::Unavailable, message));
            self.status.set(Status::Lost(reason.clone()));
            let seconds = wait.as_secs_f64();
            tracing::error!(
                model = name,
                reason,
                seconds,
                "the model was lost and is being loaded again"
            );
            if self.queue.ends_within(wait) {
                return;
            }
            wait = (wait * 2).min(WAITS[1]);
        }
    }

    fn serve(&self, model: &FastBert) -> Stopped {
        let metrics = self.metrics.model(&self.source.name);
        let mut active: VecDeque<Active> = VecDeque::new();
        loop {
            self.gather(&mut active, model.batch_tokens());
            let Some(work) = active.front().map(|active| active.job.work) else {
                return Stopped::Ended;
            };
            let (sequences, takes) = chosen(&active, model.batch_tokens());
            metrics.batch(sequences.len(), sequences.iter().map(|s| s.ids.len()).sum());
            metrics.waiting(self.queue.len());
            let begun = Instant::now();
            let rows = run(model, work, &sequences);
            let took = begun.elapsed();
            let rows = match rows {
                Ok(rows) => rows,
                Err(Failed::Lost(reason)) => {
                    let message = format!("{} is being loaded again: {reason}", self.source.name);
                    let problem = Problem::new(Kind::Unavailable, message);
                    self.queue.shut(&problem);
                    for active in active.drain(..) {
                        self.answer(active, Err(problem.clone()), &metrics);
                    }
                    return Stopped::Lost(reason);
                }
            };
            let mut rows = rows.into_iter();
            // A job with a row that failed is over at once, and its other sequences never run.
            let mut failed: Vec<(usize, Problem)> = Vec::new();
            for (index, count) in takes.iter().copied().enumerate() {
                let active = &mut active[index];
                active.begun.get_or_insert(begun);
                active.ran += took;
                for row in rows.by_ref().take(count) {
                    match row {
                        Ok(row) => active.rows.push(row),
                        Err(problem) => failed.push((index, problem)),
                    }
                }
            }
            for index in (0..takes.len()).rev() {
                let problem = failed.iter().find(|(of, _)| *of == index).map(|(_, p)| p.clone());
                if problem.is_none() && active[index].rows.len() < active[index].job.sequences.len()
                {
                    continue;
                }
                if let Some(active) = active.remove(index) {
                    self.answer(active, problem.map_or(Ok(()), Err), &metrics);
                }
            }
        }
    }

    /// Takes jobs of the same kind as the first one until a batch is full. Waits if there is none.
    fn gather(&self, active: &mut VecDeque<Active>, budget: usize) {
        active.retain(|active| {
            let gone = active.job.is_abandoned();
            if gone {
                self.queue.over(active.job.tokens);
            }
            !gone
        });
        let left = |active: &Active| -> usize {
            active.job.sequences[active.rows.len()..].iter().map(|s| s.ids.len()).sum()
        };
        let mut tokens: usize = active.iter().map(left).sum();
        while tokens < budget {
            let work = active.front().map(|active| active.job.work);
            let fits = |job: &Job| work.is_none_or(|work| work == job.work);
            let Some(job) = self.queue.next(active.is_empty(), fits) else { return };
            tokens += job.tokens;
            active.push_back(Active { job, rows: Vec::new(), begun: None, ran: Duration::ZERO });
        }
    }

    fn answer(&self, active: Active, result: Result<(), Problem>, metrics: &ModelMetrics) {
        self.queue.over(active.job.tokens);
        let queued = active.begun.map_or_else(
            || active.job.since.elapsed(),
            |begun| begun.duration_since(active.job.since),
        );
        metrics.waiting(self.queue.len());
        let answer = result.map(|()| Answer { rows: active.rows, queued, ran: active.ran });
        // Nobody may be waiting any more.
        let _ = active.job.reply.send(answer);
    }
}

/// Returns the sequences of the next batch, and how many of them belong to each job: as many as the
/// budget holds, at least one.
fn chosen(active: &VecDeque<Active>, budget: usize) -> (Vec<Sequence>, Vec<usize>) {
    let mut sequences: Vec<Sequence> = Vec::new();
    let mut takes = Vec::new();
    let mut tokens = 0;
    for active in active {
        let mut count = 0;
        for sequence in &active.job.sequences[active.rows.len()..] {
            if !sequences.is_empty() && tokens + sequence.ids.len() > budget {
                break;
            }
            tokens += sequence.ids.len();
            sequences.push(sequence.clone());
            count += 1;
        }
        takes.push(count);
        if active.rows.len() + count < active.job.sequences.len() {
            break;
        }
    }
    (sequences, takes)
}

/// The failure after which no waiting job can run.
enum Failed {
    Lost(String),
}

/// Returns a row for each sequence. If the batch fails, each sequence runs alone, so that the
/// failure of one text does not affect the others.
fn run(
    model: &FastBert,
    work: Work,
    sequences: &[Sequence],
) -> Result<Vec<Result<Vec<f32>, Problem>>, Failed> {
    let once = |sequences: &[Sequence]| {
        let rows = guarded(|| {
            Ok(pollster::block_on(async {
                match work {
                    Work::Vectors => model.pool_sequences(sequences).await,
                    Work::Classes => model.classify_sequences(sequences).await,
                }
            }))
        });
        match rows.map_err(Failed::Lost)? {
            Err(error @ Error::DeviceLost { .. }) => Err(Failed::Lost(error.to_string())),
            other => Ok(other),
        }
    };
    match once(sequences)? {
        Ok(rows) => Ok(rows.into_iter().map(Ok).collect()),
        Err(error) if sequences.len() == 1 => Ok(vec![Err(Problem::of(&error))]),
        Err(_) => {
            let alone = |sequence: &Sequence| match once(std::slice::from_ref(sequence))? {
                Ok(mut rows) => Ok(rows.pop().ok_or_else(|| Problem::new(Kind::Backend, "no row"))),
                Err(error) => Ok(Err(Problem::of(&error))),
            };
            sequences.iter().map(alone).collect()
        }
    }
}

/// Turns a panic into an error. After one, the state of the model cannot be relied on.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason");
        Err(format!("a fault of cmm itself: {text}"))
    })
}
