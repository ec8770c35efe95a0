//! The state of the Train tab.

use crate::tui::chart_view::ChartView;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default)]
pub struct TrainPage {
    pub chart: ChartView,
    /// Index of the first sample image shown.
    pub sample: usize,
    /// Image files of the data set of a run, by image key.
    pub files: Option<(String, HashMap<String, PathBuf>)>,
    /// The run whose files were requested.
    pub requested: Option<String>,
}

impl TrainPage {
    /// The file of an image of a run's data set, once it is found.
    pub fn file(&self, run: &str, image: &str) -> Option<&Path> {
        let (of, files) = self.files.as_ref()?;
        files.get(image).filter(|_| of == run).map(PathBuf::as_path)
    }
}
