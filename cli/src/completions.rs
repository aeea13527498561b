//! `cmm completions`: a script by which a shell completes commands and options.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use crate::output::{Failure, print};

#[derive(Args)]
pub struct Arguments {
    /// The shell that the script is for
    shell: Shell,
}

pub fn run(arguments: &Arguments, mut cmm: Command) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut cmm, "cmm", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(ExitCode::SUCCESS)
}
