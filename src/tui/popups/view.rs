//! Draws the popups.

use super::Popup;
use super::chooser::{Chooser, ChooserPurpose};
use super::file_picker::FilePicker;
use super::palette::Palette;
use crate::text::{display_path, display_safe};
use crate::tui::form::FieldValue;
use crate::tui::widgets::{image::ImageWidget, list};
use crate::tui::{ActiveBinding, App, EntryKind, Field, Form, KeyContext, OpenForm, Theme};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Margin, Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Padding, Paragraph, Wrap};

const KEYS: usize = 16;
const WIDEST: u16 = 100;
const NAMES: usize = 17;

pub fn draw(frame: &mut Frame<'_>, popup: &Popup, app: &App, theme: &Theme) {
    match popup {
        Popup::Help { scroll } => draw_help(frame, app, *scroll, theme),
        Popup::Palette(palette) => draw_palette(frame, palette, theme),
        Popup::Confirm { question, .. } => {
            let lines = vec![
                Line::raw(question.clone()),
                Line::raw(""),
                Line::styled("y: yes   any other key: no", theme.quiet),
            ];
            draw_text(frame, "confirm", lines, 0, theme);
        }
        Popup::Form(open) => draw_form(frame, open, app, theme),
        Popup::Picker(picker) => draw_picker(frame, picker, theme),
        Popup::Choose(chooser) => draw_chooser(frame, chooser, theme),
        Popup::Text { title, lines, scroll } => {
            let lines = lines.iter().map(|line| Line::raw(line.clone())).collect();
            draw_text(frame, title, lines, *scroll, theme);
        }
        Popup::Image(path) => {
            let inner = open_box(
                frame,
                image_box(frame.area()),
                &display_safe(&path.display().to_string()),
                theme,
            );
            frame.render_widget(ImageWidget::new(Some(path), app, theme), inner);
        }
    }
}

fn image_box(screen: Rect) -> Rect {
    centered(screen, (screen.width * 9 / 10, screen.height * 9 / 10))
}

fn draw_help(frame: &mut Frame<'_>, app: &App, scroll: usize, theme: &Theme) {
    let mut lines = Vec::new();
    for context in [app.tab.context(), KeyContext::Everywhere] {
        lines.push(Line::styled(context.name(), theme.heading));
        lines.extend(
            app.keymap
                .bindings_in(context)
                .map(|bound| help_line(bound, theme)),
        );
    }
    draw_text(
        frame,
        "keys - up and down scroll, any other key closes",
        lines,
        scroll,
        theme,
    );
}

fn help_line(bound: &ActiveBinding, theme: &Theme) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("  {:<KEYS$}", bound.keys_text()), theme.key),
        Span::raw(bound.binding.help),
    ])
}

fn draw_palette(frame: &mut Frame<'_>, palette: &Palette, theme: &Theme) {
    let title = "commands - Enter runs, Esc closes";
    let inner = centered_box(frame, (WIDEST, frame.area().height * 3 / 4), title, theme);
    let [typed, matches] = Layout::vertical([Constraint::Length(2), Constraint::Min(1)]).areas(inner);
    draw_typed(frame, typed, ": ", &palette.typed, theme);
    let lines = palette
        .matches
        .iter()
        .filter_map(|index| palette.commands.get(*index));
    let lines = lines.map(|command| {
        Line::from(vec![
            Span::styled(format!("{:<KEYS$}", command.keys), theme.key),
            Span::raw(command.text.clone()),
        ])
    });
    list::draw(frame, matches, lines, palette.selected, theme.selected);
}

fn draw_typed(frame: &mut Frame<'_>, area: Rect, before: &str, input: &tui_input::Input, theme: &Theme) {
    let room = usize::from(area.width).saturating_sub(before.len() + 1);
    let scroll = input.visual_scroll(room);
    let shown: String = input.value().chars().skip(scroll).collect();
    let line = Line::from(vec![
        Span::styled(before.to_owned(), theme.quiet),
        Span::raw(display_safe(&shown).into_owned()),
    ]);
    frame.render_widget(line, area);
    let column = before.len() + input.visual_cursor().saturating_sub(scroll);
    if area.height > 0 {
        frame.set_cursor_position(Position::new(area.x + column as u16, area.y));
    }
}

fn draw_form(frame: &mut Frame<'_>, open: &OpenForm, app: &App, theme: &Theme) {
    let form = &open.form;
    let rows = form.fields.len() as u16 + BELOW + 2;
    let title = format!("{} - Enter submits, Esc cancels", form.title);
    let inner = centered_box(frame, (WIDEST, rows), &title, theme);
    let [fields, below] = Layout::vertical([Constraint::Min(1), Constraint::Length(BELOW)]).areas(inner);
    let skipped = list::first_shown(form.focused, fields.height);
    let visible = form.fields.iter().enumerate().skip(skipped);
    for ((index, field), row_area) in visible.zip(fields.rows()) {
        if index == form.focused {
            draw_current(frame, row_area, field, theme)
        } else {
            frame.render_widget(other_field(field, form, theme), row_area)
        }
    }
    frame.render_widget(
        Paragraph::new(below_form(open, app, theme)).wrap(Wrap { trim: false }),
        below,
    );
}

/// Rows below the fields: help, and the outcome or the error.
const BELOW: u16 = 6;

