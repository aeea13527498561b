//! `cmm serve`: models over HTTP.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use cmm_serve::{Limits, ModelSource, SearchSource, Settings};
use tokio::net::TcpListener;

use crate::help::{LIMITS, MODEL, SERVER};
use crate::index::{model_id, open_index};
use crate::model::{LoadArguments, SHIPPED, model_folder, named_folder};
use crate::output::{Failure, print};

/// The exit code of a process that a second signal ends at once: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// There is one HTTP thread for this many cores if nothing else is asked for. On two cores a second one took 2 to 9 % of the throughput of a model on the
/// CPU, whose threads wait for each other.
const CORES_OF_A_THREAD: usize = 4;

#[derive(Args)]
pub struct Arguments {
    /// A model: a folder or a hub id, or NAME=MODEL [default: fastminilm]
    ///
    /// Requests name the model by NAME, or else by its folder's name or its hub id. The option may be given several times; where a request names no
    /// model, the first one answers.
    #[arg(short, long = "model", value_name = "[NAME=]MODEL", help_heading = MODEL)]
    models: Vec<String>,
    #[command(flatten)]
    how: LoadArguments,
    /// The folder that `cmm index` made with one of the models, for /search
    #[arg(long, value_name = "DIR", help_heading = MODEL)]
    index: Option<PathBuf>,
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1", help_heading = SERVER)]
    host: String,
    /// The port to listen on; 0 takes any that is free
    ///
    /// The address is the only line on stdout.
    #[arg(short, long, default_value_t = 3000, help_heading = SERVER)]
    port: u16,
    /// The key that every request must bring, as Authorization: Bearer KEY
    #[arg(long, value_name = "KEY", env = "CMM_API_KEY", hide_env_values = true, help_heading = SERVER)]
    api_key: Option<String>,
    /// An origin whose pages may ask, or * [default: none]
    ///
    /// The option may be given several times.
    #[arg(long, value_name = "ORIGIN", help_heading = SERVER)]
    cors_origin: Vec<String>,
    /// Cut texts that are too long, unless the request says otherwise
    ///
    /// The header x-cmm-truncated of the answer tells so. Without this option, texts that are too long are errors.
    #[arg(long, help_heading = SERVER)]
    auto_truncate: bool,
    /// The threads that speak HTTP [default: one for every four cores]
    ///
    /// They tokenize short texts, too.
    #[arg(long, value_name = "THREADS", value_parser = clap::value_parser!(u16).range(1..), help_heading = SERVER)]
    http_threads: Option<u16>,
    /// The level of the log on stderr, which is JSON: error, warn, info or debug
    ///
    /// Every request is logged at info.
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = SERVER)]
    log: tracing::Level,
    /// The most bytes of a request's body
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().body_bytes, help_heading = LIMITS)]
    max_body_bytes: usize,
    /// The most texts of a request
    #[arg(long, value_name = "TEXTS", default_value_t = Limits::default().texts, help_heading = LIMITS)]
    max_texts: usize,
    /// The most requests at once; the next is answered with 429
    ///
    /// Requests that are read, wait or run are counted.
    #[arg(long, value_name = "REQUESTS", default_value_t = Limits::default().requests, help_heading = LIMITS)]
    max_requests: usize,
    /// The most tokens that wait or run for a model; more are answered with 429
    #[arg(long, value_name = "TOKENS", default_value_t = Limits::default().tokens, help_heading = LIMITS)]
    max_queue_tokens: usize,
    /// The most open connections
    #[arg(long, value_name = "CONNECTIONS", default_value_t = Limits::default().connections, help_heading = LIMITS)]
    max_connections: usize,
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
        let index = open_index(dir)?;
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
    // Nobody waits for threads that still load a model.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

/// The name that requests use for a model, and the model.
fn name_and_place(model: &str) -> Result<(String, String), Failure> {
    if let Some((name, place)) = model.split_once('=') {
        if name.is_empty() || place.is_empty() {
            return Err(format!("--model {model}: expected NAME=MODEL, or MODEL alone").into());
        }
        return Ok((name.into(), place.into()));
    }
    let name = match named_folder(Path::new(model)) {
        Some(folder) => {
            folder.canonicalize()?.file_name().map(|name| name.to_string_lossy().into_owned())
        }
        None => None,
    };
    Ok((name.unwrap_or_else(|| model.into()), model.into()))
}

/// Waits for the first SIGTERM or SIGINT. The second one ends the process at once.
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
