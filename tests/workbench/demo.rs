//! What a small demo left behind is what the program makes, and can be read elsewhere.

use cutline::data::Dataset;
use serde_json::Value;

use super::support::Place;
use super::support::fixture::RUNS;

#[test]
fn its_runs_are_in_the_states_that_they_were_left_in() {
    let place = Place::with_demo();
    let rows: Vec<Value> = serde_json::from_str(&place.succeeds(&["runs", "--json"])).unwrap();
    let states: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row["run"].as_str().unwrap(), row["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, RUNS);
}

#[test]
fn its_images_are_those_that_the_captions_are_of() {
    let place = Place::with_demo();
    let data_set = Dataset::load(&place.path().join("datasets/scenes")).unwrap();
    assert_eq!(data_set.images.len(), 240);
    assert!(data_set.images.iter().all(|image| image.path.is_file()));
}
