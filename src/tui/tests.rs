//! The workbench without a terminal: keys and events go in, effects and screens come out.

mod attention;

use super::app::{App, Lifecycle};
use super::message::{DatasetListing, Effect, EvaluationKey, EvaluationListing, Message, RunListing};
use super::navigation::Tab;
use super::popups::Popup;
use super::run_view::{XAxis, charts};
use super::theme::{CharacterSet, Colors, Theme};
use super::view::draw;
use crate::jobs::{
    ControlCommand, DevEvaluation, Event, JobInfo, JobKind, JobState, Prediction, Predictions, Record,
    SessionStart, StepEvent, Trigger,
};
use crate::metrics::{Metric, Scores};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use std::collections::BTreeMap;

const RUN: &str = "scenes-merge-001";

fn key(code: KeyCode) -> Message {
    Message::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn letter(letter: char) -> Message {
    key(KeyCode::Char(letter))
}

fn step_event(step: u64) -> StepEvent {
    StepEvent {
        epoch: (step as usize - 1) / 100,
        batch: (step as usize - 1) % 100 + 1,
        batches: 100,
        step,
        loss: 2.0 + 300.0 / (step + 50) as f32 + 0.1 * (step % 7) as f32,
        reward: None,
        learning_rate: 1e-3,
        grad_norm: 0.5,
        tokens: 700,
        tokens_per_second: 9_876.0,
        memory: Some(123_000_000),
        metrics: BTreeMap::new(),
    }
}

/// Two epochs of a training with an evaluation after each.
fn records() -> Vec<Record> {
    let mut events = vec![Event::Start(Box::new(SessionStart {
        format: 1,
        version: "0.1.0".into(),
        host: "elsewhere.invalid".into(),
        pid: 7,
        job: JobInfo {
            kind: JobKind::Train,
            device: "cpu".into(),
            data_set: "scenes".into(),
            data_hash: None,
            settings: serde_json::json!({"training": {"epochs": 4}}),
            step: 0,
        },
    }))];
    for step in 1..=200_u64 {
        events.push(Event::Step(step_event(step)));
        if step.is_multiple_of(100) {
            events.push(Event::Evaluation(Box::new(DevEvaluation {
                epoch: (step as usize - 1) / 100,
                step,
                train_loss: 3.5,
                dev_loss: 3.25,
                scores: Scores::from_iter([
                    (Metric::BLEU_4, 0.2),
                    (Metric::ROUGE_L, 0.4),
                    (Metric::CIDER_D, 0.5),
                ]),
                best: true,
                trigger: Trigger::EpochEnd,
            })));
            events.push(Event::Predictions(Predictions {
                step,
                captions: vec![Prediction {
                    image: "scene_00009\u{1b}[2J".into(),
                    caption: match step {
                        100 => "a tree".into(),
                        _ => "three green trees on the sand".into(),
                    },
                }],
            }));
        }
    }
    (0..)
        .zip(events)
        .map(|(seq, event)| Record {
            seq,
            time: seq as f64,
            event,
        })
        .collect()
}

fn listing(name: &str, state: JobState) -> RunListing {
    RunListing {
        name: name.into(),
        state,
        note: None,
    }
}

fn append_records(app: &mut App, run: &str) {
    app.update(Message::Records {
        run: run.into(),
        records: records(),
    });
}

/// A workbench that looks at a run in this state, beside an older one.
fn looking_at(state: JobState) -> App {
    let mut app = App::new(Default::default(), (80, 24));
    app.update(Message::Runs(vec![listing(RUN, state)]));
    app.update(Message::Runs(vec![
        listing("older", JobState::Complete),
        listing(RUN, state),
    ]));
    append_records(&mut app, "older");
    append_records(&mut app, RUN);
    app
}

fn press(app: &mut App, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|key| app.update(letter(key))).collect()
}

/// The effects as text, to compare.
fn done(effects: &[Effect]) -> Vec<String> {
    let steering = effects
        .iter()
        .filter(|effect| !matches!(effect, Effect::FindImages(_)));
    steering.map(|effect| format!("{effect:?}")).collect()
}

fn control(command: ControlCommand) -> Vec<String> {
    let job = RUN.into();
    done(&[Effect::Control { job, command }])
}

fn screen(app: &App, (columns, rows): (u16, u16), characters: CharacterSet) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let theme = Theme::new(Colors::Sixteen, characters);
    terminal.draw(|frame| draw(frame, app, &theme)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |row| {
        (0..columns)
            .map(|column| buffer[(column, row)].symbol())
            .collect()
    };
    (0..rows).map(line).collect()
}

