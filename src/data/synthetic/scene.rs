//! The content of a scene: a group of equal objects on a background, perhaps with another object beside it. It is random
//! but always the same for a seed and an index.

use super::layout;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use strum::{IntoStaticStr, VariantArray};

/// The background of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Background {
    Grass,
    Sand,
    Snow,
    Sea,
    Road,
    Night,
}

/// The color of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Color {
    Red,
    Orange,
    Yellow,
    Green,
    Blue,
    Purple,
}

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum ObjectKind {
    Ball,
    Star,
    Tree,
    House,
    Boat,
    Fish,
    Car,
}

/// The position of the main group relative to the companion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Relation {
    LeftOf,
    RightOf,
    Above,
    Below,
}

impl Relation {
    /// The position of the companion relative to the main group.
    pub fn inverse(self) -> Self {
        match self {
            Self::LeftOf => Self::RightOf,
            Self::RightOf => Self::LeftOf,
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }

    /// 0 for x, 1 for y.
    pub(super) fn axis(self) -> usize {
        match self {
            Self::LeftOf | Self::RightOf => 0,
            Self::Above | Self::Below => 1,
        }
    }
}

/// The position of one object. Lengths are fractions of the image's side; x grows to the right, y downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// The center (x, y) of the object's square bounding box.
    pub center: (f32, f32),
    /// The side of the bounding box.
    pub size: f32,
    /// Whether the object is flipped horizontally.
    pub mirrored: bool,
}

/// Objects of the same kind and color.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The kind of the objects.
    pub kind: ObjectKind,
    /// The color of the objects.
    pub color: Color,
    /// The position of each object.
    pub items: Vec<Item>,
}

/// The single object that some scenes have besides the main group.
#[derive(Clone, Debug, PartialEq)]
pub struct Companion {
    /// A group of one object.
    pub group: Group,
    /// The position of the main group relative to the companion; it holds for each of its objects.
    pub relation: Relation,
}

/// The content of an image and its captions.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// The background.
    pub background: Background,
    /// One to three equal objects.
    pub main: Group,
    /// An object of another kind and color; every second scene has one.
    pub companion: Option<Companion>,
    /// The seed of details that no caption mentions: texture and light.
    pub(super) texture: u64,
    /// The seed of the wording.
    pub(super) wording: u64,
}

/// The probability of a companion.
const COMPANION: f64 = 0.5;

impl Scene {
    /// Scene number `index` of `seed`. It does not depend on how many scenes are drawn.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        Self::random(&mut rng)
    }

    fn random(rng: &mut impl Rng) -> Self {
        let (kind, other_kind) = pick_two(ObjectKind::VARIANTS, rng);
        let (color, other_color) = pick_two(Color::VARIANTS, rng);
        let background = pick(Background::VARIANTS, rng);
        let count = pick(&[1, 2, 3], rng);
        let relation = rng.random_bool(COMPANION).then(|| pick(Relation::VARIANTS, rng));
        let (items, companion) = match relation {
            None => (layout::alone(count, rng), None),
            Some(relation) => {
                let (items, item) = layout::related(count, relation, rng);
                let group = Group {
                    kind: other_kind,
                    color: other_color,
                    items: vec![item],
                };
                (items, Some(Companion { group, relation }))
            }
        };
        Self {
            background,
            main: Group { kind, color, items },
            companion,
            texture: rng.random(),
            wording: rng.random(),
        }
    }

    /// The main group and, if there is one, the companion.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        std::iter::once(&self.main).chain(self.companion.iter().map(|companion| &companion.group))
    }
}

/// One of `choices`, all equally likely.
fn pick<T: Copy>(choices: &[T], rng: &mut impl Rng) -> T {
    choices[rng.random_range(0..choices.len())]
}

/// Two different ones of `choices`.
fn pick_two<T: Copy>(choices: &[T], rng: &mut impl Rng) -> (T, T) {
    let first = rng.random_range(0..choices.len());
    let second = (first + rng.random_range(1..choices.len())) % choices.len();
    (choices[first], choices[second])
}

#[test]
fn two_picks_differ_and_every_pair_comes_up() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let pairs: std::collections::BTreeSet<_> = (0..500).map(|_| pick_two(&[0, 1, 2, 3], &mut rng)).collect();
    assert!(pairs.iter().all(|(first, second)| first != second));
    assert_eq!(pairs.len(), 12);
}
