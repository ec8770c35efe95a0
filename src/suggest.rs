//! "Did you mean ...": the known word nearest to a mistyped one, for every error that names a key or a name.

use strum::VariantNames;

/// An enum whose variants have names in commands, settings and files. Derive the names and the parser with `strum`:
///
/// ```
/// use cutline::suggest::{Named, UnknownName, unknown_name};
///
/// #[derive(Clone, Copy, Debug, strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
/// #[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = unknown_name::<Self>)]
/// enum Fruit {
///     Apple,
///     #[strum(to_string = "blood-orange", serialize = "orange")]
///     BloodOrange,
/// }
///
/// impl Named for Fruit {
///     const KIND: &'static str = "fruit";
/// }
///
/// assert!(matches!("orange".parse(), Ok(Fruit::BloodOrange)));
/// assert_eq!(Fruit::BloodOrange.name(), "blood-orange");
/// assert_eq!(
///     "aple".parse::<Fruit>().unwrap_err().to_string(),
///     "unknown fruit \"aple\" (nearest: \"apple\"): choose one of apple, blood-orange"
/// );
/// ```
pub trait Named: VariantNames + Copy + Into<&'static str> {
    /// The noun for error messages, such as `backbone`.
    const KIND: &'static str;

    /// The name of this variant.
    fn name(self) -> &'static str {
        self.into()
    }
}

/// A name that no variant of an enum has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} {name:?}{}: choose one of {}", hint(.name, .known), .known.join(", "))]
pub struct UnknownName {
    kind: &'static str,
    name: String,
    known: Vec<String>,
}

impl UnknownName {
    /// `kind` is the noun for what has the name; `known` are the names to choose from.
    pub fn new<'a>(kind: &'static str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            known: known.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// The error for a name that no variant of `T` has: the `parse_err_fn` of [`Named`] enums.
pub fn unknown_name<T: Named>(name: &str) -> UnknownName {
    UnknownName::new(T::KIND, name, T::VARIANTS.iter().copied())
}

/// ` (nearest: "...")`, or nothing where no candidate is near.
pub fn hint(name: &str, known: &[String]) -> String {
    nearest(name, known.iter().map(String::as_str))
        .map_or_else(String::new, |nearest| format!(" (nearest: {nearest:?})"))
}

/// The candidate nearest to `word`, or `None` where none is near enough to suggest.
///
/// The measure is the Damerau-Levenshtein distance of the lower-cased words. At most a third of the letters of `word`
/// may differ, or two if that is more. The first words of a candidate count as well, so that `hiden` suggests
/// `hidden_size`. Of equally near candidates the first one wins.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The distance to the candidate, or one more than that to its first words.
fn distance(word: &str, candidate: &str) -> usize {
    let first_words = candidate
        .match_indices(['_', '-'])
        .map(|(end, _)| &candidate[..end]);
    first_words
        .map(|words| strsim::damerau_levenshtein(word, words) + 1)
        .chain([strsim::damerau_levenshtein(word, candidate)])
        .min()
        .unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_of_a_typo_is_the_known_word() {
        let keys = ["hidden", "embedding", "dropout"];
        assert_eq!(nearest("hiden", keys), Some("hidden"));
        assert_eq!(nearest("HIDDEN", keys), Some("hidden"));
        assert_eq!(nearest("dorpout", keys), Some("dropout"));
        let keys = ["decoder.kind", "decoder.hidden_size"];
        assert_eq!(nearest("decoder.hiden", keys), Some("decoder.hidden_size"));
    }

    #[test]
    fn nearest_of_an_unlike_word_is_none() {
        assert_eq!(nearest("learning_rate", ["hidden", "embedding"]), None);
        assert_eq!(nearest("xy", ["ab"]), None, "two of two letters differ");
        assert_eq!(nearest("anything", []), None);
    }
}
