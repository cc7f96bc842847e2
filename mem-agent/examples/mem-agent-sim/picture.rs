//! The day as a picture.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::day::{Day, MIB, SAMPLE, Sample, TOTAL_MIB};

const SIZE: (u32, u32) = (1_100, 860);
/// Where the second and the third diagram begin.
const BREAKS: [i32; 2] = [470, 670];
const FONT: &str = "sans-serif";

const IN_USE: RGBColor = RGBColor(46, 104, 168);
const COLD: RGBColor = RGBColor(158, 197, 232);
const WITHOUT: RGBColor = RGBColor(90, 90, 90);
const REPORTABLE: RGBColor = RGBColor(46, 139, 87);
const TAKEN: RGBColor = RGBColor(216, 120, 30);
const COMPACTED: RGBColor = RGBColor(120, 60, 150);
const PRESSURE: RGBColor = RGBColor(190, 40, 50);

/// What is drawn of a sample.
type Value = fn(&Sample) -> u64;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// An SVG file to be drawn.
pub(crate) struct Picture {
    path: PathBuf,
    file: File,
}

impl Picture {
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, file })
    }

    /// Draws it, and tells where it is.
    ///
    /// # Errors
    ///
    /// It cannot be drawn or written.
    pub(crate) fn draw(mut self, day: &Day, without: &Day) -> Result<PathBuf> {
        let mut text = String::new();
        draw_text(&mut text, day, without).map_err(|error| anyhow!("cannot draw: {error}"))?;
        self.file
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(self.path)
    }
}

fn draw_text(
    text: &mut String,
    day: &Day,
    without: &Day,
) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (top, rest) = area.split_vertically(BREAKS[0]);
    let (middle, bottom) = rest.split_vertically(BREAKS[1] - BREAKS[0]);
    memory(&top, day, without)?;
    actions(&middle, day)?;
    pressure(&bottom, day)?;
    area.present()?;
    Ok(())
}

/// What is in memory.
fn memory(area: &Area<'_>, day: &Day, without: &Day) -> Result<(), Box<dyn std::error::Error>> {
    // With room for the legend.
    let top = TOTAL_MIB as f64 / 1_024.0 * 1.28;
    let mut chart = ChartBuilder::on(area)
        .caption(
            "A day of a pod in a machine of 4 GiB: memory in GiB",
            (FONT, 20),
        )
        .margin(10)
        .margin_right(30)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..24.0, 0.0..top)?;
    chart
        .configure_mesh()
        .x_labels(13)
        .x_label_formatter(&hour)
        .y_labels(11)
        .label_style((FONT, 13))
        .light_line_style(WHITE)
        .draw()?;
    let series = |day: &Day, value: Value| -> Vec<(f64, f64)> {
        let samples = day.samples.iter();
        samples
            .map(|sample| (hours(sample), gib(value(sample))))
            .collect()
    };
    let areas: [(&str, RGBColor, Value); 2] = [
        ("cold", COLD, |sample| sample.resident),
        ("in use", IN_USE, |sample| sample.resident - sample.cold),
    ];
    for (name, color, value) in areas {
        chart
            .draw_series(AreaSeries::new(series(day, value), 0.0, color))?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 16, y + 5)], color.filled()));
    }
    let lines: [(&str, RGBColor, &Day, Value); 2] = [
        ("resident without the agent", WITHOUT, without, |sample| {
            sample.resident
        }),
        ("free for the host", REPORTABLE, day, |sample| {
            sample.reportable
        }),
    ];
    for (name, color, day, value) in lines {
        chart
            .draw_series(LineSeries::new(series(day, value), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(WITHOUT)
        .label_font((FONT, 13))
        .draw()?;
    Ok(())
}

/// What the agent did.
fn actions(area: &Area<'_>, day: &Day) -> Result<(), Box<dyn std::error::Error>> {
    let most = day.samples.iter().map(|sample| sample.actions.reclaimed);
    let top = (most.max().unwrap_or(0) as f64 / MIB as f64 * 1.25).max(10.0);
    let mut chart = ChartBuilder::on(area)
        .caption(
            "Taken by the agent, in MiB per 5 minutes (bars); memory compacted (triangles)",
            (FONT, 16),
        )
        .margin(10)
        .margin_right(30)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..24.0, 0.0..top)?;
    chart
        .configure_mesh()
        .x_labels(13)
        .x_label_formatter(&hour)
        .y_labels(5)
        .y_label_formatter(&|mib| format!("{mib:.0}"))
        .label_style((FONT, 13))
        .light_line_style(WHITE)
        .draw()?;
    let width = SAMPLE as f64 / 3_600.0;
    let bars = day.samples.iter().map(|sample| {
        let taken = sample.actions.reclaimed as f64 / MIB as f64;
        let right = hours(sample);
        Rectangle::new([(right - width, 0.0), (right, taken)], TAKEN.filled())
    });
    chart.draw_series(bars)?;
    let compacted = day.samples.iter();
    let compacted = compacted.filter(|sample| sample.actions.compactions > 0);
    chart
        .draw_series(compacted.map(|sample| {
            TriangleMarker::new((hours(sample), top * 0.93), 4, COMPACTED.filled())
        }))?;
    Ok(())
}

/// How long tasks stalled.
fn pressure(area: &Area<'_>, day: &Day) -> Result<(), Box<dyn std::error::Error>> {
    let most = day.samples.iter().map(|sample| sample.psi_permille).max();
    let top = (most.unwrap_or(0) as f64 / 10.0 * 1.25).max(2.0);
    let mut chart = ChartBuilder::on(area)
        .caption(
            "Pressure of the whole machine (PSI, some), in %",
            (FONT, 16),
        )
        .margin(10)
        .margin_right(30)
        .x_label_area_size(45)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..24.0, 0.0..top)?;
    chart
        .configure_mesh()
        .x_labels(13)
        .x_label_formatter(&hour)
        .x_desc("time of day")
        .y_labels(5)
        .label_style((FONT, 13))
        .light_line_style(WHITE)
        .draw()?;
    let samples = day.samples.iter();
    let line = samples.map(|sample| (hours(sample), sample.psi_permille as f64 / 10.0));
    chart.draw_series(LineSeries::new(line, PRESSURE.stroke_width(2)))?;
    Ok(())
}

fn hours(sample: &Sample) -> f64 {
    sample.time as f64 / 3_600.0
}

fn hour(hours: &f64) -> String {
    format!("{hours:02.0}:00")
}

fn gib(pages: u64) -> f64 {
    pages as f64 / (1_024 * MIB) as f64
}
