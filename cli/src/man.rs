//! `cmm man`: a manual page for each command.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::help::EXAMPLES;
use crate::output::{Failure, print};
use crate::pending::Pending;

#[derive(Args)]
pub struct Arguments {
    /// The folder to write the pages to, one file for each command [default: all pages go to stdout]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// A manual page and the name of its file, such as `cmm-embed.1`.
struct Page {
    file: String,
    roff: Vec<u8>,
}

pub fn run(arguments: &Arguments, cmm: Command) -> Result<ExitCode, Failure> {
    // `cmm help` is explained by the page of `cmm`.
    let mut cmm = cmm.disable_help_subcommand(true);
    cmm.build();
    let mut pages = Vec::new();
    add(&cmm, &mut pages)?;
    let Some(dir) = &arguments.dir else {
        let all: Vec<u8> = pages.into_iter().flat_map(|page| page.roff).collect();
        print(&String::from_utf8(all)?)?;
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(dir).map_err(|cause| format!("{}: {cause}", dir.display()))?;
    for page in &pages {
        let mut file = Pending::create(&dir.join(&page.file))?;
        file.temporary.write_all(&page.roff).map_err(|cause| format!("{}: {cause}", page.file))?;
        file.finish()?;
    }
    print(&format!("{} pages -> {}\n", pages.len(), dir.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Adds the page of a command and those of its subcommands.
fn add(command: &Command, pages: &mut Vec<Page>) -> Result<(), Failure> {
    // The crate would call the section of examples EXTRA, and fill its lines.
    let without_examples = command.clone().after_help(None::<&'static str>);
    let man = Man::new(without_examples).source(concat!("cmm ", env!("CARGO_PKG_VERSION")));
    let mut roff = Vec::new();
    man.render(&mut roff)?;
    examples(command).to_writer(&mut roff)?;
    pages.push(Page { file: man.get_filename(), roff });
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        add(subcommand, pages)?;
    }
    Ok(())
}

/// The section of examples, whose lines stay as they are.
fn examples(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let Some(text) = command.get_after_help() else { return roff };
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in text.to_string().lines().filter(|line| *line != EXAMPLES) {
        roff.text([roman(line.trim_start())]);
    }
    roff.control("fi", []);
    roff
}
