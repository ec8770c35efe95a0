//! "Did you mean ...": the known word nearest to a mistyped one, for every error that names a key or a name.

/// The candidate most like `wanted`, or `None` when nothing comes close enough to be worth suggesting.
///
/// Likeness is the Damerau-Levenshtein distance on lower-cased text; a third of the wanted word may differ,
/// at least two letters of it. Of equally near candidates the first wins.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let allowed = (wanted.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        let keys = ["hidden", "embedding", "dropout"];
        assert_eq!(nearest("hiden", keys), Some("hidden"));
        assert_eq!(nearest("HIDDEN", keys), Some("hidden"));
        assert_eq!(nearest("dorpout", keys), Some("dropout"));
    }

    #[test]
    fn something_else_finds_nothing() {
        assert_eq!(nearest("learning_rate", ["hidden", "embedding"]), None);
        assert_eq!(
            nearest("xy", ["ab"]),
            None,
            "two letters out of two are no likeness"
        );
        assert_eq!(nearest("anything", []), None);
    }
}
