//! Attention weights of a caption's words: as images, lines or JSON.

use image::RgbImage;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::Context;
use super::inline_image::{InlineImageArgs, Tiles, draw_row};
use super::terminal::display_safe;
use crate::search::{Attention, WordAttention};

/// Default width of an image: three fit side by side on 80 columns.
const COLUMNS: u16 = 24;

/// Draws the image, then once per word with the weights as brightness, and the word below.
pub(super) fn draw(
    image: &RgbImage,
    attention: &Attention,
    args: &InlineImageArgs,
    context: &Context,
) -> anyhow::Result<()> {
    let terminal = &context.terminal;
    let tiles = Tiles::new(image.dimensions(), args.width.unwrap_or(COLUMNS), terminal);
    let overlaid = attention.words.iter().map(|word| {
        let mut image = image.clone();
        attention.overlay(word).lay_over(&mut image);
        (image, word.word.as_str())
    });
    let images: Vec<(RgbImage, &str)> = std::iter::once((image.clone(), "")).chain(overlaid).collect();
    for row in images.chunks(tiles.per_row) {
        draw_row(row.iter().map(|(image, _)| image), &tiles, args)?;
        context.print(&word_line(row.iter().map(|(_, word)| *word), &tiles))?;
    }
    Ok(())
}

/// A line with each word below its image; wider words are truncated.
fn word_line<'a>(words: impl Iterator<Item = &'a str>, tiles: &Tiles) -> String {
    let mut line = String::new();
    for (i, word) in words.enumerate() {
        let start = tiles.column_of(i);
        line += &" ".repeat(start.saturating_sub(line.width()));
        let mut columns = tiles.columns();
        line.extend(display_safe(word).chars().take_while(|letter| {
            let width = letter.to_string().width();
            let fits = width <= columns;
            columns = columns.saturating_sub(width);
            fits
        }));
    }
    line.trim_end().to_owned() + "\n"
}

/// A line per word, starting with a tab: the word, the region with the highest weight, and the weight.
pub(super) fn lines(attention: &Attention) -> String {
    let line = |word: &WordAttention| {
        let peak = attention.peak(word);
        format!(
            "\t{}\trow {}, column {}\t{:.1} %\n",
            display_safe(&word.word),
            peak.row + 1,
            peak.column + 1,
            100.0 * peak.weight
        )
    };
    attention.words.iter().map(line).collect()
}

/// A word in JSON.
#[derive(Serialize)]
pub(super) struct WordObject<'a> {
    word: &'a str,
    /// Rows of regions, from the top.
    weights: Vec<&'a [f32]>,
}

pub(super) fn objects(attention: &Attention) -> Vec<WordObject<'_>> {
    let objects = attention.words.iter().map(|word| WordObject {
        word: &word.word,
        weights: word.weights.chunks(attention.side).collect(),
    });
    objects.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::terminal::Terminal;
    use crate::vision::preprocess::CropBox;

    fn attention() -> Attention {
        let word = |word: &str, weights: [f32; 4]| WordAttention {
            word: word.into(),
            weights: weights.into(),
        };
        Attention {
            words: vec![
                word("a", [0.25; 4]),
                word("dog\u{1b}[2J", [0.0, 0.125, 0.75, 0.125]),
            ],
            side: 2,
            part: CropBox {
                left: 0,
                top: 0,
                width: 4,
                height: 4,
            },
        }
    }

    #[test]
    fn lines_have_the_region_with_the_highest_weight() {
        let attention = attention();
        let lines = lines(&attention);
        let second = lines.lines().nth(1).unwrap();
        assert_eq!(second, "\tdog\u{fffd}[2J\trow 2, column 1\t75.0 %");
    }

    #[test]
    fn json_has_weights_by_row() {
        let attention = attention();
        let json = serde_json::to_value(objects(&attention)).unwrap();
        assert_eq!(
            json[1]["weights"],
            serde_json::json!([[0.0, 0.125], [0.75, 0.125]])
        );
    }

    #[test]
    fn words_are_aligned_with_their_images() {
        let tiles = Tiles::new((400, 300), 8, &Terminal::plain());
        let words = ["", "a", "extraordinary", "dog"];
        assert_eq!(
            word_line(words.into_iter(), &tiles),
            "          a         extraord  dog\n"
        );
    }
}
