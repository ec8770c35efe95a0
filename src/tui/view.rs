//! The whole screen.
//!
//! ```text
//! Cutline   1 Data   2 Train   3 Evaluate   4 Gallery   5 Runs     tabs
//! ...                                                              the page
//! saved latest at step 469                                         the outcome of the last action
//! p pause  w save  ...  : commands  ? help  q quit                 keys
//! ```

use super::keys::Placement;
use super::popups::view as popup;
use super::tabs::page;
use super::widgets::{image, text};
use super::{Action, ActiveBinding, App, ImageKey, KeyContext, RunView, Tab, Theme};
use crate::jobs::JobState;
use crate::text::display_safe;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Wrap};
use strum::VariantArray;

/// The minimum size, in columns and rows.
const SMALLEST: (u16, u16) = (40, 10);
const NAME: &str = "Cutline  ";
/// The most rows of a notice; at most a third of the screen.
const NOTICE: usize = 4;

pub struct ScreenLayout {
    pub tabs: Rect,
    pub page: Rect,
    pub notice: Rect,
    pub footer: Rect,
}

/// Layout of the screen; `None` if it is too small.
pub fn layout(app: &App, screen: Rect) -> Option<ScreenLayout> {
    if screen.width < SMALLEST.0 || screen.height < SMALLEST.1 {
        return None;
    }
    let [tabs, page, notice, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(notice_rows(&notice(app).0, screen).len() as u16),
        Constraint::Length(1),
    ])
    .areas(screen);
    Some(ScreenLayout {
        tabs,
        page,
        notice,
        footer,
    })
}

pub fn draw(frame: &mut Frame<'_>, app: &App, theme: &Theme) {
    let area = frame.area();
    let Some(layout) = layout(app, area) else {
        let (columns, rows) = SMALLEST;
        let text = format!("terminal too small: at least {columns}x{rows}");
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    };
    frame.render_widget(Paragraph::new(tab_line(app, theme)), layout.tabs);
    (page(app.tab).draw)(frame, layout.page, app, theme);
    let (text, kind) = notice(app);
    let rows = notice_rows(&text, area).into_iter().map(Line::raw);
    let text = Text::from_iter(rows).style(kind.style(theme));
    frame.render_widget(text, layout.notice);
    frame.render_widget(
        Paragraph::new(footer_line(app, layout.footer.width, theme)),
        layout.footer,
    );
    for over in &app.popups {
        popup::draw(frame, over, app, theme);
    }
}

pub fn images(app: &App) -> Vec<ImageKey> {
    match (popup::image(app), layout(app, app.size)) {
        (Some((path, room)), _) => image::key(Some(path), room).into_iter().collect(),
        (None, Some(layout)) => (page(app.tab).images)(app, layout.page),
        (None, None) => Vec::new(),
    }
}

/// Titles of the tabs, each with its first column and the column after its last.
pub fn tab_titles() -> Vec<(Tab, String, u16, u16)> {
    let mut column = NAME.len() as u16;
    (1..)
        .zip(Tab::VARIANTS.iter().copied())
        .map(|(number, tab)| {
            let title = format!(" {number} {} ", <&str>::from(tab));
            let begin = column;
            column += title.len() as u16 + 1;
            (tab, title, begin, column - 1)
        })
        .collect()
}

fn tab_line(app: &App, theme: &Theme) -> Line<'static> {
    let titles = tab_titles().into_iter();
    let titles = titles.map(|(tab, title, ..)| (title, tab == app.tab));
    let name = Span::styled(NAME, theme.heading);
    Line::from_iter([name].into_iter().chain(text::titles(titles, theme)))
}

/// The outcome of the last action; otherwise a diagnostic of the open run, or the last message in its log.
fn notice(app: &App) -> (String, NoticeKind) {
    let open = app.runs.open().filter(|_| app.tab == Tab::Train);
    let symptom = open.and_then(|view| view.symptoms().into_iter().next());
    match (&app.notice, symptom, open) {
        (Some(Ok(done)), ..) => (done.clone(), NoticeKind::Done),
        (Some(Err(why)), ..) => (why.clone(), NoticeKind::Refused),
        (None, Some(symptom), _) => (
            display_safe(&symptom.to_string()).into_owned(),
            NoticeKind::Symptom,
        ),
        (None, None, Some(view)) => {
            let news = next_step(app, view).or_else(|| view.news.clone());
            (news.unwrap_or_default(), NoticeKind::News)
        }
        (None, None, None) => (String::new(), NoticeKind::News),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoticeKind {
    Done,
    Refused,
    Symptom,
    News,
}

impl NoticeKind {
    fn style(self, theme: &Theme) -> Style {
        match self {
            Self::Done => theme.good,
            Self::Refused => theme.bad,
            Self::Symptom => theme.warning,
            Self::News => theme.quiet,
        }
    }
}

/// The notice in rows that fit the screen; an empty one without a notice.
fn notice_rows(notice: &str, screen: Rect) -> Vec<String> {
    let rows = textwrap::wrap(notice, usize::from(screen.width.max(1)));
    let most = NOTICE.min(usize::from(screen.height) / 3).max(1);
    let mut rows: Vec<String> = rows.into_iter().map(String::from).take(most).collect();
    rows.resize(rows.len().max(1), String::new());
    rows
}

/// The next step for a complete run without an evaluation.
fn next_step(app: &App, view: &RunView) -> Option<String> {
    let is_scored = app
        .evaluate
        .listing
        .items
        .as_ref()?
        .iter()
        .any(|known| known.key.run == view.name);
    if view.state != Some(JobState::Complete) || is_scored {
        return None;
    }
    let scores = app.keymap.key_of(KeyContext::Everywhere, Action::ShowEvaluate);
    let new = app.keymap.key_of(KeyContext::Evaluate, Action::NewEvaluation);
    Some(format!(
        "{}; press {scores}, {new} and Enter to evaluate it",
        view.summary.state_name(JobState::Complete)
    ))
}

/// The footer: action, key, name, and the column after it. Keys of the tab are dropped where the width does not
/// suffice; global keys always remain.
pub fn footer(app: &App, width: u16) -> Vec<(Action, String, &'static str, u16)> {
    let in_footer = |bound: &&ActiveBinding| bound.binding.placement == Placement::FooterAndHelp;
    let entry = |bound: &ActiveBinding| {
        let key = bound.keys.first().map(ToString::to_string);
        (bound.binding.action, key.unwrap_or_default(), bound.binding.name)
    };
    let columns = |(_, key, name): &(Action, String, &str)| key.chars().count() + name.len() + 3;
    let own = app
        .keymap
        .bindings_in(app.tab.context())
        .filter(in_footer)
        .map(entry);
    let lasting: Vec<_> = app
        .keymap
        .bindings_in(KeyContext::Everywhere)
        .filter(in_footer)
        .map(entry)
        .collect();
    let mut room = usize::from(width).saturating_sub(lasting.iter().map(columns).sum());
    let fitting = own.take_while(|entry| {
        let fits = columns(entry) <= room;
        room = room.saturating_sub(columns(entry));
        fits
    });
    let mut end = 0;
    fitting
        .collect::<Vec<_>>()
        .into_iter()
        .chain(lasting)
        .map(|entry| {
            end += columns(&entry) as u16;
            (entry.0, entry.1, entry.2, end)
        })
        .collect()
}

fn footer_line(app: &App, width: u16, theme: &Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for (_, key, name, _) in footer(app, width) {
        spans.push(Span::styled(key, theme.key));
        spans.push(Span::raw(format!(" {name}  ")));
    }
    Line::from(spans)
}
