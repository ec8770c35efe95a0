//! The automaton of the grammar: which rule matches most text.
//!
//! The original reads UTF-16 units, so that this one does, too. Units that no rule distinguishes have the same number;
//! the automaton runs on these numbers, which keeps it small.

use super::grammar::{DEFINITIONS, Form, RULES, Rule};
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{Compiler, Config, WhichCaptures};
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind, Repetition};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

/// Stands for surrogates: as these, it is in no set of characters but complements.
const SURROGATE: u32 = 0x10_FFFF;

/// The compiled rules, with the states that were computed so far.
#[derive(Debug)]
pub(super) struct Automaton {
    alphabet: Alphabet,
    /// Rules with the text that must follow.
    whole: Matcher,
    /// Rules without it.
    tokens: Matcher,
}

/// A token's rule and its length.
pub(super) struct Matched {
    pub(super) form: Form,
    /// UTF-16 units.
    pub(super) len: usize,
}

impl Automaton {
    pub(super) fn new() -> Self {
        let definitions = definitions();
        let parsed = |pattern: &str| parse(&expand(pattern, &definitions));
        let tokens: Vec<Hir> = RULES.iter().map(|rule| parsed(rule.token)).collect();
        let with_next = |(token, rule): (&Hir, &Rule)| Hir::concat(vec![token.clone(), parsed(rule.next)]);
        let whole: Vec<Hir> = tokens.iter().zip(RULES).map(with_next).collect();
        let alphabet = Alphabet::of(&whole);
        let matcher =
            |rules: &[Hir]| Matcher::new(rules.iter().map(|rule| alphabet.numbered(rule)).collect());
        Self {
            whole: matcher(&whole),
            tokens: matcher(&tokens),
            alphabet,
        }
    }

    pub(super) fn number(&self, unit: u16) -> u8 {
        self.alphabet.numbers[usize::from(unit)]
    }

    /// The token of numbered text at `start`. Call [`forget`](Self::forget) before another text.
    pub(super) fn token(&mut self, text: &[u8], start: usize) -> Option<Matched> {
        let (rule, len) = self.whole.longest(text, start, |_| true)?;
        let Rule { next, form, .. } = RULES[rule];
        let len = match next {
            "" => len,
            _ => {
                self.tokens.forget();
                let text = &text[..start + len];
                self.tokens.longest(text, start, |other| other == rule)?.1
            }
        };
        Some(Matched { form, len })
    }

    pub(super) fn forget(&mut self) {
        self.whole.forget();
    }
}

/// Finds the longest match of many patterns.
#[derive(Debug)]
struct Matcher {
    dfa: DFA,
    cache: Cache,
    /// States at places of a text from which no pattern matches more. Without them a text such as `<a <a <a ...` would be
    /// read to its end at each `<`. See T. Reps, *"Maximal-Munch" Tokenization in Linear Time*, 1998.
    failures: HashSet<(LazyStateID, usize)>,
}

/// The distance of the places in a text whose failures are kept.
const BETWEEN_FAILURES: usize = 64;

impl Matcher {
    fn new(patterns: Vec<Hir>) -> Self {
        let config = Config::new().utf8(false).which_captures(WhichCaptures::None);
        let nfa = Compiler::new().configure(config).build_many_from_hir(&patterns);
        let config = DFA::config().match_kind(MatchKind::All).cache_capacity(1 << 23);
        let dfa = constant(DFA::builder().configure(config).build_from_nfa(constant(nfa)));
        let cache = dfa.create_cache();
        Self {
            dfa,
            cache,
            failures: HashSet::new(),
        }
    }

