//! Tests of scenes: layout, images, captions and files.

mod files;
mod truth;

use super::*;
use crate::metrics::BleuStatistics;
use std::collections::{BTreeSet, HashMap};
use strum::VariantArray;
use truth::{Statements, bounds, named};

fn scenes(count: u64) -> impl Iterator<Item = Scene> {
    (0..count).map(|index| Scene::new(ScenesSettings::default().seed, index))
}

#[test]
fn scenes_do_not_change_between_versions() {
    let mut hasher = blake3::Hasher::new();
    for scene in scenes(24) {
        hasher.update(scene.draw(64).as_raw());
        hasher.update(scene.captions().join("\n").as_bytes());
    }
    let hash = hasher.finalize().to_hex();
    assert_eq!(
        &hash[..32],
        "40cfa1bd933d91b24045a9b2f42f9d8b",
        "images or captions changed: datasets of earlier versions cannot be reproduced"
    );
}

#[test]
fn scenes_depend_on_seed_and_index() {
    let first = Scene::new(1, 0);
    assert_ne!(first, Scene::new(1, 1));
    assert_ne!(first, Scene::new(2, 0));
}

#[test]
fn objects_are_within_the_image_without_overlap_and_large_enough() {
    for scene in scenes(3_000) {
        let items: Vec<&Item> = scene.groups().flat_map(|group| &group.items).collect();
        for (number, item) in items.iter().enumerate() {
            let (left, top, right, bottom) = bounds(item);
            assert!(
                left >= 0.0 && top >= 0.0 && right <= 1.0 && bottom <= 1.0,
                "{scene:?}"
            );
            assert!(item.size * 64.0 >= 12.0, "{scene:?}");
            for other in &items[..number] {
                let (other_left, other_top, other_right, other_bottom) = bounds(other);
                let apart =
                    left >= other_right || right <= other_left || top >= other_bottom || bottom <= other_top;
                assert!(apart, "{scene:?}");
            }
        }
    }
}

#[test]
fn scenes_are_varied() {
    let scenes: Vec<Scene> = scenes(3_000).collect();
    let share = |of: &dyn Fn(&Scene) -> bool| {
        scenes.iter().filter(|scene| of(scene)).count() as f64 / scenes.len() as f64
    };
    let near = |actual: f64, expected: f64| assert!((actual - expected).abs() < 0.03, "{actual} {expected}");
    for &kind in ObjectKind::VARIANTS {
        near(share(&|scene| scene.main.kind == kind), 1.0 / 7.0);
    }
    for &color in Color::VARIANTS {
        near(share(&|scene| scene.main.color == color), 1.0 / 6.0);
    }
    for &background in Background::VARIANTS {
        near(share(&|scene| scene.background == background), 1.0 / 6.0);
    }
    for count in 1..=3 {
        near(share(&|scene| scene.main.items.len() == count), 1.0 / 3.0);
    }
    for &relation in Relation::VARIANTS {
        let related = |scene: &Scene| scene.companion.as_ref().is_some_and(|it| it.relation == relation);
        near(share(&related), 0.5 / 4.0);
    }
}

/// The colors that people call by these names; not exactly those that are drawn.
const NAMED_COLORS: [(&str, [i32; 3]); 6] = [
    ("red", [225, 30, 35]),
    ("orange", [255, 130, 10]),
    ("yellow", [250, 225, 35]),
    ("green", [20, 145, 55]),
    ("blue", [40, 80, 230]),
    ("purple", [150, 45, 185]),
];

/// The name of the color that a saturated pixel is close to.
fn color_name(pixel: &image::Rgb<u8>) -> Option<&'static str> {
    let distance = |color: &[i32; 3]| -> i32 {
        (0..3)
            .map(|channel| (i32::from(pixel[channel]) - color[channel]).pow(2))
            .sum()
    };
    let near = NAMED_COLORS.iter().find(|(_, color)| distance(color) < 30 * 30);
    near.map(|(name, _)| *name)
}

#[test]
fn objects_have_their_color_and_no_other() {
    for scene in scenes(300) {
        let image = scene.draw(64);
        let colors: BTreeSet<String> = scene.groups().map(|group| named(group.color)).collect();
        for group in scene.groups() {
            for item in &group.items {
                let (left, top, right, bottom) = bounds(item);
                let span = |from: f32, to: f32| (from * 64.0) as u32..(to * 64.0).ceil() as u32;
                let pixels = span(top, bottom).flat_map(|y| span(left, right).map(move |x| (x, y)));
                let colored = pixels
                    .filter(|&(x, y)| color_name(image.get_pixel(x, y)) == Some(&named(group.color)))
                    .count();
                let share = colored as f32 / (item.size * 64.0).powi(2);
                assert!(share > 0.08, "{group:?}: {share}");
            }
        }
        let others = image
            .pixels()
            .filter_map(color_name)
            .filter(|color| !colors.contains(*color))
            .count();
        assert!(others < 12, "{colors:?}, but {others} pixels of other colors");
    }
}

#[test]
fn larger_images_have_the_same_content() {
    for scene in scenes(40) {
        let small = scene.draw(64);
        let large = image::imageops::thumbnail(&scene.draw(192), 64, 64);
        let difference: f64 = small
            .iter()
            .zip(large.iter())
            .map(|(a, b)| f64::from(a.abs_diff(*b)))
            .sum::<f64>()
            / small.len() as f64;
        assert!(difference < 4.0, "{difference}");
    }
}

