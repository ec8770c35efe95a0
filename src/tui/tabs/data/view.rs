//! Draws the Data tab.
//!
//! ```text
//! scenes          4,000   | report   problems   samples
//! flickr8k        8,000   |          images   captions   unknown words
//!   preparing 62 %        | train     6,000     30,000          2.58 %
//!                         | ...
//! ```

use crate::data::{Format, PrepareReport, Problem, ProblemKind, Split};
use crate::jobs::JobState;
use crate::text::{about_duration, counted, display_path, display_safe, per_second};
use crate::tui::tabs::data::state::DetailView;
use crate::tui::tabs::listing::PaneFocus;
use crate::tui::widgets::{ImageWidget, image, list, text};
use crate::tui::{Action, App, DatasetDetail, DatasetListing, ImageKey, KeyContext, Theme};
use indicatif::HumanCount;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span};
use strum::VariantArray;

const LIST: u16 = 26;
const IMAGE: u16 = 10;
const WORDS: usize = 24;

/// The list, the titles of the detail views, the detail view.
fn layout(area: Rect) -> [Rect; 3] {
    let [list, detail] = Layout::horizontal([Constraint::Length(LIST), Constraint::Min(1)])
        .spacing(1)
        .areas(area);
    let [titles, view] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(detail);
    [list, titles, view]
}

/// Sample list, image of the selected sample, its captions.
fn sample_layout(view: Rect) -> [Rect; 3] {
    let rows = IMAGE.max(view.height * 2 / 3).min(2 * IMAGE);
    let [list, below] = Layout::vertical([Constraint::Min(3), Constraint::Length(rows)]).areas(view);
    let columns = (rows * 2).min(view.width * 2 / 5);
    let [image, captions] = Layout::horizontal([Constraint::Length(columns), Constraint::Min(1)])
        .spacing(1)
        .areas(below);
    [list, image, captions]
}

pub fn images(app: &App, area: Rect) -> Vec<ImageKey> {
    let [_, _, view] = layout(area);
    let [_, image, _] = sample_layout(view);
    let sample = match (app.data.view, app.data.detail()) {
        (DetailView::Samples, Some(Ok(detail))) => detail.samples.get(app.data.listing.detail),
        _ => None,
    };
    let key = sample.and_then(|sample| image::key(Some(&sample.path), image));
    key.into_iter().collect()
}

pub fn click(app: &mut App, area: Rect, position: Position) {
    let [list, _, _] = layout(area);
    if let Some(line) = list::line_at(list, 0, app.data.listing.index, position) {
        app.data.listing.select(line);
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(all) = &app.data.listing.items else {
        frame.render_widget(Line::styled("loading datasets ...", theme.quiet), area);
        return;
    };
    if all.is_empty() {
        text::draw(frame, area, welcome(app));
        return;
    }
    let [list_area, titles, view] = layout(area);
    let style = list::selection(app.data.listing.focus == PaneFocus::List, theme);
    let lines = all.iter().map(|listing| listed(listing, theme));
    list::draw(frame, list_area, lines, app.data.listing.index, style);
    frame.render_widget(view_titles(app, theme), titles);
    match (app.data.detail(), app.data.listing.selected()) {
        (Some(Ok(detail)), _) => match app.data.view {
            DetailView::Report => draw_report(frame, view, detail, app, theme),
            DetailView::Problems => draw_problems(frame, view, app, theme),
            DetailView::Samples => draw_samples(frame, view, detail, app, theme),
        },
        (Some(Err(why)), _) => text::draw(frame, view, Line::styled(why.as_str(), theme.bad)),
        (None, Some(selected)) => text::draw(frame, view, preparing(selected, theme)),
        (None, None) => {}
    }
}

fn welcome(app: &App) -> Vec<Line<'static>> {
    let prepare = app.keymap.key_of(KeyContext::Data, Action::Prepare);
    let palette = app.keymap.key_of(KeyContext::Everywhere, Action::Palette);
    let help = app.keymap.key_of(KeyContext::Everywhere, Action::Help);
    [
        "Welcome to Cutline, a workbench for image captioning.".to_owned(),
        String::new(),
        format!("1. {prepare}, Enter        prepare the built-in dataset,"),
        "                   or enter a directory of captioned images".to_owned(),
        "2. Tab, n, Enter   train a model and watch its charts".to_owned(),
        "3. Tab, n, Enter   evaluate it on images it was not trained on".to_owned(),
        "4. Tab             browse these images and their captions".to_owned(),
        String::new(),
        format!(
            "{palette} searches all commands, {help} shows the keys. Jobs run in processes of their own:"
        ),
        "close the workbench and come back later.".to_owned(),
    ]
    .map(Line::raw)
    .to_vec()
}

