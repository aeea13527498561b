//! The `cmm` command.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod bench;
mod check;
mod classify;
mod command;
mod completions;
mod device;
mod devices;
mod embed;
mod fill_mask;
mod glue;
mod help;
mod index;
mod inspect;
mod man;
mod model;
mod npy;
mod output;
mod pending;
mod prompt;
mod run;
mod search;
#[cfg(feature = "serve")]
mod serve;
mod shown;
mod stages;
mod table;
mod tensor_in;
mod tensor_out;
mod texts;

use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_drivers();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off")).init();
    command::main()
}

/// Keeps Mesa's layer for choosing among Vulkan devices from asking a Wayland compositor: where there is none, the layer prints a line of its own.
/// cmm chooses the device itself.
#[allow(unsafe_code, reason = "the environment is changed by an unsafe function")]
fn quiet_drivers() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none()
        && std::env::var_os("NODEVICE_SELECT").is_none()
    {
        // SAFETY: this is the first thing that the process does: no other thread reads the environment yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
