//! The mouse: it selects tabs, rows and footer keys, places the chart cursor, and scrolls.

use super::tabs::page;
use super::view;
use super::{Action, App, Effect, ListMove};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

pub fn handle(app: &mut App, event: MouseEvent) -> Vec<Effect> {
    let position = Position::new(event.column, event.row);
    match event.kind {
        MouseEventKind::ScrollUp => scroll(app, ListMove::Up),
        MouseEventKind::ScrollDown => scroll(app, ListMove::Down),
        MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left) => {
            click(app, position)
        }
        _ => Vec::new(),
    }
}

fn scroll(app: &mut App, direction: ListMove) -> Vec<Effect> {
    let (code, action) = match direction {
        ListMove::Up => (KeyCode::Up, Action::Up),
        _ => (KeyCode::Down, Action::Down),
    };
    match app.popups.is_empty() {
        true => app.act(action),
        // A popup handles the arrow keys itself, whatever the user's settings bind them to.
        false => app.press_key(KeyEvent::new(code, KeyModifiers::NONE)),
    }
}

fn click(app: &mut App, position: Position) -> Vec<Effect> {
    let Some(layout) = view::layout(app, app.size).filter(|_| app.popups.is_empty()) else {
        return Vec::new();
    };
    if layout.tabs.contains(position) {
        let hit = view::tab_titles()
            .into_iter()
            .find(|(_, _, begin, end)| (*begin..*end).contains(&position.x));
        if let Some((tab, ..)) = hit {
            app.tab = tab;
        }
        return Vec::new();
    }
    if layout.footer.contains(position) {
        let keys = view::footer(app, layout.footer.width);
        let hit = keys.into_iter().find(|(_, _, _, end)| position.x < *end);
        return hit.map_or_else(Vec::new, |(action, ..)| app.act(action));
    }
    if layout.page.contains(position) {
        (page(app.tab).click)(app, layout.page, position);
    }
    Vec::new()
}