fn draw_current(frame: &mut Frame<'_>, area: Rect, field: &Field, theme: &Theme) {
    let name = format!("{:<NAMES$}", field.name);
    match &field.entry {
        FieldValue::Text(input) | FieldValue::Path(input) => draw_typed(frame, area, &name, input, theme),
        FieldValue::Choice { .. } => {
            let (left, right) = theme.arrows;
            let line = Line::from(vec![
                Span::styled(name, theme.quiet),
                Span::styled(
                    format!("{left} {} {right}", display_safe(field.value())),
                    theme.selected,
                ),
            ]);
            frame.render_widget(line, area);
        }
    }
}

fn other_field(field: &Field, form: &Form, theme: &Theme) -> Line<'static> {
    let is_wrong = matches!(&form.outcome, Err(fault) if fault.field == Some(field.name));
    let style = if is_wrong { theme.bad } else { theme.key };
    Line::from(vec![
        Span::styled(format!("{:<NAMES$}", field.name), theme.quiet),
        Span::styled(display_safe(field.value()).into_owned(), style),
    ])
}

fn below_form(open: &OpenForm, app: &App, theme: &Theme) -> Vec<Line<'static>> {
    let form = &open.form;
    let help = form.fields.get(form.focused).map_or("", |field| field.help);
    let mut lines = vec![Line::raw(""), Line::styled(help, theme.quiet)];
    // An error comes first: at 80 columns there is no room for both.
    if let Some((recognized, outcome)) = &app.data.recognized
        && form.outcome.is_ok()
        && open.source() == Some(recognized)
        && !recognized.is_empty()
    {
        lines.push(match outcome {
            Ok(format) => Line::styled(format.clone(), theme.good),
            Err(why) => Line::styled(why.clone(), theme.warning),
        });
    }
    lines.push(match &form.outcome {
        Ok(comes_to) => Line::raw(display_safe(comes_to).into_owned()),
        Err(fault) => {
            let field = fault.field.map_or(String::new(), |field| format!("{field}: "));
            Line::styled(
                display_safe(&format!("{field}{}", fault.message)).into_owned(),
                theme.bad,
            )
        }
    });
    lines
}

fn draw_picker(frame: &mut Frame<'_>, picker: &FilePicker, theme: &Theme) {
    let title = "pick a file - Enter picks, right opens, left goes up, Esc cancels";
    let inner = centered_box(frame, (WIDEST, frame.area().height * 3 / 4), title, theme);
    let [header, entries] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(inner);
    frame.render_widget(
        Line::styled(display_path(&picker.directory), theme.heading),
        header,
    );
    match &picker.entries {
        None => frame.render_widget(Line::styled("...", theme.quiet), entries),
        Some(Err(why)) => frame.render_widget(Line::styled(why.clone(), theme.bad), entries),
        Some(Ok(known)) => {
            let lines = known.iter().map(|entry| {
                let name = display_safe(&entry.name).into_owned();
                match entry.kind {
                    EntryKind::Directory => Line::styled(format!("{name}/"), theme.key),
                    EntryKind::File => Line::raw(name),
                }
            });
            list::draw(frame, entries, lines, picker.selected, theme.selected);
        }
    }
}

fn draw_chooser(frame: &mut Frame<'_>, chooser: &Chooser, theme: &Theme) {
    let rows = (chooser.items.len() as u16 + 2)
        .min(frame.area().height * 3 / 4)
        .max(4);
    let hint = match chooser.purpose {
        ChooserPurpose::Overlay => "Space toggles, Enter applies",
        _ => "Enter selects",
    };
    let inner = centered_box(frame, (60, rows), &format!("{} - {hint}", chooser.title), theme);
    let lines = chooser.items.iter().map(|item| {
        let mark = if item.is_chosen { "* " } else { "  " };
        Line::raw(format!("{mark}{}", item.label))
    });
    list::draw(frame, inner, lines, chooser.selected, theme.selected);
}

/// A box that fits its lines.
fn draw_text(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'_>>, scroll: usize, theme: &Theme) {
    let widest = lines.iter().map(Line::width).max().unwrap_or(0).max(title.len()) as u16;
    let width = (widest + 4).clamp(20, WIDEST).min(frame.area().width);
    let room = usize::from(width.saturating_sub(4)).max(1);
    let rows: usize = lines.iter().map(|line| line.width().div_ceil(room).max(1)).sum();
    let inner = centered_box(frame, (width, rows as u16 + 2), title, theme);
    let most = rows.saturating_sub(usize::from(inner.height));
    let text = Paragraph::new(lines)
        .wrap(Wrap { trim: false })
        .scroll((scroll.min(most) as u16, 0));
    frame.render_widget(text, inner);
}

/// Draws an empty box of at most this size over the screen, and returns the area within.
fn centered_box(frame: &mut Frame<'_>, size: (u16, u16), title: &str, theme: &Theme) -> Rect {
    open_box(frame, centered(frame.area(), size), title, theme)
}

fn open_box(frame: &mut Frame<'_>, area: Rect, title: &str, theme: &Theme) -> Rect {
    frame.render_widget(Clear, area);
    let block = Block::bordered()
        .border_set(theme.border)
        .title(format!(" {title} "))
        .padding(Padding::horizontal(1));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    inner
}

fn centered(screen: Rect, (width, height): (u16, u16)) -> Rect {
    screen.centered(Constraint::Length(width), Constraint::Length(height))
}

pub fn image(app: &App) -> Option<(&std::path::Path, Rect)> {
    match app.popups.last() {
        Some(Popup::Image(path)) => Some((path, image_box(app.size).inner(Margin::new(2, 1)))),
        _ => None,
    }
}
