//! Help, completions and manual pages, as a person meets them first.

use std::process::{Command, Output};

fn cmm(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cmm")).args(arguments).output().unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = cmm(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that `cmm --help` lists.
fn commands() -> Vec<String> {
    let help = stdout(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // The description of a command may go on in the next line, which begins further to the right.
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn help_ends_with_examples_and_short_help_fits_a_terminal() {
    let commands = commands();
    assert!(
        ["embed", "search", "index", "bench", "completions", "man"]
            .iter()
            .all(|name| commands.iter().any(|command| command == name))
    );
    for command in commands.iter().filter(|command| *command != "help") {
        for help in ["-h", "--help"] {
            let text = stdout(&[command, help]);
            assert!(text.contains("\nExamples:\n  cmm "), "{command}: {text}");
            for line in text.lines() {
                assert!(line.chars().count() <= 100, "{command} {help}: {line}");
            }
        }
    }
    let short = stdout(&["embed", "-h"]);
    for heading in ["Input:", "Model:", "Device:", "Output:"] {
        assert!(short.lines().any(|line| line == heading), "{short}");
    }
    let model = short.lines().find(|line| line.contains("--model")).unwrap();
    assert!(model.ends_with("a folder or a hub id [default: one that comes with cmm]"), "{model}");
}

#[test]
fn completions_know_commands_and_options_in_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stdout(&["completions", shell]);
        for word in ["fill-mask", "batch-tokens", "cmm"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let unknown = cmm(&["completions", "csh"]);
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("fish"));
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("share/man1");
    stdout(&["man", pages.to_str().unwrap()]);
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    assert!(page("cmm.1").contains(".SH EXAMPLES"));
    for command in commands().iter().filter(|command| *command != "help") {
        let page = page(&format!("cmm-{command}.1"));
        let synopsis = format!("cmm {}", command.replace('-', "\\-"));
        for part in [&synopsis, ".SH EXAMPLES", ".SH NAME"] {
            assert!(page.contains(part), "{command} {part}: {page}");
        }
    }
    assert!(page("cmm-bench-show.1").contains("\\-\\-html"));
    // Without a folder, the same pages go to stdout, that of `cmm` first.
    let all = stdout(&["man"]);
    assert!(all.starts_with(&page("cmm.1")) && all.contains(&page("cmm-embed.1")));
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = cmm(&["man", file.to_str().unwrap()]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).starts_with("error: "));
}

/// The README shows the library without the lines around it that a compiler needs; those are in the library's own front page.
#[test]
fn the_rust_lines_of_the_readme_stand_in_an_example_that_is_compiled() {
    let [readme, library] = [include_str!("../../README.md"), include_str!("../../src/lib.rs")];
    let code = |line: &str| line.split(" // ").next().unwrap_or_default().trim().to_owned();
    let compiled: Vec<_> = library
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .map(|line| code(line.trim_start_matches("# ")))
        .collect();
    let block = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let lines: Vec<_> = block
        .lines()
        .map(code)
        .filter(|line| !line.is_empty() && !line.starts_with("use "))
        .collect();
    assert!(lines.len() > 5);
    for line in lines {
        assert!(compiled.contains(&line), "{line}");
    }
}
