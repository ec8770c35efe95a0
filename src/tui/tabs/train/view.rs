//! Draws the Train tab.
//!
//! ```text
//! flickr8k-merge-001  running   epoch 3 of 12, batch 183 of 469
//! ━━━━━━━━━━━━────────────────  24 %, 6 min left   lr 9.1e-4  9,812 tokens/s  512 MB
//! +----------------------------------------------+ +-----------+ 1000268201.jpg
//! | chart                                        | |  image    | now:    a dog is running
//! |                                              | +-----------+ before: a dog
//! +----------------------------------------------+ ...
//! ```
//!
//! In a narrow window one image is shown below the chart, with its captions.

use crate::jobs::{JobState, Prediction};
use crate::text::{about_duration, display_safe};
use crate::tui::widgets::{Chart, ImageWidget, chart, image, text};
use crate::tui::{Action, App, ImageKey, KeyContext, RunView, Theme, charts};
use indicatif::HumanCount;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Paragraph;

/// Minimum width for images beside the chart.
const WIDE: u16 = 110;
/// Minimum height for an image below the chart.
const HIGH: u16 = 18;
/// Minimum rows of an image with its captions.
const SAMPLE: u16 = 7;
const HIGHEST: u16 = 13;
const BAR: usize = 24;

struct TrainLayout {
    head: Rect,
    chart: Rect,
    samples: Vec<Rect>,
}

fn layout(app: &App, area: Rect) -> TrainLayout {
    let count = app.runs.open().map_or(0, |view| samples(view).len()) as u16;
    let [head, body] = Layout::vertical([Constraint::Length(2), Constraint::Min(4)]).areas(area);
    let (chart, samples) = if count > 0 && area.width >= WIDE {
        let [chart, beside] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)])
            .spacing(2)
            .areas(body);
        let shown = count.min(beside.height / SAMPLE);
        let height = (beside.height / shown.max(1)).clamp(SAMPLE, HIGHEST);
        let row = |index| Rect {
            y: beside.y + index * height,
            height: height - 1,
            ..beside
        };
        (chart, (0..shown).map(row).collect())
    } else if count > 0 && area.height >= HIGH {
        let [chart, below] =
            Layout::vertical([Constraint::Min(4), Constraint::Length(SAMPLE - 1)]).areas(body);
        (chart, vec![below])
    } else {
        (body, Vec::new())
    };
    TrainLayout { head, chart, samples }
}

fn samples(view: &RunView) -> &[Prediction] {
    view.samples.last().map_or(&[], |samples| &samples.captions)
}

fn shown(app: &App, area: Rect) -> Vec<(&Prediction, Rect)> {
    let Some(view) = app.runs.open() else {
        return Vec::new();
    };
    let all = samples(view);
    let first = app.train.sample % all.len().max(1);
    let shown = all.iter().cycle().skip(first);
    shown.zip(layout(app, area).samples).collect()
}

fn image_area(area: Rect) -> Rect {
    Rect {
        // A character is about twice as high as wide.
        width: (area.height * 5 / 2).min(area.width / 2),
        ..area
    }
}

pub fn images(app: &App, area: Rect) -> Vec<ImageKey> {
    let Some(view) = app.runs.open() else {
        return Vec::new();
    };
    let file = |sample: &Prediction| app.train.file(&view.name, &sample.image);
    let shown = shown(app, area).into_iter();
    shown
        .filter_map(|(sample, area)| image::key(file(sample), image_area(area)))
        .collect()
}

pub fn click(app: &mut App, area: Rect, position: Position) {
    let plot = chart::plot(layout(app, area).chart);
    if plot.contains(position)
        && let Some(whole) = app.chart_whole()
    {
        let share = f64::from(position.x - plot.x) / f64::from(plot.width.max(2) - 1);
        app.train.chart.point_at(whole, share);
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(view) = app.runs.open() else {
        frame.render_widget(Paragraph::new(welcome(app, theme)), area);
        return;
    };
    let layout = layout(app, area);
    let lines = vec![first_line(view, theme), second_line(view, app, theme)];
    frame.render_widget(Paragraph::new(lines), layout.head);
    let runs = app.charted();
    let mut charts = charts(&runs);
    let selected = app.train.chart.select(&charts);
    frame.render_widget(
        Chart {
            spec: charts.swap_remove(selected),
            runs: runs
                .into_iter()
                .map(|run| (app.runs.number(&run.name), run))
                .collect(),
            view: &app.train.chart,
            whole: app.chart_whole().unwrap_or((0.0, 1.0)),
            theme,
        },
        layout.chart,
    );
    for (sample, area) in shown(app, area) {
        draw_sample(frame, area, (view, sample), app, theme);
    }
}

fn welcome(app: &App, theme: &Theme) -> Vec<Line<'static>> {
    if app.runs.listing.items.is_none() {
        return vec![Line::styled("loading runs ...", theme.quiet)];
    }
    let key = app.keymap.key_of(KeyContext::Train, Action::NewRun);
    let data = app.keymap.key_of(KeyContext::Everywhere, Action::ShowData);
    vec![
        Line::raw("No runs yet."),
        Line::raw(""),
        match app.data.prepared().next() {
            Some(_) => Line::raw(format!("Press {key} to start one.")),
            None => Line::raw(format!("Prepare a dataset first: press {data}.")),
        },
    ]
}

