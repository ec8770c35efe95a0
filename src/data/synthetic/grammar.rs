//! The captions of a scene, from a small grammar.
//!
//! A caption is a template whose slots are filled with phrases. The five captions of an image follow five different
//! templates, so they differ in word order and in what they leave out. Templates and phrases are weighted: there is a
//! most common way to say a thing, as in human captions.

use super::scene::{Background, Color, Group, ObjectKind, Relation, Scene};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The number of captions of a scene.
pub const CAPTIONS: usize = 5;

/// An alternative after its relative frequency.
type Weighted<T> = (u32, T);

/// Templates for a main group without companion. No two can give the same caption.
const ALONE: &[Weighted<&str>] = &[
    (12, "{main} {background}"),
    (5, "{there-is-main} {background}"),
    (4, "{main} {background} and nothing else"),
    (3, "only {main} {background}"),
    (2, "a picture of {main} {background}"),
    (2, "{background} {there-is-main}"),
    (1, "{uncolored-main} {background} and nothing else"),
];

/// Templates for a main group with a companion. No two can give the same caption.
const ACCOMPANIED: &[Weighted<&str>] = &[
    (12, "{main} {relation} {companion} {background}"),
    (6, "{main} {relation} {companion}"),
    (4, "{main} and {companion} {background}"),
    (3, "{there-is-main} {relation} {companion} {background}"),
    (3, "{companion} {inverse} {main} {background}"),
    (2, "{main} {background} {relation} {companion}"),
    (1, "{main} {background}"),
];

impl Scene {
    /// Five different captions, all true, in lower case without punctuation.
    pub fn captions(&self) -> [String; CAPTIONS] {
        let mut rng = ChaCha8Rng::seed_from_u64(self.wording);
        let mut templates = match self.companion {
            None => ALONE.to_vec(),
            Some(_) => ACCOMPANIED.to_vec(),
        };
        std::array::from_fn(|_| {
            let (_, template) = templates.swap_remove(weighted_index(&templates, &mut rng));
            let phrases: Vec<String> = template
                .split(' ')
                .map(|slot| self.phrase(slot, &mut rng))
                .collect();
            phrases.join(" ")
        })
    }

    /// The phrase of a template's slot; any other word stands for itself.
    fn phrase(&self, slot: &str, rng: &mut impl Rng) -> String {
        match (slot, &self.companion) {
            ("{main}", _) => group_phrase(&self.main, Some(self.main.color), rng),
            ("{uncolored-main}", _) => group_phrase(&self.main, None, rng),
            ("{there-is-main}", _) => there_is(&self.phrase("{main}", rng)),
            ("{background}", _) => pick_weighted(background_phrases(self.background), rng).to_owned(),
            ("{companion}", Some(it)) => group_phrase(&it.group, Some(it.group.color), rng),
            ("{relation}", Some(it)) => pick_weighted(relation_phrases(it.relation), rng).to_owned(),
            ("{inverse}", Some(it)) => pick_weighted(relation_phrases(it.relation.inverse()), rng).to_owned(),
            (word, _) => word.to_owned(),
        }
    }
}

/// "there are two red balls", but "there is a pair of red balls".
fn there_is(phrase: &str) -> String {
    let singular = ["a ", "an ", "one "]
        .iter()
        .any(|count| phrase.starts_with(count));
    let verb = if singular { "is" } else { "are" };
    format!("there {verb} {phrase}")
}

/// "two red balls"; without `color` "two balls".
fn group_phrase(group: &Group, color: Option<Color>, rng: &mut impl Rng) -> String {
    const COUNTS: [&[Weighted<&str>]; 3] = [
        &[(9, "a"), (1, "one")],
        &[(9, "two"), (1, "a pair of")],
        &[(9, "three"), (1, "a group of three")],
    ];
    let count = group.items.len().clamp(1, COUNTS.len());
    let (singular, plural) = pick_weighted(nouns(group.kind), rng);
    let noun = if count == 1 { singular } else { plural };
    let description = match color {
        Some(color) => format!("{} {noun}", <&str>::from(color)),
        None => noun.to_owned(),
    };
    match pick_weighted(COUNTS[count - 1], rng) {
        "a" if description.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {description}"),
        count => format!("{count} {description}"),
    }
}

/// Singular and plural.
type Noun = (&'static str, &'static str);

fn nouns(kind: ObjectKind) -> &'static [Weighted<Noun>] {
    match kind {
        ObjectKind::Ball => &[(1, ("ball", "balls"))],
        ObjectKind::Star => &[(1, ("star", "stars"))],
        ObjectKind::Tree => &[(9, ("tree", "trees")), (1, ("fir", "firs"))],
        ObjectKind::House => &[(9, ("house", "houses")), (1, ("cottage", "cottages"))],
        ObjectKind::Boat => &[(8, ("boat", "boats")), (2, ("ship", "ships"))],
        ObjectKind::Fish => &[(1, ("fish", "fish"))],
        ObjectKind::Car => &[(1, ("car", "cars"))],
    }
}

fn relation_phrases(relation: Relation) -> &'static [Weighted<&'static str>] {
    match relation {
        Relation::LeftOf => &[(7, "left of"), (2, "to the left of"), (1, "beside")],
        Relation::RightOf => &[(7, "right of"), (2, "to the right of"), (1, "beside")],
        Relation::Above => &[(8, "above"), (2, "over")],
        Relation::Below => &[(8, "below"), (2, "under")],
    }
}

fn background_phrases(background: Background) -> &'static [Weighted<&'static str>] {
    match background {
        Background::Grass => &[(8, "on the grass"), (2, "in a meadow")],
        Background::Sand => &[(8, "on the sand"), (2, "on a beach")],
        Background::Snow => &[(8, "in the snow"), (2, "on white snow")],
        Background::Sea => &[(8, "in the sea"), (2, "on the water")],
        Background::Road => &[(8, "on the road"), (2, "on a street")],
        Background::Night => &[(8, "at night"), (2, "in the dark")],
    }
}

/// The index of a random alternative.
fn weighted_index<T>(choices: &[Weighted<T>], rng: &mut impl Rng) -> usize {
    let total: u32 = choices.iter().map(|(weight, _)| weight).sum();
    let mut rest = rng.random_range(0..total);
    let chosen = choices.iter().position(|&(weight, _)| {
        let chosen = rest < weight;
        rest = rest.saturating_sub(weight);
        chosen
    });
    chosen.unwrap_or_default()
}

fn pick_weighted<T: Copy>(choices: &[Weighted<T>], rng: &mut impl Rng) -> T {
    choices[weighted_index(choices, rng)].1
}

#[test]
fn weighted_picks_follow_their_weights() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let choices = [(1, 'a'), (0, 'b'), (3, 'c')];
    let drawn: Vec<char> = (0..4_000).map(|_| pick_weighted(&choices, &mut rng)).collect();
    let fraction = |letter| drawn.iter().filter(|&&other| other == letter).count() as f64 / 4_000.0;
    assert!((fraction('a') - 0.25).abs() < 0.03);
    assert_eq!(fraction('b'), 0.0);
    assert!((fraction('c') - 0.75).abs() < 0.03);
}