    /// The first pattern among those that match most of the text from `start` on, and the length.
    ///
    /// Patterns are wanted or not in the same way until [`forget`](Self::forget).
    fn longest(
        &mut self,
        text: &[u8],
        start: usize,
        is_wanted: impl Fn(usize) -> bool,
    ) -> Option<(usize, usize)> {
        let Self { dfa, cache, failures } = self;
        let clears = cache.clear_count();
        let config = start::Config::new().anchored(Anchored::Yes);
        let mut state = dfa.start_state(cache, &config).ok()?;
        let mut longest = None;
        let mut passed = Vec::new();
        // A state says what matched before the last unit.
        for at in start..=text.len() {
            if at % BETWEEN_FAILURES == 0 {
                if cache.clear_count() == clears && failures.contains(&(state, at)) {
                    break;
                }
                passed.push((state, at));
            }
            state = match text.get(at) {
                Some(&unit) => dfa.next_state(cache, state, unit),
                None => dfa.next_eoi_state(cache, state),
            }
            .ok()?;
            if state.is_match() {
                let matched =
                    (0..dfa.match_len(cache, state)).map(|index| dfa.match_pattern(cache, state, index));
                let first = matched
                    .map(|pattern| pattern.as_usize())
                    .filter(|&pattern| is_wanted(pattern))
                    .min();
                if let Some(pattern) = first {
                    longest = Some((pattern, at - start));
                    passed.clear();
                }
            }
            if state.is_dead() {
                break;
            }
        }
        // States have other numbers once the cache was cleared.
        match cache.clear_count() == clears {
            true => failures.extend(passed),
            false => failures.clear(),
        }
        longest
    }

    /// Forgets the text.
    fn forget(&mut self) {
        self.failures.clear();
    }
}

/// The numbers of UTF-16 units.
#[derive(Debug)]
struct Alphabet {
    numbers: Vec<u8>,
    /// The first character of each run of characters with the same number.
    runs: BTreeMap<u32, u8>,
}

impl Alphabet {
    /// Numbers characters by the sets of the patterns that they are in.
    fn of(patterns: &[Hir]) -> Self {
        let mut sets = BTreeSet::new();
        patterns
            .iter()
            .for_each(|pattern| collect_sets(pattern, &mut sets));
        let ends = sets.iter().flatten().flat_map(|&(first, last)| [first, last + 1]);
        let starts: BTreeSet<u32> = ends.chain([0]).collect();
        let mut numbers = BTreeMap::new();
        let runs: BTreeMap<u32, u8> = starts
            .into_iter()
            .map(|start| {
                let is_in =
                    |set: &Vec<(u32, u32)>| set.iter().any(|&(first, last)| (first..=last).contains(&start));
                let membership: Vec<bool> = sets.iter().map(is_in).collect();
                let next = numbers.len() as u8;
                (start, *numbers.entry(membership).or_insert(next))
            })
            .collect();
        let number = |character: u32| {
            runs.range(..=character)
                .next_back()
                .map_or(0, |(_, &number)| number)
        };
        let unit = |unit: u16| match unit {
            0xD800..=0xDFFF => number(SURROGATE),
            _ => number(unit.into()),
        };
        Self {
            numbers: (0..=u16::MAX).map(unit).collect(),
            runs,
        }
    }

    /// The pattern on numbers.
    fn numbered(&self, pattern: &Hir) -> Hir {
        let all = |parts: &[Hir]| parts.iter().map(|part| self.numbered(part)).collect();
        match pattern.kind() {
            HirKind::Empty | HirKind::Look(_) => Hir::empty(),
            HirKind::Capture(group) => self.numbered(&group.sub),
            HirKind::Concat(parts) => Hir::concat(all(parts)),
            HirKind::Alternation(parts) => Hir::alternation(all(parts)),
            HirKind::Repetition(repetition) => Hir::repetition(Repetition {
                sub: Box::new(self.numbered(&repetition.sub)),
                ..*repetition
            }),
            HirKind::Literal(_) | HirKind::Class(_) => {
                let sets = sets_of(pattern);
                Hir::concat(sets.iter().map(|set| self.numbered_set(set)).collect())
            }
        }
    }

