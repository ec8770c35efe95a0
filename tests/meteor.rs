//! METEOR against the jar of pycocoevalcap, by `data/make_meteor_reference.py` and on the published data.

#![allow(clippy::unwrap_used)] // in helpers of tests, where a panic is the report

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use cutline::metrics::Example;
use cutline::metrics::meteor::{self, MeteorCounts};
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

const TOLERANCE: f64 = 1e-9;
/// Pairs that are compared on the published data.
const PAIRS: usize = 2_000;

#[derive(Deserialize)]
struct Fixture {
    /// The data files by name, as text.
    files: BTreeMap<String, String>,
    corpus: f64,
    examples: Vec<FixtureExample>,
}

#[derive(Deserialize)]
struct FixtureExample {
    hypothesis: String,
    references: Vec<String>,
    meteor: f64,
}

impl Fixture {
    fn read() -> Self {
        serde_json::from_str(include_str!("data/meteor_reference.json")).unwrap()
    }

    fn write_files(&self, folder: &Path) {
        for (name, text) in &self.files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match name.as_str() {
                "data/paraphrase-en" => {
                    let mut table = GzEncoder::new(
                        fs::File::create(path.with_extension("gz")).unwrap(),
                        Compression::fast(),
                    );
                    table.write_all(text.as_bytes()).unwrap();
                    table.finish().unwrap();
                }
                _ => fs::write(path, text).unwrap(),
            }
        }
    }

    fn pairs(&self) -> Vec<Pair> {
        let examples = self.examples.iter();
        examples
            .map(|example| (example.hypothesis.clone(), example.references.clone()))
            .collect()
    }
}

/// A hypothesis and its references.
type Pair = (String, Vec<String>);

/// The scores of the pairs and of the corpus.
fn scores(folder: &Path, pairs: &[Pair]) -> Vec<f64> {
    let tokens = |caption: &String| caption.split(' ').map(str::to_owned).collect::<Vec<String>>();
    let tokenized: Vec<(Vec<String>, Vec<Vec<String>>)> = pairs
        .iter()
        .map(|(hypothesis, references)| (tokens(hypothesis), references.iter().map(tokens).collect()))
        .collect();
    let examples: Vec<Example<'_>> = tokenized
        .iter()
        .map(|(hypothesis, references)| Example {
            hypothesis,
            references,
        })
        .collect();
    let counts = meteor::counts(folder, &examples).unwrap();
    let mut corpus = MeteorCounts::default();
    counts.iter().for_each(|counts| corpus += *counts);
    counts.iter().chain([&corpus]).map(MeteorCounts::score).collect()
}

/// The number of pairs, the largest difference, and the pair with it.
fn assert_equal(ours: &[f64], theirs: &[f64], pairs: &[Pair], tolerance: f64) {
    assert_eq!((ours.len(), theirs.len()), (pairs.len() + 1, pairs.len() + 1));
    let differences = ours.iter().zip(theirs).map(|(one, other)| (one - other).abs());
    let (at, largest) = differences
        .enumerate()
        .fold((0, 0.0), |largest, next| match next.1 > largest.1 {
            true => next,
            false => largest,
        });
    eprintln!(
        "METEOR of {} pairs and of the corpus: largest difference {largest:e}",
        pairs.len()
    );
    let pair = pairs.get(at);
    assert!(
        largest <= tolerance,
        "{} and {} of {pair:?}",
        ours[at],
        theirs[at]
    );
}

#[test]
fn meteor_equals_the_jar_on_our_data() {
    let fixture = Fixture::read();
    let folder = tempfile::tempdir().unwrap();
    fixture.write_files(folder.path());
    let theirs: Vec<f64> = fixture.examples.iter().map(|example| example.meteor).collect();
    let pairs = fixture.pairs();
    let ours = scores(folder.path(), &pairs);
    assert_equal(&ours, &[theirs, vec![fixture.corpus]].concat(), &pairs, TOLERANCE);
}

#[test]
fn meteor_equals_the_jar_on_its_own_data() {
    let Some(folder) = std::env::var_os("CUTLINE_METEOR").map(PathBuf::from) else {
        eprintln!("SKIPPED: CUTLINE_METEOR is not set to the folder `meteor` of pycocoevalcap");
        return;
    };
    let pairs = drawn_pairs();
    let Some(theirs) = jar_scores(&folder, &pairs) else {
        eprintln!("SKIPPED: no Java");
        return;
    };
    assert_equal(&scores(&folder, &pairs), &theirs, &pairs, 1e-6);
}

