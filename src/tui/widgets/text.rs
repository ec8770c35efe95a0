//! Text and lines that several tabs show.

use crate::jobs::{JobState, LogSummary};
use crate::tui::Theme;
use indicatif::HumanCount;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Wrap};

/// Draws text that wraps at the width of its area.
pub fn draw<'a>(frame: &mut Frame<'_>, area: Rect, text: impl Into<Text<'a>>) {
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), area);
}

/// Titles to choose from, the current one highlighted.
pub fn titles(titles: impl IntoIterator<Item = (String, bool)>, theme: &Theme) -> Vec<Span<'static>> {
    let span = |(title, is_current)| {
        let style = if is_current { theme.selected } else { theme.quiet };
        [Span::styled(title, style), Span::raw(" ")]
    };
    titles.into_iter().flat_map(span).collect()
}

/// The progress of a job in percent, otherwise its state.
pub fn progress(state: JobState, summary: &LogSummary, theme: &Theme) -> Span<'static> {
    let text = match &summary.progress {
        Some(progress) => format!("{} %", 100 * progress.done / progress.total.max(1)),
        None => state.name().to_owned(),
    };
    Span::styled(text, theme.state(state))
}

/// A histogram: a label, a bar of at most `columns`, and the count of each row.
pub fn histogram(rows: &[(String, usize)], columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let line = |(label, count): &(String, usize)| {
        let bar = theme.bar.0.repeat((columns * count).div_ceil(most));
        Line::from(vec![
            Span::raw(format!("{label} ")),
            Span::styled(bar, theme.key),
            Span::raw(format!(" {}", HumanCount(*count as u64))),
        ])
    };
    rows.iter().map(line).collect()
}
