//! The PTB tokenizer as coco-caption uses it.

mod automaton;
mod grammar;
mod lowercase;

use automaton::{Automaton, Matched};
use grammar::{Form, Side};
use lowercase::java_lowercase;

/// The tokens that coco-caption drops. Those in capitals never occur, because tokens are lower-cased before.
const DROPPED: [&str; 17] = [
    "''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";",
];

const NO_BREAK_SPACE: &str = "\u{a0}";

const FRACTIONS: [(char, &str); 5] = [
    ('\u{bc}', "1/4"),
    ('\u{bd}', "1/2"),
    ('\u{be}', "3/4"),
    ('\u{2153}', "1/3"),
    ('\u{2154}', "2/3"),
];

const CURRENCIES: [(char, &str); 6] = [
    ('\u{a2}', "cents"),
    ('\u{a3}', "#"),
    ('\u{80}', "$"),
    ('\u{a4}', "$"),
    ('\u{20a0}', "$"),
    ('\u{20ac}', "$"),
];

/// Characters U+0091 to U+0094 are Windows-1252's quotes.
const QUOTES: [(char, &str); 13] = [
    ('\u{91}', "`"),
    ('\u{2018}', "`"),
    ('\u{201b}', "`"),
    ('\u{2039}', "`"),
    ('\u{92}', "'"),
    ('\u{2019}', "'"),
    ('\u{203a}', "'"),
    ('\u{93}', "``"),
    ('\u{201c}', "``"),
    ('\u{ab}', "``"),
    ('\u{94}', "''"),
    ('\u{201d}', "''"),
    ('\u{bb}', "''"),
];

/// The tokenizer of coco-caption (PyPI `pycocoevalcap` 1.2): Stanford's PTBTokenizer of CoreNLP 3.4.1 with lower-casing,
/// after which punctuation is dropped.
///
/// ```
/// use cutline::text::PtbTokenizer;
///
/// let mut tokenizer = PtbTokenizer::default();
/// assert_eq!(tokenizer.tokens("The dog's ball can't roll."), ["the", "dog", "'s", "ball", "ca", "n't", "roll"]);
/// ```
#[derive(Debug)]
pub struct PtbTokenizer(Automaton);

impl Default for PtbTokenizer {
    fn default() -> Self {
        Self(Automaton::new())
    }
}

impl PtbTokenizer {
    /// The tokens of a caption. No token has a space, but one may have a no-break space: `2<U+00A0>1/2`.
    pub fn tokens(&mut self, caption: &str) -> Vec<String> {
        let line = self.line(caption);
        line.trim_end_matches(is_python_space)
            .split(' ')
            .filter(|token| !token.is_empty() && !DROPPED.contains(token))
            .map(str::to_owned)
            .collect()
    }

    /// All tokens of a caption's first line, joined by spaces.
    fn line(&mut self, caption: &str) -> String {
        let units: Vec<u16> = caption.replace('\n', " ").encode_utf16().collect();
        let text: Vec<u8> = units.iter().map(|&unit| self.0.number(unit)).collect();
        let mut line = String::new();
        let mut at = 0;
        self.0.forget();
        while at < text.len() {
            let Some(Matched { form, len }) = self.0.token(&text, at) else {
                // No rule knows this character.
                at += 1;
                continue;
            };
            if form == Form::LineEnd {
                break;
            }
            let (shown, taken) = match form {
                Form::Split(rest) => (len - rest, len - rest),
                Form::Acronym if len == 2 => (1, 1),
                Form::Acronym | Form::WithPeriod => (len, len - 1),
                _ => (len, len),
            };
            if form != Form::Nothing {
                if !line.is_empty() {
                    line.push(' ');
                }
                let token = String::from_utf16_lossy(&units[at..at + shown]);
                line += &java_lowercase(&written(form, token));
            }
            at += taken;
        }
        line
    }
}

/// A token in its form; its case does not matter.
fn written(form: Form, token: String) -> String {
    match form {
        Form::Text(text) => text.into(),
        Form::NoSoftHyphens => match token.replace('\u{ad}', "") {
            empty if empty.is_empty() => "-".into(),
            token => token,
        },
        Form::NoBreak => token.replace(' ', NO_BREAK_SPACE),
        Form::Brackets => token.replace('(', "-LRB-").replace(')', "-RRB-"),
        Form::NoBreakBrackets => written(Form::Brackets, written(Form::NoBreak, token)),
        Form::Ampersand => token.to_ascii_lowercase().replace("&amp;", "&"),
        Form::Fraction => replaced(&token, &FRACTIONS),
        Form::Currency => replaced(&token, &CURRENCIES),
        Form::Quotes(side) => {
            let (single, double) = match side {
                Side::Left => ("`", "``"),
                Side::Right => ("'", "''"),
            };
            let token = token.replace("&apos;", single).replace('\'', single);
            let token = token.replace("&quot;", double).replace('"', double);
            replaced(&token, &QUOTES)
        }
        Form::Dashes if (3..=4).contains(&token.len()) => "--".into(),
        _ => token,
    }
}

fn replaced(token: &str, replacements: &[(char, &str)]) -> String {
    replacements
        .iter()
        .fold(token.to_owned(), |token, &(from, to)| token.replace(from, to))
}

/// Whether Python's `str.strip` removes the character.
fn is_python_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use std::cell::RefCell;

    fn tokens(caption: &str) -> String {
        PtbTokenizer::default().tokens(caption).join("|")
    }

    #[test]
    fn tokens_follow_the_penn_treebank() {
        for (caption, expected) in [
            ("The boys' dog can't roll.", "the|boys|dog|ca|n't|roll"),
            (
                "I cannot; gonna U.S. (etc.)",
                "i|can|not|gon|na|u.s.|-lrb-|etc.|-rrb-",
            ),
            ("2 1/2 t-shirts — £5", "2\u{a0}1/2|t-shirts|#|5"),
            ("isn’t “it” & &amp; é", "is|n't|it|&|&|é"),
            ("first\rsecond", "first"),
            ("first\nsecond", "first|second"),
            ("a 🐕dog", "a|dog"),
            ("... ?!", "?!"),
            ("", ""),
        ] {
            assert_eq!(tokens(caption), expected, "{caption:?}");
        }
    }

    #[test]
    fn sigma_is_final_at_the_end_of_its_word() {
        for (caption, expected) in [
            ("ΟΔΟΣ", "οδος"),
            ("ΟΔΟΣ-ΟΔΟΣ", "οδοσ-οδος"),
            ("ΟΔΟΣ_1", "οδος_1"),
            ("Σ", "σ"),
        ] {
            assert_eq!(tokens(caption), expected, "{caption:?}");
        }
    }

    #[test]
    fn tokens_have_neither_spaces_nor_capitals() {
        // Compiled once for all captions.
        let ptb = RefCell::new(PtbTokenizer::default());
        let captions = prop_oneof![any::<String>(), "[ -~\u{85}\u{a0}’“…½£é🐕Σ\r\n&<>@/]{0,60}"];
        let checked = TestRunner::default().run(&captions, |caption| {
            for token in ptb.borrow_mut().tokens(&caption) {
                prop_assert!(!token.is_empty() && !token.contains(' '));
                prop_assert!(!DROPPED.contains(&token.as_str()));
                prop_assert_eq!(token.to_ascii_lowercase(), token);
            }
            Ok(())
        });
        checked.unwrap();
    }
}
