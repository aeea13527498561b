//! A report as a single page with charts. It opens from disk, has no script and fetches nothing.

use plotters::prelude::*;

use crate::bench::table::short;
use crate::bench::{Computation, Measurement, Report, Unit, notes, table};
use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::fff::FffForm;

const SIZE: (u32, u32) = (760, 440);
/// This grey is readable on white and on black.
const TEXT: RGBColor = RGBColor(128, 128, 128);
const COLOURS: [RGBColor; 6] = [
    RGBColor(42, 139, 219),
    RGBColor(230, 126, 34),
    RGBColor(39, 174, 96),
    RGBColor(192, 57, 143),
    RGBColor(149, 117, 205),
    RGBColor(160, 140, 50),
];

/// Named points of a chart.
type Series = Vec<(String, Vec<(f64, f64)>)>;

/// Writes a report as a page with charts.
///
/// # Errors
/// Returns [`Error::Input`] if a chart cannot be drawn.
pub fn html(report: &Report) -> Result<String> {
    let mut charts = String::new();
    let mut workloads: Vec<&str> =
        report.measurements.iter().map(|row| &row.workload[..]).collect();
    workloads.dedup();
    for workload in workloads {
        let rows: Vec<&Measurement> = report
            .measurements
            .iter()
            .filter(|row| row.workload == workload && row.is_sound())
            .collect();
        charts.push_str(&format!("<h2>{}</h2>\n", escaped(workload)));
        let by_tokens = series(&rows, |row| Some((row.tokens as f64, row.seconds.median * 1e6)));
        // A gain over a dense layer that runs badly is none, so a chart leaves it out.
        let faster = series(&rows, |row| {
            let ratio = report.speed_up(row)?.best_dense;
            (!ratio.weak_rival).then_some((row.tokens as f64, ratio.times))
        });
        let by_depth = depths(report, &rows);
        let roofline = roofline(report, &rows);
        for (title, x, y, series) in [
            (
                "Time of a forward: where lines cross, another layer becomes the fastest",
                "tokens",
                "us",
                by_tokens,
            ),
            ("Times faster than the best dense layer measured here", "tokens", "x", faster),
            ("Times faster than the best dense layer, by depth", "depth", "x", by_depth),
            ("Roofline: arithmetic against intensity", "FLOP / byte", "GFLOP/s", roofline),
        ] {
            if series.iter().any(|(_, points)| points.len() > 1) {
                charts.push_str(&chart(title, x, y, &series)?);
            }
        }
    }
    let rows = table(report);
    let line = |cells: &Vec<String>, tag: &str| {
        let cells: String =
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let body: String = rows[1..].iter().map(|row| line(row, "td")).collect();
    let machine = &report.machine;
    let peaks = report.peaks.map_or(String::new(), |peaks| {
        format!(
            "<p>Measured first: copy {} GB/s, f32 {} TFLOP/s, f16 {}, empty dispatch {} us.</p>",
            short(peaks.copy * 1e-9),
            short(peaks.f32 * 1e-12),
            peaks.f16.map_or("none".into(), |rate| format!("{} TFLOP/s", short(rate * 1e-12))),
            short(peaks.dispatch * 1e6),
        )
    });
    let incomplete =
        if report.complete { "" } else { "<p><strong>This run was interrupted.</strong></p>" };
    let notes: String =
        notes(report).iter().map(|note| format!("<p>{}</p>\n", escaped(note))).collect();
    Ok(format!(
        include_str!("page.html"),
        adapter = escaped(&machine.adapter),
        machine = escaped(&format!(
            "{}, {}, {}, {}",
            machine.kind, machine.backend, machine.driver, machine.system
        )),
        command = escaped(&report.command),
        commit = escaped(report.commit.as_deref().unwrap_or(&report.version)),
        peaks = peaks,
        incomplete = incomplete,
        notes = notes,
        charts = charts,
        head = line(&rows[0], "th"),
        body = body,
    ))
}

fn name(row: &Measurement) -> String {
    let unit = if row.unit == Unit::Gpu { "GPU" } else { "CPU" };
    let precision = match (row.precision, row.activations) {
        (Precision::F32, _) => "f32",
        (Precision::F16, Precision::F32) => "f16 weights",
        (Precision::F16, Precision::F16) => "f16 weights, x and y",
    };
    format!("{unit} {}, {precision}", row.computation)
}

/// Returns a line for each unit, layer and precision.
fn series(rows: &[&Measurement], point: impl Fn(&Measurement) -> Option<(f64, f64)>) -> Series {
    let mut series = Series::new();
    for row in rows {
        let Some(point) = point(row) else { continue };
        let name = name(row);
        match series.iter_mut().find(|(other, _)| *other == name) {
            Some((_, points)) => points.push(point),
            None => series.push((name, vec![point])),
        }
    }
    series
}

/// Returns the speed-up against depth for each batch size, where a workload has several depths.
fn depths(report: &Report, rows: &[&Measurement]) -> Series {
    let mut series = Series::new();
    for row in rows {
        let Computation::Cmm { depth, form, .. } = row.computation else { continue };
        let Some(ratio) = report.speed_up(row).map(|s| s.best_dense.times) else { continue };
        let form = match form {
            FffForm::Published => "",
            FffForm::Signed => "signed ",
            // Another depth changes the number of leaves, not what a token engages.
            FffForm::Leaf(_) => continue,
        };
        let name = format!("{:?} {form}{} tokens {:?}", row.unit, row.tokens, row.precision);
        let point = ((depth + 1) as f64, ratio);
        match series.iter_mut().find(|(other, _)| *other == name) {
            Some((_, points)) => points.push(point),
            None => series.push((name, vec![point])),
        }
    }
    series.retain(|(_, points)| points.iter().any(|(depth, _)| *depth != points[0].0));
    series
}

fn roofline(report: &Report, rows: &[&Measurement]) -> Series {
    let gpu: Vec<&Measurement> = rows.iter().copied().filter(|row| row.unit == Unit::Gpu).collect();
    let Some(peaks) = report.peaks.filter(|_| !gpu.is_empty()) else { return Series::new() };
    let mut series =
        series(&gpu, |row| Some((row.flops / row.bytes, row.flops / row.seconds.median * 1e-9)));
    let roof = [0.05, 0.25, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0];
    let height = |x: f64| (x * peaks.copy).min(peaks.f32) * 1e-9;
    series.push(("measured f32 roof".into(), roof.map(|x| (x, height(x))).to_vec()));
    series
}

/// Draws a chart with logarithmic axes.
fn chart(title: &str, x: &str, y: &str, series: &Series) -> Result<String> {
    // The ticks of an axis are drawn decade by decade: without these bounds, a peak in a damaged
    // file could ask for endless ones.
    let drawable = |value: f64| (1e-15..1e30).contains(&value);
    let drawn = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        points.iter().copied().filter(|(x, y)| drawable(*x) && drawable(*y)).collect()
    };
    let series: Series =
        series.iter().map(|(name, points)| (name.clone(), drawn(points))).collect();
    let points = || series.iter().flat_map(|(_, points)| points);
    if points().count() < 2 {
        return Ok(String::new());
    }
    let range = |value: fn(&(f64, f64)) -> f64| {
        let (least, most) =
            points().map(value).fold((f64::INFINITY, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
        (least / 1.5)..(most * 1.5)
    };
    let mut svg = String::new();
    {
        let failed = |e: DrawingAreaErrorKind<_>| Error::input("a chart", "a drawing", e);
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let label = ("sans-serif", 14).into_font().color(&TEXT);
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption(title, ("sans-serif", 17).into_font().color(&TEXT))
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(range(|p| p.0).log_scale(), range(|p| p.1).log_scale())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .x_desc(x)
            .y_desc(y)
            .axis_style(TEXT)
            .label_style(label.clone())
            .bold_line_style(TEXT.mix(0.3))
            .light_line_style(TEXT.mix(0.08))
            .x_label_formatter(&|v| short(*v))
            .y_label_formatter(&|v| short(*v))
            .draw()
            .map_err(failed)?;
        for ((name, points), colour) in series.iter().zip(COLOURS.iter().cycle()) {
            let points = points.iter().copied();
            chart
                .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))
                .map_err(failed)?
                .label(name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3))
                });
            chart
                .draw_series(points.map(|point| Circle::new(point, 3, colour.filled())))
                .map_err(failed)?;
        }
        chart
            .configure_series_labels()
            .label_font(label)
            .position(SeriesLabelPosition::UpperLeft)
            .draw()
            .map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(format!("<figure>{svg}</figure>\n"))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
