//! `cutline demo`: interrupted, restarted, and completed.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Output, Stdio};

use support::{Workspace, err, interrupt};

/// Starts the demo, and sends Ctrl-C once it prints `moment`. Returns its exit code and output.
fn stopped_at(workspace: &Workspace, moment: &str) -> (Option<i32>, String) {
    let mut demo = workspace
        .command(&["demo", "--headless"])
        .env_remove("RAYON_NUM_THREADS")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(demo.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(moment) {
        assert_ne!(
            stderr.read_line(&mut said).unwrap(),
            0,
            "ended too early:\n{said}"
        );
    }
    interrupt(&demo);
    stderr.read_to_string(&mut said).unwrap();
    (demo.wait().unwrap().code(), said)
}

#[test]
fn interrupted_demo_names_the_next_command_and_reuses_images() {
    let workspace = Workspace::new();
    let (code, said) = stopped_at(&workspace, "Training demo-001 on scenes");
    assert_eq!(code, Some(130), "{said}");
    assert!(
        said.contains("$ cutline prepare scenes --name scenes\n"),
        "{said}"
    );
    assert!(
        said.contains("Resume with: cutline train --resume demo-001"),
        "{said}"
    );

    let (code, said) = stopped_at(&workspace, "Training demo-002 on scenes");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("It exists already."), "{said}");
}

#[test]
#[ignore = "walks the demo twice, which takes two cores about two minutes"]
fn demo_learns_and_output_is_reproducible() {
    let workspace = Workspace::new();
    let demo = || {
        let mut command = workspace.command(&["demo", "--headless"]);
        let output: Output = command.env_remove("RAYON_NUM_THREADS").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = demo();
    let line = printed.lines().find(|line| line.starts_with("BLEU-4")).unwrap();
    let bleu_4: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(bleu_4 >= 0.5, "{printed}");
    assert_eq!(printed.matches("reference: ").count(), 5, "{printed}");
    assert_eq!(demo(), printed);
}
