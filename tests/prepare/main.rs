//! `cutline prepare` and `cutline features` as a user meets them: sound sources, broken ones, interruptions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod captioning;
mod features;
mod interruption;
mod problems;
mod replacing;
mod weights;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// A working directory of its own, and a place beside it for sources.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.root()).unwrap();
        place
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where the data set of that name is, or would be.
    fn data_set(&self, name: &str) -> PathBuf {
        self.root().join("datasets").join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::cargo_bin("cutline")
            .unwrap()
            .env_remove("CUTLINE_ROOT")
            .env_remove("NO_COLOR")
            .arg("--root")
            .arg(self.root())
            .args(arguments)
            .output()
            .unwrap()
    }

    /// What a run that succeeds prints.
    #[track_caller]
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a run that fails says on standard error.
    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        err(&output)
    }

    /// A source in Kaggle's form: `images` images, each with a caption, and what the test adds to them.
    fn source(&self, images: usize) -> Kaggle {
        let directory = self.path("source");
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

/// A source in Kaggle's form.
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

    /// Writes the captions; gives the source's path.
    fn write(&self) -> String {
        fs::write(self.directory.join("captions.txt"), &self.captions).unwrap();
        self.directory.to_str().unwrap().to_owned()
    }
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
