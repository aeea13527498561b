//! The tasks: their columns, classes and metrics.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::glue::{accuracy, f1, matthews, pearson, spearman};

/// A task of GLUE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// STS-B: how similar two sentences are, from 0 to 5.
    Stsb,
    /// SST-2: whether a sentence is positive.
    Sst2,
    /// CoLA: whether a sentence is acceptable English.
    Cola,
    /// RTE: whether one sentence entails the other.
    Rte,
    /// MRPC: whether two sentences say the same.
    Mrpc,
    /// QQP: whether two questions ask the same.
    Qqp,
    /// QNLI: whether a sentence answers a question.
    Qnli,
    /// MNLI: whether a sentence entails another, contradicts it, or does neither.
    Mnli,
    /// WNLI: whether a pronoun means what the second sentence says.
    Wnli,
}

/// A metric of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Pearson's correlation of values.
    Pearson,
    /// Spearman's correlation, of ranks.
    Spearman,
    /// The share of right classes.
    Accuracy,
    /// The harmonic mean of precision and recall of class 1.
    F1,
    /// Matthews' correlation coefficient.
    Matthews,
}

/// The names that a column may have.
pub(crate) type Column = &'static [&'static str];

impl Task {
    /// All tasks.
    pub const ALL: [Self; 9] = [
        Self::Stsb,
        Self::Sst2,
        Self::Cola,
        Self::Rte,
        Self::Mrpc,
        Self::Qqp,
        Self::Qnli,
        Self::Mnli,
        Self::Wnli,
    ];

    /// Returns the task's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stsb => "stsb",
            Self::Sst2 => "sst2",
            Self::Cola => "cola",
            Self::Rte => "rte",
            Self::Mrpc => "mrpc",
            Self::Qqp => "qqp",
            Self::Qnli => "qnli",
            Self::Mnli => "mnli",
            Self::Wnli => "wnli",
        }
    }

    /// Returns the names of the classes in the order of their numbers; empty if the target is a
    /// number.
    pub fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Stsb => &[],
            Self::Rte | Self::Qnli => &["entailment", "not_entailment"],
            Self::Mnli => &["entailment", "neutral", "contradiction"],
            Self::Sst2 | Self::Cola | Self::Mrpc | Self::Qqp | Self::Wnli => &["0", "1"],
        }
    }

    /// Returns other names that models give the classes, in the order of [`Task::classes`].
    fn meanings(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Sst2 => &[&["negative", "neg"], &["positive", "pos"]],
            Self::Cola => &[&["unacceptable"], &["acceptable"]],
            Self::Mrpc => &[&["not_equivalent", "not_paraphrase"], &["equivalent", "paraphrase"]],
            Self::Qqp => &[&["not_duplicate", "different"], &["duplicate", "same"]],
            Self::Wnli => &[&["not_entailment"], &["entailment"]],
            Self::Rte | Self::Qnli => &[&["entail"], &["not_entail", "notentailment"]],
            Self::Mnli => &[&["entail"], &[], &["contradict"]],
            Self::Stsb => &[],
        }
    }

    /// Returns the task's number for each class of a model. `labels` are the model's names for its
    /// classes, as [`EncoderConfig::labels`] has them. `LABEL_1` means 1; without any names the
    /// model has the task's own order.
    ///
    /// [`EncoderConfig::labels`]: crate::model::EncoderConfig::labels
    ///
    /// # Errors
    /// Returns [`Error::Input`] if a name means none of the classes, or if two names mean the same
    /// class.
    pub fn order(self, labels: &[String]) -> Result<Vec<usize>> {
        let classes = self.classes();
        let class = |label: &String| {
            let name = label.trim().to_lowercase().replace([' ', '-'], "_");
            if let Some(number) = name.strip_prefix("label_") {
                return number.parse().ok().filter(|class| *class < classes.len());
            }
            let meant = |names: &&[&str]| names.contains(&name.as_str());
            let own = classes.iter().position(|class| *class == name);
            own.or_else(|| self.meanings().iter().position(meant))
        };
        if labels.is_empty() {
            return Ok((0..classes.len()).collect());
        }
        let order: Option<Vec<usize>> = labels.iter().map(class).collect();
        let once = |order: &Vec<usize>| (0..classes.len()).all(|class| order.contains(&class));
        order.filter(|order| order.len() == classes.len() && once(order)).ok_or_else(|| {
            let names = classes.iter().enumerate().map(|(number, class)| {
                let meanings = self.meanings().get(number).copied().unwrap_or_default();
                [&[*class], meanings].concat().join(" or ")
            });
            let expected = names.collect::<Vec<_>>().join(", ");
            let what = format!("names of the model's classes (id2label) for {}", self.name());
            Error::input(what, expected, labels.join(", "))
        })
    }

    /// Returns the task's metrics.
    pub fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Stsb => &[Metric::Pearson, Metric::Spearman],
            Self::Cola => &[Metric::Matthews],
            Self::Mrpc | Self::Qqp => &[Metric::Accuracy, Metric::F1],
            Self::Sst2 | Self::Rte | Self::Qnli | Self::Mnli | Self::Wnli => &[Metric::Accuracy],
        }
    }

    /// Returns the columns of a file with a header: the first text, the second one if there is one,
    /// and the target.
    pub(crate) fn columns(self) -> (Column, Option<Column>, Column) {
        const SENTENCES: (Column, Option<Column>) = (&["sentence1"], Some(&["sentence2"]));
        let ((first, second), target): (_, Column) = match self {
            Self::Stsb => (SENTENCES, &["score", "label"]),
            Self::Sst2 | Self::Cola => {
                ((&["sentence", "content", "text"] as Column, None), &["label"])
            }
            Self::Rte | Self::Wnli => (SENTENCES, &["label"]),
            Self::Mnli => (
                (&["sentence1", "premise"] as Column, Some(&["sentence2", "hypothesis"] as Column)),
                &["gold_label", "label"],
            ),
            Self::Mrpc => (
                (
                    &["#1 String", "sentence1"] as Column,
                    Some(&["#2 String", "sentence2"] as Column),
                ),
                &["Quality", "label"],
            ),
            Self::Qqp => (
                (&["question1"] as Column, Some(&["question2"] as Column)),
                &["is_duplicate", "label"],
            ),
            Self::Qnli => ((&["question"] as Column, Some(&["sentence"] as Column)), &["label"]),
        };
        (first, second, target)
    }
}

impl Metric {
    /// Computes the metric of predictions against targets, which are class numbers or values.
    pub fn of(self, predictions: &[f64], targets: &[f64]) -> f64 {
        match self {
            Self::Pearson => pearson(predictions, targets),
            Self::Spearman => spearman(predictions, targets),
            Self::Accuracy => accuracy(predictions, targets),
            Self::F1 => f1(predictions, targets),
            Self::Matthews => matthews(predictions, targets),
        }
    }

    /// Returns the metric's name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
            Self::Accuracy => "accuracy",
            Self::F1 => "f1",
            Self::Matthews => "matthews",
        }
    }
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|task| task.name() == text)
            .ok_or_else(|| Error::input("task", Self::ALL.map(Self::name).join(", "), text))
    }
}
