//! Texts through three stages at once: while the device runs a step, the next one is tokenized and the one before is written.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use cmm::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Failure;

/// How long each stage worked. They overlap, so that their sum may exceed the whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    pub tokenize: Duration,
    pub device: Duration,
    pub write: Duration,
}

/// Runs `tokenize`, `run` and `write` on so many texts at a time, each stage on a thread of its own, `write` on the caller's; with a progress bar where
/// that is more than once. The first that fails ends all.
pub fn in_stages<S: Send, T: Send>(
    texts: &[String],
    step: usize,
    tokenize: impl Fn(&[String]) -> Result<S> + Send,
    run: impl Fn(S) -> Result<T> + Send,
    mut write: impl FnMut(&[String], T) -> std::result::Result<(), Failure>,
) -> std::result::Result<Times, Failure> {
    let progress = ProgressBar::new(texts.len() as u64);
    progress.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} texts, {eta} left")?);
    let mut times = Times::default();
    let (to_run, tokenized) = sync_channel(1);
    let (to_write, done) = sync_channel(1);
    std::thread::scope(|scope| {
        // Sending fails when a later stage has failed: then nobody waits for the rest.
        scope.spawn(move || {
            for texts in texts.chunks(step) {
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
        for (texts, (result, [tokenizing, running])) in texts.chunks(step).zip(done) {
            times.tokenize += tokenizing;
            times.device += running;
            let result = result?;
            // The bar is hidden meanwhile: a terminal would show what is printed in the middle of it.
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
    use super::*;

    fn texts(count: usize) -> Vec<String> {
        (0..count).map(|number| number.to_string()).collect()
    }

    #[test]
    fn every_text_passes_all_stages_in_order() {
        for (count, step) in [(0, 3), (1, 3), (10, 3), (9, 3)] {
            let texts = texts(count);
            let mut written = Vec::new();
            let tokenize = |texts: &[String]| Ok(texts.iter().map(|t| t.len()).collect::<Vec<_>>());
            let write = |texts: &[String], lengths: Vec<usize>| {
                written.extend(texts.iter().cloned().zip(lengths));
                Ok(())
            };
            in_stages(&texts, step, tokenize, Ok, write).unwrap();
            let expected: Vec<_> = texts.iter().map(|text| (text.clone(), text.len())).collect();
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn a_failure_of_any_stage_ends_all_and_what_came_before_it_is_written() {
        for stage in ["tokenize", "run", "write"] {
            let texts = texts(100);
            let failure = |at: &str, text: &str| match at == stage && text == "7" {
                true => Err(cmm::Error::MissingHead { head: stage, found: String::new() }),
                false => Ok(()),
            };
            let mut written = 0;
            let tokenize = |texts: &[String]| {
                failure("tokenize", &texts[0])?;
                Ok(texts[0].clone())
            };
            let run = |text: String| failure("run", &text).map(|()| text);
            let write = |_: &[String], text: String| {
                failure("write", &text)?;
                written += 1;
                Ok(())
            };
            let failed = in_stages(&texts, 1, tokenize, run, write).unwrap_err();
            assert!(failed.to_string().contains(stage), "{failed}");
            assert_eq!(written, 7);
        }
    }
}
