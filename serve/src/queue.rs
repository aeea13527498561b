//! The queue of a model. It is bounded in tokens and takes whole requests only.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cmm::model::Sequence;
use tokio::sync::oneshot;

use crate::problem::{Kind, Problem};

/// The work that a request asks of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A vector for each sequence, not normalised.
    Vectors,
    /// Scores of the classes for each sequence.
    Classes,
}

/// The sequences of a request.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) sequences: Vec<Sequence>,
    /// The number of tokens of all sequences.
    pub(crate) tokens: usize,
    pub(crate) since: Instant,
    pub(crate) reply: oneshot::Sender<Result<Answer, Problem>>,
}

impl Job {
    /// Returns whether nobody waits for the answer any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// A row for each sequence, and the times of the request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<Vec<f32>>,
    pub(crate) queued: Duration,
    pub(crate) ran: Duration,
}

/// Jobs in the order of their arrival.
pub(crate) struct Queue {
    inside: Mutex<Inside>,
    changed: Condvar,
    /// The number of tokens that may wait and run.
    limit: usize,
}

struct Inside {
    jobs: VecDeque<Job>,
    /// The number of tokens that wait or run.
    tokens: usize,
    /// The reason why nothing is admitted.
    shut: Option<Problem>,
    /// Whether nothing will be admitted ever again.
    ended: bool,
}