/// The run, its state and its current task.
fn first_line(view: &RunView, theme: &Theme) -> Line<'static> {
    let state = match view.state {
        Some(state) => Span::styled(view.summary.state_name(state), theme.state(state)),
        None => Span::raw(""),
    };
    let doing = match (&view.summary.progress, &view.summary.step) {
        (Some(progress), _) => format!(
            "{}: {} of {}",
            progress.task,
            HumanCount(progress.done),
            HumanCount(progress.total)
        ),
        (None, Some(step)) => {
            let of = view
                .summary
                .epochs
                .map_or(String::new(), |epochs| format!(" of {epochs}"));
            let [batch, batches] = [step.batch, step.batches].map(|count| HumanCount(count as u64));
            format!("epoch {}{of}, batch {batch} of {batches}", step.epoch + 1)
        }
        (None, None) => "no step yet".into(),
    };
    let reading = view.percent_while_reading().map_or(String::new(), |percent| {
        format!("   reading its log: {percent} %")
    });
    Line::from(vec![
        Span::styled(view.name.clone(), theme.heading),
        Span::raw("  "),
        state,
        Span::raw(format!("   {}", display_safe(&doing))),
        Span::styled(reading, theme.quiet),
    ])
}

fn second_line(view: &RunView, app: &App, theme: &Theme) -> Line<'static> {
    let done = view.summary.fraction_done().unwrap_or(0.0);
    let full = (done * BAR as f64).round() as usize;
    let (front, back) = theme.bar;
    Line::from(vec![
        Span::styled(front.repeat(full), theme.key),
        Span::styled(back.repeat(BAR - full), theme.quiet),
        Span::raw(format!("  {}", figures(view, app, done).join("  "))),
    ])
}

fn figures(view: &RunView, app: &App, done: f64) -> Vec<String> {
    let mut parts = vec![format!("{:.0} %", done * 100.0)];
    let is_live = view.state.is_some_and(JobState::is_live);
    if let Some(left) = view.summary.seconds_left().filter(|_| is_live) {
        parts.push(format!("{} left", about_duration(left)));
    }
    if let Some(step) = &view.summary.step {
        parts.push(format!("lr {:.1e}", step.learning_rate));
        let speed = HumanCount(step.tokens_per_second as u64);
        parts.push(format!("{speed} tokens/s"));
        if let Some(memory) = step.memory {
            parts.push(format!("{} MB", memory / 1_000_000));
        }
    }
    let of_run = app.machine.runs.iter().find(|(run, ..)| *run == view.name);
    if let Some((_, share, _)) = of_run.filter(|_| is_live) {
        parts.push(format!("{:.0} % CPU", share * 100.0));
        parts.extend(app.machine.gpus.iter().cloned());
    }
    parts.extend(view.device.clone());
    parts
}

fn draw_sample(
    frame: &mut Frame<'_>,
    area: Rect,
    (view, sample): (&RunView, &Prediction),
    app: &App,
    theme: &Theme,
) {
    let image = image_area(area);
    let file = app.train.file(&view.name, &sample.image);
    frame.render_widget(ImageWidget::new(file, app, theme), image);
    let beside = Rect {
        x: image.right() + 1,
        width: area.width.saturating_sub(image.width + 1),
        ..area
    };
    let text = captions(view, sample, usize::from(beside.height), theme);
    text::draw(frame, beside, text);
}

/// The last caption of an image, and the earlier ones that differ.
fn captions(view: &RunView, sample: &Prediction, rows: usize, theme: &Theme) -> Text<'static> {
    let name = display_safe(&sample.image).into_owned();
    let mut lines = vec![
        Line::styled(name, theme.quiet),
        Line::styled(display_safe(&sample.caption).into_owned(), theme.heading),
    ];
    let mut last = &sample.caption;
    for round in view.samples.iter().rev() {
        let earlier = round.captions.iter().find(|other| other.image == sample.image);
        let Some(earlier) = earlier.filter(|earlier| earlier.caption != *last) else {
            continue;
        };
        last = &earlier.caption;
        let step = HumanCount(round.step);
        lines.push(Line::styled(
            format!("step {step}: {}", display_safe(&earlier.caption)),
            theme.quiet,
        ));
        if lines.len() >= rows {
            break;
        }
    }
    Text::from(lines)
}
