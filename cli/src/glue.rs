//! `cmm glue`: a model on the file of a GLUE task, by the metric of the task.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use cmm::FastBert;
use cmm::glue::{Example, Metric, Task, read};
use cmm::model::Head;
use serde_json::json;

use crate::help::{INPUT, OUTPUT};
use crate::model::{ModelArguments, SHIPPED, SHIPPED_CLASSIFIER, in_steps, items_in_steps};
use crate::output::{Failure, print};
use crate::table::{row, table};

#[derive(Args)]
pub struct Arguments {
    /// The task: stsb, sst2, cola, rte, mrpc, qqp, qnli, mnli or wnli
    #[arg(long, help_heading = INPUT)]
    task: Task,
    /// The file of the task, as the benchmark distributes it
    #[arg(long, value_name = "FILE", aliases = ["in", "file", "input"], help_heading = INPUT)]
    data: PathBuf,
    #[command(flatten)]
    model: ModelArguments,
    /// Print the result as JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let task = arguments.task;
    let examples = read(task, &arguments.data)?;
    let default = if task == Task::Sst2 { SHIPPED_CLASSIFIER } else { SHIPPED };
    let model_arguments = arguments.model.or(default);
    let model = model_arguments.load().await?;
    let headed = matches!(model.encoder().config().head, Head::Classifier { .. });
    let (by, predictions) = match (task.classes(), headed) {
        ([], false) => ("cosine", cosines(&model, &examples).await?),
        ([], true) => ("head", values(&model, &examples).await?),
        _ => ("head", classified(&model, task, &examples).await?),
    };
    let targets: Vec<f64> = examples.iter().map(|example| example.target).collect();
    let results = task.metrics().iter().map(|metric| (*metric, metric.of(&predictions, &targets)));
    let results: Vec<(Metric, f64)> = results.collect();
    let text = if arguments.json {
        let metrics: serde_json::Map<_, _> =
            results.iter().map(|(metric, value)| (metric.name().into(), json!(value))).collect();
        let line = json!({
            "task": task, "data": arguments.data, "model": model_arguments.name(),
            "examples": examples.len(), "by": by, "metrics": metrics,
        });
        line.to_string() + "\n"
    } else {
        let mut rows = vec![row([&"task", &"examples", &"by", &"metric", &"value"])];
        for (metric, value) in &results {
            let value = format!("{value:.4}");
            rows.push(row([&task.name(), &examples.len(), &by, &metric.name(), &value]));
        }
        table(&rows)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The cosine of the vectors of each example's two texts.
async fn cosines(model: &FastBert, examples: &[Example]) -> Result<Vec<f64>, Failure> {
    let second = |example: &Example| example.second.clone().unwrap_or_default();
    let texts: Vec<String> =
        examples.iter().flat_map(|example| [example.first.clone(), second(example)]).collect();
    let vectors = in_steps(&texts, async |texts| model.embed(texts).await).await?;
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let cosine = |pair: &[Vec<f32>]| {
        let [a, b] = pair else { return f64::NAN };
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    Ok(vectors.chunks(2).map(cosine).collect())
}

async fn scores(model: &FastBert, examples: &[Example]) -> Result<Vec<Vec<f32>>, Failure> {
    items_in_steps(examples, async |examples: &[Example]| {
        let pairs: Vec<_> =
            examples.iter().map(|e| (e.first.as_str(), e.second.as_deref())).collect();
        model.classify_pairs(&pairs).await
    })
    .await
}

/// The output of a head that has one.
async fn values(model: &FastBert, examples: &[Example]) -> Result<Vec<f64>, Failure> {
    let scores = scores(model, examples).await?;
    match scores.iter().find(|scores| scores.len() != 1) {
        None => Ok(scores.iter().map(|scores| f64::from(scores[0])).collect()),
        Some(scores) => Err(format!(
            "the head gives {} classes; this task needs one value, or a checkpoint without a head",
            scores.len()
        )
        .into()),
    }
}

/// The number of each example's likeliest class, in the order of the task.
async fn classified(
    model: &FastBert,
    task: Task,
    examples: &[Example],
) -> Result<Vec<f64>, Failure> {
    let classes = task.classes();
    let scores = scores(model, examples).await?;
    if let Some(scores) = scores.iter().find(|scores| scores.len() != classes.len()) {
        let (found, wanted) = (scores.len(), classes.len());
        return Err(format!("the head gives {found} classes; this task has {wanted}").into());
    }
    let order = task.order(&model.encoder().config().labels)?;
    let likeliest = |scores: &Vec<f32>| {
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        best.map_or(f64::NAN, |best| order[best] as f64)
    };
    Ok(scores.iter().map(likeliest).collect())
}