    fn numbered_set(&self, set: &[(u32, u32)]) -> Hir {
        let runs = set
            .iter()
            .flat_map(|&(first, last)| self.runs.range(first..=last));
        let numbers = runs.map(|(_, &number)| ClassBytesRange::new(number, number));
        Hir::class(Class::Bytes(ClassBytes::new(numbers)))
    }
}

fn collect_sets(pattern: &Hir, sets: &mut BTreeSet<Vec<(u32, u32)>>) {
    match pattern.kind() {
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().for_each(|part| collect_sets(part, sets));
        }
        HirKind::Capture(group) => collect_sets(&group.sub, sets),
        HirKind::Repetition(repetition) => collect_sets(&repetition.sub, sets),
        _ => sets.extend(sets_of(pattern)),
    }
}

/// The sets of characters of a literal or a class, as first and last characters.
fn sets_of(pattern: &Hir) -> Vec<Vec<(u32, u32)>> {
    match pattern.kind() {
        HirKind::Literal(literal) => {
            let text = String::from_utf8_lossy(&literal.0);
            text.chars().map(|c| vec![(c.into(), c.into())]).collect()
        }
        HirKind::Class(Class::Unicode(class)) => {
            let ranges = class.ranges().iter();
            vec![
                ranges
                    .map(|range| (range.start().into(), range.end().into()))
                    .collect(),
            ]
        }
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class.ranges().iter();
            vec![
                ranges
                    .map(|range| (range.start().into(), range.end().into()))
                    .collect(),
            ]
        }
        _ => Vec::new(),
    }
}

fn parse(pattern: &str) -> Hir {
    constant(regex_syntax::parse(pattern))
}

#[expect(clippy::expect_used, reason = "the rules are constant")]
fn constant<T, E: fmt::Debug>(compiled: Result<T, E>) -> T {
    compiled.expect("the rules compile")
}

/// The definitions as patterns without names.
fn definitions() -> BTreeMap<&'static str, String> {
    let mut expanded = BTreeMap::new();
    for (name, pattern) in DEFINITIONS {
        // Printing computes the sets of characters once.
        let pattern = parse(&expand(pattern, &expanded)).to_string();
        expanded.insert(*name, pattern);
    }
    expanded
}

/// A pattern with its definitions inserted, and with the words in `(?i:...)` in any case.
fn expand(pattern: &str, definitions: &BTreeMap<&'static str, String>) -> String {
    let mut expanded = String::new();
    let mut rest = pattern;
    // The depth of parentheses within `(?i:`.
    let mut depth = 0_usize;
    while let Some(character) = rest.chars().next() {
        if let Some((definition, after)) = definition(rest, definitions) {
            (expanded, rest) = (format!("{expanded}({definition})"), after);
            continue;
        }
        if let Some(after) = rest.strip_prefix("(?i:") {
            (expanded, rest, depth) = (expanded + "(", after, 1);
            continue;
        }
        let (part, after) = rest.split_at(match character {
            '\\' => 2,
            _ => character.len_utf8(),
        });
        depth = match part {
            "(" if depth > 0 => depth + 1,
            ")" => depth.saturating_sub(1),
            _ => depth,
        };
        match depth {
            0 => expanded += part,
            _ => expanded += &in_any_case(part),
        }
        rest = after;
    }
    expanded
}

fn definition<'d, 'p>(
    pattern: &'p str,
    definitions: &'d BTreeMap<&'static str, String>,
) -> Option<(&'d str, &'p str)> {
    let (name, after) = pattern.strip_prefix('{')?.split_once('}')?;
    Some((definitions.get(name)?, after))
}

/// A letter in any case. As in the original, `i`, `k` and `s` have cases outside of ASCII, too.
fn in_any_case(part: &str) -> String {
    match part {
        "i" => "[iI\u{131}\u{130}]".into(),
        "k" => "[kK\u{212A}]".into(),
        "s" => "[sS\u{17F}]".into(),
        letter if letter.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            format!("[{letter}{}]", letter.to_uppercase())
        }
        other => other.into(),
    }
}
