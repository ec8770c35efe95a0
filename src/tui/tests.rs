//! The workbench without a terminal: keys and events go in, effects and screens come out.

mod attention;

use super::view::draw;
use super::{
    App, CharacterSet, Colors, DatasetListing, Effect, EvaluationKey, EvaluationListing, Lifecycle, Message,
    Popup, RunListing, Tab, Theme, XAxis, charts,
};
use crate::evaluation::Report;
use crate::jobs::{
    Acknowledgement, ControlCommand, DevEvaluation, EndReason, Event, JobInfo, JobKind, JobState, LogSummary,
    Prediction, Predictions, Record, SessionEnd, SessionStart, StepEvent, Trigger,
};
use crate::metrics::{Metric, Scores};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use std::collections::BTreeMap;
use std::sync::Arc;

const RUN: &str = "scenes-merge-001";
const SMALL: (u16, u16) = (80, 24);

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
    let mut events = vec![Event::Start(Box::new(SessionStart::new(JobInfo {
        kind: JobKind::Train,
        device: "cpu".into(),
        dataset: "scenes".into(),
        data_hash: None,
        settings: serde_json::json!({"training": {"epochs": 4}}),
        step: 0,
    })))];
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
        last_active: None,
    }
}

/// Appends an event to the log of the open run.
fn append(app: &mut App, event: Event) {
    let (seq, time) = (999, 999.0);
    app.update(Message::Records {
        run: RUN.into(),
        records: vec![Record { seq, time, event }].into(),
        percent_read: 100,
    });
}

fn append_records(app: &mut App, run: &str) {
    app.update(Message::Records {
        run: run.into(),
        records: records().into(),
        percent_read: 100,
    });
}

/// The workbench with a run in this state, beside an older one.
fn workbench(state: JobState) -> App {
    let mut app = App::new(Default::default(), SMALL);
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
    let others = effects
        .iter()
        .filter(|effect| !matches!(effect, Effect::FindImages(_)));
    others.map(|effect| format!("{effect:?}")).collect()
}

fn control(command: ControlCommand) -> Vec<String> {
    let job = RUN.into();
    done(&[Effect::Control { job, command }])
}

fn frame(app: &App, (columns, rows): (u16, u16), theme: &Theme) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(frame, app, theme)).unwrap();
    terminal.backend().buffer().clone()
}

fn screen(app: &App, size: (u16, u16), characters: CharacterSet) -> Vec<String> {
    let buffer = frame(app, size, &Theme::new(Colors::Sixteen, characters));
    let lines = buffer.content().chunks(usize::from(size.0));
    lines
        .map(|cells| cells.iter().map(Cell::symbol).collect())
        .collect()
}

/// Checks that a line of the screen has all of these texts.
#[track_caller]
fn assert_line(app: &App, size: (u16, u16), texts: &[&str]) {
    let lines = screen(app, size, CharacterSet::Unicode);
    let has_all = |line: &String| texts.iter().all(|text| line.contains(text));
    assert!(lines.iter().any(has_all), "{texts:?} in {lines:#?}");
}

/// Checks that keys have no effect but a notice with this text.
#[track_caller]
fn assert_rejected(app: &mut App, keys: &str, text: &str) {
    assert_eq!(done(&press(app, keys)), [""; 0], "{keys}");
    assert!(
        matches!(&app.notice, Some(Err(why)) if why.contains(text)),
        "{keys}: {:?}",
        app.notice
    );
    assert!(app.popups.is_empty());
}

/// The command that the only effect starts.
#[track_caller]
fn started(effects: &[Effect]) -> String {
    let [Effect::Start(arguments)] = effects else {
        panic!("{effects:?}");
    };
    arguments.join(" ")
}

fn listed_evaluation(head: Option<Arc<Report>>, job: Option<(JobState, LogSummary)>) -> EvaluationListing {
    EvaluationListing {
        key: EvaluationKey {
            run: RUN.into(),
            name: "dev-best".into(),
        },
        head,
        job,
        job_path: format!("checkpoints/{RUN}/evaluations/dev-best"),
    }
}

