//! Training with invalid input or a full disk: exit code, a message that names the cause, and no loss of data. `prepare`
//! tests invalid images, captions files and weights.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use support::{CUTLINE, DATASET, PREPARE, Workspace, err, temporary_files, text};

#[test]
fn missing_dataset_error_suggests_the_nearest() {
    let workspace = Workspace::new();
    let error = workspace.fails(&["train", "scenes"]);
    assert!(error.contains("there is no dataset `scenes`"), "{error}");
    assert!(error.contains("make one with `cutline prepare`"), "{error}");

    workspace.succeeds(&PREPARE);
    let error = workspace.fails(&["train", "sceens"]);
    assert!(error.contains("there is no dataset `sceens`"), "{error}");
    assert!(error.contains("did you mean `scenes`?"), "{error}");
    assert_eq!(workspace.root().runs().unwrap(), [], "no run is left of it");
}

#[test]
fn misspelled_setting_error_has_origin_and_nearest_key() {
    let workspace = Workspace::with_scenes();
    let error = workspace.fails(&["train", DATASET, "--set", "decoder.hiden=5"]);
    assert!(
        error.contains("--set: there is no setting `decoder.hiden`"),
        "{error}"
    );
    assert!(error.contains("`decoder.hidden_size`"), "{error}");

    let file = workspace.path().join("settings.toml");
    fs::write(&file, "seed = 3\n\n[training]\nepochs = 1\nlearning-rate = 0.1\n").unwrap();
    let error = workspace.fails(&["train", DATASET, "--config", text(&file)]);
    assert!(
        error.contains("settings.toml:5: there is no setting `training.learning-rate`"),
        "{error}"
    );
    assert!(error.contains("`training.learning_rate`"), "{error}");

    fs::write(&file, "[decoder]\nhidden_size = \"many\"\n").unwrap();
    let error = workspace.fails(&["train", DATASET, "--config", text(&file)]);
    assert!(
        error.contains("settings.toml:2: the setting `decoder.hidden_size`"),
        "{error}"
    );
    assert_eq!(workspace.root().runs().unwrap(), [], "no run is left of them");
}

#[test]
fn truncated_or_foreign_checkpoint_is_not_resumed() {
    let workspace = Workspace::with_scenes();
    workspace.train("first", 1);
    let run = workspace.run_directory("first");
    let resume = ["train", DATASET, "--run", "first", "--resume"];
    let whole = fs::read(run.latest()).unwrap();

    fs::write(run.latest(), &whole[..whole.len() / 2]).unwrap();
    let error = workspace.fails(&resume);
    assert!(
        error.contains("latest.safetensors: not a complete checkpoint"),
        "{error}"
    );

    fs::write(run.latest(), "").unwrap();
    let error = workspace.fails(&resume);
    assert!(error.contains("latest.safetensors"), "{error}");

    fs::write(run.latest(), &whole).unwrap();
    let config = fs::read_to_string(run.config()).unwrap();
    fs::write(
        run.config(),
        config.replace("hidden_size = 16", "hidden_size = 20"),
    )
    .unwrap();
    let error = workspace.fails(&resume);
    assert!(error.contains("latest.safetensors: tensor `"), "{error}");
    assert!(error.contains("the checkpoint is of another model"), "{error}");
    assert!(fs::read(run.latest()).unwrap() == whole, "nobody wrote over it");
}

/// Runs the program with a limit of `bytes` on file sizes, which acts like a full disk.
#[cfg(unix)]
fn with_full_disk(workspace: &Workspace, bytes: u64, arguments: &[&str]) -> Output {
    // The unit of `ulimit -f`.
    const BLOCK: u64 = 512;
    let script = format!("ulimit -f {}; exec \"$0\" \"$@\"", bytes / BLOCK);
    let mut shell = Command::new("sh");
    workspace.set_env(&mut shell);
    shell
        .args(["-c", &script, CUTLINE])
        .args(arguments)
        .output()
        .unwrap()
}

