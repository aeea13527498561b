//! Records the commit that is being built, where there is a git repository; benchmark results name it.

use std::path::Path;
use std::process::Command;

fn main() {
    // A package from a registry has no repository of its own, and one around it is another's.
    if !Path::new(".git").exists() {
        return;
    }
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/logs/HEAD");
    // What is built may differ from the commit: then it says so.
    for path in ["build.rs", "src", "shaders", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit =
        Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]).output();
    if let Ok(output) = commit
        && output.status.success()
        && let Ok(commit) = String::from_utf8(output.stdout)
    {
        println!("cargo::rustc-env=CMM_COMMIT={}", commit.trim());
    }
}
