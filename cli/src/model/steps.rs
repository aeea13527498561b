//! A model's work in steps, with a progress bar.

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Failure;

/// The texts of a step.
const TEXTS_PER_STEP: usize = 2048;

/// Runs `work` on the texts step by step, and shows a progress bar.
pub async fn in_steps<T>(
    texts: &[String],
    mut work: impl AsyncFnMut(&[&str]) -> cmm::Result<Vec<T>>,
) -> Result<Vec<T>, Failure> {
    let work = async |texts: &[String]| {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        work(&texts).await
    };
    items_in_steps(texts, work).await
}

/// Does the same as [`in_steps`] with items of any type.
pub async fn items_in_steps<I, T>(
    items: &[I],
    mut work: impl AsyncFnMut(&[I]) -> cmm::Result<Vec<T>>,
) -> Result<Vec<T>, Failure> {
    let mut results = Vec::with_capacity(items.len());
    let progress = ProgressBar::new(items.len() as u64);
    progress.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} texts, {eta} left")?);
    for items in items.chunks(TEXTS_PER_STEP) {
        results.extend(work(items).await?);
        progress.inc(items.len() as u64);
    }
    progress.finish_and_clear();
    Ok(results)
}
