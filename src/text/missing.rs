//! What programs write in the place of a text that is missing.

use serde::de::DeserializeOwned;

/// What pandas, JSON and people write for nothing.
pub(crate) fn is_missing(text: &str) -> bool {
    let missing = ["", "nan", "null", "none", "n/a", "<na>"];
    missing
        .iter()
        .any(|missing| text.trim().eq_ignore_ascii_case(missing))
}

/// Parses JSON in which Python's words for no number count as `null`.
pub(crate) fn json_of_python<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(json).or_else(|error| match with_nulls(json) {
        Some(json) => serde_json::from_slice(&json),
        None => Err(error),
    })
}

/// JSON with `NaN`, `Infinity` and `None` outside of strings replaced by `null`; `None` if there are none. Python writes
/// these, which are not JSON.
pub(crate) fn with_nulls(json: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 5] = [b"NaN", b"nan", b"-Infinity", b"Infinity", b"None"];
    let mut replaced = Vec::with_capacity(json.len() + 1);
    let (mut rest, mut any, mut in_string) = (json, false, false);
    while let [first, ..] = rest {
        let word = match in_string {
            true => None,
            false => WORDS.iter().find(|word| rest.starts_with(word)),
        };
        if let Some(word) = word {
            replaced.extend_from_slice(b"null");
            rest = &rest[word.len()..];
            any = true;
            continue;
        }
        let length = match first {
            b'\\' if in_string && rest.len() > 1 => 2,
            b'"' => {
                in_string = !in_string;
                1
            }
            _ => 1,
        };
        replaced.extend_from_slice(&rest[..length]);
        rest = &rest[length..];
    }
    any.then_some(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_python_become_null_outside_of_strings() {
        let replaced =
            |json: &str| with_nulls(json.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(
            replaced(r#"{"NaN": NaN, "a\"None": [-Infinity, Infinity, None]}"#).unwrap(),
            r#"{"NaN": null, "a\"None": [null, null, null]}"#
        );
        assert_eq!(replaced(r#"{"a": "NaN"}"#), None);
    }
}
