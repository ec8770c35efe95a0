//! What a scene holds: a group of things in a place, perhaps beside another thing, chosen by chance but
//! always the same for a seed and an index.

use super::choice::{pick, pick_two};
use super::layout::{self, LayoutAxis};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The ground of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terrain {
    /// A green lawn.
    Grass,
    /// A beach.
    Sand,
    /// Fresh snow.
    Snow,
    /// Water with waves.
    Sea,
    /// Asphalt with a lane line.
    Road,
    /// A dark, starry sky.
    Night,
}

/// The color of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Color {
    Red,
    Orange,
    Yellow,
    Green,
    Blue,
    Purple,
}

/// What can stand in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Thing {
    Ball,
    Star,
    Tree,
    House,
    Boat,
    Fish,
    Car,
}

/// Where the main group is, seen from the companion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Relation {
    LeftOf,
    RightOf,
    Above,
    Below,
}

impl Terrain {
    pub(super) const ALL: [Self; 6] = [
        Self::Grass,
        Self::Sand,
        Self::Snow,
        Self::Sea,
        Self::Road,
        Self::Night,
    ];
}

impl Color {
    pub(super) const ALL: [Self; 6] = [
        Self::Red,
        Self::Orange,
        Self::Yellow,
        Self::Green,
        Self::Blue,
        Self::Purple,
    ];
}

impl Thing {
    pub(super) const ALL: [Self; 7] = [
        Self::Ball,
        Self::Star,
        Self::Tree,
        Self::House,
        Self::Boat,
        Self::Fish,
        Self::Car,
    ];
}

impl Relation {
    pub(super) const ALL: [Self; 4] = [Self::LeftOf, Self::RightOf, Self::Above, Self::Below];

    /// The same fact seen from the other side.
    pub fn inverse(self) -> Self {
        match self {
            Self::LeftOf => Self::RightOf,
            Self::RightOf => Self::LeftOf,
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }

    pub(super) fn axis(self) -> LayoutAxis {
        match self {
            Self::LeftOf | Self::RightOf => LayoutAxis::Across,
            Self::Above | Self::Below => LayoutAxis::Down,
        }
    }
}

/// One thing's place in the picture. Lengths are fractions of the picture's side; x grows to the right, y
/// downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// The center (x, y) of the square that the thing fills.
    pub center: (f32, f32),
    /// The side of that square.
    pub size: f32,
    /// Whether left and right are exchanged: which way a fish swims.
    pub mirrored: bool,
}

/// Things of one kind and one color.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they are.
    pub thing: Thing,
    /// Their color.
    pub color: Color,
    /// Each one's place in the picture; as many as there are things.
    pub items: Vec<Item>,
}

/// The single thing that some scenes hold besides the main group.
#[derive(Clone, Debug, PartialEq)]
pub struct Companion {
    /// The one thing.
    pub group: Group,
    /// Where the main group is, seen from it: every one of the main group's things lies wholly on that side.
    pub relation: Relation,
}

/// All that a picture shows and its captions tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// Where it is.
    pub terrain: Terrain,
    /// One to three things alike.
    pub main: Group,
    /// Another thing of another kind and color; every second scene has one.
    pub companion: Option<Companion>,
    /// Seeds the details of the picture that no caption tells: the grain of the ground, the light.
    pub(super) texture: u64,
    /// Seeds the choice of words.
    pub(super) wording: u64,
}

/// The share of scenes in which the main group has company.
const ACCOMPANIED: f64 = 0.5;

impl Scene {
    /// The scene number `index` of `seed`. It depends on these two alone, not on how many are drawn.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        Self::random(&mut rng)
    }

    fn random(rng: &mut impl Rng) -> Self {
        let (thing, other_thing) = pick_two(&Thing::ALL, rng);
        let (color, other_color) = pick_two(&Color::ALL, rng);
        let terrain = pick(&Terrain::ALL, rng);
        let count = pick(&[1, 2, 3], rng);
        let relation = rng.random_bool(ACCOMPANIED).then(|| pick(&Relation::ALL, rng));
        let (items, companion) = match relation {
            None => (layout::alone(count, rng), None),
            Some(relation) => {
                let (items, item) = layout::related(count, relation, rng);
                let group = Group {
                    thing: other_thing,
                    color: other_color,
                    items: vec![item],
                };
                (items, Some(Companion { group, relation }))
            }
        };
        Self {
            terrain,
            main: Group { thing, color, items },
            companion,
            texture: rng.random(),
            wording: rng.random(),
        }
    }

    /// The main group and, where there is one, the companion.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        std::iter::once(&self.main).chain(self.companion.iter().map(|companion| &companion.group))
    }
}
