//! METEOR against the jar of pycocoevalcap, by `data/make_meteor_reference.py` and on the published data; METEOR and SPICE
//! in `score` and `evaluate`.

#![allow(clippy::unwrap_used)] // in helpers of tests, where a panic is the report

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cutline::metrics::Example;
use cutline::metrics::meteor::{self, MeteorCounts};
use flate2::Compression;
use flate2::write::GzEncoder;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use support::{Workspace, err, interrupt, out, text};

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

const REFERENCES: &str =
    r#"{"1": ["a dog runs on the grass", "a brown dog runs"], "2": ["two red cars stand still"]}"#;
const HYPOTHESES: &str = r#"{"2": "two red cars", "1": "a hound runs on the sand"}"#;

/// With captions to score, METEOR's data in `meteor`, and a program `java` that stands in for SPICE's.
fn workspace() -> Workspace {
    let workspace = Workspace::new();
    fs::write(workspace.file("references.json"), REFERENCES).unwrap();
    fs::write(workspace.file("hypotheses.json"), HYPOTHESES).unwrap();
    Fixture::read().write_files(&workspace.file("meteor"));
    workspace
}

/// `cutline score` with flags, and with temporary files in the folder `tmp`.
fn score(workspace: &Workspace, more: &[&str]) -> Command {
    let [references, hypotheses, tmp] =
        ["references.json", "hypotheses.json", "tmp"].map(|name| workspace.file(name));
    fs::create_dir_all(&tmp).unwrap();
    let files = [
        "score",
        "--references",
        text(&references),
        "--hypotheses",
        text(&hypotheses),
    ];
    let mut command = workspace.command(&[&files, more].concat());
    command.env("TMPDIR", tmp);
    command
}

/// The path of a program that the stand-in for Java does not open.
fn jar(workspace: &Workspace) -> String {
    let jar = workspace.file("spice.jar");
    fs::write(&jar, "").unwrap();
    text(&jar).to_owned()
}

/// Puts a shell script before the programs of the system, as `java`.
fn with_java(workspace: &Workspace, command: &mut Command, script: &str) {
    let java = workspace.file("bin/java");
    fs::create_dir_all(java.parent().unwrap()).unwrap();
    fs::write(&java, format!("#!/bin/sh\n{script}")).unwrap();
    fs::set_permissions(&java, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", java.parent().unwrap().display()));
}

/// The arguments are `-Xmx8G -Dfile.encoding=UTF-8 -jar JAR INPUT -out OUTPUT -silent`; image n gets n / 4.
const STAND_IN: &str = r#"
[ "$3 $6 $8" = "-jar -out -silent" ] && grep -q '"test":"two red cars","refs":\["two red cars stand still"\]' "$5" || exit 3
cat > "$7" <<END
[{"scores":{"All":{"pr":0.5,"re":1.0,"f":0.25,"fn":2,"numImages":1,"fp":2,"tp":2}},"image_id":1},
{"scores":{"All":{"pr":0.0,"re":0.0,"f":0,"fn":1,"numImages":1,"fp":1,"tp":0}},"image_id":0}]
END
"#;

#[test]
fn score_prints_meteor_with_its_data() {
    let workspace = workspace();
    let output = score(&workspace, &["--meteor-data", text(&workspace.file("meteor"))])
        .output()
        .unwrap();
    assert_eq!((output.status.code(), err(&output)), (Some(0), String::new()));
    let pairs = [
        (
            "a hound runs on the sand",
            &["a dog runs on the grass", "a brown dog runs"][..],
        ),
        ("two red cars", &["two red cars stand still"]),
    ]
    .map(|(hypothesis, references)| {
        (
            hypothesis.to_owned(),
            references.iter().map(|&reference| reference.to_owned()).collect(),
        )
    });
    let corpus = scores(&workspace.file("meteor"), &pairs)[2];
    let table = out(&output);
    assert!(
        corpus > 0.3 && table.contains(&format!("\nMETEOR   {corpus:.4}  ")),
        "{corpus}\n{table}"
    );

    let by_variable = score(&workspace, &["--json"])
        .env("CUTLINE_METEOR", workspace.file("meteor"))
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&by_variable.stdout).unwrap();
    assert_eq!(json["meteor"], corpus);
    assert!(json["intervals_95"]["meteor"]["low"].as_f64().unwrap() <= corpus);
}

