//! What the mouse does: it chooses tabs, keys of the footer and lines of lists, points at charts, and scrolls.

use super::app::{App, Move};
use super::keys::Action;
use super::message::Effect;
use super::{tabs, view};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

/// Takes what the mouse did into account.
pub(super) fn take(app: &mut App, event: MouseEvent) -> Vec<Effect> {
    let at = Position::new(event.column, event.row);
    match event.kind {
        MouseEventKind::ScrollUp => scroll(app, Move::Up),
        MouseEventKind::ScrollDown => scroll(app, Move::Down),
        MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left) => click(app, at),
        _ => Vec::new(),
    }
}

fn scroll(app: &mut App, direction: Move) -> Vec<Effect> {
    let (code, action) = match direction {
        Move::Up => (KeyCode::Up, Action::Up),
        _ => (KeyCode::Down, Action::Down),
    };
    match app.popups.is_empty() {
        true => app.act(action),
        // What lies over the page knows the arrows by themselves.
        false => app.press_key(KeyEvent::new(code, KeyModifiers::NONE)),
    }
}

fn click(app: &mut App, at: Position) -> Vec<Effect> {
    let Some(parts) = view::parts(app.size).filter(|_| app.popups.is_empty()) else {
        return Vec::new();
    };
    if parts.tabs.contains(at) {
        let hit = view::tab_titles()
            .into_iter()
            .find(|(_, _, begin, end)| (*begin..*end).contains(&at.x));
        if let Some((tab, ..)) = hit {
            app.tab = tab;
        }
        return Vec::new();
    }
    if parts.footer.contains(at) {
        let keys = view::footer(app, parts.footer.width);
        let hit = keys.into_iter().find(|(_, _, _, end)| at.x < *end);
        return hit.map_or_else(Vec::new, |(action, ..)| app.act(action));
    }
    match parts.page.contains(at) {
        true => tabs::click(app, parts.page, at),
        false => Vec::new(),
    }
}