#[test]
fn keys_send_commands_to_open_run() {
    let mut app = looking_at(JobState::Running);
    for (keys, command) in [
        ("p", ControlCommand::Pause),
        ("w", ControlCommand::Checkpoint),
        ("e", ControlCommand::Evaluate),
        ("s", ControlCommand::Predict),
    ] {
        assert_eq!(done(&press(&mut app, keys)), control(command));
    }
    app.update(Message::Runs(vec![listing(RUN, JobState::Paused)]));
    assert_eq!(done(&press(&mut app, "p")), control(ControlCommand::Resume));
}

#[test]
fn stop_and_delete_ask_first() {
    let mut app = looking_at(JobState::Running);
    assert_eq!(done(&press(&mut app, "x")), [""; 0]);
    assert!(matches!(app.popups[..], [Popup::Confirm { .. }]));
    assert_eq!(done(&press(&mut app, "n")), [""; 0]);
    assert!(app.popups.is_empty());
    assert_eq!(done(&press(&mut app, "xy")), control(ControlCommand::Stop));

    let mut app = looking_at(JobState::Complete);
    assert_eq!(
        done(&press(&mut app, "5dy")),
        done(&[Effect::DeleteRun(RUN.into())])
    );
}

#[test]
fn impossible_action_shows_reason() {
    let mut app = looking_at(JobState::Stopped);
    for useless in ["p", "w", "x", "r"] {
        assert_eq!(done(&press(&mut app, useless)), [""; 0], "{useless}");
        assert!(
            matches!(&app.notice, Some(Err(why)) if why.contains("stopped")),
            "{:?}",
            app.notice
        );
        assert!(app.popups.is_empty());
    }
    assert_eq!(done(&press(&mut app, "u")), done(&[Effect::Resume(RUN.into())]));
    let mut app = looking_at(JobState::Running);
    assert_eq!(done(&press(&mut app, "u")), [""; 0]);
    for useless in ["5d", "5R"] {
        assert_eq!(done(&press(&mut app, useless)), [""; 0]);
        assert!(matches!(&app.notice, Some(Err(why)) if why.contains("stop it first")));
    }
}

#[test]
fn learning_rate_form_sends_command() {
    let mut app = looking_at(JobState::Running);
    assert_eq!(done(&press(&mut app, "rq")), [""; 0]);
    assert_eq!(done(&app.update(key(KeyCode::Enter))), [""; 0], "not a number");
    assert!(matches!(&app.popups[..], [Popup::Form(open)] if open.form.outcome.is_err()));
    app.update(key(KeyCode::Backspace));
    assert_eq!(done(&press(&mut app, "5e-4")), [""; 0]);
    let settings = BTreeMap::from([("lr".to_owned(), "5e-4".to_owned())]);
    assert_eq!(
        done(&app.update(key(KeyCode::Enter))),
        control(ControlCommand::Set { settings })
    );
    assert_eq!(app.lifecycle, Lifecycle::Running, "the q was typed at the box");
    press(&mut app, "q");
    assert_eq!(app.lifecycle, Lifecycle::Exiting);
}

#[test]
fn train_form_starts_run() {
    let mut app = looking_at(JobState::Complete);
    app.update(Message::Datasets(vec![DatasetListing {
        name: "scenes".into(),
        is_whole: true,
        written: 0,
        features: Vec::new(),
        job: None,
        job_path: "datasets/scenes/prepare".into(),
    }]));
    press(&mut app, "n");
    // Down to the name.
    for _ in 0..2 {
        app.update(key(KeyCode::Down));
    }
    press(&mut app, "mine");
    let effects = app.update(key(KeyCode::Enter));
    let [Effect::Start(arguments)] = &effects[..] else {
        panic!("{effects:?}");
    };
    let command = arguments.join(" ");
    assert!(
        command.starts_with("train scenes --run mine --set ")
            && command.contains("--set training.epochs=10 "),
        "{command}"
    );
    assert!(command.ends_with("--detach"), "{command}");
}

#[test]
fn changed_run_list_keeps_selected_and_open_run() {
    let mut app = looking_at(JobState::Running);
    press(&mut app, "5k");
    assert_eq!(app.runs.listing.selected().unwrap().name, "older");
    let more = ["a", "older", RUN].map(|name| listing(name, JobState::Running));
    app.update(Message::Runs(more.into()));
    assert_eq!(app.runs.listing.selected().unwrap().name, "older");
    assert_eq!(app.runs.open().unwrap().name, RUN);
    assert!(
        app.runs.open().unwrap().range(XAxis::Steps).is_some(),
        "what was read is kept"
    );
    // The open run is deleted: another one opens.
    app.update(Message::Runs(vec![listing("older", JobState::Complete)]));
    assert_eq!(app.runs.open().unwrap().name, "older");
    app.update(Message::Runs(Vec::new()));
    assert!(app.runs.open().is_none());
}

