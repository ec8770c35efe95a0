//! Draws the Evaluate tab.
//!
//! ```text
//! evaluation                    BLEU-1  BLEU-4  ROUGE-L  CIDEr-D   beam 3, dev
//! > base merge-001/dev-best      0.610   0.187    0.440    0.458
//!        inject-001/dev-best    -0.021  -0.014*  -0.014*  -0.068*
//! CIDEr-D of each image          | the worst by CIDEr-D
//! 0.0-0.4 ######################  | 0.000  1000268201.jpg  a dog is running
//! ```

use crate::evaluation::{Against, Compared, Report};
use crate::metrics::{DisplayLevel, Metric};
use crate::text::{counted, display_safe};
use crate::tui::tabs::evaluate::state::{ImageOrder, ListedImage};
use crate::tui::tabs::listing::PaneFocus;
use crate::tui::widgets::{list, text};
use crate::tui::{Action, App, EvaluationListing, KeyContext, Theme};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use std::num::NonZeroUsize;

/// Columns of a score, and the least for the mark and the name of an evaluation.
const SCORE: u16 = 8;
const NAME: u16 = 24;
const BINS: NonZeroUsize = NonZeroUsize::new(8).expect("eight bins");
const SELECTED: u16 = 5;
/// Columns of the histogram, and of its bars.
const DISTRIBUTION: u16 = 30;
const BAR: usize = 12;

/// Table, details of the selected evaluation, histogram, images.
fn layout(area: Rect, rows: usize) -> [Rect; 4] {
    let table = (rows as u16 + 1).min(area.height / 2).max(3);
    let [table, details, below] = Layout::vertical([
        Constraint::Length(table),
        Constraint::Length(3),
        Constraint::Min(1),
    ])
    .areas(area);
    let [distribution, images] = Layout::horizontal([Constraint::Length(DISTRIBUTION), Constraint::Min(1)])
        .spacing(2)
        .areas(below);
    [table, details, distribution, images]
}

pub fn click(app: &mut App, area: Rect, position: Position) {
    let listing = &mut app.evaluate.listing;
    let [table, ..] = layout(area, listing.all().len());
    if let Some(line) = list::line_at(table, 1, listing.index, position) {
        listing.select(line);
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(all) = &app.evaluate.listing.items else {
        frame.render_widget(Line::styled("loading evaluations ...", theme.quiet), area);
        return;
    };
    if all.is_empty() {
        let key = app.keymap.key_of(KeyContext::Evaluate, Action::NewEvaluation);
        let lines = vec![
            Line::raw("No evaluations yet."),
            Line::raw(""),
            Line::raw(format!("Press {key} to evaluate a checkpoint.")),
        ];
        frame.render_widget(Paragraph::new(lines), area);
        return;
    }
    let [table, details, distribution, images] = layout(area, all.len());
    draw_table(frame, table, all, app, theme);
    let Some(selected) = app.evaluate.listing.selected() else {
        return;
    };
    text::draw(frame, details, about(selected, app, theme));
    if let Some(report) = app.evaluate.report(&selected.key) {
        frame.render_widget(Paragraph::new(histogram(report, app, theme)), distribution);
        draw_images(frame, images, app, theme);
    }
}

/// The metrics that leave room for the names of evaluations; the last ones matter most.
fn metrics(width: u16) -> Vec<Metric> {
    let display_level = match width {
        0..100 => DisplayLevel::Summary,
        _ => DisplayLevel::Full,
    };
    let mut metrics: Vec<Metric> = Metric::shown(display_level).collect();
    let fitting = width.saturating_sub(NAME) / (SCORE + 1);
    let left_out = metrics.len().saturating_sub(usize::from(fitting.max(1)));
    metrics.split_off(left_out)
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, all: &[EvaluationListing], app: &App, theme: &Theme) {
    let metrics = metrics(area.width);
    let is_wide = area.width >= WIDE;
    let column = if is_wide { 21 } else { SCORE };
    let mut widths = vec![Constraint::Length(2), Constraint::Fill(1)];
    widths.extend(metrics.iter().map(|_| Constraint::Length(column)));
    let names = metrics.iter().map(|metric| Cell::from(metric.label()));
    let heading = [Cell::from(""), Cell::from("evaluation")]
        .into_iter()
        .chain(names);
    let rows = all
        .iter()
        .map(|listing| row(listing, &metrics, is_wide, app, theme));
    let focused = app.evaluate.listing.focus == PaneFocus::List;
    let table = Table::new(rows, widths)
        .header(Row::new(heading).style(theme.heading))
        .row_highlight_style(list::selection(focused, theme));
    list::draw_table(frame, area, table, app.evaluate.listing.index);
}

/// Minimum width for confidence intervals beside the scores.
const WIDE: u16 = 170;

fn row<'a>(
    listing: &'a EvaluationListing,
    metrics: &[Metric],
    is_wide: bool,
    app: &App,
    theme: &Theme,
) -> Row<'a> {
    let is_baseline = app.evaluate.baseline() == Some(&listing.key);
    let mark = Cell::from(if is_baseline { "=" } else { "" });
    let name = Cell::from(listing.key.to_string());
    let compared = app.evaluate.compared_to_baseline(&listing.key);
    let cells: Vec<Cell<'_>> = match (compared, &listing.head, &listing.job) {
        (Some(compared), ..) => metrics
            .iter()
            .map(|metric| Cell::from(figure(compared, *metric, is_wide, theme)))
            .collect(),
        (None, Some(head), _) => metrics
            .iter()
            .map(|metric| Cell::from(head.summary.scores.cell(*metric, 3)))
            .collect(),
        (None, None, Some((state, summary))) => vec![Cell::from(text::progress(*state, summary, theme))],
        (None, None, None) => Vec::new(),
    };
    Row::new([mark, name].into_iter().chain(cells))
}

