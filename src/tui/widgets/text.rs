//! Text that wraps at the width of its area.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Text;
use ratatui::widgets::{Paragraph, Wrap};

pub fn draw<'a>(frame: &mut Frame<'_>, area: Rect, text: impl Into<Text<'a>>) {
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), area);
}