fn listed(listing: &DatasetListing, theme: &Theme) -> Line<'static> {
    let mut spans = vec![Span::raw(format!("{:<16}", listing.name))];
    if let Some((state, summary)) = &listing.job
        && is_unfinished(listing)
    {
        spans.push(text::progress(*state, summary, theme));
    }
    Line::from(spans)
}

fn is_unfinished(listing: &DatasetListing) -> bool {
    let state = listing.job.as_ref().map(|(state, _)| *state);
    state.is_some_and(|state| state != JobState::Complete)
}

fn view_titles(app: &App, theme: &Theme) -> Line<'static> {
    let title = |view: &DetailView| {
        let name = <&str>::from(view);
        let title = match app.data.problems().len() {
            count @ 1.. if *view == DetailView::Problems => {
                format!(" {name} ({}) ", HumanCount(count as u64))
            }
            _ => format!(" {name} "),
        };
        (title, *view == app.data.view)
    };
    text::titles(DetailView::VARIANTS.iter().map(title), theme).into()
}

fn preparing(listing: &DatasetListing, theme: &Theme) -> Vec<Line<'static>> {
    let Some((state, summary)) = &listing.job else {
        return vec![Line::styled("reading ...", theme.quiet)];
    };
    let mut lines = vec![Line::from(vec![
        Span::raw("preparing: "),
        Span::styled(state.name(), theme.state(*state)),
    ])];
    if let Some(progress) = &summary.progress {
        lines.push(Line::raw(format!(
            "{}: {} of {} {}",
            display_safe(&progress.task),
            HumanCount(progress.done),
            HumanCount(progress.total),
            display_safe(&progress.unit)
        )));
        if let Some((rate, left)) = summary.progress_rate().filter(|_| *state == JobState::Running) {
            lines.push(Line::raw(format!(
                "{} {}/s, {} left",
                per_second(rate),
                display_safe(&progress.unit),
                about_duration(left)
            )));
        }
    }
    if let Some((_, Some(error))) = &summary.end {
        lines.push(Line::styled(display_safe(error).into_owned(), theme.bad));
    }
    if !state.is_live() && *state != JobState::Complete {
        let how = "prepare it again with the same settings to resume";
        lines.push(Line::styled(how, theme.warning));
    }
    lines
}

fn draw_report(frame: &mut Frame<'_>, area: Rect, detail: &DatasetDetail, app: &App, theme: &Theme) {
    let mut lines = Vec::new();
    if let Some(selected) = app.data.listing.selected() {
        if is_unfinished(selected) {
            lines.extend(preparing(selected, theme));
        }
        let features = match selected.features.as_slice() {
            [] => "none (trains a small CNN)".to_owned(),
            features => features.join(", "),
        };
        lines.push(Line::raw(format!("features: {}", display_safe(&features))));
    }
    let source = &detail.manifest.source;
    lines.push(Line::raw(match source.format {
        Format::Scenes => "source: built in".to_owned(),
        format => format!("source: {format}, {}", display_path(&source.path)),
    }));
    lines.extend(counts(&detail.report, theme));
    lines.push(Line::raw(""));
    lines.extend(histogram(&detail.report, usize::from(area.width), theme));
    lines.push(Line::raw(""));
    lines.push(frequent_words(&detail.report, theme));
    text::draw(frame, area, lines);
}