/// A score; a color and a mark show a significant difference to the baseline.
fn figure(compared: &Compared, metric: Metric, is_wide: bool, theme: &Theme) -> Span<'static> {
    let value = compared.scores.cell(metric, 3);
    let range = match compared.intervals_95.get(metric) {
        Some(interval) if is_wide => format!(" [{:.3}-{:.3}]", interval.low, interval.high),
        _ => String::new(),
    };
    let difference = match &compared.against {
        Against::Difference(differences) => differences.get(metric),
        Against::Baseline | Against::Unpaired(_) => None,
    };
    let (mark, style) = match difference {
        Some(difference) if difference.is_significant() => {
            if difference.observed > 0.0 {
                ("+", theme.good)
            } else {
                ("-", theme.bad)
            }
        }
        _ => ("", Style::new()),
    };
    Span::styled(format!("{value}{mark}{range}"), style)
}

/// How the selected evaluation was made, and its difference to the baseline.
fn about(selected: &EvaluationListing, app: &App, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(head) = &selected.head {
        lines.push(Line::styled(
            format!(
                "{} of {}, {} split, {}, {}",
                counted(head.summary.images as u64, "images"),
                display_safe(&head.info.dataset),
                head.info.split,
                display_safe(&head.info.model_label()),
                head.search
            ),
            theme.quiet,
        ));
    }
    if let Some((_, Some(error))) = selected
        .job
        .as_ref()
        .and_then(|(_, summary)| summary.end.as_ref())
    {
        lines.push(Line::styled(display_safe(error).into_owned(), theme.bad));
    }
    if let Some(Err(why)) = app.evaluate.outcome() {
        lines.push(Line::styled(why.clone(), theme.bad));
    }
    let compared = app.evaluate.compared_to_baseline(&selected.key);
    lines.extend(compared.map(|compared| against(compared, app.evaluate.metric)));
    lines
}

fn against(compared: &Compared, metric: Metric) -> Line<'static> {
    match &compared.against {
        Against::Baseline => Line::raw("baseline (=)"),
        Against::Unpaired(unpaired) => Line::raw(display_safe(&unpaired.to_string()).into_owned()),
        Against::Difference(differences) => {
            let Some(difference) = differences.get(metric) else {
                return Line::raw(format!("{} is missing", metric.label()));
            };
            let verdict = if difference.is_significant() {
                "significant"
            } else {
                "not significant"
            };
            Line::raw(format!(
                "{} {:+.3} [{:+.3} to {:+.3}] against the baseline, p = {:.3}: {verdict}",
                metric.label(),
                difference.observed,
                difference.interval.low,
                difference.interval.high,
                difference.p_value
            ))
        }
    }
}

fn histogram(report: &Report, app: &App, theme: &Theme) -> Vec<Line<'static>> {
    let metric = app.evaluate.metric;
    let histogram = report.histogram(metric, BINS);
    let row = |(bin, count): (usize, &usize)| {
        let (low, high) = histogram.bounds(bin);
        (format!("{low:4.1}-{high:<4.1}"), *count)
    };
    let rows: Vec<_> = histogram.counts.iter().enumerate().map(row).collect();
    let title = Line::styled(format!("{} of the images", metric.label()), theme.heading);
    let bars = text::histogram(&rows, BAR, theme);
    [title].into_iter().chain(bars).collect()
}

fn draw_images(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let [title, rows, selected] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(SELECTED),
    ])
    .areas(area);
    let metric = app.evaluate.metric;
    let words = format!("{} by {}", <&str>::from(app.evaluate.order), metric.label());
    frame.render_widget(Line::styled(words, theme.heading), title);
    let images = app.evaluate.images();
    if images.is_empty() {
        let why = match app.evaluate.order {
            ImageOrder::MostChanged => "no caption differs from the baseline's, or the images differ",
            ImageOrder::Best | ImageOrder::Worst => "no images",
        };
        text::draw(frame, rows, Line::styled(why, theme.quiet));
        return;
    }
    let lines = images.iter().map(|listed| image_line(listed, metric, theme));
    let style = list::selection(app.evaluate.listing.focus == PaneFocus::Detail, theme);
    list::draw(frame, rows, lines, app.evaluate.listing.detail, style);
    if let Some(listed) = images.get(app.evaluate.listing.detail) {
        text::draw(frame, selected, in_full(listed, theme));
    }
}

/// The caption of the selected image, the baseline's caption if it differs, and a reference.
fn in_full(listed: &ListedImage<'_>, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = vec![Line::raw(display_safe(&listed.image.caption).into_owned())];
    if let Some((_, theirs)) = listed.change {
        let theirs = format!("baseline: {}", display_safe(theirs));
        lines.push(Line::styled(theirs, theme.warning));
    }
    let reference = listed.image.references.first().map_or("", String::as_str);
    let reference = format!("reference: {}", display_safe(reference));
    lines.push(Line::styled(reference, theme.quiet));
    lines
}

fn image_line(listed: &ListedImage<'_>, metric: Metric, theme: &Theme) -> Line<'static> {
    let figure = match listed.change {
        Some((difference, _)) => format!("{difference:+.3} "),
        None => format!("{} ", listed.image.scores.cell(metric, 3)),
    };
    Line::from(vec![
        Span::styled(figure, theme.key),
        Span::styled(format!(" {}  ", display_safe(&listed.image.image)), theme.quiet),
        Span::raw(display_safe(&listed.image.caption).into_owned()),
    ])
}
