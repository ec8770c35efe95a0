//! The state of the Train tab.

use crate::tui::{ChartView, Pending};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default)]
pub struct TrainPage {
    pub chart: ChartView,
    pub sample: usize,
    /// Image files of the dataset of a run, by image key.
    pub files: Pending<String, HashMap<String, PathBuf>>,
}

impl TrainPage {
    /// The file of an image of a run's dataset, once it is found.
    pub fn file(&self, run: &str, image: &str) -> Option<&Path> {
        let Pending { request, answer } = &self.files;
        let file = answer.as_ref()?.get(image)?;
        (request.as_deref() == Some(run)).then_some(file.as_path())
    }
}
