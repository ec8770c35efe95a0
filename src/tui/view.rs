//! The whole screen.
//!
//! ```text
//! Cutline   1 Train   2 Runs                         tabs
//! ...                                                the page
//! saved latest at step 469                           what came of the last thing that was done
//! p pause  w save  ...  ? help  q quit               keys
//! ```

use super::app::App;
use super::keys::{self, Shown};
use super::tabs;
use super::theme::Theme;
use super::widgets::popup;
use crate::tui::app::Tab;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// The least that can be drawn on.
const SMALLEST: (u16, u16) = (40, 10);

/// Draws the screen.
pub fn draw(frame: &mut Frame<'_>, app: &App, theme: &Theme) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (columns, rows) = SMALLEST;
        let text = format!("this window is too small: {columns}x{rows} is the least");
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let [top, page, notice, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(tab_line(app, theme)), top);
    tabs::draw(frame, page, app, theme);
    frame.render_widget(Paragraph::new(notice_line(app, theme)), notice);
    draw_footer(frame, footer, app, theme);
    if let Some(over) = &app.popup {
        popup::draw(frame, over, app.tab, theme);
    }
}

fn tab_line(app: &App, theme: &Theme) -> Line<'static> {
    let mut spans = vec![Span::styled("Cutline  ", theme.heading)];
    for (number, tab) in (1..).zip(Tab::ALL) {
        let style = match tab == app.tab {
            true => theme.selected,
            false => theme.quiet,
        };
        spans.push(Span::styled(format!(" {number} {} ", tab.title()), style));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

/// What came of the last thing that was done, or else the run's last news.
fn notice_line(app: &App, theme: &Theme) -> Line<'static> {
    let news = app.open.as_ref().and_then(|view| view.news.clone());
    match (&app.notice, news) {
        (Some(Ok(done)), _) => Line::styled(done.clone(), theme.good),
        (Some(Err(why)), _) => Line::styled(why.clone(), theme.bad),
        (None, Some(news)) if app.tab == Tab::Train => Line::styled(news, theme.quiet),
        (None, _) => Line::raw(""),
    }
}

/// As many keys as there is room for; help and leaving always.
fn draw_footer(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let mut room = usize::from(area.width);
    let mut entries: Vec<(String, &str)> = keys::bindings(app.tab.context())
        .filter(|binding| binding.shown == Shown::InFooter)
        .map(|binding| (binding.keys[0].to_string(), binding.name))
        .collect();
    let width = |(key, name): &(String, &str)| key.chars().count() + name.len() + 3;
    // What holds everywhere stands at the end, and is what must not be missing.
    let lasting = entries.split_off(entries.len().saturating_sub(3));
    room = room.saturating_sub(lasting.iter().map(width).sum());
    let mut spans = Vec::new();
    let fitting = entries.into_iter().take_while(|entry| {
        let fits = width(entry) <= room;
        room = room.saturating_sub(width(entry));
        fits
    });
    for (key, name) in fitting.collect::<Vec<_>>().into_iter().chain(lasting) {
        spans.push(Span::styled(key, theme.key));
        spans.push(Span::raw(format!(" {name}  ")));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}
