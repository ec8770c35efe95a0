//! The recorded demo can be read on another machine.

use cutline::data::Dataset;
use serde_json::Value;

use super::support::Workspace;
use super::support::fixture::RUNS;

#[test]
fn demo_runs_keep_their_states() {
    let workspace = Workspace::with_demo();
    let rows: Vec<Value> = serde_json::from_str(&workspace.succeeds(&["runs", "--json"])).unwrap();
    let states: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row["run"].as_str().unwrap(), row["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, RUNS);
}

#[test]
fn train_tab_shows_images_of_its_captions() {
    let workspace = Workspace::with_demo();
    let dataset = Dataset::load(workspace.path().join("datasets/scenes")).unwrap();
    assert_eq!(dataset.images.len(), 240);
    assert!(dataset.images.iter().all(|image| image.path.is_file()));
}
