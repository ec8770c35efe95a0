//! JSON output that cannot control the terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;

use super::terminal::display_safe;

/// One line, with its line end.
pub(super) fn line(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(escape(&serde_json::to_string(value)?).into_owned() + "\n")
}

/// Indented lines.
pub(super) fn pretty(value: &impl Serialize) -> serde_json::Result<String> {
    let lines = serde_json::to_string_pretty(value)?;
    // Line ends within texts are escaped already.
    Ok(lines
        .lines()
        .fold(String::new(), |out, line| out + &escape(line) + "\n"))
}

/// Escapes control characters as `\u....`. They occur only within strings, so JSON parsers restore them.
fn escape(json: &str) -> Cow<'_, str> {
    if matches!(display_safe(json), Cow::Borrowed(_)) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        let mut utf_8 = [0; 4];
        if matches!(display_safe(character.encode_utf8(&mut utf_8)), Cow::Borrowed(_)) {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing into a string does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_restored() {
        let text = "a\u{1b}[2J \u{9b}31m \u{7f}\u{202e}gpj \u{2028}\u{e0041} d\u{f6}g \u{1f415}\n";
        for json in [line(&[text]).unwrap(), pretty(&[text]).unwrap()] {
            let shown = json.replace('\n', "");
            assert!(matches!(display_safe(&shown), Cow::Borrowed(_)), "{json:?}");
            assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [text]);
        }
        assert_eq!(line(&["d\u{f6}g"]).unwrap(), "[\"d\u{f6}g\"]\n");
    }
}
