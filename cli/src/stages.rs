//! Passes texts through three stages at once: while the device runs a step, the next step is tokenized and the last one is written.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use cmm::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Failure;

/// How long each stage worked. The stages overlap, so that the sum of their times may exceed the time of the whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    pub tokenize: Duration,
    pub device: Duration,
    pub write: Duration,
}

/// Divides texts into steps of at most `bytes` bytes. A longer text is a step of its own.
pub fn steps(texts: &[String], bytes: usize) -> Vec<&[String]> {
    let (mut steps, mut begin, mut sum) = (Vec::new(), 0, 0);
    for (at, text) in texts.iter().enumerate() {
        if at > begin && sum + text.len() > bytes {
            steps.push(&texts[begin..at]);
            (begin, sum) = (at, 0);
        }
        sum += text.len();
    }
    steps.push(&texts[begin..]);
    steps
}

/// Runs `tokenize`, `run` and `write` on each step, and shows a progress bar. `write` runs on the caller's thread, and the others each on a thread of
/// their own. The first failure ends all of them.
pub fn in_stages<S: Send, T: Send>(
    steps: &[&[String]],
    tokenize: impl Fn(&[String]) -> Result<S> + Send,
    run: impl Fn(S) -> Result<T> + Send,
    mut write: impl FnMut(&[String], T) -> std::result::Result<(), Failure>,
) -> std::result::Result<Times, Failure> {
    let progress = ProgressBar::new(steps.iter().map(|texts| texts.len() as u64).sum());
    progress.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} texts, {eta} left")?);
    progress.tick();
    let mut times = Times::default();
    let (to_run, tokenized) = sync_channel(1);
    let (to_write, done) = sync_channel(1);
    std::thread::scope(|scope| {
        // If a later stage has failed, sending fails too, and nobody waits for the rest.
        scope.spawn(move || {
            for texts in steps {
                let (tokens, took) = timed(|| tokenize(texts));
                let failed = tokens.is_err();
                if to_run.send((tokens, took)).is_err() || failed {
                    return;
                }
            }
        });
        scope.spawn(move || {
            for (tokens, tokenizing) in tokenized {
                let (result, running) = timed(|| tokens.and_then(&run));
                let failed = result.is_err();
                if to_write.send((result, [tokenizing, running])).is_err() || failed {
                    return;
                }
            }
        });
        for (texts, (result, [tokenizing, running])) in steps.iter().zip(done) {
            times.tokenize += tokenizing;
            times.device += running;
            let result = result?;
            // The bar is hidden meanwhile, because a terminal would show printed text in the middle of it.
            let (written, writing) = timed(|| progress.suspend(|| write(texts, result)));
            written?;
            times.write += writing;
            progress.inc(texts.len() as u64);
        }
        progress.finish_and_clear();
        Ok(times)
    })
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let since = Instant::now();
    let result = work();
    (result, since.elapsed())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    /// The most steps that are under way behind the one that is written: one in each channel, and one in each stage.
    const AHEAD: usize = 4;

    fn texts(count: usize) -> Vec<String> {
        (0..count).map(|number| number.to_string()).collect()
    }

    #[test]
    fn steps_are_all_texts_in_order_and_no_longer_than_they_may_be() {
        for (count, bytes) in [(0, 3), (1, 3), (10, 3), (9, 3), (30, 5), (30, 0)] {
            let texts = texts(count);
            let steps = steps(&texts, bytes);
            assert_eq!(steps.concat(), texts);
            let size = |step: &[String]| step.iter().map(String::len).sum::<usize>();
            assert!(steps.iter().all(|step| step.len() < 2 || size(step) <= bytes));
        }
    }

    #[test]
    fn every_text_passes_all_stages_in_order() {
        for (count, bytes) in [(0, 3), (1, 3), (10, 3), (30, 5)] {
            let texts = texts(count);
            let mut written = Vec::new();
            let tokenize = |texts: &[String]| Ok(texts.iter().map(|t| t.len()).collect::<Vec<_>>());
            let write = |texts: &[String], lengths: Vec<usize>| {
                written.extend(texts.iter().cloned().zip(lengths));
                Ok(())
            };
            in_stages(&steps(&texts, bytes), tokenize, Ok, write).unwrap();
            let expected: Vec<_> = texts.iter().map(|text| (text.clone(), text.len())).collect();
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn a_step_is_tokenized_while_the_one_before_runs_and_the_one_before_that_is_written() {
        let texts = texts(3);
        let (began, waits) = channel();
        let (began_run, waits_run) = channel();
        let (waits, waits_run) = (Mutex::new(waits), Mutex::new(waits_run));
        let tokenize = |texts: &[String]| {
            began.send(texts[0].clone()).unwrap();
            Ok(texts[0].clone())
        };
        // Each stage waits for a later step two stages earlier: one stage after the other would wait for ever.
        let run = |text: String| {
            began_run.send(text.clone()).unwrap();
            let waits = waits.lock().unwrap();
            while text == "0" && waits.recv().unwrap() != "1" {}
            Ok(text)
        };
        let write = |_: &[String], text: String| {
            let waits = waits_run.lock().unwrap();
            while text == "0" && waits.recv().unwrap() != "1" {}
            Ok(())
        };
        in_stages(&steps(&texts, 1), tokenize, run, write).unwrap();
    }

    #[test]
    fn a_failure_of_any_stage_ends_all_and_what_came_before_it_is_written() {
        for stage in ["tokenize", "run", "write"] {
            let texts = texts(100);
            let failure = |at: &str, text: &str| match at == stage && text == "7" {
                true => Err(cmm::Error::MissingHead { head: stage, found: String::new() }),
                false => Ok(()),
            };
            let (tokenized, mut written) = (AtomicUsize::new(0), 0);
            let tokenize = |texts: &[String]| {
                failure("tokenize", &texts[0])?;
                tokenized.fetch_add(1, Ordering::Relaxed);
                Ok(texts[0].clone())
            };
            let run = |text: String| failure("run", &text).map(|()| text);
            let write = |_: &[String], text: String| {
                failure("write", &text)?;
                written += 1;
                Ok(())
            };
            let failed = in_stages(&steps(&texts, 1), tokenize, run, write).unwrap_err();
            assert!(failed.to_string().contains(stage), "{failed}");
            assert_eq!(written, 7);
            assert!(tokenized.into_inner() <= written + 1 + AHEAD);
        }
    }
}
