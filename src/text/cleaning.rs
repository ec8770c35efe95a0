//! Cleaning and tokenizing captions, as is usual in captioning. Each step is a setting.

use crate::suggest::{Named, UnknownName, unknown_name};
use icu_segmenter::WordSegmenter;
use icu_segmenter::options::WordBreakInvariantOptions;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Joins or separates letters in Indic scripts and in Persian.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// How a caption is split into tokens.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
pub enum Tokenizer {
    /// At whitespace.
    #[default]
    Words,
    /// At word boundaries by Unicode and by dictionaries (Chinese, Japanese, Thai, Khmer, Lao, Burmese).
    Icu,
    /// Each character is a token, with its combining marks.
    Chars,
}

impl Named for Tokenizer {
    const KIND: &'static str = "tokenizer";
}

/// The steps before a caption is split into tokens; all are on by default. Text is normalized to NFC, and a letter keeps
/// its combining marks.
///
/// Characters are deleted, not replaced by a space: `t-shirt` becomes `tshirt` and `dog's` becomes `dogs`. Empty tokens
/// are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cleaning {
    /// Convert to lower case (Unicode).
    pub lowercase: bool,
    /// Delete ASCII punctuation (Python's `string.punctuation`).
    pub remove_punctuation: bool,
    /// Delete other characters that are neither letters, numbers nor whitespace: emoji, typographic quotes and dashes,
    /// control characters.
    pub remove_symbols: bool,
    /// Delete digits and other numeric characters.
    pub remove_digits: bool,
    /// How the caption is split.
    pub tokenizer: Tokenizer,
}

impl Default for Cleaning {
    fn default() -> Self {
        Self {
            lowercase: true,
            remove_punctuation: true,
            remove_symbols: true,
            remove_digits: true,
            tokenizer: Tokenizer::Words,
        }
    }
}

impl Cleaning {
    /// The tokens of a caption; none if it is empty after cleaning.
    pub fn tokens(&self, caption: &str) -> Vec<String> {
        let caption: String = match self.lowercase {
            true => caption.to_lowercase().nfc().collect(),
            false => caption.nfc().collect(),
        };
        let words = caption.split_whitespace().flat_map(|word| self.split(word));
        words
            .map(|word| self.cleaned(&word))
            .filter(|token| !token.is_empty())
            .collect()
    }

    /// The tokenizer and its steps in one word: `words+lowercase-punctuation-symbols-digits`.
    pub fn label(&self) -> String {
        let steps = [
            (self.lowercase, "+lowercase"),
            (self.remove_punctuation, "-punctuation"),
            (self.remove_symbols, "-symbols"),
            (self.remove_digits, "-digits"),
        ];
        let taken = steps.iter().filter(|(is_on, _)| *is_on).map(|(_, step)| *step);
        self.tokenizer.to_string() + &taken.collect::<String>()
    }

    fn split(&self, word: &str) -> Vec<String> {
        match self.tokenizer {
            Tokenizer::Words => vec![word.to_owned()],
            Tokenizer::Icu => {
                let segmenter = WordSegmenter::new_auto(WordBreakInvariantOptions::default());
                let ends: Vec<usize> = segmenter.segment_str(word).collect();
                ends.windows(2)
                    .map(|ends| word[ends[0]..ends[1]].to_owned())
                    .collect()
            }
            Tokenizer::Chars => {
                let mut characters: Vec<String> = Vec::new();
                for character in word.chars() {
                    match characters.last_mut() {
                        Some(last) if is_combining_mark(character) || JOINERS.contains(&character) => {
                            last.push(character);
                        }
                        _ => characters.push(character.into()),
                    }
                }
                characters
            }
        }
    }

    /// The characters of a word that are kept. A mark goes with the letter before it.
    fn cleaned(&self, word: &str) -> String {
        let mut kept = String::new();
        let mut follows_letter = false;
        for character in word.chars() {
            let is_part = is_combining_mark(character) || JOINERS.contains(&character);
            follows_letter = match is_part {
                true => follows_letter,
                false => self.keeps(character) && character.is_alphabetic(),
            };
            if (is_part && follows_letter) || self.keeps(character) {
                kept.push(character);
            }
        }
        // Without what was deleted between them, characters may compose.
        kept.nfc().collect()
    }

    fn keeps(&self, character: char) -> bool {
        let removed = if character.is_ascii_punctuation() {
            self.remove_punctuation
        } else if character.is_numeric() {
            self.remove_digits
        } else {
            self.remove_symbols && !character.is_alphabetic()
        };
        !removed
    }
}