/// Captions of the same image and of other images, whole and changed.
fn drawn_pairs() -> Vec<Pair> {
    let mut rng = ChaCha8Rng::seed_from_u64(15);
    let images = captions();
    let words: Vec<&str> = images
        .iter()
        .flatten()
        .flat_map(|caption| caption.split(' '))
        .collect();
    (0..PAIRS)
        .map(|index| {
            let own = &images[rng.random_range(0..images.len())];
            let other = &images[rng.random_range(0..images.len())];
            let source = if index % 4 == 0 { other } else { own };
            let hypothesis = &source[rng.random_range(0..source.len())];
            let count = rng.random_range(1..=own.len());
            let mut references = own[..count].to_vec();
            let hypothesis = match index % 4 {
                0 | 1 => hypothesis.clone(),
                2 => changed(hypothesis, &words, &mut rng),
                _ => {
                    references
                        .iter_mut()
                        .for_each(|reference| *reference = changed(reference, &words, &mut rng));
                    changed(hypothesis, &words, &mut rng)
                }
            };
            (hypothesis, references)
        })
        .collect()
}

/// The captions of each image of Flickr8k, or those of the fixture.
fn captions() -> Vec<Vec<String>> {
    let Some(folder) = std::env::var_os("CUTLINE_FLICKR8K") else {
        return Fixture::read()
            .examples
            .into_iter()
            .map(|example| example.references)
            .collect();
    };
    let lines = fs::read_to_string(Path::new(&folder).join("Flickr8k.token.txt")).unwrap();
    let mut images: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in lines.lines() {
        let (key, caption) = line.split_once('\t').unwrap();
        images
            .entry(key.split('#').next().unwrap())
            .or_default()
            .push(caption.to_owned());
    }
    images.into_values().collect()
}

/// The caption with words lost, repeated, exchanged, and joined to marks.
fn changed(caption: &str, words: &[&str], rng: &mut ChaCha8Rng) -> String {
    const MARKS: [&str; 20] = [
        ".", ",", "...", "..", "'", "''", "\"", "-", "--", "–", "(", "!", "’", "'s", "'t", "-7", ".5",
        ",000", "é", "\u{a0}",
    ];
    let mut result: Vec<String> = Vec::new();
    for word in caption.split(' ') {
        let mark = MARKS[rng.random_range(0..MARKS.len())];
        let other = words[rng.random_range(0..words.len())];
        match rng.random_range(0..20) {
            0..12 => result.push(word.to_owned()),
            12 => result.push(other.to_owned()),
            13 => result.extend(vec![word.to_owned(); rng.random_range(2..6)]),
            14 => result.push(format!("{word}{mark}")),
            15 => result.push(format!("{mark}{word}")),
            16 => result.push(format!("{word}{mark}{other}")),
            17 if !result.is_empty() => {
                let place = rng.random_range(0..result.len());
                result.insert(place, word.to_owned());
            }
            _ => {}
        }
    }
    result.join(" ").replace("|||", "")
}

/// The scores that the jar gives the pairs and their corpus; none without Java.
fn jar_scores(folder: &Path, pairs: &[Pair]) -> Option<Vec<f64>> {
    let mut java = Command::new("java")
        .args([
            "-Xmx2G",
            "-jar",
            "meteor-1.5.jar",
            "-",
            "-",
            "-stdio",
            "-l",
            "en",
            "-norm",
        ])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = java.stdin.take().unwrap();
    let questions: String = pairs
        .iter()
        .map(|(hypothesis, references)| format!("SCORE ||| {} ||| {hypothesis}\n", references.join(" ||| ")))
        .collect();
    let mut answers = BufReader::new(java.stdout.take().unwrap()).lines();
    let writer = thread::spawn(move || input.write_all(questions.as_bytes()).map(|()| input));
    let counts: Vec<String> = answers.by_ref().take(pairs.len()).map(Result::unwrap).collect();
    let mut input = writer.join().unwrap().unwrap();
    writeln!(input, "EVAL ||| {}", counts.join(" ||| ")).unwrap();
    drop(input);
    let scores = answers.map(|line| line.unwrap().parse().unwrap()).collect();
    assert!(java.wait().unwrap().success());
    Some(scores)
}