impl Queue {
    /// Creates a queue that is shut until the model is loaded.
    pub(crate) fn new(limit: usize) -> Self {
        let shut = Some(Problem::new(Kind::Unavailable, "the model is being loaded"));
        let inside = Inside { jobs: VecDeque::new(), tokens: 0, shut, ended: false };
        Self { inside: Mutex::new(inside), changed: Condvar::new(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits the whole job, or nothing of it.
    pub(crate) fn admit(&self, job: Job) -> Result<(), Problem> {
        let mut inside = self.lock();
        if let Some(problem) = &inside.shut {
            return Err(problem.clone());
        }
        if job.tokens > self.limit {
            let message = format!(
                "the request has {} tokens, but this server admits {} at once; send fewer texts",
                job.tokens, self.limit
            );
            return Err(Problem::new(Kind::TooLarge, message));
        }
        if inside.tokens + job.tokens > self.limit {
            inside.forget_abandoned();
        }
        if inside.tokens + job.tokens > self.limit {
            let message = format!("{} tokens are already waiting; try again later", inside.tokens);
            return Err(Problem::new(Kind::Overloaded, message));
        }
        inside.tokens += job.tokens;
        inside.jobs.push_back(job);
        drop(inside);
        self.changed.notify_one();
        Ok(())
    }

    /// Returns the next job that somebody waits for. With `wait` it waits for one; then `None`
    /// means that the queue has ended.
    pub(crate) fn next(&self, wait: bool, fits: impl Fn(&Job) -> bool) -> Option<Job> {
        let mut inside = self.lock();
        loop {
            while inside.jobs.front().is_some_and(Job::is_abandoned) {
                let gone = inside.jobs.pop_front();
                inside.tokens -= gone.map_or(0, |job| job.tokens);
            }
            match inside.jobs.front() {
                Some(job) if fits(job) => return inside.jobs.pop_front(),
                Some(_) => return None,
                None if !wait || inside.ended => return None,
                None => {
                    inside = self.changed.wait(inside).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Records that a job that was taken is over.
    pub(crate) fn over(&self, tokens: usize) {
        self.lock().tokens -= tokens;
    }

    /// Admits jobs from now on.
    pub(crate) fn open(&self) {
        self.lock().shut = None;
    }

    /// Admits no more jobs, for this reason, which those who wait receive too.
    pub(crate) fn shut(&self, problem: &Problem) {
        let mut inside = self.lock();
        inside.shut = Some(problem.clone());
        for job in std::mem::take(&mut inside.jobs) {
            inside.tokens -= job.tokens;
            let _ = job.reply.send(Err(problem.clone()));
        }
    }

    /// Lets the admitted jobs be answered, and admits no more.
    pub(crate) fn end(&self) {
        let mut inside = self.lock();
        inside.ended = true;
        inside.shut = Some(Problem::new(Kind::Unavailable, "the server is stopping"));
        drop(inside);
        self.changed.notify_all();
    }

    /// Sleeps for this time. Returns early with `true` if the queue ends meanwhile.
    pub(crate) fn ends_within(&self, time: Duration) -> bool {
        let inside = self.lock();
        let slept = self.changed.wait_timeout_while(inside, time, |inside| !inside.ended);
        slept.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    /// Returns the number of requests that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }
}

impl Inside {
    fn forget_abandoned(&mut self) {
        let mut gone = 0;
        self.jobs.retain(|job| {
            gone += if job.is_abandoned() { job.tokens } else { 0 };
            !job.is_abandoned()
        });
        self.tokens -= gone;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(tokens: usize) -> (Job, oneshot::Receiver<Result<Answer, Problem>>) {
        let (reply, answer) = oneshot::channel();
        let sequences = vec![Sequence { ids: vec![1; tokens], ..Sequence::default() }];
        (Job { work: Work::Vectors, sequences, tokens, since: Instant::now(), reply }, answer)
    }

    fn kind(result: Result<(), Problem>) -> Option<Kind> {
        result.err().map(|problem| problem.kind)
    }

    #[test]
    fn jobs_are_admitted_whole_or_not_at_all() {
        let queue = Queue::new(10);
        assert_eq!(kind(queue.admit(job(1).0)), Some(Kind::Unavailable));
        queue.open();
        let (first, _first) = job(6);
        assert_eq!(kind(queue.admit(first)), None);
        assert_eq!(kind(queue.admit(job(11).0)), Some(Kind::TooLarge));
        assert_eq!(kind(queue.admit(job(5).0)), Some(Kind::Overloaded));
        let (second, _second) = job(4);
        assert_eq!(kind(queue.admit(second)), None);
        assert_eq!(queue.len(), 2);
        // Running jobs still count until they are over.
        assert_eq!(queue.next(true, |_| true).map(|job| job.tokens), Some(6));
        assert_eq!(kind(queue.admit(job(1).0)), Some(Kind::Overloaded));
        queue.over(6);
        let (third, _third) = job(6);
        assert_eq!(kind(queue.admit(third)), None);
    }

    #[test]
    fn what_nobody_waits_for_makes_room_and_never_runs() {
        let queue = Queue::new(10);
        queue.open();
        let (gone, answer) = job(8);
        assert_eq!(kind(queue.admit(gone)), None);
        drop(answer);
        let (kept, _kept) = job(9);
        assert_eq!(kind(queue.admit(kept)), None);
        assert_eq!(queue.next(true, |_| true).map(|job| job.tokens), Some(9));
        queue.over(9);
        let (gone, answer) = job(8);
        assert_eq!(kind(queue.admit(gone)), None);
        drop(answer);
        assert!(queue.next(false, |_| true).is_none());
        assert_eq!(queue.lock().tokens, 0);
    }

    #[test]
    fn who_waits_is_told_when_the_model_is_lost_and_the_end_comes_after_the_last() {
        let queue = Queue::new(10);
        queue.open();
        let (lost, mut answer) = job(3);
        assert_eq!(kind(queue.admit(lost)), None);
        queue.shut(&Problem::new(Kind::Unavailable, "lost"));
        assert_eq!(answer.try_recv().unwrap().unwrap_err().message, "lost");
        assert_eq!(kind(queue.admit(job(1).0)), Some(Kind::Unavailable));
        queue.open();
        let (last, _last) = job(3);
        assert_eq!(kind(queue.admit(last)), None);
        queue.end();
        assert_eq!(kind(queue.admit(job(1).0)), Some(Kind::Unavailable));
        assert!(queue.next(true, |_| true).is_some());
        assert!(queue.next(true, |_| true).is_none());
        assert!(queue.ends_within(Duration::from_secs(600)));
    }
}