#[test]
fn captions_are_different_and_of_clean_words() {
    let mut words = BTreeSet::new();
    for scene in scenes(2_000) {
        let captions = scene.captions();
        assert_eq!(BTreeSet::from_iter(&captions).len(), CAPTIONS, "{captions:?}");
        for caption in &captions {
            let clean = |byte: u8| byte.is_ascii_lowercase() || byte == b' ';
            assert!(caption.bytes().all(clean), "{caption}");
            assert!(caption.split(' ').all(|word| !word.is_empty()), "{caption:?}");
            assert!((4..=18).contains(&caption.split(' ').count()), "{caption}");
            words.extend(caption.split(' ').map(str::to_owned));
        }
    }
    assert!((50..=80).contains(&words.len()), "{words:?}");
}

#[test]
fn captions_are_true() {
    for scene in scenes(3_000) {
        for caption in scene.captions() {
            let statements = Statements::read(&caption).unwrap_or_else(|error| panic!("{caption}: {error}"));
            assert!(statements.hold(&scene), "{caption}: {scene:?}");
        }
    }
}

#[test]
fn captions_with_a_wrong_word_are_false() {
    let changes = [
        ("red", "blue"),
        ("two", "three"),
        ("above", "below"),
        ("grass", "sand"),
        ("boat", "fish"),
    ];
    for (right, wrong) in changes {
        let mut changed = 0;
        for scene in scenes(400) {
            let mut captions = scene.captions().to_vec();
            captions.retain(|caption| caption.split(' ').any(|word| word == right));
            for caption in captions {
                let lie = caption.replace(right, wrong);
                let statements = Statements::read(&lie).unwrap_or_else(|error| panic!("{lie}: {error}"));
                assert!(!statements.hold(&scene), "{lie}: {scene:?}");
                changed += 1;
            }
        }
        assert!(changed > 20, "{right} hardly ever comes up");
    }
}

#[test]
fn captions_are_true_of_few_scenes() {
    let scenes: Vec<Scene> = scenes(2_000).collect();
    let mut attached: HashMap<String, usize> = HashMap::new();
    for caption in scenes.iter().flat_map(Scene::captions) {
        *attached.entry(caption).or_insert(0) += 1;
    }
    let most = attached.values().max().unwrap();
    assert!(*most < 40, "a caption is attached to {most} of 2000 images");
    // Short captions claim least, so they are true of most scenes.
    for caption in attached.keys().filter(|caption| caption.len() < 40) {
        let statements = Statements::read(caption).unwrap();
        let fits = scenes.iter().filter(|scene| statements.hold(scene)).count();
        assert!(fits < 40, "{caption} is true of {fits} of 2000 images");
    }
}

type Tokens = Vec<String>;

/// The dev scenes and their tokenized references.
fn dev() -> (Vec<Scene>, Vec<Vec<Tokens>>) {
    let dev: Vec<Scene> = scenes(2_400)
        .enumerate()
        .filter(|(index, _)| split_of(*index) == Split::Dev)
        .map(|(_, scene)| scene)
        .collect();
    let references = dev
        .iter()
        .map(|scene| scene.captions().map(|it| tokens(&it)).into());
    let references = references.collect();
    (dev, references)
}

fn tokens(caption: &str) -> Tokens {
    caption.split(' ').map(str::to_owned).collect()
}

fn bleu_4(hypotheses: &[Tokens], references: &[Vec<Tokens>]) -> f64 {
    let examples = hypotheses.iter().zip(references);
    let counts = examples.map(|(hypothesis, references)| BleuStatistics::count(hypothesis, references));
    counts.sum::<BleuStatistics>().scores()[3]
}

/// The most common wording.
fn plain_caption(scene: &Scene, color: impl Fn(Color) -> Color) -> Tokens {
    let phrase = |group: &Group| {
        let (color, kind) = (named(color(group.color)), named(group.kind));
        let count = match group.items.len() {
            1 if color == "orange" => "an",
            count => ["a", "two", "three"][count - 1],
        };
        let plural = if group.items.len() == 1 || kind == "fish" {
            ""
        } else {
            "s"
        };
        format!("{count} {color} {kind}{plural}")
    };
    let background = [
        "on the grass",
        "on the sand",
        "in the snow",
        "in the sea",
        "on the road",
        "at night",
    ][scene.background as usize];
    let main = phrase(&scene.main);
    tokens(&match &scene.companion {
        None => format!("{main} {background}"),
        Some(companion) => {
            let relation = ["left of", "right of", "above", "below"][companion.relation as usize];
            format!("{main} {relation} {} {background}", phrase(&companion.group))
        }
    })
}

#[test]
fn bleu_is_high_for_true_captions_and_low_for_wrong_colors() {
    let (dev, references) = dev();
    let score = |color: fn(Color) -> Color| {
        let captions: Vec<Tokens> = dev.iter().map(|scene| plain_caption(scene, color)).collect();
        bleu_4(&captions, &references)
    };
    let right = score(|color| color);
    let wrong = score(|color| Color::VARIANTS[(color as usize + 1) % Color::VARIANTS.len()]);
    assert!(right >= 0.65, "{right}");
    assert!(wrong < 0.5 * right, "{wrong}");
}

#[test]
fn bleu_is_low_for_the_same_caption_for_every_image() {
    let (dev, references) = dev();
    let captions: Vec<String> = scenes(80).flat_map(|scene| scene.captions()).collect();
    let scores = captions
        .par_iter()
        .map(|caption| bleu_4(&vec![tokens(caption); dev.len()], &references));
    let best = scores.reduce(|| 0.0, f64::max);
    assert!(best < 0.25, "{best}");
}
