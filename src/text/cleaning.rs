//! From a raw caption to tokens, by the classic recipe of captioning: each step of it a setting.

use serde::{Deserialize, Serialize};

/// What is taken out of a caption before it is split at whitespace into tokens; by default all of it.
///
/// Characters are deleted, not replaced by a space: `t-shirt` becomes `tshirt` and `dog's` becomes `dogs`.
/// A token of which nothing remains vanishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cleaning {
    /// Lower-case by Unicode's rules.
    pub lowercase: bool,
    /// Delete ASCII punctuation (Python's `string.punctuation`).
    pub remove_punctuation: bool,
    /// Delete what is neither letter, number, whitespace nor ASCII punctuation: emoji, typographic quotes
    /// and dashes, control characters.
    pub remove_special: bool,
    /// Delete digits and other numeric characters.
    pub remove_digits: bool,
}

impl Default for Cleaning {
    fn default() -> Self {
        Self {
            lowercase: true,
            remove_punctuation: true,
            remove_special: true,
            remove_digits: true,
        }
    }
}

impl Cleaning {
    /// The tokens of a caption; none where cleaning leaves nothing.
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
            self.remove_special && !character.is_alphabetic()
        };
        !removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTHING: Cleaning = Cleaning {
        lowercase: false,
        remove_punctuation: false,
        remove_special: false,
        remove_digits: false,
    };

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
        assert_eq!(NOTHING.tokens(caption), ["A", "T-shirt", "№5", "🐕"]);
        let only = |cleaning: Cleaning| cleaning.tokens(caption).join(" ");
        assert_eq!(
            only(Cleaning {
                lowercase: true,
                ..NOTHING
            }),
            "a t-shirt №5 🐕"
        );
        assert_eq!(
            only(Cleaning {
                remove_punctuation: true,
                ..NOTHING
            }),
            "A Tshirt №5 🐕"
        );
        assert_eq!(
            only(Cleaning {
                remove_special: true,
                ..NOTHING
            }),
            "A T-shirt 5"
        );
        assert_eq!(
            only(Cleaning {
                remove_digits: true,
                ..NOTHING
            }),
            "A T-shirt № 🐕"
        );
    }

    fn any_cleaning() -> impl Strategy<Value = Cleaning> {
        any::<[bool; 4]>().prop_map(|[lowercase, remove_punctuation, remove_special, remove_digits]| {
            Cleaning {
                lowercase,
                remove_punctuation,
                remove_special,
                remove_digits,
            }
        })
    }

    proptest! {
        #[test]
        fn cleaning_is_idempotent(cleaning in any_cleaning(), caption in any::<String>()) {
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
