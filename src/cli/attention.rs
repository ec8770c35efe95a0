//! Where a decoder looked for each word of a caption: as pictures, as lines, as JSON.

use image::RgbImage;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::Context;
use super::picture::{PictureArgs, Tiles, draw_row};
use super::terminal::display_safe;
use crate::search::{Attention, WordAttention};

/// Columns of a picture unless others are asked for: three fit beside each other into an old terminal, and what is
/// looked at can still be told.
const COLUMNS: u16 = 24;

/// Draws the image, and then once for each word, bright where the decoder looked, with the word under it.
pub(super) fn draw(
    image: &RgbImage,
    attention: &Attention,
    args: &PictureArgs,
    context: &Context,
) -> anyhow::Result<()> {
    let terminal = &context.terminal;
    let tiles = Tiles::new(image.dimensions(), args.width.unwrap_or(COLUMNS), terminal);
    let looked = attention.words.iter().map(|word| {
        let mut image = image.clone();
        attention.overlay(word).lay_over(&mut image);
        (image, word.word.as_str())
    });
    let pictures: Vec<(RgbImage, &str)> = std::iter::once((image.clone(), "")).chain(looked).collect();
    for row in pictures.chunks(tiles.in_a_row) {
        draw_row(row.iter().map(|(image, _)| image), &tiles, args)?;
        context.print(&under(row.iter().map(|(_, word)| *word), &tiles))?;
    }
    Ok(())
}

/// A line of words, each beginning where its picture does; one that is wider than that is cut.
fn under<'a>(words: impl Iterator<Item = &'a str>, tiles: &Tiles) -> String {
    let mut line = String::new();
    for (place, word) in words.enumerate() {
        let start = tiles.start_of(place);
        line += &" ".repeat(start.saturating_sub(line.width()));
        let mut room = tiles.columns();
        line.extend(display_safe(word).chars().take_while(|letter| {
            let width = letter.to_string().width();
            let fits = width <= room;
            room = room.saturating_sub(width);
            fits
        }));
    }
    line.trim_end().to_owned() + "\n"
}

/// For each word a line that begins with a tab: the word, and the region that was looked at most with its share.
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

/// A word of a caption, as JSON has it.
#[derive(Serialize)]
pub(super) struct WordObject<'a> {
    word: &'a str,
    /// Of each row of regions, from above.
    weights: Vec<&'a [f32]>,
}

/// Every word with its weights.
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
    fn lines_tell_what_was_looked_at_most() {
        let attention = attention();
        let lines = lines(&attention);
        let second = lines.lines().nth(1).unwrap();
        assert_eq!(second, "\tdog\u{fffd}[2J\trow 2, column 1\t75.0 %");
    }

    #[test]
    fn json_has_the_weights_row_by_row() {
        let attention = attention();
        let json = serde_json::to_value(objects(&attention)).unwrap();
        assert_eq!(
            json[1]["weights"],
            serde_json::json!([[0.0, 0.125], [0.75, 0.125]])
        );
    }

    #[test]
    fn words_stand_under_their_pictures() {
        let tiles = Tiles::new((400, 300), 8, &Terminal::plain());
        let words = ["", "a", "extraordinary", "dog"];
        assert_eq!(
            under(words.into_iter(), &tiles),
            "          a         extraord  dog\n"
        );
    }
}
