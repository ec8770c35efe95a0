//! Draws the Runs tab.
//!
//! ```text
//!   run                  state     loss              epoch  BLEU-4  CIDEr-D  dataset
//! > flickr8k-merge-001   running   █▅▃▂▂▁▁▁▁▁        2.4    0.176    0.393   flickr8k
//! note: wider, with dropout
//! its own: decoder.hidden_size=512 decoder.dropout=0.5
//! ```

use crate::metrics::{DisplayLevel, Metric};
use crate::text::display_safe;
use crate::tui::forms::settings;
use crate::tui::widgets::{list, text};
use crate::tui::{Action, App, KeyContext, RunView, Theme};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

/// Columns before those of the metrics.
const COLUMNS: [&str; 5] = ["", "run", "state", "loss", "epoch"];
/// Width below which some columns are hidden.
const NARROW: u16 = 70;
/// Width below which the epoch is hidden too.
const NARROWER: u16 = 50;
/// Width from which the sparkline has its full length.
const ROOMY: u16 = 100;
const CURVE: usize = 16;
const STATE: usize = 9;
const BELOW: u16 = 4;

fn layout(area: Rect) -> [Rect; 2] {
    Layout::vertical([Constraint::Min(3), Constraint::Length(BELOW)]).areas(area)
}

pub fn click(app: &mut App, area: Rect, position: Position) {
    let [table, _] = layout(area);
    if let Some(line) = list::line_at(table, 1, app.runs.listing.index, position) {
        app.runs.listing.select(line);
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let runs = app.runs.listing.all();
    if runs.is_empty() {
        let key = app.keymap.key_of(KeyContext::Everywhere, Action::ShowTrain);
        let text = format!("no runs yet: press {key} and start one");
        frame.render_widget(Paragraph::new(Line::styled(text, theme.quiet)), area);
        return;
    }
    let [list_area, below] = layout(area);
    let curve = match area.width {
        0..NARROW => 0,
        NARROW..ROOMY => CURVE / 2,
        _ => CURVE,
    };
    let states = runs.iter().map(|run| state_name(run).len());
    let mut widths = vec![
        Constraint::Length(1),
        Constraint::Min(16),
        Constraint::Length(states.max().unwrap_or(0).max(STATE) as u16),
        // In a narrow window the least important columns are hidden.
        Constraint::Length(curve as u16),
        Constraint::Length(if area.width < NARROWER { 0 } else { 6 }),
    ];
    let is_narrow = area.width < NARROW;
    let metrics: Vec<Metric> = Metric::shown(DisplayLevel::Headline).collect();
    widths.extend(metrics.iter().map(|metric| {
        if is_narrow && Some(metric) != metrics.last() {
            Constraint::Length(0)
        } else {
            Constraint::Length(7)
        }
    }));
    widths.push(Constraint::Length(if is_narrow { 0 } else { 12 }));
    let labels = metrics.iter().map(|metric| metric.label());
    let headings = COLUMNS.into_iter().chain(labels).chain(["dataset"]);
    let hidden: Vec<bool> = widths
        .iter()
        .map(|width| *width == Constraint::Length(0))
        .collect();
    widths.retain(|width| *width != Constraint::Length(0));
    let heading = Row::new(without(&hidden, headings)).style(theme.heading);
    let rows = runs
        .iter()
        .map(|run| Row::new(without(&hidden, cells(run, curve, app, theme))));
    let table = Table::new(rows, widths)
        .header(heading)
        .row_highlight_style(theme.selected);
    list::draw_table(frame, list_area, table, app.runs.listing.index);
    if let Some(run) = app.runs.listing.selected() {
        text::draw(frame, below, detail(run, theme));
    }
}

fn state_name(run: &RunView) -> &'static str {
    run.state.map_or("-", |state| run.summary.state_name(state))
}

/// The columns that are not hidden.
fn without<T>(hidden: &[bool], columns: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
    let columns = columns.into_iter().zip(hidden);
    columns
        .filter(|(_, is_hidden)| !**is_hidden)
        .map(|(column, _)| column)
}

fn cells<'a>(run: &'a RunView, curve: usize, app: &App, theme: &Theme) -> Vec<Cell<'a>> {
    let summary = &run.summary;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let epoch = summary.step.as_ref().map(|step| {
        let done = step.epoch as f64 + step.batch as f64 / step.batches.max(1) as f64;
        format!("{done:.1}")
    });
    let best = summary.best.as_ref().map(|best| &best.scores);
    let mark = if app.runs.marked.contains(&run.name) {
        Span::styled("*", Style::new().fg(theme.curve(app.runs.number(&run.name)).0))
    } else {
        Span::raw("")
    };
    let state = match run.state {
        Some(state) => Span::styled(state_name(run), theme.state(state)),
        None => Span::raw(state_name(run)),
    };
    let dataset = summary.dataset.as_deref();
    let metrics = Metric::shown(DisplayLevel::Headline)
        .map(|metric| Cell::from(or_dash(best.map(|scores| scores.cell(metric, 4)))));
    let mut cells = vec![
        Cell::from(mark),
        Cell::from(run.name.as_str()),
        Cell::from(state),
        match run.percent_while_reading() {
            Some(percent) => Cell::from(format!("read {percent}%")),
            None => Cell::from(small_curve(&run.small_curve(curve), theme)),
        },
        Cell::from(or_dash(epoch)),
    ];
    cells.extend(metrics);
    cells.push(Cell::from(or_dash(
        dataset.map(|name| display_safe(name).into_owned()),
    )));
    cells
}

/// The note on the selected run, and its settings that differ from the defaults.
fn detail(run: &RunView, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = vec![Line::raw("")];
    if let Some(note) = &run.note {
        lines.push(Line::raw(format!("note: {}", display_safe(note))));
    }
    let changes = settings::changes(&run.summary.settings);
    let changes: Vec<String> = changes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let text = match &changes[..] {
        [] => "all settings have default values".to_owned(),
        changes => format!("settings: {}", display_safe(&changes.join(" "))),
    };
    lines.push(Line::styled(text, theme.quiet));
    lines
}

fn small_curve(values: &[f32], theme: &Theme) -> String {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let top = theme.heights.len() - 1;
    values
        .iter()
        .map(|value| {
            let share = (value - low) / (high - low).max(f32::MIN_POSITIVE);
            theme.heights[((share * top as f32).round() as usize).min(top)]
        })
        .collect()
}
