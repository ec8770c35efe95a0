//! What must be true of every scene: its layout, its picture, its captions, and the files it becomes.

mod bleu;
mod files;
mod truth;

use super::*;
use bleu::{SceneReferences, bleu};
use std::collections::{BTreeSet, HashMap};
use truth::{Claims, bounds, named};

fn scenes(count: u64) -> impl Iterator<Item = Scene> {
    (0..count).map(|index| Scene::new(ScenesSettings::default().seed, index))
}

#[test]
fn scenes_stay_as_they_were_once_drawn() {
    let mut hasher = blake3::Hasher::new();
    for scene in scenes(24) {
        hasher.update(scene.draw(64).as_raw());
        hasher.update(scene.captions().join("\n").as_bytes());
    }
    let hash = hasher.finalize().to_hex();
    assert_eq!(
        &hash[..32],
        "40cfa1bd933d91b24045a9b2f42f9d8b",
        "pictures or captions changed: a data set made before cannot be made again"
    );
}

#[test]
fn another_seed_or_number_gives_another_scene() {
    let first = Scene::new(1, 0);
    assert_ne!(first, Scene::new(1, 1));
    assert_ne!(first, Scene::new(2, 0));
}

#[test]
fn things_lie_inside_and_apart_and_are_large_enough() {
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
    for thing in Thing::ALL {
        near(share(&|scene| scene.main.thing == thing), 1.0 / 7.0);
    }
    for color in Color::ALL {
        near(share(&|scene| scene.main.color == color), 1.0 / 6.0);
    }
    for place in Terrain::ALL {
        near(share(&|scene| scene.terrain == place), 1.0 / 6.0);
    }
    for count in 1..=3 {
        near(share(&|scene| scene.main.items.len() == count), 1.0 / 3.0);
    }
    for relation in Relation::ALL {
        let related = |scene: &Scene| scene.companion.as_ref().is_some_and(|it| it.relation == relation);
        near(share(&related), 0.5 / 4.0);
    }
}

/// The colors a viewer would call by these names; not the painter's own.
const SEEN_AS: [(&str, [i32; 3]); 6] = [
    ("red", [225, 30, 35]),
    ("orange", [255, 130, 10]),
    ("yellow", [250, 225, 35]),
    ("green", [20, 145, 55]),
    ("blue", [40, 80, 230]),
    ("purple", [150, 45, 185]),
];

/// The name of the color that a saturated pixel comes close to.
fn seen_color(pixel: &image::Rgb<u8>) -> Option<&'static str> {
    let distance = |color: &[i32; 3]| -> i32 {
        (0..3)
            .map(|channel| (i32::from(pixel[channel]) - color[channel]).pow(2))
            .sum()
    };
    let near = SEEN_AS.iter().find(|(_, color)| distance(color) < 30 * 30);
    near.map(|(name, _)| *name)
}

#[test]
fn every_thing_shows_its_color_and_nothing_shows_another() {
    for scene in scenes(300) {
        let picture = scene.draw(64);
        let claimed: BTreeSet<String> = scene.groups().map(|group| named(group.color)).collect();
        for group in scene.groups() {
            for item in &group.items {
                let (left, top, right, bottom) = bounds(item);
                let span = |from: f32, to: f32| (from * 64.0) as u32..(to * 64.0).ceil() as u32;
                let pixels = span(top, bottom).flat_map(|y| span(left, right).map(move |x| (x, y)));
                let colored = pixels
                    .filter(|&(x, y)| seen_color(picture.get_pixel(x, y)) == Some(&named(group.color)))
                    .count();
                let share = colored as f32 / (item.size * 64.0).powi(2);
                assert!(share > 0.08, "{group:?}: {share}");
            }
        }
        let strange = picture
            .pixels()
            .filter_map(seen_color)
            .filter(|color| !claimed.contains(*color))
            .count();
        assert!(strange < 12, "{claimed:?}, yet {strange} pixels of other colors");
    }
}

#[test]
fn a_larger_picture_shows_the_same() {
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
fn captions_are_five_different_ones_of_clean_words() {
    let mut words = BTreeSet::new();
    for scene in scenes(2_000) {
        let captions = scene.captions();
        assert_eq!(
            captions.iter().collect::<BTreeSet<_>>().len(),
            CAPTIONS,
            "{captions:?}"
        );
        for caption in &captions {
            assert!(
                caption
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b' '),
                "{caption}"
            );
            assert!(caption.split(' ').all(|word| !word.is_empty()), "{caption:?}");
            assert!((4..=18).contains(&caption.split(' ').count()), "{caption}");
            words.extend(caption.split(' ').map(str::to_owned));
        }
    }
    assert!(
        (50..=80).contains(&words.len()),
        "{} words: {words:?}",
        words.len()
    );
}

