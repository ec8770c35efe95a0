//! N-gram counts of a caption in a fixed order, for BLEU and CIDEr-D.

use std::borrow::Cow;

/// The longest n-grams of BLEU and CIDEr-D.
pub const MAX_ORDER: usize = 4;

/// A value for each distinct n-gram of one order, sorted by n-gram.
///
/// A sorted list rather than a hash map, so that sums over n-grams are bit-identical in every run.
pub(super) type ByNGram<'a, T, V> = Vec<(&'a [T], V)>;

/// The words of tokens. A token of the PTB tokenizer may have a no-break space, and coco-caption splits a caption for
/// n-grams at any whitespace, for ROUGE-L at spaces alone.
pub(super) fn words(tokens: &[String]) -> Cow<'_, [String]> {
    if !tokens.iter().any(|token| token.contains(is_python_space)) {
        return tokens.into();
    }
    let words = tokens.iter().flat_map(|token| token.split(is_python_space));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// [`words`] of each caption.
pub(super) fn words_of_all(captions: &[Vec<String>]) -> Cow<'_, [Vec<String>]> {
    let split: Vec<Cow<'_, [String]>> = captions.iter().map(|caption| words(caption)).collect();
    match split.iter().all(|words| matches!(words, Cow::Borrowed(_))) {
        true => captions.into(),
        false => split.into_iter().map(Cow::into_owned).collect(),
    }
}

/// Whether Python's `str.split` splits at the character.
fn is_python_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// The counts of n-grams of 1 to [`MAX_ORDER`] tokens in a caption; index 0 has the unigrams.
pub(super) fn count<T: Ord>(tokens: &[T]) -> [ByNGram<'_, T, u64>; MAX_ORDER] {
    std::array::from_fn(|index| count_order(tokens, index + 1))
}

fn count_order<T: Ord>(tokens: &[T], order: usize) -> ByNGram<'_, T, u64> {
    let mut ngrams: Vec<&[T]> = tokens.windows(order).collect();
    ngrams.sort_unstable();
    ngrams
        .chunk_by(|a, b| a == b)
        .map(|same| (same[0], same.len() as u64))
        .collect()
}

/// The value of `ngram`, or zero if it does not occur.
pub(super) fn value<T: Ord, V: Copy + Default>(values: &ByNGram<'_, T, V>, ngram: &[T]) -> V {
    values
        .binary_search_by(|(other, _)| (*other).cmp(ngram))
        .map_or(V::default(), |index| values[index].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_with_a_no_break_space_are_two_words() {
        let tokens = ["2\u{a0}1/2", "cups"].map(str::to_owned);
        assert_eq!(*words(&tokens), ["2", "1/2", "cups"].map(str::to_owned));
        assert!(matches!(words(&tokens[1..]), Cow::Borrowed(_)));
        let captions = [tokens[1..].to_vec(), tokens.to_vec()];
        assert_eq!(words_of_all(&captions)[1].len(), 3);
    }
}
