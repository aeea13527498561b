//! The command line: results to stdout, progress and errors to stderr.

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Parser, Subcommand};

use crate::output::Failure;
#[cfg(feature = "serve")]
use crate::serve;
use crate::shown::shown;
use crate::{
    bench, check, classify, devices, embed, fill_mask, glue, index, inspect, pending, run, search,
};

/// Conditional matrix multiplication and fast feedforward layers on any GPU.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the GPU adapters, what they can do, and the variant each would get
    Devices(devices::Arguments),
    /// Prove every kernel variant on every adapter against the CPU reference
    Check(check::Arguments),
    /// Measure what CMM buys on this machine, every row checked
    Bench(bench::Arguments),
    /// Run an FFF layer on a file of tokens
    Run(run::Arguments),
    /// Fill the masks of texts with the likeliest tokens
    FillMask(fill_mask::Arguments),
    /// Classify texts
    Classify(classify::Arguments),
    /// Turn texts into vectors
    Embed(embed::EmbedArguments),
    /// How similar two texts are: the cosine of their vectors
    Similarity(embed::SimilarityArguments),
    /// Find the lines that mean what a query means
    Search(search::Arguments),
    /// Keep the vectors of files' lines in a folder that search --index and serve --index search
    Index(index::Arguments),
    /// Answer over HTTP: the routes of OpenAI, text-embeddings-inference, Cohere and Ollama
    #[cfg(feature = "serve")]
    Serve(serve::Arguments),
    /// Evaluate a model on a GLUE task file
    Glue(glue::Arguments),
    /// What a model is made of, and how a text spreads over its leaves
    Inspect(inspect::Arguments),
}

/// Parses the arguments, runs the command, says how it went. A panic, which can only be a fault of ours, is told in one line as any error is;
/// one of a library that became an error is not told at all.
pub fn main() -> ExitCode {
    let told = Arc::new(Mutex::new(String::new()));
    std::panic::set_hook(Box::new({
        let told = told.clone();
        move |panic| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
            log::debug!("{panic}\n{}", std::backtrace::Backtrace::force_capture());
        }
    }));
    std::panic::catch_unwind(run_command).unwrap_or_else(|_| {
        let told = told.lock().unwrap_or_else(PoisonError::into_inner);
        tell(&format!("a fault of cmm itself, please report it: {told}"));
        ExitCode::FAILURE
    })
}

fn run_command() -> ExitCode {
    let command = Arguments::parse().command;
    #[cfg(feature = "serve")]
    if let Command::Serve(arguments) = &command {
        // It has signals of its own: what was accepted is answered first.
        return told(serve::run(arguments));
    }
    pending::remove_on_signals();
    let result = match command {
        #[cfg(feature = "serve")]
        Command::Serve(_) => Ok(ExitCode::FAILURE),
        Command::Index(arguments) => pollster::block_on(index::run(&arguments)),
        Command::Devices(arguments) => pollster::block_on(devices::run(&arguments)),
        Command::Check(arguments) => pollster::block_on(check::run(&arguments)),
        Command::Bench(arguments) => pollster::block_on(bench::run(&arguments)),
        Command::Run(arguments) => pollster::block_on(run::run(&arguments)),
        Command::FillMask(arguments) => pollster::block_on(fill_mask::run(&arguments)),
        Command::Classify(arguments) => pollster::block_on(classify::run(&arguments)),
        Command::Embed(arguments) => pollster::block_on(embed::embed(&arguments)),
        Command::Similarity(arguments) => pollster::block_on(embed::similarity(&arguments)),
        Command::Search(arguments) => pollster::block_on(search::run(&arguments)),
        Command::Glue(arguments) => pollster::block_on(glue::run(&arguments)),
        Command::Inspect(arguments) => pollster::block_on(inspect::run(&arguments)),
    };
    told(result)
}

/// The exit code; a failure is told.
fn told(result: Result<ExitCode, Failure>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(failure) if is_broken_pipe(&*failure) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

/// An error in one line, whatever a driver or compiler put into its message.
fn tell(message: &str) {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(std::io::stderr(), "error: {}", shown(&line));
}

fn is_broken_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    failure
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
