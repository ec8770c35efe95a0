//! All runs, one a line.
//!
//! ```text
//!   run                  state     loss              epoch  BLEU-4  CIDEr-D  data set
//! > flickr8k-merge-001   running   █▅▃▂▂▁▁▁▁▁        2.4    0.176    0.393   flickr8k
//! ```

use crate::text::display_safe;
use crate::tui::app::App;
use crate::tui::run_view::RunRow;
use crate::tui::theme::Theme;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

const COLUMNS: [&str; 7] = ["run", "state", "loss", "epoch", "BLEU-4", "CIDEr-D", "data set"];

/// Draws the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(runs) = app.runs.as_ref().filter(|runs| !runs.is_empty()) else {
        let text = "no runs yet: start one with `cutline train NAME --detach`, or see `cutline demo`";
        frame.render_widget(Paragraph::new(Line::styled(text, theme.quiet)), area);
        return;
    };
    let widths = [
        Constraint::Fill(2),
        Constraint::Length(9),
        Constraint::Length(16),
        Constraint::Length(6),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Fill(1),
    ];
    let heading = Row::new(COLUMNS).style(theme.heading);
    let rows = runs.iter().map(|run| row(run, theme));
    let table = Table::new(rows, widths)
        .header(heading)
        .row_highlight_style(theme.selected);
    let mut state = TableState::new().with_selected(app.selected);
    frame.render_stateful_widget(table, area, &mut state);
}

fn row<'a>(run: &'a RunRow, theme: &Theme) -> Row<'a> {
    let summary = &run.status.summary;
    let state = run.status.state;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let epoch = summary.step.as_ref().map(|step| {
        let done = step.epoch as f64 + step.batch as f64 / step.batches.max(1) as f64;
        format!("{done:.1}")
    });
    let best = summary.best.as_ref().map(|best| &best.scores);
    Row::new([
        Cell::from(run.name.as_str()),
        Cell::from(Span::styled(state.name(), theme.state(state))),
        Cell::from(Span::styled(small_curve(&run.losses, theme), Style::new())),
        Cell::from(or_dash(epoch)),
        Cell::from(or_dash(best.map(|scores| format!("{:.4}", scores.bleu[3])))),
        Cell::from(or_dash(best.map(|scores| format!("{:.4}", scores.cider_d)))),
        Cell::from(or_dash(
            summary
                .data_set
                .as_deref()
                .map(|name| display_safe(name).into_owned()),
        )),
    ])
}

/// A curve in one row of characters of different heights.
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
