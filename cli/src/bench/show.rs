//! Results of `cmm bench` as a table, Markdown, CSV, JSON or a page, and two of them side by side.

use std::io::Write;
use std::path::Path;

use cmm::bench::{self, Machine, PAPER, Peaks, Report, compare};

use super::arguments::{FormArguments, Format};
use crate::output::{Failure, print};
use crate::pending::Pending;
use crate::shown::shown;
use crate::table::{row, table};

pub fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
}

/// Writes a file, which gets its name when it is whole.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = Pending::create(path)?;
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    file.temporary.write_all(text.as_bytes()).map_err(failed)?;
    file.finish()?;
    Ok(())
}

/// Prints a report in the form that is asked for, and writes its page.
pub fn finish(report: &Report, form: &FormArguments) -> Result<(), Failure> {
    if let Some(path) = &form.html {
        write(path, &bench::html(report)?)?;
    }
    let rows = bench::table(report);
    match form.format {
        Format::Json => print(&json(report)),
        Format::Csv => {
            let quoted = |cell: &String| match cell.contains([',', '"', '\n', '\r']) {
                true => format!("\"{}\"", shown(cell).replace('"', "\"\"")),
                false => shown(cell).into_owned(),
            };
            let lines = rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(","));
            for note in bench::notes(report) {
                eprintln!("{}", shown(&note));
            }
            print(&(lines.collect::<Vec<_>>().join("\n") + "\n"))
        }
        Format::Md => {
            let cell = |cell: &String| shown(cell).replace('|', "\\|");
            let line = |row: &Vec<String>| {
                format!("| {} |\n", row.iter().map(cell).collect::<Vec<_>>().join(" | "))
            };
            let mut text = line(&rows[0]) + &"|---".repeat(rows[0].len()) + "|\n";
            text.extend(rows[1..].iter().map(line));
            for note in bench::notes(report) {
                text.push_str(&format!("\n{}\n", shown(&note)));
            }
            print(&text)
        }
        Format::Table => {
            let mut text = machine_lines(report);
            text.push_str(&table(&rows));
            for note in bench::notes(report) {
                text.push_str(&format!("{}\n", shown(&note)));
            }
            if report.measurements.iter().any(|row| row.workload == "bert-base") {
                text.push_str(
                    "\nThe paper's table 2 (BERT-base layer, batch 16,384) for comparison:\n",
                );
                for (what, ratio) in PAPER {
                    text.push_str(&format!("  {ratio:7.2}x  {what}\n"));
                }
            }
            print(&text)
        }
    }
}

fn machine_lines(report: &Report) -> String {
    let Machine { adapter, kind, backend, driver, system, threads, .. } = &report.machine;
    let machine = format!("{adapter} ({kind}, {backend}, {driver}), {system}");
    let mut text = shown(&machine).into_owned();
    if *threads > 0 {
        text.push_str(&format!(", {threads} CPU threads"));
    }
    text.push('\n');
    if let Some(Peaks { copy, f32, f16, dispatch, .. }) = &report.peaks {
        let tera = |rate: f64| format!("{:.2} TFLOP/s", rate * 1e-12);
        text.push_str(&format!(
            "measured: copy {:.0} GB/s, f32 {}, f16 {}, empty dispatch {:.2} us\n",
            copy * 1e-9,
            tera(*f32),
            f16.map_or("none".into(), tera),
            dispatch * 1e6,
        ));
    }
    text + "\n"
}

/// The rows that two reports have in common, side by side.
pub fn compared(a: &Report, b: &Report) -> Result<String, Failure> {
    let rows = compare(a, b);
    if rows.is_empty() {
        return Err("the two files have no row in common: measure the same layers".into());
    }
    let mut lines = vec![row([&"", &a.machine.adapter, &b.machine.adapter, &"second is", &""])];
    for compared in rows {
        let [x, y] = compared.seconds;
        let us = |seconds: f64| format!("{:.2} us", seconds * 1e6);
        let ratio =
            if y <= x { format!("{:.2}x faster", x / y) } else { format!("{:.2}x slower", y / x) };
        let noise = if compared.beyond_noise { "" } else { "within noise" };
        lines.push(row([&compared.what, &us(x), &us(y), &ratio, &noise]));
    }
    Ok(table(&lines))
}
