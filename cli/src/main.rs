//! The `cmm` command: parse, run, exit code.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod bench;
mod check;
mod classify;
mod command;
mod device;
mod devices;
mod embed;
mod fill_mask;
mod glue;
mod hub;
mod hub_cache;
mod hub_client;
mod hub_settings;
mod index;
mod inspect;
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
mod text_in;

use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_drivers();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off")).init();
    command::main()
}

/// Keeps Mesa's layer for choosing among Vulkan devices from asking a Wayland compositor, which prints a line of its own where
/// there is none. Which device is used is chosen here.
#[allow(unsafe_code, reason = "the environment is changed by an unsafe function")]
fn quiet_drivers() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none()
        && std::env::var_os("NODEVICE_SELECT").is_none()
    {
        // SAFETY: this is the first thing that the process does: no other thread reads the environment yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}