/// Whether a text of several letters is in a script that is written without spaces: Thai, Lao, Burmese, Khmer, kana and
/// Chinese characters.
pub fn is_without_spaces(text: &str) -> bool {
    const MIN_LETTERS: usize = 4;
    let is_letter = |c: &char| matches!(c, '\u{e01}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}');
    text.chars().filter(is_letter).count() >= MIN_LETTERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cleaning([lowercase, remove_punctuation, remove_symbols, remove_digits]: [bool; 4]) -> Cleaning {
        Cleaning {
            lowercase,
            remove_punctuation,
            remove_symbols,
            remove_digits,
            tokenizer: Tokenizer::Words,
        }
    }

    #[test]
    fn letters_keep_their_marks() {
        let tokens = |caption: &str| Cleaning::default().tokens(caption).join(" ");
        for caption in [
            "कुत्ता दौड़",
            "நாய் புல்லில்",
            "วิ่ง หญ้า",
            "কুকুর",
            "béret fenêtre",
            "chó chạy",
        ] {
            let composed: String = caption.nfc().collect();
            let decomposed: String = caption.nfd().collect();
            assert_eq!(tokens(caption), composed);
            assert_eq!(tokens(&decomposed), composed);
        }
        assert_eq!(tokens("🐕\u{301} a"), "a", "a mark without its letter is deleted");
    }

    #[test]
    fn tokenizers_split_text_without_blanks() {
        let tokens = |tokenizer, caption| {
            let cleaning = Cleaning {
                tokenizer,
                ..Cleaning::default()
            };
            cleaning.tokens(caption)
        };
        assert_eq!(tokens(Tokenizer::Words, "一只狗在跑。"), ["一只狗在跑"]);
        assert_eq!(tokens(Tokenizer::Chars, "一只狗。"), ["一", "只", "狗"]);
        assert_eq!(tokens(Tokenizer::Chars, "วิ่ง"), ["วิ่", "ง"]);
        let words = tokens(Tokenizer::Icu, "一只狗在草地上跑。");
        assert!(
            words.len() > 2 && words.concat() == "一只狗在草地上跑",
            "{words:?}"
        );
        assert_eq!(tokens(Tokenizer::Icu, "A dog's ball."), ["a", "dogs", "ball"]);
    }

    #[test]
    fn default_cleaning_follows_the_usual_recipe() {
        let tokens = |caption| Cleaning::default().tokens(caption).join(" ");
        assert_eq!(tokens("A girl in a T-shirt ."), "a girl in a tshirt");
        assert_eq!(tokens("The dog's ball , 2 of 3 !"), "the dogs ball of");
        assert_eq!(tokens("Player #12\u{a0}runs\tfast\r\n"), "player runs fast");
        assert_eq!(tokens("“Café” — ÉTÉ 🐕 \u{1b}[31mred"), "café été mred");
        assert_eq!(tokens(" . 12 ½ \u{7} "), "");
    }

    #[test]
    fn each_cleaning_step_is_a_setting() {
        let caption = "A T-shirt №5 🐕";
        assert_eq!(cleaning([false; 4]).tokens(caption), ["A", "T-shirt", "№5", "🐕"]);
        for (step, expected) in [
            (0, "a t-shirt №5 🐕"),
            (1, "A Tshirt №5 🐕"),
            (2, "A T-shirt 5"),
            (3, "A T-shirt № 🐕"),
        ] {
            let cleaning = cleaning(std::array::from_fn(|index| index == step));
            assert_eq!(cleaning.tokens(caption).join(" "), expected, "{cleaning:?}");
        }
    }

    proptest! {
        #[test]
        fn cleaning_is_idempotent(steps in any::<[bool; 4]>(), caption in any::<String>()) {
            let cleaning = cleaning(steps);
            let tokens = cleaning.tokens(&caption);
            prop_assert_eq!(cleaning.tokens(&tokens.join(" ")), tokens);
        }

        #[test]
        fn default_tokens_are_lower_case_letters(caption in "[ -~é’“🐕\u{0}-\u{1f}]{0,60}") {
            for token in Cleaning::default().tokens(&caption) {
                prop_assert!(!token.is_empty());
                prop_assert!(token.chars().all(|c| c.is_lowercase()), "{token:?}");
            }
        }
    }
}
