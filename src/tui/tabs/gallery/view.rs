//! Draws the Gallery tab.
//!
//! ```text
//! flickr8k-merge-001/dev-best   image 12 of 1,000, the worst first, with "dog"
//! +---------------+  a dog is running through the grass        in color: words of a reference
//! |               |  BLEU-4 0.51  ROUGE-L 0.62  CIDEr-D 1.34   log-probability -8.91
//! |     image     |
//! |               |  - A black dog runs across the lawn .
//! +---------------+  - ...
//!                    beam 5: -8.91  a dog is running through the grass
//!                            -9.40  a dog runs through the grass
//! ```

use crate::evaluation::CaptionedImage;
use crate::jobs::CheckpointRef;
use crate::metrics::{DisplayLevel, Metric, Scores};
use crate::search::WrittenCaption;
use crate::text::{display_path, display_safe};
use crate::tui::tabs::gallery::state::GalleryPage;
use crate::tui::widgets::{ImageWidget, image, text};
use crate::tui::{Action, App, ImageKey, KeyContext, Theme};
use indicatif::HumanCount;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use std::collections::HashSet;

/// Minimum width for captions beside the image.
const WIDE: u16 = 70;

/// Header, image, captions.
fn layout(area: Rect) -> [Rect; 3] {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    let [image, text] = match area.width >= WIDE {
        true => Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)])
            .spacing(2)
            .areas(body),
        false => Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(body),
    };
    [head, image, text]
}

/// The image with the overlay of the current word, and those of the words beside it, so that they are ready.
pub fn images(app: &App, area: Rect) -> Vec<ImageKey> {
    let [_, image, _] = layout(area);
    let Some(plain) = image::key(app.gallery.file(), image) else {
        return Vec::new();
    };
    let overlays = app.gallery.attention.overlays();
    match overlays.is_empty() {
        true => vec![plain],
        false => overlays
            .into_iter()
            .map(|overlay| plain.with_overlay(overlay))
            .collect(),
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let gallery = &app.gallery;
    if gallery.image_file.is_none() && gallery.captioned().is_none() {
        frame.render_widget(Paragraph::new(nothing(app, theme)), area);
        return;
    }
    let [head, image, text] = layout(area);
    frame.render_widget(first_line(gallery, theme), head);
    let widget = ImageWidget {
        overlay: gallery.attention.overlays().into_iter().next(),
        ..ImageWidget::new(gallery.file(), app, theme)
    };
    frame.render_widget(widget, image);
    let captioned = gallery.captioned().filter(|_| gallery.image_file.is_none());
    let mut lines = captioned.map_or_else(Vec::new, |captioned| about(captioned, gallery, theme));
    lines.extend(about_attention(gallery, theme));
    lines.extend(hypotheses(gallery, theme));
    lines.extend(
        captioned
            .into_iter()
            .flat_map(|captioned| references(captioned, theme)),
    );
    text::draw(frame, text, lines);
}

fn nothing(app: &App, theme: &Theme) -> Vec<Line<'static>> {
    let key = |action| app.keymap.key_of(KeyContext::Gallery, action);
    match app.gallery.images() {
        Some(Err(why)) => vec![Line::styled(why.clone(), theme.bad)],
        Some(Ok(_)) => vec![
            Line::raw(format!("No caption contains {:?}.", app.gallery.words)),
            Line::raw(format!("Press {} to show all images.", key(Action::Back))),
        ],
        None if app.gallery.evaluation_key().is_some() => {
            vec![Line::styled("loading images and captions ...", theme.quiet)]
        }
        None => vec![
            Line::raw("No evaluations yet."),
            Line::raw(""),
            Line::raw(format!(
                "Press {} to evaluate a checkpoint, {} to caption an image file.",
                key(Action::Open),
                key(Action::OpenImage)
            )),
        ],
    }
}

fn first_line(gallery: &GalleryPage, theme: &Theme) -> Line<'static> {
    if let Some(image_file) = &gallery.image_file {
        let name = Span::styled(display_path(image_file), theme.heading);
        return Line::from_iter([name, Span::raw(at_word(gallery))]);
    }
    let shown = gallery.shown.len();
    let mut position = format!(
        "   image {} of {}, {}",
        HumanCount(gallery.index as u64 + 1),
        HumanCount(shown as u64),
        <&str>::from(gallery.sort)
    );
    if shown < gallery.captions().len() {
        position += &format!(", containing {:?}", gallery.words);
    }
    position += &at_word(gallery);
    let of = gallery
        .evaluation_key()
        .map(ToString::to_string)
        .unwrap_or_default();
    Line::from(vec![Span::styled(of, theme.heading), Span::raw(position)])
}

fn at_word(gallery: &GalleryPage) -> String {
    match gallery.attention.word() {
        Some((index, words)) => format!("   word {} of {}", index + 1, words.len()),
        None => String::new(),
    }
}

