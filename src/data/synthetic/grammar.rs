//! From a scene to its captions: a small grammar of our own that tells the truth in different words.
//!
//! A caption is a template whose slots are filled with phrases. The five captions of an image follow five
//! different templates, so that they differ in order and in what they leave out. Weights give one template
//! and one phrase the lead everywhere: there is a usual way to say a thing, and others, as among people.

use super::choice::{Weighted, pick_weighted, weighted_index};
use super::scene::{Color, Companion, Group, Relation, Scene, Terrain, Thing};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How many captions a scene has.
pub const CAPTIONS: usize = 5;

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slot {
    /// Words as they are.
    Words(&'static str),
    /// The main group, announced: "there are two red balls".
    ThereIsMain,
    /// The main group: "two red balls".
    Main,
    /// The main group without its color: "two balls".
    MainUncolored,
    /// The companion: "a blue star".
    Companion,
    /// Where the main group is, seen from the companion: "left of".
    Relation,
    /// Where the companion is, seen from the main group: "right of".
    Inverse,
    /// "on the grass"
    Terrain,
}

type Template = &'static [Slot];

/// For a main group on its own. No two can give the same words.
const ALONE: &[Weighted<Template>] = &[
    (12, &[Slot::Main, Slot::Terrain]),
    (5, &[Slot::ThereIsMain, Slot::Terrain]),
    (4, &[Slot::Main, Slot::Terrain, Slot::Words("and nothing else")]),
    (3, &[Slot::Words("only"), Slot::Main, Slot::Terrain]),
    (2, &[Slot::Words("a picture of"), Slot::Main, Slot::Terrain]),
    (2, &[Slot::Terrain, Slot::ThereIsMain]),
    (
        1,
        &[
            Slot::MainUncolored,
            Slot::Terrain,
            Slot::Words("and nothing else"),
        ],
    ),
];

/// For a main group with a companion. No two can give the same words.
const ACCOMPANIED: &[Weighted<Template>] = &[
    (12, &[Slot::Main, Slot::Relation, Slot::Companion, Slot::Terrain]),
    (6, &[Slot::Main, Slot::Relation, Slot::Companion]),
    (
        4,
        &[Slot::Main, Slot::Words("and"), Slot::Companion, Slot::Terrain],
    ),
    (
        3,
        &[Slot::ThereIsMain, Slot::Relation, Slot::Companion, Slot::Terrain],
    ),
    (3, &[Slot::Companion, Slot::Inverse, Slot::Main, Slot::Terrain]),
    (2, &[Slot::Main, Slot::Terrain, Slot::Relation, Slot::Companion]),
    (1, &[Slot::Main, Slot::Terrain]),
];

impl Scene {
    /// Five captions, all different and all true, in small letters without punctuation.
    pub fn captions(&self) -> [String; CAPTIONS] {
        let mut rng = ChaCha8Rng::seed_from_u64(self.wording);
        let mut templates = self.templates().to_vec();
        std::array::from_fn(|_| {
            let (_, template) = templates.swap_remove(weighted_index(&templates, &mut rng));
            self.fill(template, &mut rng)
        })
    }

    fn templates(&self) -> &'static [Weighted<Template>] {
        match self.companion {
            None => ALONE,
            Some(_) => ACCOMPANIED,
        }
    }

    fn fill(&self, template: Template, rng: &mut impl Rng) -> String {
        let phrases: Vec<String> = template.iter().map(|&slot| self.phrase(slot, rng)).collect();
        phrases.join(" ")
    }

    fn phrase(&self, slot: Slot, rng: &mut impl Rng) -> String {
        match slot {
            Slot::Words(words) => words.to_owned(),
            Slot::ThereIsMain => there_is(&self.phrase(Slot::Main, rng)),
            Slot::Main => group_phrase(&self.main, Some(self.main.color), rng),
            Slot::MainUncolored => group_phrase(&self.main, None, rng),
            Slot::Terrain => pick_weighted(terrain_phrases(self.terrain), rng).to_owned(),
            Slot::Companion => self.of_companion(|it| group_phrase(&it.group, Some(it.group.color), rng)),
            Slot::Relation => self.of_companion(|it| relation_phrase(it.relation, rng)),
            Slot::Inverse => self.of_companion(|it| relation_phrase(it.relation.inverse(), rng)),
        }
    }

    /// What `say` tells of the companion. A scene without one uses no template that asks for it.
    fn of_companion(&self, say: impl FnOnce(&Companion) -> String) -> String {
        self.companion.as_ref().map(say).unwrap_or_default()
    }
}

/// "there are two red balls", but "there is a pair of red balls".
fn there_is(phrase: &str) -> String {
    let one = ["a ", "an ", "one "]
        .iter()
        .any(|count| phrase.starts_with(count));
    let verb = if one { "is" } else { "are" };
    format!("there {verb} {phrase}")
}

/// "two red balls"; without `color` "two balls".
fn group_phrase(group: &Group, color: Option<Color>, rng: &mut impl Rng) -> String {
    let (one, many) = pick_weighted(nouns(group.thing), rng);
    let (name, counts) = match group.items.len() {
        1 => (one, ONE),
        2 => (many, TWO),
        _ => (many, THREE),
    };
    let description = match color {
        Some(color) => format!("{} {name}", color_word(color)),
        None => name.to_owned(),
    };
    match pick_weighted(counts, rng) {
        "a" => format!("{} {description}", article(&description)),
        count => format!("{count} {description}"),
    }
}

fn article(next: &str) -> &'static str {
    if next.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}

fn relation_phrase(relation: Relation, rng: &mut impl Rng) -> String {
    pick_weighted(relation_phrases(relation), rng).to_owned()
}

const ONE: &[Weighted<&str>] = &[(9, "a"), (1, "one")];
const TWO: &[Weighted<&str>] = &[(9, "two"), (1, "a pair of")];
const THREE: &[Weighted<&str>] = &[(9, "three"), (1, "a group of three")];

/// A noun's singular and plural.
type Noun = (&'static str, &'static str);

fn nouns(thing: Thing) -> &'static [Weighted<Noun>] {
    match thing {
        Thing::Ball => &[(1, ("ball", "balls"))],
        Thing::Star => &[(1, ("star", "stars"))],
        Thing::Tree => &[(9, ("tree", "trees")), (1, ("fir", "firs"))],
        Thing::House => &[(9, ("house", "houses")), (1, ("cottage", "cottages"))],
        Thing::Boat => &[(8, ("boat", "boats")), (2, ("ship", "ships"))],
        Thing::Fish => &[(1, ("fish", "fish"))],
        Thing::Car => &[(1, ("car", "cars"))],
    }
}

fn color_word(color: Color) -> &'static str {
    match color {
        Color::Red => "red",
        Color::Orange => "orange",
        Color::Yellow => "yellow",
        Color::Green => "green",
        Color::Blue => "blue",
        Color::Purple => "purple",
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

fn terrain_phrases(terrain: Terrain) -> &'static [Weighted<&'static str>] {
    match terrain {
        Terrain::Grass => &[(8, "on the grass"), (2, "in a meadow")],
        Terrain::Sand => &[(8, "on the sand"), (2, "on a beach")],
        Terrain::Snow => &[(8, "in the snow"), (2, "on white snow")],
        Terrain::Sea => &[(8, "in the sea"), (2, "on the water")],
        Terrain::Road => &[(8, "on the road"), (2, "on a street")],
        Terrain::Night => &[(8, "at night"), (2, "in the dark")],
    }
}
