//! Lower case as in Java, which differs from Rust's in the Greek final sigma.

use unicode_normalization::char::is_combining_mark;

const SIGMA: char = 'Σ';

/// The token in lower case.
///
/// A capital sigma becomes a final one after a cased letter of its word, if none follows. A word is that of Java's
/// `BreakIterator`: letters and digits, with single marks such as hyphens and periods between letters.
pub(super) fn java_lowercase(token: &str) -> String {
    if !token.contains(SIGMA) {
        return token.to_lowercase();
    }
    let characters: Vec<char> = token.chars().collect();
    let kinds = kinds(&characters);
    let lower = |(at, &character): (usize, &char)| match character {
        SIGMA if is_final(&characters, &kinds, at) => "ς".to_owned(),
        SIGMA => "σ".to_owned(),
        _ => character.to_lowercase().collect(),
    };
    characters.iter().enumerate().map(lower).collect()
}

fn is_final(characters: &[char], kinds: &[Kind], at: usize) -> bool {
    let before = (0..at).rev().take_while(|&before| is_joined(kinds, before));
    let after = (at + 1..characters.len()).take_while(|&after| is_joined(kinds, after - 1));
    before.into_iter().any(|at| is_cased(characters[at]))
        && !after.into_iter().any(|at| is_cased(characters[at]))
}

/// Whether Java calls the character cased.
fn is_cased(character: char) -> bool {
    match character {
        'ª' | 'º' => false,
        _ => {
            character.is_lowercase() || character.is_uppercase() || !character.to_lowercase().eq([character])
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Letter,
    Digit,
    /// May be between two letters.
    Between,
    Other,
}

/// The kinds of characters; a combining mark is of the kind of its letter.
fn kinds(characters: &[char]) -> Vec<Kind> {
    let kinds = characters.iter().scan(Kind::Other, |last, &character| {
        *last = match character {
            '\'' | '"' | '.' | '-' | '_' | '\u{ad}' | '\u{2027}' | '\u{58a}' | '\u{2010}'..='\u{2015}' => {
                Kind::Between
            }
            // Each script of Japanese and Chinese is a word of its own.
            '\u{3041}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => Kind::Other,
            _ if is_combining_mark(character) && *last != Kind::Between => *last,
            _ if character.is_numeric() => Kind::Digit,
            _ if character.is_alphabetic() => Kind::Letter,
            _ => Kind::Other,
        };
        Some(*last)
    });
    kinds.collect()
}

/// Whether a character is of the same word as the next one.
fn is_joined(kinds: &[Kind], at: usize) -> bool {
    match (kinds[at], kinds[at + 1]) {
        (Kind::Letter | Kind::Digit, Kind::Letter | Kind::Digit) => true,
        (Kind::Letter, Kind::Between) => kinds.get(at + 2) == Some(&Kind::Letter),
        (Kind::Between, Kind::Letter) => at > 0 && kinds[at - 1] == Kind::Letter,
        _ => false,
    }
}
