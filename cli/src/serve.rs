//! `cmm serve`: models over HTTP.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use cmm_index::Index;
use cmm_serve::{Limits, ModelSource, SearchSource, Settings};
use tokio::net::TcpListener;

use crate::hub::{SHIPPED, model_folder};
use crate::index::model_id;
use crate::model::LoadArguments;
use crate::output::{Failure, print};

/// Exit code of a process that a second signal ends at once: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Where nothing else is asked for, there is one HTTP thread for so many cores. On two cores a second one took 2 to 9 % of the throughput of a model on the
/// CPU, whose threads wait for each other.
const CORES_OF_A_THREAD: usize = 4;

#[derive(Args)]
pub struct Arguments {
    /// A model's folder or hub id; `NAME=` before it is what requests call it [default: fastminilm]. Several times for several models: the first answers
    /// where a request names none
    #[arg(long = "model", value_name = "[NAME=]DIR or ID")]
    models: Vec<String>,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The port; 0 for any that is free. The address is the only line on stdout
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// What every request must bring: Authorization: Bearer KEY
    #[arg(long, value_name = "KEY", env = "CMM_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// An origin whose pages may ask, or * [default: none]
    #[arg(long, value_name = "ORIGIN")]
    cors_origin: Vec<String>,
    /// Cut texts that are too long where a request does not say, and tell so in x-cmm-truncated; else they are errors
    #[arg(long)]
    auto_truncate: bool,
    /// What /search searches: a folder that `cmm index` made with one of the models
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,
    /// Bytes of a request's body, at most
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_bytes)]
    max_body_bytes: usize,
    /// Texts of a request, at most
    #[arg(long, value_name = "TEXTS", default_value_t = Limits::default().texts)]
    max_texts: usize,
    /// Requests that are read, wait or run, at most: above it 429
    #[arg(long, value_name = "REQUESTS", default_value_t = Limits::default().requests)]
    max_requests: usize,
    /// Tokens of a model's requests that wait or run, at most: above it 429
    #[arg(long, value_name = "TOKENS", default_value_t = Limits::default().tokens)]
    max_queue_tokens: usize,
    /// Open connections, at most
    #[arg(long, value_name = "CONNECTIONS", default_value_t = Limits::default().connections)]
    max_connections: usize,
    /// Threads that speak HTTP and tokenize short texts [default: one for every four cores, at least one]
    #[arg(long, value_name = "THREADS", value_parser = clap::value_parser!(u16).range(1..))]
    http_threads: Option<u16>,
    /// What is logged to stderr, as JSON: error, warn, info (every request) or debug
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: tracing::Level,
    #[command(flatten)]
    how: LoadArguments,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let logs = tracing_subscriber::fmt().json().flatten_event(true).with_max_level(arguments.log);
    tracing::subscriber::set_global_default(logs.with_writer(std::io::stderr).finish())?;
    let named: Vec<(String, String)> = match &arguments.models[..] {
        [] => vec![(SHIPPED.into(), SHIPPED.into())],
        models => models.iter().map(|model| name_and_place(model)).collect::<Result<_, _>>()?,
    };
    let mut sources = Vec::new();
    for (name, place) in &named {
        let (folder, how) = (model_folder(place)?, arguments.how.clone());
        let load =
            move || pollster::block_on(how.load(&folder)).map_err(|failure| failure.to_string());
        sources.push(ModelSource { name: name.clone(), load: Box::new(load) });
    }
    let search = arguments.index.as_deref().map(|dir| -> Result<_, Failure> {
        let index = Index::open(dir)?;
        for (model, (_, place)) in named.iter().enumerate() {
            if index.belongs_to(&model_id(place)?.1, dir).is_ok() {
                return Ok(SearchSource { model, index });
            }
        }
        let made_by = &index.model().name;
        Err(format!(
            "{}: the index is of model {made_by}, which is not served; add --model",
            dir.display()
        )
        .into())
    });
    let search = search.transpose()?;
    let mut settings = Settings::default();
    settings.key = arguments.api_key.clone();
    settings.cors = arguments.cors_origin.clone();
    settings.cut = arguments.auto_truncate;
    settings.limits.body_bytes = arguments.max_body_bytes;
    settings.limits.texts = arguments.max_texts;
    settings.limits.requests = arguments.max_requests;
    settings.limits.tokens = arguments.max_queue_tokens;
    settings.limits.connections = arguments.max_connections;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.http_threads.map_or((cores / CORES_OF_A_THREAD).max(1), usize::from);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(threads).enable_all().build()?;
    let result = runtime.block_on(async {
        let place = (arguments.host.as_str(), arguments.port);
        let refused =
            |cause| format!("{}:{}: {cause}; choose another --host or --port", place.0, place.1);
        let listener = TcpListener::bind(place).await.map_err(refused)?;
        let stop = stop()?;
        print(&format!("http://{}\n", listener.local_addr()?))?;
        Ok(cmm_serve::serve(listener, sources, search, settings, stop).await?)
    });
    // Threads that still load are not waited for.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

/// What requests call a model, and where it is.
fn name_and_place(model: &str) -> Result<(String, String), Failure> {
    if let Some((name, place)) = model.split_once('=') {
        if name.is_empty() || place.is_empty() {
            return Err(format!("--model {model}: expected NAME=DIR, or DIR alone").into());
        }
        return Ok((name.into(), place.into()));
    }
    let folder = std::path::Path::new(model);
    let name = match folder.is_dir() {
        true => folder.canonicalize()?.file_name().map(|name| name.to_string_lossy().into_owned()),
        false => None,
    };
    Ok((name.unwrap_or_else(|| model.into()), model.into()))
}

/// Comes with the first SIGTERM or SIGINT; the second ends the process at once.
fn stop() -> Result<impl Future<Output = ()>, Failure> {
    #[cfg(unix)]
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut next = async move || {
        #[cfg(unix)]
        tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    };
    Ok(async move {
        next().await;
        tokio::spawn(async move {
            next().await;
            std::process::exit(INTERRUPTED);
        });
    })
}