#[test]
fn keys_send_commands_to_open_run() {
    let mut app = workbench(JobState::Running);
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
    let mut app = workbench(JobState::Running);
    assert_eq!(done(&press(&mut app, "x")), [""; 0]);
    assert!(matches!(app.popups[..], [Popup::Confirm { .. }]));
    assert_eq!(done(&press(&mut app, "n")), [""; 0]);
    assert!(app.popups.is_empty());
    assert_eq!(done(&press(&mut app, "xy")), control(ControlCommand::Stop));

    let mut app = workbench(JobState::Complete);
    assert_eq!(
        done(&press(&mut app, "5dy")),
        done(&[Effect::DeleteRun(RUN.into())])
    );
}

#[test]
fn impossible_action_shows_reason() {
    let mut app = workbench(JobState::Stopped);
    for useless in ["p", "w", "x", "r"] {
        assert_rejected(&mut app, useless, "stopped");
    }
    assert_eq!(done(&press(&mut app, "u")), done(&[Effect::Resume(RUN.into())]));
    let mut app = workbench(JobState::Running);
    assert_rejected(&mut app, "u", "already running");
    for useless in ["5d", "5R"] {
        assert_rejected(&mut app, useless, "stop it first");
    }
}

#[test]
fn learning_rate_form_sends_command() {
    let mut app = workbench(JobState::Running);
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
    assert_eq!(app.lifecycle, Lifecycle::Running, "the q was typed into the form");
    press(&mut app, "q");
    assert_eq!(app.lifecycle, Lifecycle::Exiting);
}

#[test]
fn train_form_starts_run() {
    let mut app = workbench(JobState::Complete);
    app.update(Message::Datasets(vec![DatasetListing {
        name: "scenes".into(),
        is_whole: true,
        ..DatasetListing::default()
    }]));
    press(&mut app, "n");
    // Down to the name.
    for _ in 0..2 {
        app.update(key(KeyCode::Down));
    }
    press(&mut app, "mine");
    let command = started(&app.update(key(KeyCode::Enter)));
    assert!(
        command.starts_with("train scenes --run mine --set ")
            && command.contains("--set training.epochs=10 "),
        "{command}"
    );
    assert!(command.ends_with("--detach"), "{command}");
}

#[test]
fn fetch_prompt_shows_license_before_it_starts_fetch() {
    let mut app = workbench(JobState::Complete);
    press(&mut app, "1f");
    press(&mut app, "resnet10");
    assert_eq!(done(&app.update(key(KeyCode::Enter))), [""; 0], "no such asset");
    assert_line(&app, (110, 30), &["such as resnet101"]);
    press(&mut app, "1");
    assert_line(&app, (110, 30), &["license: torchvision is BSD-3-Clause"]);
    let command = started(&app.update(key(KeyCode::Enter)));
    assert_eq!(command, "fetch resnet101 --yes --detach");
}

