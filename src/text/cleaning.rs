//! Cleaning and tokenizing captions, as is usual in captioning. Each step is a setting.

use serde::{Deserialize, Serialize};

/// The steps before a caption is split into tokens at whitespace; all are on by default.
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
}

impl Default for Cleaning {
    fn default() -> Self {
        Self {
            lowercase: true,
            remove_punctuation: true,
            remove_symbols: true,
            remove_digits: true,
        }
    }
}

impl Cleaning {
    /// The tokens of a caption; none if it is empty after cleaning.
    pub fn tokens(&self, caption: &str) -> Vec<String> {
        let caption = if self.lowercase {
            caption.to_lowercase()
        } else {
            caption.to_owned()
        };
        caption
            .split_whitespace()
            .map(|word| word.chars().filter(|&character| self.keeps(character)).collect())
            .filter(|token: &String| !token.is_empty())
            .collect()
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
        }
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
