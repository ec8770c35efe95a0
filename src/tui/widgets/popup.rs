//! What lies over a tab: the help, a question, a line to type.

use crate::tui::app::{Popup, Tab};
use crate::tui::keys::{Binding, Context, TABLE};
use crate::tui::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

/// Columns for the keys in the help.
const KEYS: usize = 14;

/// Draws what lies over the tab.
pub(in crate::tui) fn draw(frame: &mut Frame<'_>, popup: &Popup, tab: Tab, theme: &Theme) {
    match popup {
        Popup::Help => draw_help(frame, tab, theme),
        Popup::Confirm { question, .. } => {
            let lines = vec![
                Line::raw(question.clone()),
                Line::raw(""),
                Line::styled("y yes   any other key no", theme.quiet),
            ];
            draw_box(frame, "sure?", lines, theme);
        }
        Popup::LearningRate { typed } => {
            let lines = vec![
                Line::raw(format!("new learning rate: {typed}_")),
                Line::raw(""),
                Line::styled("Enter sets it   Esc leaves it", theme.quiet),
            ];
            draw_box(frame, "learning rate", lines, theme);
        }
    }
}

fn draw_help(frame: &mut Frame<'_>, tab: Tab, theme: &Theme) {
    let mut lines = Vec::new();
    for context in [tab.context(), Context::Everywhere] {
        lines.push(Line::styled(context.name(), theme.heading));
        let here = TABLE.iter().filter(|binding| binding.context == context);
        lines.extend(here.map(|binding| help_line(binding, theme)));
    }
    draw_box(frame, "keys - any key closes this", lines, theme);
}

fn help_line(binding: &Binding, theme: &Theme) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("  {:<KEYS$}", binding.keys_text()), theme.key),
        Span::raw(binding.help),
    ])
}

/// A box in the middle, as large as its lines need.
fn draw_box(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'_>>, theme: &Theme) {
    let area = frame.area();
    let wanted = lines.iter().map(Line::width).max().unwrap_or(0).max(title.len()) as u16 + 4;
    let width = wanted.clamp(20, 78).min(area.width);
    let rows: usize = lines
        .iter()
        .map(|line| {
            line.width()
                .div_ceil(usize::from(width.saturating_sub(4)).max(1))
                .max(1)
        })
        .sum();
    let height = (rows as u16 + 2).min(area.height);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, place);
    let block = Block::bordered()
        .border_set(theme.border)
        .title(format!(" {title} "))
        .padding(ratatui::widgets::Padding::horizontal(1));
    let text = Paragraph::new(lines).wrap(Wrap { trim: false }).block(block);
    frame.render_widget(text, place);
}