/// The state of the request for attention weights, as long as there are none.
fn about_attention(gallery: &GalleryPage, theme: &Theme) -> Option<Line<'static>> {
    if !gallery.attention.is_shown {
        return None;
    }
    match &gallery.attention.weights.answer {
        None => gallery
            .caption()
            .map(|_| Line::styled("computing attention ...", theme.quiet)),
        Some(Ok(attention)) if attention.words.is_empty() => {
            Some(Line::styled("the caption has no words", theme.warning))
        }
        // An error is a notice.
        Some(_) => None,
    }
}

fn about(captioned: &CaptionedImage, gallery: &GalleryPage, theme: &Theme) -> Vec<Line<'static>> {
    let known = words_of(&captioned.references);
    let mut lines = vec![
        Line::styled(display_safe(&captioned.image).into_owned(), theme.quiet),
        marked(in_color(&captioned.caption, &known, theme), gallery, theme),
        Line::raw(format!(
            "{}  log-probability {:.2}",
            scores_line(&captioned.scores),
            captioned.log_probability
        )),
    ];
    if let Some((of, other)) = gallery.comparison() {
        lines.push(Line::styled(format!("{of}:"), theme.heading));
        match other {
            Ok(other) => {
                lines.push(in_color(&other.caption, &known, theme));
                lines.push(Line::raw(scores_line(&other.scores)));
            }
            Err(why) => lines.push(Line::styled(why.to_owned(), theme.warning)),
        }
    }
    lines
}

fn scores_line(scores: &Scores) -> String {
    scores.line(Metric::shown(DisplayLevel::Caption), 3, "  ")
}

fn references(captioned: &CaptionedImage, theme: &Theme) -> Vec<Line<'static>> {
    let references = captioned.references.iter();
    let lines =
        references.map(|reference| Line::styled(format!("- {}", display_safe(reference)), theme.quiet));
    [Line::raw("")].into_iter().chain(lines).collect()
}

fn words_of(references: &[String]) -> HashSet<&str> {
    references
        .iter()
        .flat_map(|reference| reference.split_whitespace())
        .collect()
}

/// A caption whose words are colored by whether a reference contains them.
fn in_color(caption: &str, known: &HashSet<&str>, theme: &Theme) -> Line<'static> {
    let words = caption.split_whitespace().map(|word| {
        let style = if known.contains(word) {
            theme.good
        } else {
            theme.bad
        };
        Span::styled(format!("{} ", display_safe(word)), style)
    });
    Line::from_iter(words)
}

/// Highlights the current word. The line must end with one span per word.
fn marked(mut line: Line<'static>, gallery: &GalleryPage, theme: &Theme) -> Line<'static> {
    if let Some((index, words)) = gallery.attention.word()
        && let Some(first) = line.spans.len().checked_sub(words.len())
    {
        let word = &mut line.spans[first + index];
        word.style = word.style.patch(theme.selected);
    }
    line
}

/// The first run, and the other members of its ensemble: `one with another, third`.
fn run_names(members: &[CheckpointRef]) -> String {
    let names: Vec<&str> = members.iter().map(|member| member.run.as_str()).collect();
    match names.split_first() {
        Some((first, [])) => (*first).to_owned(),
        Some((first, others)) => format!("{first} with {}", others.join(", ")),
        None => String::new(),
    }
}

fn hypotheses(gallery: &GalleryPage, theme: &Theme) -> Vec<Line<'static>> {
    let Some((request, hypotheses)) = gallery.hypotheses() else {
        return Vec::new();
    };
    let how = &request.search;
    let runs = run_names(&request.members);
    let mut lines = vec![
        Line::raw(""),
        Line::styled(format!("{runs}, {how}:"), theme.heading),
    ];
    match hypotheses {
        None => lines.push(Line::styled("captioning ...", theme.quiet)),
        Some(Err(why)) => lines.push(Line::styled(display_safe(why).into_owned(), theme.bad)),
        Some(Ok(captions)) => {
            let order = "log-probability; in the order of the search, which normalizes it for length";
            lines.push(Line::styled(order, theme.quiet));
            let mut captions = captions.iter().map(hypothesis_line);
            // For an image file the best hypothesis is the caption.
            if gallery.image_file.is_some() {
                lines.extend(captions.next().map(|best| marked(best, gallery, theme)));
            }
            lines.extend(captions);
        }
    }
    lines
}

fn hypothesis_line(hypothesis: &WrittenCaption) -> Line<'static> {
    let probability = Span::raw(format!("{:7.2}  ", hypothesis.log_probability));
    let words = hypothesis.caption.split_whitespace();
    let words = words.map(|word| Span::raw(format!("{} ", display_safe(word))));
    Line::from_iter([probability].into_iter().chain(words))
}