#[test]
fn every_caption_is_true() {
    for scene in scenes(3_000) {
        for caption in scene.captions() {
            let claims = Claims::read(&caption).unwrap_or_else(|error| panic!("{caption}: {error}"));
            assert!(claims.hold(&scene), "{caption}: {scene:?}");
        }
    }
}

#[test]
fn a_changed_word_makes_a_caption_false() {
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
            for caption in scene
                .captions()
                .iter()
                .filter(|caption| caption.split(' ').any(|word| word == right))
            {
                let lie = caption.replace(right, wrong);
                let claims = Claims::read(&lie).unwrap_or_else(|error| panic!("{lie}: {error}"));
                assert!(!claims.hold(&scene), "{lie}: {scene:?}");
                changed += 1;
            }
        }
        assert!(changed > 20, "{right} hardly ever comes up");
    }
}

#[test]
fn no_caption_fits_more_than_a_small_share() {
    let scenes: Vec<Scene> = scenes(2_000).collect();
    let mut attached: HashMap<String, usize> = HashMap::new();
    for caption in scenes.iter().flat_map(Scene::captions) {
        *attached.entry(caption).or_insert(0) += 1;
    }
    let most = attached.values().max().unwrap();
    assert!(*most < 40, "a caption is attached to {most} of 2000 images");
    // The short ones claim least, so they are true of most.
    for caption in attached.keys().filter(|caption| caption.len() < 40) {
        let claims = Claims::read(caption).unwrap();
        let fits = scenes.iter().filter(|scene| claims.hold(scene)).count();
        assert!(fits < 40, "{caption} is true of {fits} of 2000 images");
    }
}

/// Dev images' scenes and their references.
fn dev() -> (Vec<Scene>, Vec<SceneReferences>) {
    let dev: Vec<Scene> = scenes(2_400)
        .enumerate()
        .filter(|(index, _)| split_of(*index) == Split::Dev)
        .map(|(_, scene)| scene)
        .collect();
    let references = dev
        .iter()
        .map(|scene| SceneReferences::new(&scene.captions()))
        .collect();
    (dev, references)
}

/// What a captioner that sees everything says: the commonest wording.
fn plain_caption(scene: &Scene, color: impl Fn(Color) -> Color) -> String {
    let phrase = |group: &Group| {
        let count = ["", "a", "two", "three"][group.items.len()];
        let (color, thing) = (named(color(group.color)), named(group.thing));
        let article = if count == "a" && color == "orange" {
            "an"
        } else {
            count
        };
        let plural = if count == "a" || thing == "fish" { "" } else { "s" };
        format!("{article} {color} {thing}{plural}")
    };
    let place = match scene.terrain {
        Terrain::Grass => "on the grass",
        Terrain::Sand => "on the sand",
        Terrain::Snow => "in the snow",
        Terrain::Sea => "in the sea",
        Terrain::Road => "on the road",
        Terrain::Night => "at night",
    };
    let main = phrase(&scene.main);
    let Some(companion) = &scene.companion else {
        return format!("{main} {place}");
    };
    let relation = match companion.relation {
        Relation::LeftOf => "left of",
        Relation::RightOf => "right of",
        Relation::Above => "above",
        Relation::Below => "below",
    };
    format!("{main} {relation} {} {place}", phrase(&companion.group))
}

#[test]
fn who_sees_scores_well_and_who_mistakes_the_colors_does_not() {
    let (dev, references) = dev();
    let score = |color: fn(Color) -> Color| {
        let captions: Vec<String> = dev.iter().map(|scene| plain_caption(scene, color)).collect();
        bleu(&captions, &references)
    };
    let seeing = score(|color| color);
    let color_blind = score(|color| Color::ALL[(color as usize + 1) % Color::ALL.len()]);
    println!("BLEU-4: seeing {seeing:.3}, color-blind {color_blind:.3}");
    assert!(seeing >= 0.65, "{seeing}");
    assert!(color_blind < 0.5 * seeing, "{color_blind}");
}

#[test]
fn one_caption_for_every_image_scores_badly() {
    let (dev, references) = dev();
    let best = scenes(80)
        .flat_map(|scene| scene.captions())
        .map(|caption| bleu(&vec![caption; dev.len()], &references))
        .fold(0.0, f64::max);
    println!("BLEU-4: best constant caption {best:.3}");
    assert!(best < 0.25, "{best}");
}
