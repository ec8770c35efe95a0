//! Popups over a tab: questions, forms, lists to choose from, text to read.

pub mod chooser;
pub mod file_picker;
mod keys;
pub mod palette;
pub mod view;

use super::forms::OpenForm;
use super::message::Effect;
use chooser::Chooser;
use file_picker::FilePicker;
use palette::Palette;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub enum Popup {
    Help {
        scroll: usize,
    },
    Palette(Palette),
    /// A question before an effect that stops or deletes something.
    Confirm {
        question: String,
        effect: Box<Effect>,
    },
    Form(Box<OpenForm>),
    /// Picks a file or directory for the form below.
    Picker(FilePicker),
    Choose(Chooser),
    Text {
        title: String,
        lines: Vec<String>,
        scroll: usize,
    },
    Image(PathBuf),
}
