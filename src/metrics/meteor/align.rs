//! The alignment of a hypothesis with a reference: a beam search as in METEOR 1.5, its losses included.
//!
//! METEOR prefers the alignment that covers most words; of these, the one with fewest chunks; of these, the one whose
//! words are least displaced. Three things in its program differ from that description, and its numbers depend on them:
//!
//! - A match other than an exact one counts half its words, rounded down. So a stem or a synonym counts nothing, and an
//!   alignment without it wins where that has a chunk less.
//! - A match that competes with no other is in every alignment, so it is never lost.
//! - The displacement of a match is added to the alignments that are tried after it, not to its own.

use std::cmp::Reverse;
use std::ops::Range;

use super::lexicon::{Lexicon, WordId};
use super::score::{AlignmentSide, MatchKind, MeteorCounts};

/// Partial alignments that are extended at each word of the reference.
const BEAM: usize = 40;

/// Words of the hypothesis that match words of the reference.
#[derive(Clone, Debug)]
struct Match {
    kind: MatchKind,
    hypothesis: Range<usize>,
    reference: Range<usize>,
}

impl Match {
    fn words(kind: MatchKind, hypothesis: usize, reference: usize) -> Self {
        Self {
            kind,
            hypothesis: hypothesis..hypothesis + 1,
            reference: reference..reference + 1,
        }
    }

    fn paraphrase(hypothesis: Range<usize>, reference: Range<usize>) -> Self {
        Self {
            kind: MatchKind::Paraphrase,
            hypothesis,
            reference,
        }
    }

    /// How far its words move from one caption to the other.
    fn displacement(&self) -> usize {
        self.reference.start.abs_diff(self.hypothesis.start)
    }
}

/// Aligns two captions and counts their matches.
pub(super) fn align(lexicon: &Lexicon, hypothesis: &[WordId], reference: &[WordId]) -> MeteorCounts {
    let matches = find_matches(lexicon, hypothesis, reference);
    let best = search(&matches, hypothesis.len());
    let mut sides = [side(lexicon, hypothesis), side(lexicon, reference)];
    let mut count = |index: usize, kind: MatchKind, words: &[WordId]| {
        let counts = &mut sides[index].matched[kind as usize];
        for &word in words {
            lexicon.count(word, counts);
        }
    };
    for chosen in best.iter().flatten() {
        count(0, chosen.kind, &hypothesis[chosen.hypothesis.clone()]);
        count(1, chosen.kind, &reference[chosen.reference.clone()]);
    }
    let [hypothesis, reference] = sides;
    MeteorCounts::new(hypothesis, reference, chunks(&best))
}

fn side(lexicon: &Lexicon, words: &[WordId]) -> AlignmentSide {
    let mut side = AlignmentSide::default();
    for &word in words {
        lexicon.count(word, &mut side.words);
    }
    side
}

/// All matches, by their first word in the reference, in the order of their kinds.
fn find_matches(lexicon: &Lexicon, hypothesis: &[WordId], reference: &[WordId]) -> Vec<Vec<Match>> {
    let mut found: Vec<Vec<Match>> = vec![Vec::new(); reference.len()];
    let mut words = |kind: MatchKind, is_match: fn(&Lexicon, WordId, WordId) -> bool| {
        for (j, (found, &theirs)) in found.iter_mut().zip(reference).enumerate() {
            let ours = hypothesis.iter().enumerate();
            let matching = ours.filter(|&(_, &ours)| is_match(lexicon, ours, theirs));
            found.extend(matching.map(|(i, _)| Match::words(kind, i, j)));
        }
    };
    words(MatchKind::Exact, Lexicon::is_same);
    let is_identical = hypothesis.len() == reference.len()
        && hypothesis
            .iter()
            .zip(reference)
            .all(|(&ours, &theirs)| lexicon.is_same(ours, theirs));
    if is_identical {
        return found;
    }
    words(MatchKind::Stem, Lexicon::is_same_stem);
    words(MatchKind::Synonym, Lexicon::is_synonym);
    for (theirs, ours) in paraphrases(lexicon, reference, hypothesis) {
        found[theirs.start].push(Match::paraphrase(ours, theirs));
    }
    for (ours, theirs) in paraphrases(lexicon, hypothesis, reference) {
        found[theirs.start].push(Match::paraphrase(ours, theirs));
    }
    found
}