#[cfg(unix)]
#[test]
fn full_disk_while_saving_keeps_earlier_checkpoint() {
    let workspace = Workspace::with_scenes();
    let output = workspace.train_until("first", 100_000, 60).interrupt();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let run = workspace.run_directory("first");
    let latest = fs::read(run.latest()).unwrap();

    let output = with_full_disk(
        &workspace,
        latest.len() as u64 * 3 / 4,
        &["train", DATASET, "--run", "first", "--resume"],
    );
    let error = err(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("latest.safetensors: "), "{error}");
    assert!(error.contains("File too large"), "what the system said: {error}");
    assert!(fs::read(run.latest()).unwrap() == latest);
    assert_eq!(temporary_files(workspace.path()), Vec::<PathBuf>::new());

    // `best` is smaller and fits: it may be newer, but it is complete.
    for checkpoint in ["latest", "best"] {
        workspace.succeeds(&["evaluate", "first", "--checkpoint", checkpoint]);
    }
}

#[cfg(unix)]
#[test]
fn full_disk_while_preparing_leaves_no_partial_dataset() {
    let workspace = Workspace::new();
    let output = with_full_disk(&workspace, 8192, &PREPARE);
    let error = err(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("images.jsonl"), "{error}");
    assert_eq!(temporary_files(workspace.path()), Vec::<PathBuf>::new());
    let error = workspace.fails(&["train", DATASET]);
    assert!(error.contains("scenes"), "{error}");

    workspace.succeeds(&PREPARE);
    workspace.train("first", 1);
}

/// A dataset with escape sequences in captions and file names, and a run trained on it.
#[cfg(unix)]
#[test]
fn captions_and_file_names_have_no_control_characters() {
    const STEERING: &str = "a\u{1b}[2J \u{9b}31mdog \u{202e}runs";
    let workspace = Workspace::new();
    let source = workspace.path().join("source");
    fs::create_dir(&source).unwrap();
    let mut captions = "image,caption,split\n".to_owned();
    for number in 0..12 {
        let name = format!("image\u{1b}[31m\u{7}{number}.png");
        image::RgbImage::from_pixel(20, 20, image::Rgb([number * 20, 60, 90]))
            .save(source.join(&name))
            .unwrap();
        let split = if number < 4 { "dev" } else { "train" };
        captions += &format!("{name},{STEERING},{split}\n");
    }
    fs::write(source.join("captions.csv"), captions).unwrap();
    let run = |arguments: &[&str]| {
        let output = workspace.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let shown = [output.stdout, output.stderr].map(|stream| String::from_utf8(stream).unwrap());
        for text in &shown {
            let steers = |c: char| (c.is_control() && !"\n\t".contains(c)) || c == '\u{202e}';
            assert!(!text.contains(steers), "{text:?}");
        }
        shown.concat()
    };
    let keep = ["--keep-symbols", "--keep-punctuation", "--keep-digits"];
    run(&[&["prepare", text(&source), "--name", DATASET], &keep[..]].concat());
    let settings = [
        "encoder.small_cnn.widths=[8,8]",
        "decoder.dropout=0",
        "training.batch_size=2",
        "training.epochs=20",
        "training.learning_rate=5e-3",
        "training.monitor=loss",
        "training.early_stopping_patience=0",
    ];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let arguments = ["train", DATASET, "--run", "first"];
    let said = run(&arguments.into_iter().chain(settings).collect::<Vec<_>>());
    // It has learned the captions, which are printed.
    let shown = "a\u{fffd}[2j \u{fffd}31mdog \u{fffd}runs";
    assert!(said.contains(shown), "{said}");
    assert!(run(&["evaluate", "first"]).contains(shown));
    let image = source.join("image\u{1b}[31m\u{7}1.png");
    assert!(run(&["caption", "first", text(&image)]).contains(shown));
    let json = run(&["caption", "first", "--json", text(&image)]);
    let object: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(object["caption"], STEERING.to_lowercase());
    assert_eq!(object["image"], text(&image));
}
