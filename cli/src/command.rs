//! The command line: results go to stdout, progress and errors to stderr.

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{CommandFactory, Parser, Subcommand};

use crate::output::Failure;
#[cfg(feature = "serve")]
use crate::serve;
use crate::shown::shown;
use crate::{
    bench, check, classify, completions, devices, embed, fill_mask, glue, help, index, inspect,
    man, pending, run, search,
};

/// Embed, search and classify texts with fast feedforward (FFF) models, on any GPU or on the CPU.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100, after_help = help::CMM)]
#[command(name = "cmm", bin_name = "cmm")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Turn texts into vectors
    #[command(after_help = help::EMBED)]
    Embed(embed::EmbedArguments),
    /// Print how similar two texts are, by the cosine of their vectors
    #[command(after_help = help::SIMILARITY)]
    Similarity(embed::SimilarityArguments),
    /// Find the lines of files that mean what a query means
    #[command(after_help = help::SEARCH)]
    #[command(mut_arg("prompt_name", |name| name.help("The name of the model's prompt before the query [default: its own choice]")))]
    #[command(mut_arg("prompt", |prompt| prompt.help("The text that is put before the query")))]
    Search(search::Arguments),
    /// Keep the vectors of the lines of files in a folder, for `cmm search --index`
    #[command(after_help = help::INDEX)]
    Index(index::Arguments),
    /// Answer over HTTP as OpenAI, text-embeddings-inference, Cohere and Ollama do
    #[cfg(feature = "serve")]
    #[command(after_help = help::SERVE)]
    Serve(serve::Arguments),
    /// Classify texts
    #[command(after_help = help::CLASSIFY)]
    Classify(classify::Arguments),
    /// Fill the masks of texts with the likeliest tokens, by a model that you name
    #[command(after_help = help::FILL_MASK)]
    #[command(mut_arg("model", |model| model.help(help::MASK_MODEL).long_help(help::MASK_MODEL_LONG)))]
    FillMask(fill_mask::Arguments),
    /// Show the parts of a model, and how a text spreads over its leaves
    #[command(after_help = help::INSPECT)]
    Inspect(inspect::Arguments),
    /// Evaluate a model on a file of a GLUE task
    #[command(after_help = help::GLUE)]
    Glue(glue::Arguments),
    /// List the GPU adapters, their features, and the kernel variant of each
    #[command(after_help = help::DEVICES)]
    Devices(devices::Arguments),
    /// Check every kernel variant on every adapter against the CPU reference
    #[command(after_help = help::CHECK)]
    Check(check::Arguments),
    /// Measure conditional against dense matrix multiplication, and check every row
    #[command(after_help = help::BENCH)]
    Bench(bench::Arguments),
    /// Run an FFF layer on a file of tokens
    #[command(after_help = help::RUN)]
    Run(run::Arguments),
    /// Print a script that completes commands and options in a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions(completions::Arguments),
    /// Write the manual pages
    #[command(after_help = help::MAN)]
    Man(man::Arguments),
}

/// Parses the arguments, runs the command, and says how it went. A panic, which can only be a fault of cmm itself, is told in one line as any error is;
/// a panic in a library that became an error is not told at all.
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
        tell(&format!("this is a fault of cmm itself, please report it: {told}"));
        ExitCode::FAILURE
    })
}

fn run_command() -> ExitCode {
    let command = Arguments::parse().command;
    #[cfg(feature = "serve")]
    if let Command::Serve(arguments) = &command {
        // The server handles signals itself: it first answers the requests that it accepted.
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
        Command::Completions(arguments) => completions::run(&arguments, Arguments::command()),
        Command::Man(arguments) => man::run(&arguments, Arguments::command()),
    };
    told(result)
}

/// The exit code of a command; its failure is told.
fn told(result: Result<ExitCode, Failure>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(failure) if is_broken_pipe(&*failure) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&with_next_step(&failure));
            ExitCode::FAILURE
        }
    }
}

/// Returns the text of a failure, with the next step where what failed does not know it.
fn with_next_step(failure: &Failure) -> String {
    let text = failure.to_string();
    let step = match failure.downcast_ref() {
        Some(cmm::Error::MissingHead { .. }) => "; name a model with such a head by --model",
        _ if text.ends_with("(os error 2)") => "; is the path right?",
        _ => "",
    };
    text + step
}

/// Prints an error in one line, even if a driver or compiler put several into its message.
fn tell(message: &str) {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(std::io::stderr(), "error: {}", shown(&line));
}

fn is_broken_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    failure
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a line as a shell makes them, up to a pipe or a redirection.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in line.trim().chars() {
            match c {
                '"' => quoted = !quoted,
                '|' | '>' if !quoted => break,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().unwrap().push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn every_command_has_examples_and_each_of_them_is_understood() {
        Arguments::command().debug_assert();
        let cmm = Arguments::command();
        let of_bench = cmm.get_subcommands().flat_map(|command| command.get_subcommands());
        for command in cmm.get_subcommands().chain(of_bench).chain([&cmm]) {
            let name = command.get_name();
            let help = command.get_after_help().unwrap_or_else(|| panic!("{name}")).to_string();
            let mut lines = help.lines();
            assert_eq!(lines.next(), Some(help::EXAMPLES), "{name}");
            let examples: Vec<_> = lines.filter(|line| line.starts_with("  cmm ")).collect();
            assert!(!examples.is_empty(), "{name}");
            for example in examples {
                let parsed = Arguments::try_parse_from(words(example));
                assert!(parsed.is_ok(), "{example}: {}", parsed.err().unwrap());
            }
        }
    }

    /// Short help is read in a terminal 100 columns wide: each option in one line, each under a heading that says what it is about.
    #[test]
    fn every_option_has_a_heading_and_one_short_line() {
        let cmm = Arguments::command();
        for command in cmm.get_subcommands() {
            for option in command.get_arguments().filter(|option| !option.is_positional()) {
                let name = format!("{} --{}", command.get_name(), option.get_id());
                assert!(option.get_help_heading().is_some(), "{name}");
                let help = option.get_help().unwrap_or_else(|| panic!("{name}")).to_string();
                assert!(help.chars().count() <= 78, "{name}: {help}");
            }
        }
    }

    #[test]
    fn output_names_where_results_go_in_every_command_that_writes_files() {
        let cmm = Arguments::command();
        for name in ["embed", "index", "bench", "run"] {
            let command = cmm.find_subcommand(name).unwrap();
            let output = command.get_arguments().find(|option| option.get_id() == "output");
            let output = output.unwrap_or_else(|| panic!("{name}"));
            assert_eq!((output.get_long(), output.get_short()), (Some("output"), Some('o')));
            assert!(output.get_all_aliases().unwrap_or_default().contains(&"out"), "{name}");
        }
    }
}