/// The phrases of `from` that have a paraphrase in `to`, with its places there.
fn paraphrases<'a>(
    lexicon: &'a Lexicon,
    from: &'a [WordId],
    to: &'a [WordId],
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + 'a {
    let phrases = (0..from.len()).flat_map(move |start| {
        let longest = lexicon.longest_phrase().min(from.len() - start);
        (start + 1..=start + longest).map(move |end| start..end)
    });
    phrases.flat_map(move |phrase| {
        let paraphrases = lexicon.paraphrases(&from[phrase.clone()]);
        paraphrases.iter().flat_map(move |paraphrase| {
            let phrase = phrase.clone();
            let windows = to.windows(paraphrase.len()).enumerate();
            windows
                .filter(move |(_, window)| *window == &**paraphrase)
                .map(move |(start, window)| (phrase.clone(), start..start + window.len()))
        })
    })
}

/// How far a partial alignment is, and how good.
#[derive(Clone, Copy, Debug, Default)]
struct SearchState {
    hypothesis_matches: usize,
    reference_matches: usize,
    chunks: usize,
    /// The first word of the reference that is not decided.
    next: usize,
    /// The end of the last match in the hypothesis, while the chunk goes on.
    last_end: Option<usize>,
    distance: usize,
}

impl SearchState {
    /// Smaller is better.
    fn rank(&self) -> (Reverse<usize>, usize, usize) {
        let matches = self.hypothesis_matches + self.reference_matches;
        (Reverse(matches), self.chunks, self.distance)
    }

    fn add(&mut self, chosen: &Match) {
        let whole_words = |words: &Range<usize>| match chosen.kind {
            MatchKind::Exact => words.len(),
            MatchKind::Stem | MatchKind::Synonym | MatchKind::Paraphrase => words.len() / 2,
        };
        self.hypothesis_matches += whole_words(&chosen.hypothesis);
        self.reference_matches += whole_words(&chosen.reference);
        if self.last_end.is_some_and(|end| end != chosen.hypothesis.start) {
            self.chunks += 1;
        }
        self.next = chosen.reference.end;
        self.last_end = Some(chosen.hypothesis.end);
    }

    fn end_chunk(&mut self) {
        self.chunks += usize::from(self.last_end.take().is_some());
    }
}

/// A partial alignment.
#[derive(Clone, Debug)]
struct PartialAlignment<'a> {
    state: SearchState,
    /// The matches, by their first word in the reference; those that compete with no other are in it from the start.
    chosen: Vec<Option<&'a Match>>,
    hypothesis_used: Vec<bool>,
    reference_used: Vec<bool>,
}

impl<'a> PartialAlignment<'a> {
    fn is_free(&self, candidate: &Match) -> bool {
        let is_used = |used: &[bool]| used.contains(&true);
        !is_used(&self.hypothesis_used[candidate.hypothesis.clone()])
            && !is_used(&self.reference_used[candidate.reference.clone()])
    }

    fn choose(&mut self, chosen: &'a Match) {
        self.hypothesis_used[chosen.hypothesis.clone()].fill(true);
        self.reference_used[chosen.reference.clone()].fill(true);
        self.chosen[chosen.reference.start] = Some(chosen);
    }
}

/// A step from one of the paths. Paths are copied for the steps that stay in the beam only.
#[derive(Clone, Copy, Debug)]
struct Step<'a> {
    parent: usize,
    chosen: Option<&'a Match>,
    state: SearchState,
}

/// The best alignment that the beam holds.
fn search(matches: &[Vec<Match>], hypothesis_len: usize) -> Vec<Option<&Match>> {
    let mut paths = vec![certain_matches(matches, hypothesis_len)];
    for (current, candidates) in matches.iter().enumerate() {
        let mut steps = Vec::new();
        for (parent, path) in paths.iter().enumerate() {
            extend(&mut steps, parent, path, current, candidates);
        }
        if steps.is_empty() {
            steps.push(Step {
                parent: 0,
                chosen: None,
                state: paths[0].state,
            });
        }
        paths = best(steps, &paths);
    }
    let last = paths.into_iter().map(|mut path| {
        // The search leaves the last chunk open until all words are decided.
        path.state.end_chunk();
        path
    });
    // The first of equals.
    let best = last.min_by_key(|path| path.state.rank());
    best.map(|path| path.chosen).unwrap_or_default()
}

