//! Parses captions without the grammar and checks them against the scene.

use crate::data::synthetic::{Group, Item, Scene};

/// A number of objects of a kind, perhaps of a color.
#[derive(Debug, PartialEq)]
struct Mention {
    count: usize,
    color: Option<String>,
    thing: String,
}

/// The statements of a caption.
#[derive(Debug, Default)]
pub(super) struct Statements {
    mentions: Vec<Mention>,
    relation: Option<String>,
    place: Option<String>,
    nothing_else: bool,
}

const COLORS: [&str; 6] = ["red", "orange", "yellow", "green", "blue", "purple"];
const THINGS: [&str; 7] = ["ball", "star", "tree", "house", "boat", "fish", "car"];
const PLACES: [(&str, &str); 11] = [
    ("grass", "grass"),
    ("meadow", "grass"),
    ("sand", "sand"),
    ("beach", "sand"),
    ("snow", "snow"),
    ("sea", "sea"),
    ("water", "sea"),
    ("road", "road"),
    ("street", "road"),
    ("night", "night"),
    ("dark", "night"),
];
const FILLERS: [&str; 12] = [
    "of", "to", "the", "on", "in", "at", "there", "and", "else", "white", "group", "pair",
];

impl Statements {
    /// Parses a caption. Unknown words and bad grammar are errors.
    pub(super) fn read(caption: &str) -> Result<Self, String> {
        let mut statements = Self::default();
        let (mut count, mut color, mut verb) = (None, None, None);
        for word in caption.split(' ') {
            match word {
                "a" | "an" | "one" => count = Some(1),
                "two" | "pair" => count = Some(2),
                "three" => count = Some(3),
                "picture" => count = None,
                "only" | "nothing" => statements.nothing_else = true,
                "left" | "right" | "above" | "over" | "below" | "under" | "beside" => {
                    statements.relation = Some(word.to_owned());
                }
                "is" | "are" => verb = Some(word),
                _ if COLORS.contains(&word) => color = Some(word.to_owned()),
                _ if FILLERS.contains(&word) => {}
                _ => {
                    if let Some((_, place)) = PLACES.iter().find(|(name, _)| *name == word) {
                        statements.place = Some((*place).to_owned());
                        count = None;
                    } else {
                        let count = count.take().ok_or(format!("no count before {word}"))?;
                        let thing = singular(word, count)?;
                        let color = color.take();
                        statements.mentions.push(Mention { count, color, thing });
                    }
                }
            }
        }
        check_articles(caption)?;
        let single = caption.contains("there is a") || caption.contains("there is one");
        if verb.is_some_and(|verb| (verb == "is") != single) {
            return Err("is and are".into());
        }
        Ok(statements)
    }

    /// Whether all statements are true of `scene`.
    pub(super) fn hold(&self, scene: &Scene) -> bool {
        let place = named(scene.background);
        let find = |mention: &Mention| scene.groups().find(|group| mention.fits(group));
        let Some(groups) = self.mentions.iter().map(find).collect::<Option<Vec<&Group>>>() else {
            return false;
        };
        let relation = match (self.relation.as_deref(), &groups[..]) {
            (None, _) => true,
            (Some(relation), [first, second]) => related(first, relation, second),
            _ => false,
        };
        !groups.is_empty()
            && relation
            && self.place.as_ref().is_none_or(|claimed| *claimed == place)
            && (!self.nothing_else || scene.groups().count() == 1)
    }
}

impl Mention {
    fn fits(&self, group: &Group) -> bool {
        self.thing == named(group.kind)
            && self.count == group.items.len()
            && (self.color.as_ref()).is_none_or(|color| *color == named(group.color))
    }
}

/// The name of an enum's variant in small letters.
pub(super) fn named(variant: impl std::fmt::Debug) -> String {
    format!("{variant:?}").to_lowercase()
}

fn singular(word: &str, count: usize) -> Result<String, String> {
    let one = match word.strip_suffix('s') {
        Some(one) if count > 1 => one,
        None if count == 1 || word == "fish" => word,
        _ => return Err(format!("{count} {word}")),
    };
    let thing = match one {
        "fir" => "tree",
        "cottage" => "house",
        "ship" => "boat",
        thing => thing,
    };
    let known = THINGS.contains(&thing);
    known.then(|| thing.to_owned()).ok_or(format!("what is {word}?"))
}

fn check_articles(caption: &str) -> Result<(), String> {
    let words: Vec<&str> = caption.split(' ').collect();
    let wrong = words.windows(2).find(|pair| match pair[0] {
        "a" => pair[1] == "orange",
        "an" => pair[1] != "orange",
        _ => false,
    });
    wrong.map_or(Ok(()), |pair| Err(format!("{pair:?}")))
}

/// (left, top, right, bottom)
pub(super) fn bounds(item: &Item) -> (f32, f32, f32, f32) {
    let (half, (x, y)) = (item.size / 2.0, item.center);
    (x - half, y - half, x + half, y + half)
}

fn mean_center(group: &Group) -> (f32, f32) {
    let count = group.items.len() as f32;
    let sum = |of: fn(&Item) -> f32| group.items.iter().map(of).sum::<f32>();
    (
        sum(|item| item.center.0) / count,
        sum(|item| item.center.1) / count,
    )
}

/// Whether every item of `first` is entirely in that relation to every item of `second`, and the two groups are further
/// apart in that direction than in the other.
fn related(first: &Group, relation: &str, second: &Group) -> bool {
    let (from, to) = (mean_center(first), mean_center(second));
    let (right, down) = (to.0 - from.0, to.1 - from.1);
    let every = |holds: fn(&Item, &Item) -> bool| {
        let mut pairs = first
            .items
            .iter()
            .flat_map(|a| second.items.iter().map(move |b| (a, b)));
        pairs.all(|(a, b)| holds(a, b))
    };
    let left_of = || every(|a, b| bounds(a).2 <= bounds(b).0) && right > down.abs();
    let right_of = || every(|a, b| bounds(a).0 >= bounds(b).2) && -right > down.abs();
    match relation {
        "left" => left_of(),
        "right" => right_of(),
        "beside" => left_of() || right_of(),
        "above" | "over" => every(|a, b| bounds(a).3 <= bounds(b).1) && down > right.abs(),
        "below" | "under" => every(|a, b| bounds(a).1 >= bounds(b).3) && -down > right.abs(),
        other => panic!("{other} is no relation"),
    }
}
