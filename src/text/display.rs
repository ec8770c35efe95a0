//! Display of untrusted text: captions and file names must not control the terminal.

use std::borrow::Cow;
use std::path::Path;

/// A count with its noun, given in the plural: `1 image`, `7,000 images`.
pub fn counted(count: u64, nouns: &str) -> String {
    let noun = match count {
        1 => singular(nouns),
        _ => Cow::Borrowed(nouns),
    };
    format!("{} {noun}", grouped(count))
}

fn singular(nouns: &str) -> Cow<'_, str> {
    let stem = |ending| nouns.strip_suffix(ending);
    if let Some(stem) = stem("ies") {
        return Cow::Owned(format!("{stem}y"));
    }
    let is_sibilant = ["ches", "shes", "sses", "xes"]
        .iter()
        .any(|ending| nouns.ends_with(ending));
    let noun = stem(if is_sibilant { "es" } else { "s" });
    Cow::Borrowed(noun.unwrap_or(nouns))
}

/// A number with its thousands separated: `7,000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = (digits.len() - 1) % 3 + 1;
    let (head, rest) = digits.split_at(first);
    let groups = rest.as_bytes().chunks(3);
    groups.fold(head.to_owned(), |text, group| {
        text + "," + &String::from_utf8_lossy(group)
    })
}

/// A number of units a second: `1,234` or `7.3`.
pub fn per_second(rate: f64) -> String {
    match rate >= 100.0 {
        true => grouped(rate.round() as u64),
        false => format!("{rate:.1}"),
    }
}

/// A size in bytes, with a decimal prefix: `14.2 MB`.
pub fn byte_size(bytes: u64) -> String {
    let value = bytes as f64;
    match value {
        v if v < 1e3 => counted(bytes, "bytes"),
        v if v < 1e6 => format!("{:.1} kB", v / 1e3),
        v if v < 1e9 => format!("{:.1} MB", v / 1e6),
        v => format!("{:.1} GB", v / 1e9),
    }
}

/// A rounded duration: `3 s`, `12 min`, `5.2 h`, `2 d`.
pub fn about_duration(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{:.0} s", s.floor()),
        s if s < 3600.0 => format!("{:.0} min", (s / 60.0).floor()),
        s if s < 86_400.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.0} d", (s / 86_400.0).floor()),
    }
}

/// Text that is safe to print on one line of a terminal.
///
/// Tabs and line endings become a space. Other control characters (C0, DEL, C1, and so escape sequences) and invisible
/// formatting characters (bidirectional overrides and isolates, zero-width characters, tags) become U+FFFD, the
/// replacement character. Joiners within words and emoji stay.
pub fn display_safe(text: &str) -> Cow<'_, str> {
    let mut before = '\0';
    let shown = text.chars().map(|character| {
        // Joiners within words of Persian or Hindi, and within emoji, are part of the spelling.
        let is_spelling = matches!(character, '\u{200c}' | '\u{200d}') && is_joinable(before);
        before = character;
        if is_spelling {
            character
        } else {
            shown_as(character)
        }
    });
    let shown: String = shown.collect();
    match shown == text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(shown),
    }
}

/// Whether a visible character is of a script with joiners, from Arabic to Mongolian, or an emoji.
fn is_joinable(character: char) -> bool {
    let is_one = matches!(character, '\u{600}'..='\u{18af}' | '\u{2600}'..='\u{27bf}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}');
    is_one && shown_as(character) == character
}

/// A path as [`display_safe`] text; invalid UTF-8 becomes U+FFFD.
pub fn display_path(path: &Path) -> String {
    display_safe(&path.to_string_lossy()).into_owned()
}

fn shown_as(character: char) -> char {
    match character {
        '\t' | '\n' | '\r' | '\u{2028}' | '\u{2029}' => ' ',
        _ if character.is_control() || is_invisible_format(character) => char::REPLACEMENT_CHARACTER,
        _ => character,
    }
}

/// The characters of Unicode's general category Cf that are invisible or reorder their neighbors.
fn is_invisible_format(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    #[test]
    fn joiners_stay_within_words_only() {
        for text in ["می\u{200c}خواهم", "क्\u{200d}ष", "👩\u{200d}👧"] {
            assert_eq!(display_safe(text), text);
        }
        assert_eq!(display_safe("a\u{200d}b \u{200c}"), "a\u{fffd}b \u{fffd}");
        assert_eq!(display_safe("می\u{200c}\u{200c}"), "می\u{200c}\u{fffd}");
    }

    #[test]
    fn durations_have_the_largest_unit_that_fits() {
        let durations = [0.4, 59.0, 60.0, 3599.0, 3600.0, 200_000.0].map(about_duration);
        assert_eq!(durations, ["0 s", "59 s", "1 min", "59 min", "1.0 h", "2 d"]);
    }

    #[test]
    fn sizes_have_the_largest_prefix_that_fits() {
        let sizes = [0, 1, 999, 1000, 14_212_972, 13_510_573_713].map(byte_size);
        assert_eq!(
            sizes,
            ["0 bytes", "1 byte", "999 bytes", "1.0 kB", "14.2 MB", "13.5 GB"]
        );
    }

    #[test]
    fn counts_have_separators_and_the_number_of_their_noun() {
        let counts = [
            (0, "images"),
            (1, "images"),
            (2, "batches"),
            (1, "batches"),
            (1, "duplicate entries"),
            (999, "words"),
            (1_234_567, "captions"),
        ];
        assert_eq!(
            counts.map(|(count, nouns)| counted(count, nouns)),
            [
                "0 images",
                "1 image",
                "2 batches",
                "1 batch",
                "1 duplicate entry",
                "999 words",
                "1,234,567 captions"
            ]
        );
    }

    #[test]
    fn rates_have_three_digits_or_more() {
        assert_eq!([7.26, 99.94, 3555.6].map(per_second), ["7.3", "99.9", "3,556"]);
    }

    #[test]
    fn display_safe_replaces_escape_sequences() {
        assert_eq!(
            display_safe("\u{1b}[2Ja dog\u{9b}31m\n"),
            "\u{fffd}[2Ja dog\u{fffd}31m "
        );
        assert_eq!(
            display_safe("image\u{202e}gpj.exe\u{200b}"),
            "image\u{fffd}gpj.exe\u{fffd}"
        );
    }

    #[test]
    fn display_safe_borrows_plain_text_of_any_language() {
        for text in ["a dog", "été, “naïve”", "犬が走る", "कुत्ता", "كلب", "🐕 — 5°"]
        {
            assert!(matches!(display_safe(text), Cow::Borrowed(shown) if shown == text));
        }
    }

    proptest! {
        #[test]
        fn display_safe_removes_control_characters(
            characters in proptest::collection::vec(
                prop_oneof![any::<char>(), proptest::char::range('\0', '\u{a0}'), proptest::char::range('\u{2000}', '\u{2070}')],
                0..40,
            ),
        ) {
            let text: String = characters.iter().collect();
            let shown = display_safe(&text);
            let mut before = '\0';
            for c in shown.chars() {
                let is_spelling = matches!(c, '\u{200c}' | '\u{200d}') && is_joinable(before);
                prop_assert!(is_spelling || !(c.is_control() || is_invisible_format(c)));
                before = c;
            }
            prop_assert_eq!(shown.chars().count(), characters.len());
        }
    }
}