/// The steps from a path at a word of the reference.
fn extend<'a>(
    steps: &mut Vec<Step<'a>>,
    parent: usize,
    path: &PartialAlignment<'_>,
    current: usize,
    candidates: &'a [Match],
) {
    let mut state = path.state;
    if path.reference_used[current] {
        if current >= state.next {
            let Some(certain) = path.chosen[state.next] else {
                return;
            };
            state.add(certain);
            state.distance += certain.displacement();
        }
        steps.push(Step {
            parent,
            chosen: None,
            state,
        });
        return;
    }
    // Displacements only grow from a candidate to the next: of those that are equal but for it, the first fill the beam.
    let mut pushed: Vec<(_, usize)> = Vec::new();
    for candidate in candidates.iter().filter(|candidate| path.is_free(candidate)) {
        let mut with = state;
        with.add(candidate);
        state.distance += candidate.displacement();
        let (matches, chunks, _) = with.rank();
        let known = pushed.iter().position(|(class, _)| *class == (matches, chunks));
        let class = known.unwrap_or_else(|| {
            pushed.push(((matches, chunks), 0));
            pushed.len() - 1
        });
        pushed[class].1 += 1;
        if pushed[class].1 <= BEAM {
            steps.push(Step {
                parent,
                chosen: Some(candidate),
                state: with,
            });
        }
    }
    state.end_chunk();
    state.next += 1;
    steps.push(Step {
        parent,
        chosen: None,
        state,
    });
}

/// The paths of the best steps, best first; equal ones in the order of the steps.
fn best<'a>(mut steps: Vec<Step<'a>>, paths: &[PartialAlignment<'a>]) -> Vec<PartialAlignment<'a>> {
    steps.sort_by_key(|step| step.state.rank());
    steps.truncate(BEAM);
    let follow = |step: &Step<'a>| {
        let mut path = paths[step.parent].clone();
        path.state = step.state;
        if let Some(chosen) = step.chosen {
            path.choose(chosen);
        }
        path
    };
    steps.iter().map(follow).collect()
}

/// The matches that share no word with another one.
fn certain_matches(matches: &[Vec<Match>], hypothesis_len: usize) -> PartialAlignment<'_> {
    let (mut hypothesis, mut reference) = (vec![0_usize; hypothesis_len], vec![0_usize; matches.len()]);
    for found in matches.iter().flatten() {
        hypothesis[found.hypothesis.clone()]
            .iter_mut()
            .for_each(|count| *count += 1);
        reference[found.reference.clone()]
            .iter_mut()
            .for_each(|count| *count += 1);
    }
    let mut path = PartialAlignment {
        state: SearchState::default(),
        chosen: vec![None; matches.len()],
        hypothesis_used: vec![false; hypothesis_len],
        reference_used: vec![false; matches.len()],
    };
    let is_alone = |counts: &[usize]| counts.iter().all(|count| *count == 1);
    for found in matches.iter().flatten() {
        if is_alone(&hypothesis[found.hypothesis.clone()]) && is_alone(&reference[found.reference.clone()]) {
            path.choose(found);
        }
    }
    path
}

/// Runs of matches that are adjacent and in the same order on both sides.
fn chunks(chosen: &[Option<&Match>]) -> usize {
    let mut state = SearchState::default();
    while let Some(next) = chosen.get(state.next) {
        match next {
            Some(next) => state.add(next),
            None => {
                state.end_chunk();
                state.next += 1;
            }
        }
    }
    state.end_chunk();
    state.chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_to_many_equal_candidates_are_as_many_as_the_beam() {
        let words = 500;
        let same = |j: usize| (0..words).map(|i| Match::words(MatchKind::Exact, i, j)).collect();
        let matches: Vec<Vec<Match>> = (0..words).map(same).collect();
        let path = certain_matches(&matches, words);
        let mut steps = Vec::new();
        extend(&mut steps, 0, &path, 0, &matches[0]);
        assert_eq!(steps.len(), BEAM + 1);
        let displacements: usize = (0..words).sum();
        assert_eq!(steps[BEAM].state.distance, displacements);
    }
}
