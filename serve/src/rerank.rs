//! Orders texts by how well they answer a query, for `/rerank` and `/v1/rerank`.

use crate::embedding::{Run, cosines, parts};
use crate::model::{Cut, Text};
use crate::problem::{Kind, Problem};

/// A request to rank texts.
pub(crate) struct Rerank {
    pub(crate) query: String,
    pub(crate) texts: Vec<String>,
    /// The field of the request that holds the texts.
    pub(crate) field: &'static str,
    pub(crate) raw_scores: bool,
    pub(crate) cut: Cut,
}

/// Returns the places and scores of the texts, the best first. A head with one output scores each
/// pair. Without a head the score is the cosine of vectors, with the model's prompts for queries
/// and documents. A head with several classes ranks nothing.
pub(crate) async fn ranked(
    run: &mut Run<'_>,
    rerank: Rerank,
) -> Result<Vec<(usize, f64)>, Problem> {
    let Rerank { query, texts, field, raw_scores, cut } = rerank;
    if query.is_empty() {
        return Err(Problem::new(Kind::Empty, "`query` cannot be an empty text").about("query"));
    }
    if let Some(index) = texts.iter().position(String::is_empty) {
        let field = format!("{field}[{index}]");
        return Err(
            Problem::new(Kind::Empty, format!("`{field}` cannot be an empty text")).about(field)
        );
    }
    let scores: Vec<f64> = match run.loaded.classes {
        Some(_) if run.loaded.is_reranker() => {
            let pairs = texts.into_iter().map(|text| Text::Pair(query.clone(), text));
            let rows = run.scores(parts(pairs, true, field, ""), cut).await?;
            let config = run.loaded.model.encoder().config();
            let score = |row: Vec<f32>| match raw_scores {
                true => row.first().copied().map(f64::from),
                false => config.probabilities(&row).first().copied(),
            };
            rows.into_iter().filter_map(score).collect()
        }
        Some(classes) => {
            let name = &run.served.name;
            let message = format!("{name} has a head of {classes} classes, which ranks no texts");
            return Err(Problem::new(Kind::Backend, message));
        }
        None => {
            let prompts = run.loaded.model.prompts();
            let [first, other] =
                [prompts.for_queries(), prompts.for_documents()].map(str::to_owned);
            let mut all = parts([Text::One(query)], false, "query", &first);
            all.extend(parts(texts.into_iter().map(Text::One), true, field, &other));
            cosines(&run.vectors(all, cut).await?)
        }
    };
    let mut ranks: Vec<_> = scores.into_iter().enumerate().collect();
    ranks.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(ranks)
}