#[test]
fn changed_run_list_keeps_selected_and_open_run() {
    let mut app = workbench(JobState::Running);
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
    let app = workbench(JobState::Running);
    assert_line(&app, SMALL, &["loss 3.600", "dev loss 3.250"]);
    for characters in [CharacterSet::Unicode, CharacterSet::Ascii] {
        let lines = screen(&app, SMALL, characters);
        assert!(
            lines[1].starts_with("scenes-merge-001  running   epoch 2 of 4, batch 100 of 100"),
            "{lines:#?}"
        );
        assert!(
            lines[2].contains("50 %  3 min left  lr 1.0e-3  9,876 tokens/s"),
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
fn changed_settings_of_a_live_run_are_shown() {
    let mut app = workbench(JobState::Running);
    append(
        &mut app,
        Event::Control(Acknowledgement {
            id: String::new(),
            command: "set training.epochs=20".into(),
            step: 200,
            error: None,
        }),
    );
    assert_line(&app, SMALL, &["epoch 2 of 20"]);
    assert_line(&app, SMALL, &["10 %", "30 min left"]);
}

#[test]
fn early_stopped_run_is_named_so_and_done() {
    let mut app = workbench(JobState::Running);
    append(
        &mut app,
        Event::End(SessionEnd {
            reason: EndReason::EarlyStopped,
            error: None,
            continues: false,
        }),
    );
    app.update(Message::Runs(vec![listing(RUN, JobState::Complete)]));
    assert_line(&app, SMALL, &[RUN, "stopped early", "epoch 2 of 4"]);
    assert_line(&app, SMALL, &["100 %"]);
    press(&mut app, "5");
    assert_line(&app, SMALL, &[RUN, "stopped early", "2.0"]);
    assert_line(&app, (40, 10), &[RUN, "stopped early", "0.5000"]);
}

#[test]
fn curves_differ_without_colors() {
    let app = workbench(JobState::Running);
    for (characters, loss, dev_loss) in [
        (CharacterSet::Unicode, "⠶ loss 3.600", "○ dev loss 3.250"),
        (CharacterSet::Ascii, "* loss 3.600", "o dev loss 3.250"),
    ] {
        let buffer = frame(&app, SMALL, &Theme::new(Colors::None, characters));
        let text: String = buffer.content().iter().map(Cell::symbol).collect();
        assert!(text.contains(loss) && text.contains(dev_loss), "{text}");
        let marker = dev_loss.chars().next().unwrap();
        assert!(text.matches(marker).count() > 5, "{text}");
    }
}

#[test]
fn long_notice_wraps_so_that_its_end_can_be_read() {
    let mut app = workbench(JobState::Complete);
    press(&mut app, "u");
    assert_line(&app, SMALL, &["scenes-merge-001 is complete"]);
    assert_line(&app, SMALL, &["--set training.epochs=N"]);
    let command = "a ".repeat(500);
    app.update(Message::Done(Err(command)));
    assert_line(&app, SMALL, &["? help"]);
}

#[test]
fn failed_rename_reopens_its_form() {
    let mut app = workbench(JobState::Complete);
    press(&mut app, "5R");
    press(&mut app, "2");
    app.update(key(KeyCode::Enter));
    assert!(app.popups.is_empty());
    app.update(Message::Submitted(Err("older exists".into())));
    let Some(Popup::Form(open)) = app.popups.last() else {
        panic!("{:?}", app.notice);
    };
    assert_eq!(open.form.outcome.as_ref().unwrap_err().message, "older exists");
    assert_eq!(open.form.value("name"), format!("{RUN}2"));
}

#[test]
fn chart_cursor_reads_values() {
    let mut app = workbench(JobState::Running);
    press(&mut app, "v");
    for _ in 0..25 {
        press(&mut app, "h");
    }
    let last = 2.0 + 300.0 / 151.0 + 0.1 * 3.0;
    assert_line(&app, SMALL, &[&format!("loss {last:.3}")]);
    for label in ["epoch 2.0", "3 min"] {
        press(&mut app, "a");
        assert_line(&app, SMALL, &[label]);
    }
}

#[test]
fn step_metric_has_chart_of_its_own() {
    let mut app = workbench(JobState::Running);
    let mut record = records().pop().unwrap();
    record.event = Event::Step(StepEvent {
        step: 201,
        metrics: BTreeMap::from([("kl_divergence".to_owned(), 0.25)]),
        ..step_event(200)
    });
    app.update(Message::Records {
        run: RUN.into(),
        records: vec![record].into(),
        percent_read: 100,
    });
    let specs = charts(&app.charted());
    let titles: Vec<&str> = specs.iter().map(|chart| chart.title.as_str()).collect();
    assert_eq!(titles[..2], ["loss", "dev scores"]);
    for metric in ["kl divergence", "grad norm", "dev ROUGE-L"] {
        assert!(titles.contains(&metric), "{metric}: {titles:?}");
    }
    let index = titles.iter().position(|title| *title == "kl divergence").unwrap();
    press(&mut app, &"]".repeat(index));
    assert_line(&app, SMALL, &["kl divergence 0.250"]);
}

#[test]
fn marked_runs_overlay_charts() {
    let mut app = workbench(JobState::Running);
    press(&mut app, "o");
    press(&mut app, " ");
    app.update(key(KeyCode::Enter));
    assert_line(&app, (100, 30), &["scenes-merge-001 loss", "older loss"]);
    press(&mut app, "5km");
    assert_eq!(app.charted().len(), 1, "the mark is removed");
}

#[test]
fn runs_tab_lists_runs() {
    let mut app = workbench(JobState::Running);
    press(&mut app, "5");
    assert_eq!(app.tab, Tab::Runs);
    assert_line(&app, SMALL, &["older", "complete"]);
    assert_line(&app, SMALL, &[RUN, "running", "0.2000"]);
}

#[test]
fn empty_root_shows_first_steps() {
    let mut app = App::new(Default::default(), SMALL);
    app.update(Message::Datasets(Vec::new()));
    app.update(Message::Runs(Vec::new()));
    assert_eq!(app.tab, Tab::Data);
    assert_line(&app, SMALL, &["Welcome to Cutline"]);
    press(&mut app, "n");
    assert_eq!(
        started(&app.update(key(KeyCode::Enter))),
        "prepare scenes --name scenes --min-count 5 --detach"
    );
}

#[test]
fn palette_finds_command_by_letters() {
    let mut app = workbench(JobState::Running);
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
    let mut app = workbench(JobState::Running);
    let mouse = |app: &mut App, kind, column, row| {
        let modifiers = KeyModifiers::NONE;
        app.update(Message::Mouse(MouseEvent {
            kind,
            column,
            row,
            modifiers,
        }))
    };
    let click = |app: &mut App, column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        mouse(app, kind, column, row)
    };
    let lines = screen(&app, SMALL, CharacterSet::Unicode);
    let column = |line: &str, word: &str| line.find(word).unwrap() as u16 + 1;
    let effects = click(&mut app, column(&lines[23], "pause"), 23);
    assert_eq!(done(&effects), control(ControlCommand::Pause));
    click(&mut app, 40, 8);
    assert!(app.train.chart.cursor.is_some());
    click(&mut app, column(&lines[0], "Runs"), 0);
    assert_eq!(app.tab, Tab::Runs);
    click(&mut app, 5, 2);
    assert_eq!(app.runs.listing.selected().unwrap().name, "older");
    mouse(&mut app, MouseEventKind::ScrollDown, 5, 5);
    assert_eq!(app.runs.listing.selected().unwrap().name, RUN);
}

#[test]
fn running_evaluation_stopped_after_confirmation() {
    let mut app = workbench(JobState::Complete);
    press(&mut app, "3");
    let job = Some((JobState::Running, Default::default()));
    let evaluation = listed_evaluation(None, job);
    let job = evaluation.job_path.clone();
    app.update(Message::Evaluations(vec![evaluation]));
    assert_eq!(done(&press(&mut app, "xy")), done(&[Effect::stop(job)]));
}

#[test]
fn resumed_run_has_each_step_once() {
    let mut app = workbench(JobState::Running);
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
        records: again.collect::<Vec<_>>().into(),
        percent_read: 100,
    });
    let view = app.runs.open().unwrap();
    assert_eq!(view.range(XAxis::Steps), Some((1.0, 200.0)));
    assert_eq!(view.summary.fraction_done(), Some(0.5));
}

proptest! {
    #[test]
    fn axis_position_maps_back_to_step(step in 1_u64..=200) {
        let app = workbench(JobState::Running);
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
        let mut app = workbench(JobState::Running);
        app.update(Message::Resized(size.0, size.1));
        for code in keys {
            app.update(key(code));
            screen(&app, size, CharacterSet::Unicode);
        }
    }
}
