//! The workbench without a terminal: keys and events go in, effects and screens come out.

use super::app::{App, Effect, Life, Message, Popup, Tab};
use super::run_view::RunRow;
use super::theme::{Characters, Colours, Theme};
use super::view::draw;
use crate::metrics::Scores;
use crate::runs::job::{Command, State, Status};
use crate::runs::{Event, JobKind, Record, Start};
use crate::training::{Evaluation, Occasion, Sample, Samples, Step};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::BTreeMap;

const RUN: &str = "scenes-merge-001";

fn key(code: KeyCode) -> Message {
    Message::Key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn letter(letter: char) -> Message {
    key(KeyCode::Char(letter))
}

/// Two epochs of a training with an evaluation after each.
fn records() -> Vec<Record> {
    let mut events = vec![Event::Start(Box::new(Start {
        format: 1,
        job: JobKind::Train,
        program: "0.1.0".into(),
        host: "elsewhere.invalid".into(),
        pid: 7,
        device: "cpu".into(),
        data_set: "scenes".into(),
        data_hash: None,
        settings: serde_json::json!({"training": {"epochs": 4}}),
        step: 0,
    }))];
    for step in 1..=200_u64 {
        events.push(Event::Step(Step {
            epoch: (step as usize - 1) / 100,
            batch: (step as usize - 1) % 100 + 1,
            batches: 100,
            step,
            loss: 2.0 + 300.0 / (step + 50) as f32 + 0.1 * (step % 7) as f32,
            learning_rate: 1e-3,
            gradient_norm: 0.5,
            tokens: 700,
            tokens_per_second: 9_876.0,
            memory: Some(123_000_000),
        }));
        if step.is_multiple_of(100) {
            events.push(Event::Evaluation(Box::new(Evaluation {
                epoch: (step as usize - 1) / 100,
                step,
                training_loss: 3.5,
                loss: 3.25,
                scores: Scores {
                    bleu: [0.6, 0.4, 0.3, 0.2],
                    rouge_l: 0.4,
                    cider_d: 0.5,
                },
                best: true,
                occasion: Occasion::EpochEnd,
            })));
            events.push(Event::Samples(Samples {
                step,
                captions: vec![Sample {
                    photo: "scene_00009\u{1b}[2J".into(),
                    caption: "three green trees on the sand".into(),
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

fn row(name: &str, state: State) -> RunRow {
    let summary = records().iter().collect();
    RunRow {
        name: name.into(),
        status: Status {
            state,
            summary,
            silence: Some(1.0),
            is_elsewhere: true,
        },
        losses: vec![8.0, 4.0, 3.0],
    }
}

/// A workbench that looks at a run in this state.
fn looking_at(state: State) -> App {
    let mut app = App::default();
    let effects = app.update(Message::Runs(vec![
        row("older", State::Complete),
        row(RUN, state),
    ]));
    assert_eq!(effects, [Effect::Follow(RUN.into())], "the one last worked on");
    app.update(Message::Records {
        run: RUN.into(),
        records: records(),
    });
    app.update(Message::Status {
        run: RUN.into(),
        state,
    });
    app
}

fn press(app: &mut App, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|key| app.update(letter(key))).collect()
}

fn control(command: Command) -> Vec<Effect> {
    vec![Effect::Control {
        run: RUN.into(),
        command,
    }]
}

/// The screen as lines of text.
fn screen(app: &App, (columns, rows): (u16, u16), characters: Characters) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    let theme = Theme::new(Colours::Sixteen, characters);
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
fn keys_steer_the_run_that_is_looked_at() {
    let mut app = looking_at(State::Running);
    assert_eq!(press(&mut app, "p"), control(Command::Pause));
    assert_eq!(press(&mut app, "w"), control(Command::Checkpoint));
    assert_eq!(press(&mut app, "e"), control(Command::Evaluate));
    assert_eq!(press(&mut app, "s"), control(Command::Sample));
    app.update(Message::Status {
        run: RUN.into(),
        state: State::Paused,
    });
    assert_eq!(press(&mut app, "p"), control(Command::Resume));
}

#[test]
fn a_key_is_not_lost_while_a_log_is_still_read() {
    let mut app = App::default();
    app.update(Message::Runs(vec![row(RUN, State::Running)]));
    assert_eq!(press(&mut app, "p"), control(Command::Pause));
}

#[test]
fn what_ends_something_is_asked_about_first() {
    let mut app = looking_at(State::Running);
    assert_eq!(press(&mut app, "x"), []);
    assert!(matches!(app.popup, Some(Popup::Confirm { .. })));
    assert_eq!(press(&mut app, "n"), []);
    assert_eq!(app.popup, None);
    assert_eq!(press(&mut app, "xy"), control(Command::Stop));

    let mut app = looking_at(State::Complete);
    app.update(key(KeyCode::Tab));
    assert_eq!(press(&mut app, "dy"), [Effect::Remove(RUN.into())]);
}

#[test]
fn what_makes_no_sense_now_is_said_and_not_done() {
    let mut app = looking_at(State::Stopped);
    for useless in ["p", "w", "x", "r"] {
        assert_eq!(press(&mut app, useless), [], "{useless}");
        assert!(
            matches!(&app.notice, Some(Err(why)) if why.contains("stopped")),
            "{:?}",
            app.notice
        );
        assert_eq!(app.popup, None);
    }
    assert_eq!(press(&mut app, "u"), [Effect::TakeUp(RUN.into())]);
    let mut app = looking_at(State::Running);
    assert_eq!(press(&mut app, "u"), []);
    app.update(key(KeyCode::Tab));
    assert_eq!(press(&mut app, "d"), []);
    assert!(matches!(&app.notice, Some(Err(why)) if why.contains("stop it first")));
}

#[test]
fn a_learning_rate_is_typed() {
    let mut app = looking_at(State::Running);
    assert_eq!(press(&mut app, "r5qe-"), []);
    app.update(key(KeyCode::Backspace));
    assert_eq!(press(&mut app, "-4"), []);
    let settings = BTreeMap::from([("lr".to_owned(), "5e-4".to_owned())]);
    assert_eq!(
        app.update(key(KeyCode::Enter)),
        control(Command::Set { settings })
    );
    assert_eq!(app.life, Life::GoesOn, "the q was typed at the box");
    press(&mut app, "q");
    assert_eq!(app.life, Life::Ends);
}

#[test]
fn a_list_that_changes_keeps_what_is_selected_and_open() {
    let mut app = looking_at(State::Running);
    app.update(key(KeyCode::Tab));
    app.update(key(KeyCode::Up));
    assert_eq!(app.selected_run().unwrap().name, "older");
    let more = ["a", "older", RUN].map(|name| row(name, State::Running));
    assert_eq!(app.update(Message::Runs(more.into())), []);
    assert_eq!(app.selected_run().unwrap().name, "older");
    assert_eq!(app.open.as_ref().unwrap().name, RUN);
    // The run that was looked at is removed: another one is looked at.
    let effects = app.update(Message::Runs(vec![row("older", State::Complete)]));
    assert_eq!(effects, [Effect::Follow("older".into())]);
    assert_eq!(app.update(Message::Runs(Vec::new())), []);
    assert!(app.open.is_none());
}

#[test]
fn the_page_of_a_training_tells_what_it_is_at() {
    let app = looking_at(State::Running);
    for characters in [Characters::All, Characters::Ascii] {
        let lines = screen(&app, (80, 24), characters);
        assert!(
            lines[1].starts_with("scenes-merge-001  running   epoch 2 of 4, batch 100 of 100"),
            "{lines:#?}"
        );
        assert!(
            lines[2].contains("50 %  3 min left  rate 1.0e-3  9,876 tokens/s  123 MB"),
            "{lines:#?}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("training 3.600") && line.contains("dev 3.250")),
            "{lines:#?}"
        );
        let caption = lines
            .iter()
            .find(|line| line.contains("three green trees on the sand"))
            .unwrap();
        assert!(!caption.contains('\u{1b}'));
        assert!(lines[23].contains("? help  q quit"), "{lines:#?}");
        let drawn = lines[3..20].concat();
        assert_eq!(drawn.is_ascii(), characters == Characters::Ascii);
    }
}

#[test]
fn the_page_of_all_runs_has_a_line_for_each() {
    let mut app = looking_at(State::Running);
    app.update(key(KeyCode::Tab));
    assert_eq!(app.tab, Tab::Runs);
    let lines = screen(&app, (80, 24), Characters::All);
    assert!(lines[2].starts_with("older"), "{lines:#?}");
    assert!(lines[2].contains("complete"), "{lines:#?}");
    assert!(lines[3].starts_with(RUN), "{lines:#?}");
    assert!(
        lines[3].contains("running") && lines[3].contains("0.2000"),
        "{lines:#?}"
    );
}

#[test]
fn without_runs_the_way_is_shown() {
    let mut app = App::default();
    app.update(Message::Runs(Vec::new()));
    let lines = screen(&app, (80, 24), Characters::All);
    assert!(lines.concat().contains("cutline demo"), "{lines:#?}");
}

#[test]
fn a_resumed_run_has_each_step_once() {
    let mut app = looking_at(State::Running);
    let mut again = records();
    if let Event::Start(start) = &mut again[0].event {
        start.step = 150;
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
    let view = app.open.as_ref().unwrap();
    assert_eq!(view.range(), Some((1, 200)));
    assert_eq!(view.summary.done(), Some(0.5));
}

fn any_key() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        4 => any::<prop::sample::Index>().prop_map(|at| {
            let keys: Vec<char> = "12?pwesrxu][cL+=-hl0kjgGdyn5q".chars().collect();
            KeyCode::Char(keys[at.index(keys.len())])
        }),
        1 => prop::sample::select(vec![
            KeyCode::Tab, KeyCode::BackTab, KeyCode::Enter, KeyCode::Esc, KeyCode::Up, KeyCode::Down,
            KeyCode::Left, KeyCode::Right, KeyCode::Home, KeyCode::End, KeyCode::Backspace, KeyCode::F(1),
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_keys_and_no_size_make_it_fail(
        keys in prop::collection::vec(any_key(), 0..40),
        size in (1_u16..220, 1_u16..70),
    ) {
        let mut app = looking_at(State::Running);
        for code in keys {
            app.update(key(code));
            if let (Some((first, last)), Some((begin, end))) =
                (app.chart_range(), app.open.as_ref().and_then(|view| view.range()))
            {
                prop_assert!(begin <= first && first < last && last <= end, "{first} to {last}");
            }
        }
        screen(&app, size, Characters::All);
    }
}
