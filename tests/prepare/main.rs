//! `cutline prepare` and `cutline features`: valid and broken sources, interruptions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod captioning;
mod elsewhere;
mod features;
mod interruption;
mod problems;
mod replacing;
mod webdataset;
mod weights;

use std::fs;
use std::path::PathBuf;

use support::{Workspace, err, text};

impl Workspace {
    /// A source in Kaggle's format with `images` images and a caption each, to which tests add.
    fn source(&self, images: usize) -> Kaggle {
        let directory = self.file("source");
        fs::create_dir_all(directory.join("Images")).unwrap();
        let mut source = Kaggle {
            directory,
            captions: "image,caption\n".to_owned(),
        };
        for image in 0..images {
            let name = format!("image-{image}.png");
            let color = image::Rgb([image as u8 * 10, 60, 90]);
            image::RgbImage::from_pixel(40, 30, color)
                .save(source.image(&name))
                .unwrap();
            source.caption(&name, "a dog runs over the grass");
        }
        source
    }
}

/// A source in Kaggle's format.
struct Kaggle {
    directory: PathBuf,
    captions: String,
}

impl Kaggle {
    fn image(&self, name: &str) -> PathBuf {
        self.directory.join("Images").join(name)
    }

    fn caption(&mut self, name: &str, caption: &str) {
        self.captions += &format!("{name},{caption}\n");
    }

    /// Writes the captions. Returns the path of the source.
    fn write(&self) -> String {
        fs::write(self.directory.join("captions.txt"), &self.captions).unwrap();
        self.directory.to_str().unwrap().to_owned()
    }
}
