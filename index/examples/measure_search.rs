//! Times exact search and measures what f16 and int8 lose: `cargo run --release -p cmm-index --example measure_search -- LINES.txt [ROWS] [QUERIES]`.
//!
//! FastMiniLM embeds the file's different lines; the last of them are the queries, and the rest is repeated up to ROWS (1,000,000), each copy with
//! noise of its own, a quarter as long as the vector. An index of each precision is made of the same vectors. recall@10: how many of the ten
//! nearest in f32 an index finds among its ten.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use cmm::{Device, FastBert, normalized};
use cmm_index::{Build, Index, ModelId, Precision, Source};

const TOP: usize = 10;
const NOISE: f32 = 0.25;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: measure_search LINES.txt [ROWS] [QUERIES]";
    let lines = std::fs::read_to_string(arguments.first().ok_or(usage)?)?;
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (rows, queries) = (number(1, 1_000_000)?, number(2, 200)?);
    let mut seen = HashSet::new();
    let lines: Vec<&str> =
        lines.lines().filter(|line| !line.trim().is_empty() && seen.insert(*line)).collect();
    if queries == 0 || lines.len() <= queries {
        return Err(format!(
            "{queries} queries of {} different lines: expected at least one query, and more lines than queries",
            lines.len()
        )
        .into());
    }
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fastminilm");
    let vectors = pollster::block_on(async {
        let model = FastBert::load(Device::Host, model).await?;
        model.embed(&lines).await
    })?;
    let (base, queries) = vectors.split_at(vectors.len() - queries);
    println!(
        "{rows} rows of {} values from {} lines, {} queries, top {TOP}",
        base[0].len(),
        base.len(),
        queries.len()
    );
    let mut nearest: Vec<HashSet<u32>> = Vec::new();
    for precision in [Precision::F32, Precision::F16, Precision::Int8] {
        let dir = tempfile::tempdir()?;
        let since = Instant::now();
        make(dir.path(), precision, base, rows)?;
        let made = since.elapsed().as_secs_f64();
        let since = Instant::now();
        let index = Index::open(dir.path())?;
        let opened = since.elapsed().as_secs_f64();
        let mut times = Vec::new();
        let mut found = 0;
        for (number, query) in queries.iter().enumerate() {
            let since = Instant::now();
            let hits = index.search(query, TOP)?;
            times.push(since.elapsed().as_secs_f64() * 1e3);
            let lines: HashSet<u32> = hits.iter().map(|hit| hit.line).collect();
            if precision == Precision::F32 {
                nearest.push(lines.clone());
            }
            found += lines.intersection(&nearest[number]).count();
        }
        times.sort_by(f64::total_cmp);
        let (median, last) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        let recall = found as f64 / (TOP * queries.len()) as f64;
        println!(
            "{precision}: {median:.1} ms a query (p99 {last:.1}), recall@{TOP} {recall:.4}, opened in {opened:.2} s, made in {made:.1} s"
        );
    }
    Ok(())
}

/// An index of vectors that repeat these, each with noise of its own.
fn make(dir: &Path, precision: Precision, base: &[Vec<f32>], rows: usize) -> Outcome<()> {
    let model = ModelId { name: "measured".into(), fingerprint: "measured".into() };
    let build = Build { model, prompt: String::new(), width: base[0].len(), precision };
    let texts = (1..=rows).map(|row| (row as u32, format!("text {row}"))).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let mut row = 0;
    let embed = |texts: &[&str]| {
        let mut one = |_: &&str| {
            let noise: Vec<f32> = base[0].iter().map(|_| random.f32() - 0.5).collect();
            let vector = normalized(&base[row % base.len()]);
            let noisy = vector.iter().zip(normalized(&noise)).map(|(v, n)| v + NOISE * n);
            row += 1;
            noisy.collect()
        };
        Ok(texts.iter().map(&mut one).collect())
    };
    build.make(dir, &[Source { file: "texts".into(), texts }], embed, |_, _| {})?;
    Ok(())
}
