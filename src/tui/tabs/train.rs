//! A training as it goes on.
//!
//! ```text
//! flickr8k-merge-001  running   epoch 3 of 12, batch 183 of 469
//! ━━━━━━━━━━━━────────────────  24 %, 6 min left   rate 9.1e-4  9,812 tokens/s  512 MB
//! +--------------------------------------------------------------------+
//! | chart                                                              |
//! +--------------------------------------------------------------------+
//! 1000268201.jpg  a dog is running through the grass
//! 1019077836.jpg  two men ...
//! ```

use crate::text::{about_duration, display_safe};
use crate::tui::app::App;
use crate::tui::run_view::RunView;
use crate::tui::theme::Theme;
use crate::tui::widgets::chart::Chart;
use indicatif::HumanCount;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Paragraph;

/// The most captions that are shown.
const SAMPLES: usize = 5;
/// Rows below which captions give way to the chart.
const ROOMY: u16 = 18;
/// Columns of the bar.
const BAR: usize = 24;
/// Columns for the name of a photo.
const PHOTO: usize = 22;

const WELCOME: [&str; 7] = [
    "There is no run here yet.",
    "",
    "With nothing at hand, the built-in data set shows the whole way in a minute or two:",
    "    cutline demo",
    "With photos and captions of your own:",
    "    cutline prepare --help",
    "    cutline train NAME --detach",
];

/// Draws the page.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let Some(view) = &app.open else {
        let lines = match app.runs {
            Some(_) => WELCOME.map(Line::raw).to_vec(),
            None => vec![Line::styled("looking for runs ...", theme.quiet)],
        };
        frame.render_widget(Paragraph::new(lines), area);
        return;
    };
    let captions = match &view.samples {
        Some(samples) if area.height >= ROOMY => samples.captions.len().min(SAMPLES) as u16,
        Some(_) => 1,
        None => 0,
    };
    let [head, chart, below] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(4),
        Constraint::Length(captions),
    ])
    .areas(area);
    let lines = vec![first_line(view, theme), second_line(view, theme)];
    frame.render_widget(Paragraph::new(lines), head);
    let curves = view.curves(app.chart.quantity);
    frame.render_widget(
        Chart {
            title: app.chart.quantity.title(),
            curves: &curves,
            range: app.chart_range().unwrap_or((0, 1)),
            axis: app.chart.axis,
            theme,
        },
        chart,
    );
    frame.render_widget(Paragraph::new(captions_text(view, theme)), below);
}

/// The run, its state, and what it is doing right now.
fn first_line(view: &RunView, theme: &Theme) -> Line<'static> {
    let state = match view.state {
        Some(state) => Span::styled(state.name(), theme.state(state)),
        None => Span::raw(""),
    };
    let doing = match (&view.summary.progress, &view.summary.step) {
        (Some(progress), _) => format!("{}: {} of {}", progress.task, progress.done, progress.total),
        (None, Some(step)) => {
            let of = view
                .summary
                .epochs
                .map_or(String::new(), |epochs| format!(" of {epochs}"));
            let (batch, batches) = (step.batch, step.batches);
            format!("epoch {}{of}, batch {batch} of {batches}", step.epoch + 1)
        }
        (None, None) => "no step yet".into(),
    };
    Line::from(vec![
        Span::styled(view.name.clone(), theme.heading),
        Span::raw("  "),
        state,
        Span::raw(format!("   {}", display_safe(&doing))),
    ])
}

/// How far it is, how long it will take, and its figures.
fn second_line(view: &RunView, theme: &Theme) -> Line<'static> {
    let done = view.summary.done().unwrap_or(0.0);
    let full = (done * BAR as f64).round() as usize;
    let mut told = vec![format!("{:.0} %", done * 100.0)];
    if let Some(left) = view.summary.seconds_left()
        && view.state.is_some_and(|state| state.is_live())
    {
        told.push(format!("{} left", about_duration(left)));
    }
    if let Some(step) = &view.summary.step {
        told.push(format!("rate {:.1e}", step.learning_rate));
        let speed = HumanCount(step.tokens_per_second as u64);
        told.push(format!("{speed} tokens/s"));
        if let Some(memory) = step.memory {
            told.push(format!("{} MB", memory / 1_000_000));
        }
    }
    let (front, back) = theme.bar;
    Line::from(vec![
        Span::styled(front.repeat(full), theme.key),
        Span::styled(back.repeat(BAR - full), theme.quiet),
        Span::raw(format!("  {}", told.join("  "))),
    ])
}

fn captions_text(view: &RunView, theme: &Theme) -> Text<'static> {
    let samples = view.samples.iter().flat_map(|samples| &samples.captions);
    let lines = samples.take(SAMPLES).map(|sample| {
        let photo: String = display_safe(&sample.photo).chars().take(PHOTO).collect();
        Line::from(vec![
            Span::styled(format!("{photo:<PHOTO$}  "), theme.quiet),
            Span::raw(display_safe(&sample.caption).into_owned()),
        ])
    });
    Text::from_iter(lines)
}