#[test]
fn score_without_data_says_that_meteor_lacks_it() {
    let workspace = workspace();
    let output = score(&workspace, &[]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(err(&output).lines().count(), 1);
    assert!(
        err(&output).contains("--meteor-data or CUTLINE_METEOR"),
        "{}",
        err(&output)
    );
    assert!(out(&output).contains("CIDEr-D") && !out(&output).contains("METEOR"));

    fs::remove_file(workspace.file("meteor/data/paraphrase-en.gz")).unwrap();
    let output = score(
        &workspace,
        &["--quiet", "--meteor-data", text(&workspace.file("meteor"))],
    )
    .output()
    .unwrap();
    assert!(output.status.success());
    let error = err(&output);
    assert!(
        error.starts_with("METEOR is not computed: ") && error.contains("has no data/paraphrase-en.gz"),
        "{error}"
    );
    assert!(out(&output).contains("CIDEr-D"));
}

#[test]
fn spice_scores_are_those_of_the_program() {
    let workspace = workspace();
    let mut command = score(&workspace, &["--json", "--spice-jar", &jar(&workspace)]);
    with_java(&workspace, &mut command, STAND_IN);
    let output = command.output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["spice"], 0.125, "{}", err(&output));
    assert_eq!(json["intervals_95"]["spice"]["high"], 0.25);
    assert!(fs::read_dir(workspace.file("tmp")).unwrap().next().is_none());
}

#[test]
fn failure_of_spice_is_reported_with_its_output() {
    let no_image = "echo '[]' > \"$7\"";
    let odd_score = r#"echo '[{"image_id":0,"scores":{"All":{"f":7}}}]' > "$7""#;
    for (script, expected) in [
        (
            "echo java.lang.OutOfMemoryError >&2; exit 1",
            "exit status: 1):\n  java.lang.OutOfMemoryError",
        ),
        (
            "echo edu/stanford/nlp/X >&2; exit 1",
            "lacks Stanford CoreNLP 3.6.0",
        ),
        ("echo ScriptEngine is null; exit 1", "use Java 8 to 14"),
        ("echo done", "without scores (exit status: 0)"),
        ("echo '{' > \"$7\"", "cannot be read"),
        (no_image, "it lacks an image"),
        (odd_score, "a score is 7"),
    ] {
        let workspace = workspace();
        let mut command = score(&workspace, &["--quiet", "--spice-jar", &jar(&workspace)]);
        with_java(&workspace, &mut command, script);
        let output = command.output().unwrap();
        assert!(output.status.success());
        let error = err(&output);
        assert!(
            error.starts_with("SPICE is not computed: ") && error.contains(expected),
            "{error}"
        );
        assert!(out(&output).contains("CIDEr-D") && !out(&output).contains("SPICE"));
    }
    let workspace = workspace();
    let mut command = score(&workspace, &["--quiet", "--spice-jar", &jar(&workspace)]);
    let output = command.env("PATH", workspace.path()).output().unwrap();
    assert!(err(&output).contains("cannot start `java`"), "{}", err(&output));
    let output = score(&workspace, &["--quiet", "--spice-jar", "elsewhere/spice.jar"])
        .output()
        .unwrap();
    assert!(
        err(&output).contains("elsewhere/spice.jar: there is no such file"),
        "{}",
        err(&output)
    );
}

#[test]
fn ctrl_c_ends_the_program_of_spice() {
    let workspace = workspace();
    let mut command = score(&workspace, &["--spice-jar", &jar(&workspace)]);
    with_java(
        &workspace,
        &mut command,
        &format!("echo $$ > {}\nexec sleep 60", text(&workspace.file("pid"))),
    );
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let pid = loop {
        let pid = fs::read_to_string(workspace.file("pid")).unwrap_or_default();
        if pid.ends_with('\n') {
            break pid;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the program was not started"
        );
        thread::sleep(Duration::from_millis(5));
    };
    interrupt(&child);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert!(!Path::new("/proc").join(pid.trim()).exists());
    assert!(fs::read_dir(workspace.file("tmp")).unwrap().next().is_none());
}

#[test]
fn evaluate_reports_meteor_and_spice() {
    let workspace = Workspace::with_scenes();
    workspace.train("first", 1);
    Fixture::read().write_files(&workspace.file("meteor"));
    let meteor = workspace.file("meteor");
    let mut command = workspace.command(&[
        "evaluate",
        "first",
        "--json",
        "--meteor-data",
        text(&meteor),
        "--spice-jar",
        &jar(&workspace),
    ]);
    let all_images =
        r#"sed 's/"image_id":\([0-9]*\)[^}]*/"image_id":\1,"scores":{"All":{"f":0.5}}/g' "$5" > "$7""#;
    with_java(&workspace, &mut command, all_images);
    let output = command.output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ptb"]["spice"], 0.5, "{}", err(&output));
    let score = report["ptb"]["meteor"].as_f64().unwrap();
    assert!(score > 0.0 && score < 1.0, "{score}");
    assert!(
        report["ptb"]["signature"]
            .as_str()
            .unwrap()
            .starts_with("BLEU+ROUGE-L+CIDEr-D+METEOR+SPICE|")
    );
    assert!(report["meteor"].is_null());
}
