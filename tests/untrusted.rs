//! Directories from elsewhere: runs and datasets whose files lead out of them, never end, or are not files at all.
//!
//! Each test builds what an archive or another user could have left, runs the program on it, and checks that nothing
//! outside was read, changed or removed, and that the other runs can still be used.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::{DATASET, Workspace, err, text};

/// Reading a pipe, or `/dev/zero`, would take for ever.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A workspace with one trained run, `r`.
fn trained() -> Workspace {
    let workspace = Workspace::with_scenes();
    workspace.train("r", 1);
    workspace
}

fn fifo(path: &Path) {
    let _ = fs::remove_file(path);
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// The output of a command that must end within the time limit.
#[track_caller]
fn ends(workspace: &Workspace, arguments: &[&str]) -> Output {
    let start = Instant::now();
    let mut limited = Command::new("timeout");
    workspace.set_env(&mut limited);
    limited
        .arg(TIME_LIMIT.as_secs().to_string())
        .arg(support::CUTLINE)
        .args(arguments);
    let output = limited.output().unwrap();
    assert_ne!(
        output.status.code(),
        Some(124),
        "{arguments:?} hung for {:?}",
        start.elapsed()
    );
    output
}

/// A directory of the user with two files.
fn home(workspace: &Workspace) -> std::path::PathBuf {
    let home = workspace.path().join("home");
    fs::create_dir_all(home.join("Documents")).unwrap();
    fs::write(home.join("Documents/thesis.json"), "{\"command\":\"stop\"}").unwrap();
    fs::write(home.join("important.json"), "{\"command\":\"stop\"}").unwrap();
    home
}

#[track_caller]
fn is_untouched(home: &Path) {
    assert_eq!(fs::read_dir(home).unwrap().count(), 2);
    for file in ["Documents/thesis.json", "important.json"] {
        assert_eq!(
            fs::read_to_string(home.join(file)).unwrap(),
            "{\"command\":\"stop\"}"
        );
    }
}

#[test]
fn linked_control_directory_is_rejected_and_its_target_kept() {
    let workspace = trained();
    let home = home(&workspace);
    let run = workspace.run_directory("r");
    let evaluation = run.path().join("evaluations/dev-best");
    fs::create_dir_all(&evaluation).unwrap();
    symlink(&home, evaluation.join("control")).unwrap();
    let error = workspace.fails(&["evaluate", "r"]);
    assert!(
        error.contains("control") && error.contains("symbolic link"),
        "{error}"
    );
    is_untouched(&home);

    fs::remove_dir_all(run.path().join("control")).unwrap();
    symlink(&home, run.path().join("control")).unwrap();
    let error = workspace.fails(&["train", "--resume", "r"]);
    assert!(error.contains("symbolic link"), "{error}");
    is_untouched(&home);

    let prepare = workspace.path().join("datasets").join(DATASET).join("prepare");
    fs::remove_dir_all(prepare.join("control")).unwrap();
    symlink(&home, prepare.join("control")).unwrap();
    let error = workspace.fails(&support::PREPARE);
    assert!(error.contains("symbolic link"), "{error}");
    is_untouched(&home);
}

#[test]
fn directories_of_a_run_that_are_links_are_rejected() {
    for linked in ["evaluations", "evaluations/dev-best"] {
        let workspace = trained();
        let home = home(&workspace);
        let path = workspace.run_directory("r").path().join(linked);
        let _ = fs::create_dir_all(path.parent().unwrap());
        symlink(&home, &path).unwrap();
        let error = workspace.fails(&["evaluate", "r"]);
        assert!(error.contains("symbolic link"), "{linked}: {error}");
        workspace.succeeds(&["runs", "--all"]);
        is_untouched(&home);
        workspace.succeeds(&["runs", "rm", "--yes", "r"]);
        is_untouched(&home);
    }
}

/// With `events.jsonl` linked to a start-up file, a name in `config.toml` would become a command of the next shell.
#[test]
fn linked_files_are_not_written_through() {
    let workspace = trained();
    let run = workspace.run_directory("r");
    let precious = workspace.path().join("bashrc");
    for file in [
        "events.jsonl",
        "lock",
        "trainer.log",
        "note.txt",
        "ngrams.tsv",
        "latest.safetensors",
    ] {
        let path = run.path().join(file);
        let saved = fs::read(&path).ok();
        let _ = fs::remove_file(&path);
        fs::write(&precious, "export PS1='$ '\n").unwrap();
        symlink(&precious, &path).unwrap();
        for arguments in [
            &["train", "--resume", "r"][..],
            &["train", "--resume", "r", "--detach"],
            &["runs", "note", "r", "$(touch pwned)"],
            &["evaluate", "r"],
            &["runs"],
        ] {
            ends(&workspace, arguments);
        }
        assert_eq!(
            fs::read_to_string(&precious).unwrap(),
            "export PS1='$ '\n",
            "{file}"
        );
        let _ = fs::remove_file(&path);
        if let Some(saved) = saved {
            fs::write(&path, saved).unwrap();
        }
    }
}

#[test]
fn linked_lock_is_not_overwritten_by_rename() {
    let workspace = trained();
    let key = workspace.path().join("key");
    fs::write(&key, "PRECIOUS").unwrap();
    let lock = workspace.run_directory("r").path().join("lock");
    fs::remove_file(&lock).unwrap();
    symlink(&key, &lock).unwrap();
    let error = workspace.fails(&["runs", "rename", "r", "r2"]);
    assert!(error.contains("symbolic link"), "{error}");
    assert_eq!(fs::read_to_string(&key).unwrap(), "PRECIOUS");
}

#[test]
fn only_a_run_is_removed() {
    let workspace = trained();
    let project = workspace.path().join("checkpoints/project");
    fs::create_dir_all(project.join("src")).unwrap();
    fs::write(project.join("config.toml"), "title = \"a web site\"").unwrap();
    let error = workspace.fails(&["runs", "rm", "--yes", "project"]);
    assert!(error.contains("config.toml"), "{error}");
    for path in [
        "..",
        ".",
        "./checkpoints/r",
        "checkpoints/../checkpoints/r",
        "checkpoints/r/.",
    ] {
        let mut command = workspace.command(&["runs", "rm", "--yes", path]);
        let output = command.current_dir(workspace.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{path}: {}", err(&output));
    }
    assert!(project.join("src").is_dir() && workspace.run_directory("r").config().is_file());
    workspace.succeeds(&["runs", "rm", "--yes", "r"]);
    let left: Vec<_> = fs::read_dir(workspace.path().join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["project"]);
}

#[test]
fn run_that_is_a_link_is_renamed_and_removed_as_a_link() {
    let workspace = trained();
    let scratch = workspace.path().join("scratch");
    let run = workspace.run_directory("r");
    fs::rename(run.path(), &scratch).unwrap();
    symlink(&scratch, run.path()).unwrap();
    workspace.succeeds(&["evaluate", "r"]);
    workspace.succeeds(&["runs", "rename", "r", "r2"]);
    assert!(!run.path().exists());
    workspace.succeeds(&["evaluate", "r2", "--name", "again"]);
    let removed = workspace
        .command(&["runs", "rm", "--yes", "r2"])
        .output()
        .unwrap();
    assert!(
        err(&removed).contains("the run itself is kept"),
        "{}",
        err(&removed)
    );
    assert!(scratch.join("config.toml").is_file() && scratch.join("evaluations/again/report.json").is_file());
}

/// One odd file must not hide the other runs, hang a command or fill the memory.
#[test]
fn odd_files_make_one_row_unreadable() {
    let workspace = trained();
    let odd = workspace.path().join("checkpoints/odd");
    fs::create_dir(&odd).unwrap();
    fs::copy(workspace.run_directory("r").config(), odd.join("config.toml")).unwrap();
    type Make = fn(&Path);
    let make: [(&str, Make); 4] = [
        ("a FIFO", fifo),
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a symbolic link", |path| symlink("/dev/zero", path).unwrap()),
        ("longer than", |path| {
            fs::File::create(path).unwrap().set_len(1 << 40).unwrap()
        }),
    ];
    for file in ["events.jsonl", "lock", "note.txt"] {
        for (kind, make) in make {
            // A log may be of any length, and of a lock only the lock matters.
            if kind == "longer than" {
                continue;
            }
            make(&odd.join(file));
            let output = ends(&workspace, &["runs", "--json"]);
            let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let row = |name: &str| {
                rows.as_array()
                    .unwrap()
                    .iter()
                    .find(|row| row["run"] == name)
                    .unwrap()
                    .clone()
            };
            assert_eq!(row("r")["state"], "complete", "{file} {kind}");
            if file != "note.txt" {
                assert_eq!(row("odd")["state"], "unreadable", "{file} {kind}");
                let error = row("odd")["error"].to_string();
                assert!(
                    error.contains(kind) && error.contains(file),
                    "{file} {kind}: {error}"
                );
            }
            for arguments in [
                &["attach", "odd"][..],
                &["control", "odd", "stop"],
                &["runs", "--all"],
            ] {
                ends(&workspace, arguments);
            }
            let path = odd.join(file);
            match path.symlink_metadata().unwrap().is_dir() {
                true => fs::remove_dir(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
    }
    // Files that are read whole.
    for file in ["config.toml", "vocabulary.txt", "ngrams.tsv", "best.safetensors"] {
        for (kind, make) in make {
            fs::remove_dir_all(&odd).unwrap();
            copy(workspace.run_directory("r").path(), &odd);
            fs::remove_file(odd.join(file)).unwrap();
            make(&odd.join(file));
            let output = ends(&workspace, &["evaluate", "odd"]);
            assert_eq!(
                output.status.code(),
                Some(if file == "ngrams.tsv" { 0 } else { 1 }),
                "{file} {kind}: {}",
                err(&output)
            );
            ends(&workspace, &["runs"]);
        }
    }
    // A report of an evaluation.
    fs::remove_dir_all(&odd).unwrap();
    copy(workspace.run_directory("r").path(), &odd);
    fs::create_dir_all(odd.join("evaluations/dev-best")).unwrap();
    for (_, make) in make {
        let report = odd.join("evaluations/dev-best/report.json");
        make(&report);
        assert_eq!(ends(&workspace, &["compare", "odd", "r"]).status.code(), Some(1));
        match report.symlink_metadata().unwrap().is_dir() {
            true => fs::remove_dir(report).unwrap(),
            false => fs::remove_file(report).unwrap(),
        }
    }
}

/// Copies the plain files of a run.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn dataset_with_linked_directories_is_not_written_through() {
    let workspace = Workspace::with_scenes();
    let home = home(&workspace);
    let dataset = workspace.path().join("datasets").join(DATASET);
    fs::remove_dir_all(dataset.join("images")).unwrap();
    symlink(&home, dataset.join("images")).unwrap();
    let error = workspace.fails(&support::PREPARE);
    assert!(error.contains("symbolic link"), "{error}");
    is_untouched(&home);

    // Other images are drawn into a directory of their own, in place of the link.
    let other = [
        "--num-images",
        "60",
        "--size",
        "64",
        "--min-count",
        "1",
        "--force",
    ];
    workspace.succeeds(&[&["prepare", "scenes", "--name", DATASET][..], &other].concat());
    is_untouched(&home);
    assert!(!dataset.join("images").is_symlink());
}

/// The features of a dataset with these files of a store, and an image of scenes for each row.
fn store(workspace: &Workspace, regions: &str, channels: &str, size: &str) {
    let store = workspace.dataset(DATASET).join("features/hostile");
    fs::create_dir_all(&store).unwrap();
    let manifest = format!(
        r#"{{"version":1,"features":{{"backbone":"vgg16","layer":"fc2","weights":"0","regions":{regions},"channels":{channels},
        "preprocessing":{{"size":{size},"resize":"squash","interpolation":"nearest","channel_order":"bgr",
        "normalization":{{"scale":1.0,"mean":[0.0,0.0,0.0],"std":[1.0,1.0,1.0]}}}},"dtype":"f16"}}}}"#
    );
    let images = fs::read_to_string(workspace.dataset(DATASET).join("images.jsonl")).unwrap();
    let keys: Vec<String> = images
        .lines()
        .map(|line| {
            let image: serde_json::Value = serde_json::from_str(line).unwrap();
            format!("{}\n", image["key"])
        })
        .collect();
    fs::write(store.join("store.json"), manifest).unwrap();
    fs::write(
        store.join("complete.json"),
        format!(r#"{{"rows":{}}}"#, keys.len()),
    )
    .unwrap();
    fs::write(store.join("index.jsonl"), keys.concat()).unwrap();
    fs::write(store.join("rows.bin"), "").unwrap();
}

/// Products of dimensions that are 0, or wrap to 0 in 64 bits, so that the empty file of rows seems complete.
#[test]
fn feature_store_with_impossible_dimensions_is_rejected() {
    let workspace = Workspace::with_scenes();
    for (regions, channels, size) in [
        ("0", "5", "224"),
        ("5", "0", "224"),
        ("4294967296", "4294967296", "224"),
        ("9223372036854775808", "2", "224"),
        ("18446744073709551615", "18446744073709551615", "224"),
        ("1", "5", "4294967295"),
        ("1", "5", "0"),
    ] {
        store(&workspace, regions, channels, size);
        for arguments in [
            &["train", DATASET, "--run", "x", "--set", "training.epochs=1"][..],
            &["train", DATASET, "--run", "x", "--decoder", "soft-attention"],
        ] {
            let output = ends(&workspace, arguments);
            let error = err(&output);
            assert_eq!(output.status.code(), Some(1), "{regions} {channels}: {error}");
            assert!(
                error.contains("store.json") && !error.contains("panicked"),
                "{regions} {channels}: {error}"
            );
        }
    }
    // Rows that are merely missing.
    store(&workspace, "1", "5", "224");
    let error = workspace.fails(&["train", DATASET, "--run", "x"]);
    assert!(error.contains("rows.bin"), "{error}");
}

/// Settings within their ranges whose product no machine has memory for.
#[test]
fn images_larger_than_memory_are_rejected() {
    let workspace = Workspace::with_scenes();
    let error = workspace.fails(&[
        "train",
        DATASET,
        "--run",
        "x",
        "--set",
        "encoder.small_cnn.size=65536",
    ]);
    assert!(error.contains("encoder.small_cnn"), "{error}");
}

#[test]
fn read_only_run_is_not_called_running() {
    let Some(mut command) = support::held_by_permissions() else {
        println!("skipped: root writes wherever it likes, and there is no setpriv to hold it back");
        return;
    };
    let workspace = trained();
    let checkpoints = workspace.path().join("checkpoints");
    let mode = |mode| fs::set_permissions(&checkpoints, fs::Permissions::from_mode(mode)).unwrap();
    workspace.set_env(&mut command);
    mode(0o555);
    let output = command.args(["runs", "rename", "r", "r2"]).output().unwrap();
    mode(0o755);
    let error = err(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("ermission") && !error.contains("running"),
        "{error}"
    );
}

#[test]
fn report_is_not_written_through_a_link() {
    let workspace = trained();
    let outside = workspace.path().join("outside");
    fifo(&outside);
    workspace.succeeds(&["evaluate", "r"]);
    let evaluations = workspace.run_directory("r").path().join("evaluations");
    let report = evaluations.join("dev-best").join("report.json");
    assert!(report.is_file());
    for target in [&outside, Path::new("/dev/zero")] {
        fs::remove_file(&report).unwrap();
        symlink(target, &report).unwrap();
        assert_eq!(ends(&workspace, &["evaluate", "r"]).status.code(), Some(0));
        assert!(fs::symlink_metadata(&report).unwrap().is_file());
    }
}

#[test]
fn prepares_at_the_same_moment_leave_the_dataset_of_one() {
    let workspace = Workspace::new();
    let start = |size: &str, seed: &str| {
        let arguments = [
            "prepare",
            "scenes",
            "--name",
            "a",
            "--num-images",
            "60",
            "--min-count",
            "1",
        ];
        let mut command = workspace.command(&arguments);
        command.args(["--size", size, "--seed", seed]);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut started = [start("32", "1"), start("64", "9")];
    let succeeded = started
        .each_mut()
        .map(|process| process.wait().unwrap().success());
    assert!(
        succeeded.contains(&true) && succeeded.contains(&false),
        "{succeeded:?}"
    );
    let size = if succeeded[0] { 32 } else { 64 };
    for image in fs::read_dir(workspace.dataset("a").join("images")).unwrap() {
        let image = image::open(image.unwrap().path()).unwrap();
        assert_eq!(image.width(), size);
    }
}

#[test]
fn rejected_prepare_leaves_nothing_that_rejects_the_right_one() {
    let workspace = Workspace::new();
    let prepare = |size: &'static str| {
        [
            "prepare",
            "scenes",
            "--name",
            "s",
            "--num-images",
            "60",
            "--min-count",
            "1",
            "--size",
            size,
        ]
    };
    workspace.fails(&prepare("4"));
    workspace.succeeds(&prepare("32"));
}

#[test]
fn full_output_device_is_named() {
    let workspace = Workspace::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = workspace.command(&["keys"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("standard output"), "{}", err(&output));
}

#[test]
fn usage_errors_hold_no_control_characters() {
    let workspace = Workspace::new();
    let output = workspace
        .command(&["runs", "--\u{202e}evil\u{9b}31m\u{1b}[2J"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = err(&output);
    assert!(text.contains("evil"), "{text}");
    assert!(!text.contains(['\u{202e}', '\u{9b}', '\u{1b}']), "{text:?}");
}

#[test]
fn thread_limit_is_no_crash() {
    let Some(command) = support::held_by_limits() else {
        println!("skipped: the limit does not hold for root, and there is no setpriv to become another user");
        return;
    };
    let workspace = Workspace::new();
    let everyone = fs::Permissions::from_mode(0o777);
    fs::set_permissions(workspace.path(), everyone).unwrap();
    let run = |limit: u32, name| {
        let mut limited = Command::new("prlimit");
        workspace.set_env(&mut limited);
        limited
            .arg(format!("--nproc={limit}"))
            .arg(command.get_program())
            .args(command.get_args())
            .args(["prepare", "scenes", "--num-images", "60", "--name", name])
            .env("RAYON_NUM_THREADS", "4");
        let output = limited.output().unwrap();
        let said = err(&output);
        assert!(said.contains("ulimit -u"), "{said}");
        output.status.code()
    };
    assert_eq!(run(2, "none"), Some(1));
    assert_eq!(run(7, "one"), Some(0));
}

/// A file is rejected by its header and length. The limit of the address space is half of what reading one would take.
#[test]
fn images_that_are_too_long_are_rejected_unread() {
    const LENGTH: u64 = 4 << 30;
    let workspace = Workspace::new();
    let source = workspace.path().join("source");
    fs::create_dir(&source).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/jpeg");
    fs::copy(data.join("rgb.jpg"), source.join("good.jpg")).unwrap();
    fs::copy(data.join("rgb.jpg"), source.join("long.jpg")).unwrap();
    fs::copy(data.join("rgb.png"), source.join("long.png")).unwrap();
    fs::write(source.join("zeros.jpg"), b"").unwrap();
    let images = ["good.jpg", "long.jpg", "long.png", "zeros.jpg", "pipe.jpg"];
    for long in &images[1..4] {
        let file = fs::File::options().append(true).open(source.join(long)).unwrap();
        file.set_len(LENGTH).unwrap();
    }
    fifo(&source.join("pipe.jpg"));
    let captions: String = images
        .iter()
        .map(|image| format!("{image},a dog,train\n"))
        .collect();
    fs::write(
        source.join("captions.csv"),
        format!("image,caption,split\n{captions}"),
    )
    .unwrap();

    let mut limited = Command::new("sh");
    workspace.set_env(&mut limited);
    limited
        .args([
            "-c",
            "ulimit -v 2097152; exec \"$0\" \"$@\"",
            support::CUTLINE,
            "prepare",
        ])
        .arg(&source)
        .args(["--name", "long", "--min-count", "1"]);
    let output = limited.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let report = fs::read_to_string(workspace.path().join("datasets/long/report.json")).unwrap();
    for image in &images[1..4] {
        assert!(report.contains(image), "{image}: {report}");
    }
    assert!(report.contains("4294967296 bytes, more than"), "{report}");
}

#[test]
fn captions_that_are_not_plain_files_are_rejected() {
    let workspace = Workspace::new();
    let source = workspace.path().join("source");
    fs::create_dir(&source).unwrap();
    fifo(&source.join("captions.csv"));
    let pipe = source.join("captions.csv");
    for arguments in [
        &["prepare", text(&source), "--name", "d"][..],
        &["prepare", text(&source), "--name", "d", "--captions", text(&pipe)],
        &[
            "prepare",
            text(&source),
            "--name",
            "d",
            "--captions",
            text(&pipe),
            "--format",
            "folder",
        ],
        &[
            "prepare",
            text(&source),
            "--name",
            "d",
            "--captions",
            "/dev/zero",
            "--format",
            "json",
        ],
    ] {
        let output = ends(&workspace, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", err(&output));
    }
}
