//! METEOR's own tokenizer, which its option `-norm` applies to captions.
//!
//! It separates punctuation, splits words at single hyphens and contractions before the apostrophe, and keeps the dot
//! of abbreviations. Each rule scans the caption from left to right and consumes the characters around a mark, so that
//! `a-b-c` becomes `a b-c`; the jar's numbers depend on that.

use std::collections::HashMap;

/// When the dot after a prefix belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrefixKind {
    Always,
    BeforeNumbers,
}

/// Splits captions into the lower-case words that METEOR aligns.
#[derive(Clone, Debug, Default)]
pub(super) struct Normalizer {
    /// Words whose final dot is theirs: `Mr`, `No`.
    pub(super) prefixes: HashMap<String, PrefixKind>,
}

impl Normalizer {
    /// The words of a caption.
    pub(super) fn words(&self, caption: &str) -> Vec<String> {
        let separated = separate(caption);
        let raw: Vec<&str> = split(&separated).collect();
        let mut line = String::with_capacity(separated.len());
        for (index, word) in raw.iter().enumerate() {
            let next = raw.get(index + 1).copied().unwrap_or_default();
            line += &self.final_dot(word, next);
            line.push(' ');
        }
        let line = line.replace(is_wide_space, " ");
        let line = line.trim_matches(|c| c <= ' ').to_lowercase();
        split(&line).map(str::to_owned).collect()
    }

    /// The word with its final dot kept, dropped or split off.
    fn final_dot(&self, word: &str, next: &str) -> String {
        let Some(stem) = word.strip_suffix('.') else {
            return word.to_owned();
        };
        if stem.chars().all(|c| c == '.') {
            return word.to_owned();
        }
        if stem.contains('.') && stem.contains(is_letter) {
            return word.replace('.', "");
        }
        let kind = self.prefixes.get(stem);
        let is_kept = kind == Some(&PrefixKind::Always)
            || next.starts_with(|c: char| c.is_ascii_lowercase())
            || (kind == Some(&PrefixKind::BeforeNumbers) && next.starts_with(|c: char| c.is_ascii_digit()));
        match is_kept {
            true => word.to_owned(),
            false => format!("{stem} ."),
        }
    }
}

/// Splits as Java's `StringTokenizer` does.
pub(super) fn split(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', '\t', '\n', '\r', '\x0c'])
        .filter(|word| !word.is_empty())
}

/// The caption with blanks around all marks but the dots at the ends of words.
fn separate(caption: &str) -> String {
    let mut line = vec![' '];
    for c in caption.trim_matches(|c| c <= ' ').chars() {
        match is_separated(c) {
            true => line.extend([' ', c, ' ']),
            false => line.push(c),
        }
    }
    line.push(' ');
    let mut line = isolate_dots(&line);

    let not_digit = |c: char| !c.is_ascii_digit();
    let digit = |c: char| c.is_ascii_digit();
    line = around(&line, not_digit, ',', not_digit, " , ");
    line = around(&line, digit, ',', not_digit, " , ");
    line = around(&line, not_digit, ',', digit, " , ");

    let text: String = line.iter().collect();
    let text = text.replace(['`', '‘', '’'], "'");
    let text = text.replace(['“', '”'], " \" ").replace("''", " \" ");
    let text = text.replace('–', "-").replace("--", "-");
    line = text.chars().collect();

    let word = |c: char| is_letter(c) || digit(c);
    line = around(&line, |c| word(c) || c == '.', '-', word, " ");

    let not_letter = |c: char| !is_letter(c);
    line = around(&line, not_letter, '\'', not_letter, " ' ");
    line = around(&line, |c| !word(c), '\'', is_letter, " ' ");
    line = around(&line, is_letter, '\'', not_letter, " ' ");
    line = around(&line, is_letter, '\'', is_letter, " '");
    line = around(&line, digit, '\'', |c| c == 's', " '");
    line.into_iter().collect()
}

/// Replaces the mark where the characters before and after it fit. These are consumed: the next match starts after them.
fn around(
    line: &[char],
    before: impl Fn(char) -> bool,
    mark: char,
    after: impl Fn(char) -> bool,
    replacement: &str,
) -> Vec<char> {
    let mut replaced = Vec::with_capacity(line.len() + 8);
    let mut rest = line;
    while let [first, tail @ ..] = rest {
        replaced.push(*first);
        rest = tail;
        if let [second, third, tail @ ..] = rest
            && *second == mark
            && before(*first)
            && after(*third)
        {
            replaced.extend(replacement.chars());
            replaced.push(*third);
            rest = tail;
        }
    }
    replaced
}

/// Puts blanks around runs of two or more dots.
fn isolate_dots(line: &[char]) -> Vec<char> {
    let mut isolated = Vec::with_capacity(line.len());
    for run in line.chunk_by(|one, next| *one == '.' && *next == '.') {
        match run.len() {
            1 => isolated.extend(run),
            _ => {
                isolated.push(' ');
                isolated.extend(run);
                isolated.push(' ');
            }
        }
    }
    isolated
}

/// Marks that are words of their own wherever they stand.
fn is_separated(c: char) -> bool {
    let is_java_space = matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r');
    let is_handled_later = matches!(c, '.' | '\'' | '`' | ',' | '-' | '‘' | '’');
    !(is_letter(c) || c.is_ascii_digit() || is_java_space || is_handled_later)
}

/// The letters that METEOR knows: Latin, Cyrillic and phonetic ones.
fn is_letter(c: char) -> bool {
    matches!(c,
        'A'..='Z' | 'a'..='z' | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ž' | '\u{400}'..='\u{527}'
        | '\u{a640}'..='\u{a66e}' | '\u{a67e}'..='\u{a697}' | '\u{1d00}'..='\u{1d7f}')
}

fn is_wide_space(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}
