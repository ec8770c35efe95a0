//! The value of a table's cell, which may hold several captions.

use super::json::texts;

/// The value of a cell or of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell(Vec<String>);

impl Cell {
    /// The text of a table's cell, which may be a list as Python or JSON writes it.
    pub(super) fn of_text(text: &str) -> Self {
        let text = text.trim();
        let within =
            |open: &str, close: &str| text.strip_prefix(open).and_then(|text| text.strip_suffix(close));
        let list = within("[", "]").or_else(|| within("(", ")")).and_then(parse_list);
        let objects = || {
            let value = within("[{", "}]").and_then(|_| serde_json::from_str(text).ok());
            value.map(|value| texts(&value))
        };
        let texts = list.or_else(objects).filter(|texts| !texts.is_empty());
        Self(texts.unwrap_or_else(|| vec![text.to_owned()]))
    }

    pub(super) fn of_list(list: Vec<String>) -> Self {
        Self(list)
    }

    /// The text, or the first of a list.
    pub(super) fn text(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    pub(super) fn into_text(self) -> String {
        let text = self.0.into_iter().next().unwrap_or_default();
        // pandas writes the ids of a column with a missing value as floats.
        match text.strip_suffix(".0") {
            Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number.to_owned(),
            _ => text,
        }
    }

    pub(super) fn into_captions(self) -> Vec<String> {
        self.0
    }
}

/// The strings of `"a", 'b'`; `None` for anything else, such as a caption in brackets.
fn parse_list(text: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    let mut rest = text.trim_start();
    while let Some(quote) = rest.chars().next() {
        let mut item = String::new();
        let mut characters = rest.strip_prefix(['"', '\''])?.char_indices();
        let end = loop {
            match characters.next()? {
                (_, '\\') => item.push(characters.next()?.1),
                (at, character) if character == quote => break at,
                (_, character) => item.push(character),
            }
        };
        items.push(item);
        rest = rest[1 + end + 1..].trim_start();
        match rest.strip_prefix(',') {
            Some(more) => rest = more.trim_start(),
            None if rest.is_empty() => {}
            // numpy prints lists without commas.
            None if rest.starts_with(['"', '\'']) => {}
            None => return None,
        }
    }
    Some(items).filter(|items| !items.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_cells_are_parsed() {
        let items = |text: &str| Cell::of_text(text).0;
        assert_eq!(
            items(r#"["A dog .", "A \"big\" dog"]"#),
            ["A dog .", "A \"big\" dog"]
        );
        assert_eq!(items("['A dog', \"It's a dog\"]"), ["A dog", "It's a dog"]);
        assert_eq!(items("('A dog', 'A cat')"), ["A dog", "A cat"]);
        assert_eq!(
            items(r#"[{"raw": "A dog"}, {"raw": "A cat"}]"#),
            ["A dog", "A cat"]
        );
        for text in ["[A dog]", "(A dog)", "[{A dog}]", "[{}]"] {
            assert_eq!(items(text), [text]);
        }
        assert_eq!(items("A dog"), ["A dog"]);
        assert_eq!(items("[]"), ["[]"]);
    }
}