fn counts(report: &PrepareReport, theme: &Theme) -> Vec<Line<'static>> {
    let heading = format!(
        "{:<6}{:>9}{:>10}{:>15}",
        "", "images", "captions", "unknown words"
    );
    let mut lines = vec![Line::styled(heading, theme.heading)];
    for split in Split::ALL {
        let Some(statistics) = report.splits.get(&split) else {
            continue;
        };
        lines.push(Line::raw(format!(
            "{:<6}{:>9}{:>10}{:>15}",
            split.to_string(),
            HumanCount(statistics.images as u64).to_string(),
            HumanCount(statistics.captions as u64).to_string(),
            match statistics.words.tokens {
                0 => "-".to_owned(),
                _ => format!("{:.2} %", 100.0 * statistics.words.share()),
            }
        )));
    }
    let words = counted(report.vocabulary as u64, "words");
    lines.push(Line::raw(format!("vocabulary: {words}")));
    lines
}

/// Rows of the histogram of caption lengths; longer captions share the last one.
const LENGTHS: usize = 6;

fn histogram(report: &PrepareReport, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let lengths = &report.caption_lengths;
    let longest = lengths.longest();
    let width = longest.div_ceil(LENGTHS).max(1);
    let mut counts = vec![0_usize; longest.div_ceil(width).max(1)];
    for (length, captions) in lengths.iter() {
        let row = length.saturating_sub(1) / width;
        if let Some(count) = counts.get_mut(row) {
            *count += captions;
        }
    }
    let title = format!("caption length: mean {:.1}, max {longest} words", lengths.mean());
    let rows: Vec<(String, usize)> = (0..)
        .zip(counts)
        .map(|(row, count)| {
            let range = format!("{}-{}", row * width + 1, (row + 1) * width);
            (format!("{range:>7}"), count)
        })
        .collect();
    let bars = text::histogram(&rows, columns.saturating_sub(22).max(1), theme);
    [Line::styled(title, theme.heading)]
        .into_iter()
        .chain(bars)
        .collect()
}

fn frequent_words(report: &PrepareReport, theme: &Theme) -> Line<'static> {
    let mut spans = vec![Span::styled("frequent: ", theme.heading)];
    for (word, count) in report.frequent_words.iter().take(WORDS) {
        spans.push(Span::raw(display_safe(word).into_owned()));
        spans.push(Span::styled(format!(" {}  ", HumanCount(*count)), theme.quiet));
    }
    Line::from(spans)
}

fn draw_problems(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let problems = app.data.problems();
    if problems.is_empty() {
        frame.render_widget(Line::styled("No problems found.", theme.good), area);
        return;
    }
    let [rows, below] = Layout::vertical([Constraint::Min(1), Constraint::Length(3)]).areas(area);
    let lines = problems
        .iter()
        .map(|(kind, problem)| problem_line(*kind, problem, theme));
    let style = list::selection(app.data.listing.focus == PaneFocus::Detail, theme);
    list::draw(frame, rows, lines, app.data.listing.detail, style);
    if let Some((kind, problem)) = problems.get(app.data.listing.detail) {
        let text = format!("{}\n{problem}", kind.describe());
        text::draw(frame, below, text);
    }
}

fn problem_line(kind: ProblemKind, problem: &Problem, theme: &Theme) -> Line<'static> {
    Line::from(vec![
        Span::styled(display_safe(&problem.location).into_owned(), theme.key),
        Span::raw(format!("  {}", kind.describe())),
    ])
}

fn draw_samples(frame: &mut Frame<'_>, area: Rect, detail: &DatasetDetail, app: &App, theme: &Theme) {
    let [rows, image, captions] = sample_layout(area);
    let lines = detail.samples.iter().map(|sample| {
        let first = sample.captions.first().map_or("", |caption| &caption.raw);
        Line::from(vec![
            Span::styled(format!("{}  ", display_safe(&sample.key)), theme.quiet),
            Span::raw(display_safe(first).into_owned()),
        ])
    });
    let style = list::selection(app.data.listing.focus == PaneFocus::Detail, theme);
    list::draw(frame, rows, lines, app.data.listing.detail, style);
    let Some(sample) = detail.samples.get(app.data.listing.detail) else {
        return;
    };
    frame.render_widget(ImageWidget::new(Some(&sample.path), app, theme), image);
    let mut lines = Vec::new();
    for caption in &sample.captions {
        lines.push(Line::raw(display_safe(&caption.raw).into_owned()));
        let tokens = format!("  {}", display_safe(&caption.tokens.join(" ")));
        lines.push(Line::styled(tokens, theme.quiet));
    }
    text::draw(frame, captions, lines);
}