#[test]
fn train_tab_shows_progress() {
    let app = looking_at(JobState::Running);
    for characters in [CharacterSet::Unicode, CharacterSet::Ascii] {
        let lines = screen(&app, (80, 24), characters);
        assert!(
            lines[1].starts_with("scenes-merge-001  running   epoch 2 of 4, batch 100 of 100"),
            "{lines:#?}"
        );
        assert!(
            lines[2].contains("50 %  3 min left  lr 1.0e-3  9,876 tokens/s"),
            "{lines:#?}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("loss 3.600") && line.contains("dev loss 3.250")),
            "{lines:#?}"
        );
        for caption in ["three green trees on the sand", "100: a tree"] {
            let line = lines.iter().find(|line| line.contains(caption)).unwrap();
            assert!(!line.contains('\u{1b}'));
        }
        assert!(lines[23].contains("? help  q quit"), "{lines:#?}");
        let drawn = lines[3..15].concat();
        assert_eq!(drawn.is_ascii(), characters == CharacterSet::Ascii);
    }
}

#[test]
fn chart_cursor_reads_values() {
    let mut app = looking_at(JobState::Running);
    press(&mut app, "v");
    for _ in 0..25 {
        press(&mut app, "h");
    }
    let lines = screen(&app, (80, 24), CharacterSet::Unicode);
    let last = 2.0 + 300.0 / 151.0 + 0.1 * 3.0;
    assert!(
        lines.iter().any(|line| line.contains(&format!("loss {last:.3}"))),
        "{lines:#?}"
    );
    press(&mut app, "a");
    let lines = screen(&app, (80, 24), CharacterSet::Unicode);
    assert!(lines.iter().any(|line| line.contains("epoch 2.0")), "{lines:#?}");
    press(&mut app, "a");
    let lines = screen(&app, (80, 24), CharacterSet::Unicode);
    assert!(lines.iter().any(|line| line.contains("3 min")), "{lines:#?}");
}

#[test]
fn step_metric_has_chart_of_its_own() {
    let mut app = looking_at(JobState::Running);
    let mut record = records().pop().unwrap();
    record.event = Event::Step(StepEvent {
        step: 201,
        metrics: BTreeMap::from([("kl_divergence".to_owned(), 0.25)]),
        ..step_event(200)
    });
    app.update(Message::Records {
        run: RUN.into(),
        records: vec![record],
    });
    let specs = charts(&app.charted());
    let titles: Vec<&str> = specs.iter().map(|chart| chart.title.as_str()).collect();
    assert_eq!(titles[..2], ["loss", "dev scores"]);
    for metric in ["kl divergence", "grad norm", "dev ROUGE-L"] {
        assert!(titles.contains(&metric), "{metric}: {titles:?}");
    }
    let index = titles.iter().position(|title| *title == "kl divergence").unwrap();
    press(&mut app, &"]".repeat(index));
    let lines = screen(&app, (80, 24), CharacterSet::Unicode);
    assert!(
        lines.iter().any(|line| line.contains("kl divergence 0.250")),
        "{lines:#?}"
    );
}

#[test]
fn marked_runs_overlay_charts() {
    let mut app = looking_at(JobState::Running);
    press(&mut app, "o");
    press(&mut app, " ");
    app.update(key(KeyCode::Enter));
    let lines = screen(&app, (100, 30), CharacterSet::Unicode);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("scenes-merge-001 loss") && line.contains("older loss")),
        "{lines:#?}"
    );
    press(&mut app, "5km");
    assert_eq!(app.charted().len(), 1, "marked once more, it is taken off");
}

#[test]
fn runs_tab_lists_runs() {
    let mut app = looking_at(JobState::Running);
    press(&mut app, "5");
    assert_eq!(app.tab, Tab::Runs);
    let lines = screen(&app, (80, 24), CharacterSet::Unicode);
    assert!(lines[2].contains("older"), "{lines:#?}");
    assert!(lines[2].contains("complete"), "{lines:#?}");
    assert!(lines[3].contains(RUN), "{lines:#?}");
    assert!(
        lines[3].contains("running") && lines[3].contains("0.2000"),
        "{lines:#?}"
    );
}

