//! SPICE by its published Java program, which runs as a child process.
//!
//! Anderson et al. 2016, "SPICE: Semantic Propositional Image Caption Evaluation". The program reads captions from a JSON
//! file and writes the scores of each image to another one, as coco-caption runs it.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::interrupt::Interrupt;
use super::terminal::{display_path, display_safe};
use crate::metrics::Example;

const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Lines of the program's output that a failure reports, from the end.
const LINES_SHOWN: usize = 8;
/// Larger than the scores of any split.
const MAX_OUTPUT_BYTES: u64 = 1 << 30;

/// An image of the program's input.
#[derive(Serialize)]
struct Captions {
    image_id: usize,
    test: String,
    refs: Vec<String>,
}

/// An image of the program's output.
#[derive(Deserialize)]
struct ImageScores {
    image_id: usize,
    scores: Categories,
}

#[derive(Deserialize)]
struct Categories {
    #[serde(rename = "All")]
    all: Category,
}

#[derive(Deserialize)]
struct Category {
    f: f64,
}

/// The SPICE of each example, in 0 to 1.
///
/// # Errors
/// If Java is missing, or the program fails, with the end of its output; [`Interrupted`](super::interrupt::Interrupted)
/// after Ctrl-C, which ends the program.
pub(super) fn scores(jar: &Path, examples: &[Example<'_>]) -> anyhow::Result<Vec<f64>> {
    let interrupt = Interrupt::install()?;
    ensure!(
        jar.is_file(),
        "{}: there is no such file; name spice-1.0.jar of pycocoevalcap with --spice-jar",
        display_path(jar)
    );
    let folder = tempfile::tempdir().context("cannot make a temporary directory")?;
    let [input, output, log] = ["captions.json", "scores.json", "log"].map(|name| folder.path().join(name));
    write_captions(&input, examples).context("cannot write a temporary file")?;
    let log_file = File::create(&log).context("cannot write a temporary file")?;
    let program = Command::new("java")
        .args(["-Xmx8G", "-Dfile.encoding=UTF-8", "-jar"])
        .args([jar, &input, Path::new("-out"), &output, Path::new("-silent")])
        .stdin(Stdio::null())
        .stdout(log_file.try_clone()?)
        .stderr(log_file)
        .spawn()
        .context("cannot start `java`; SPICE needs Java 8 to 14")?;
    let status = wait(program, interrupt)?;
    if !status.success() || !output.exists() {
        bail!("{}: {}", display_path(jar), failure(status, &log));
    }
    read_scores(&output, examples.len()).context("the scores that the program wrote cannot be read")
}

fn write_captions(path: &Path, examples: &[Example<'_>]) -> anyhow::Result<()> {
    let captions = examples.iter().enumerate().map(|(image_id, example)| Captions {
        image_id,
        test: example.hypothesis.join(" "),
        refs: example
            .references
            .iter()
            .map(|reference| reference.join(" "))
            .collect(),
    });
    let captions: Vec<Captions> = captions.collect();
    Ok(serde_json::to_writer(
        BufWriter::new(File::create(path)?),
        &captions,
    )?)
}

fn wait(mut program: Child, interrupt: Interrupt) -> anyhow::Result<ExitStatus> {
    loop {
        if let Err(interrupted) = interrupt.check() {
            program.kill()?;
            program.wait()?;
            return Err(interrupted.into());
        }
        if let Some(status) = program.try_wait()? {
            // Ctrl-C ends both programs at once.
            interrupt.check()?;
            return Ok(status);
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// What the output of a failed program says, and what to do.
const CAUSES: [(&str, &str); 2] = [
    (
        "edu/stanford/nlp",
        "; its folder `lib` lacks Stanford CoreNLP 3.6.0, which pycocoevalcap downloads when it computes SPICE",
    ),
    (
        "ScriptEngine",
        "; it needs a JavaScript engine that Java 15 and later lack, so use Java 8 to 14",
    ),
];

/// How the program failed, with the end of its output.
fn failure(status: ExitStatus, log: &Path) -> String {
    let output = fs::read(log).unwrap_or_default();
    let output = String::from_utf8_lossy(&output);
    let cause = CAUSES.iter().find(|(sign, _)| output.contains(sign));
    let advice = cause.map_or("", |(_, advice)| advice);
    let is_message = |line: &&str| !line.trim().is_empty() && !line.starts_with("\tat ");
    let lines: Vec<&str> = output.lines().filter(is_message).collect();
    let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
    let shown = shown.iter().map(|line| format!("\n  {}", display_safe(line)));
    format!(
        "the program ended without scores ({status}){advice}:{}",
        shown.collect::<String>()
    )
}

fn read_scores(path: &Path, examples: usize) -> anyhow::Result<Vec<f64>> {
    let file = BufReader::new(File::open(path)?.take(MAX_OUTPUT_BYTES));
    let images: Vec<ImageScores> = serde_json::from_reader(file)?;
    let mut scores = vec![None; examples];
    for ImageScores {
        image_id,
        scores: of_image,
    } in images
    {
        let score = of_image.all.f;
        ensure!((0.0..=1.0).contains(&score), "a score is {score}");
        let place = scores.get_mut(image_id).context("it has an unknown image")?;
        *place = Some(score);
    }
    scores
        .into_iter()
        .collect::<Option<_>>()
        .context("it lacks an image")
}