#[test]
fn empty_root_shows_first_steps() {
    let mut app = App::new(Default::default(), (80, 24));
    app.update(Message::Datasets(Vec::new()));
    app.update(Message::Runs(Vec::new()));
    assert_eq!(app.tab, Tab::Data);
    let lines = screen(&app, (80, 24), CharacterSet::Unicode);
    assert!(lines.concat().contains("Welcome to Cutline"), "{lines:#?}");
    press(&mut app, "n");
    let effects = app.update(key(KeyCode::Enter));
    let [Effect::Start(arguments)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(
        arguments.join(" "),
        "prepare scenes --name scenes --min-count 5 --detach"
    );
}

#[test]
fn palette_finds_command_by_letters() {
    let mut app = looking_at(JobState::Running);
    press(&mut app, ":");
    press(&mut app, "ckpnow");
    let effects = app.update(key(KeyCode::Enter));
    assert_eq!(done(&effects), control(ControlCommand::Checkpoint));
    // A command of another tab switches to that tab.
    press(&mut app, ":markthe");
    app.update(key(KeyCode::Enter));
    assert_eq!(app.tab, Tab::Runs);
    assert_eq!(app.runs.marked.len(), 1);
}

#[test]
fn mouse_selects_tabs_keys_and_rows() {
    let mut app = looking_at(JobState::Running);
    let click = |app: &mut App, column, row| {
        app.update(Message::Mouse(MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column,
            row,
            modifiers: KeyModifiers::NONE,
        }))
    };
    let lines = screen(&app, (80, 24), CharacterSet::Unicode);
    let column = |line: &str, word: &str| line.find(word).unwrap() as u16 + 1;
    let effects = click(&mut app, column(&lines[23], "pause"), 23);
    assert_eq!(done(&effects), control(ControlCommand::Pause));
    click(&mut app, 40, 8);
    assert!(app.train.chart.cursor.is_some());
    click(&mut app, column(&lines[0], "Runs"), 0);
    assert_eq!(app.tab, Tab::Runs);
    click(&mut app, 5, 2);
    assert_eq!(app.runs.listing.selected().unwrap().name, "older");
    app.update(Message::Mouse(MouseEvent {
        kind: MouseEventKind::ScrollDown,
        column: 5,
        row: 5,
        modifiers: KeyModifiers::NONE,
    }));
    assert_eq!(app.runs.listing.selected().unwrap().name, RUN);
}

#[test]
fn running_evaluation_stopped_after_confirmation() {
    let mut app = looking_at(JobState::Complete);
    press(&mut app, "3");
    app.update(Message::Evaluations(vec![EvaluationListing {
        key: EvaluationKey {
            run: RUN.into(),
            name: "dev-best".into(),
        },
        head: None,
        job: Some((JobState::Running, Default::default())),
        job_path: "checkpoints/x/evaluations/dev-best".into(),
    }]));
    assert_eq!(
        done(&press(&mut app, "xy")),
        done(&[Effect::Control {
            job: "checkpoints/x/evaluations/dev-best".into(),
            command: ControlCommand::Stop
        }])
    );
}

#[test]
fn resumed_run_has_each_step_once() {
    let mut app = looking_at(JobState::Running);
    let mut again = records();
    if let Event::Start(start) = &mut again[0].event {
        start.job.step = 150;
    }
    let again = again.into_iter().filter(|record| match &record.event {
        Event::Step(step) => step.step > 150,
        Event::Evaluation(evaluation) => evaluation.step > 150,
        _ => true,
    });
    app.update(Message::Records {
        run: RUN.into(),
        records: again.collect(),
    });
    let view = app.runs.open().unwrap();
    assert_eq!(view.range(XAxis::Steps), Some((1.0, 200.0)));
    assert_eq!(view.summary.fraction_done(), Some(0.5));
}

proptest! {
    #[test]
    fn axis_position_maps_back_to_step(step in 1_u64..=200) {
        let app = looking_at(JobState::Running);
        let view = app.runs.open().unwrap();
        for unit in [XAxis::Steps, XAxis::Epochs, XAxis::Minutes] {
            prop_assert_eq!(view.step_at(unit, view.position(unit, step)), step);
        }
    }
}

fn any_key() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        4 => prop::char::range(' ', '~').prop_map(KeyCode::Char),
        1 => prop::sample::select(vec![
            KeyCode::Tab, KeyCode::BackTab, KeyCode::Enter, KeyCode::Esc, KeyCode::Up, KeyCode::Down,
            KeyCode::Left, KeyCode::Right, KeyCode::Home, KeyCode::End, KeyCode::Backspace, KeyCode::F(1),
            KeyCode::PageUp, KeyCode::PageDown,
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_keys_and_sizes_never_panic(
        keys in prop::collection::vec(any_key(), 0..60),
        size in (1_u16..220, 1_u16..70),
    ) {
        let mut app = looking_at(JobState::Running);
        app.update(Message::Resized(size.0, size.1));
        for code in keys {
            app.update(key(code));
            screen(&app, size, CharacterSet::Unicode);
        }
    }
}
