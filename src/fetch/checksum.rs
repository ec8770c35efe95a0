//! Checksums as publishers state them.

use md5::Md5;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// The least digits of a SHA-256 that count: those in the names of torchvision's and timm's files.
const MIN_DIGITS: usize = 8;

/// A checksum that a publisher states: `sha256:HEX`, of which the first eight or more digits suffice, or `md5:HEX`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Checksum {
    algorithm: Algorithm,
    /// Lower case.
    digits: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Md5,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Md5 => "md5",
        }
    }

    /// The hexadecimal digits of a whole checksum.
    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Md5 => 32,
        }
    }
}

/// A text that is not a checksum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a checksum; write sha256: and 8 to 64 hexadecimal digits, or md5: and 32")]
pub struct ChecksumError(String);

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let error = || ChecksumError(text.to_owned());
        let (name, digits) = text.split_once(':').ok_or_else(error)?;
        let algorithm = [Algorithm::Sha256, Algorithm::Md5]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(error)?;
        let fewest = match algorithm {
            Algorithm::Sha256 => MIN_DIGITS,
            Algorithm::Md5 => algorithm.digits(),
        };
        let is_valid = (fewest..=algorithm.digits()).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_valid
            .then(|| Self {
                algorithm,
                digits: digits.to_ascii_lowercase(),
            })
            .ok_or_else(error)
    }
}

impl TryFrom<String> for Checksum {
    type Error = ChecksumError;

    fn try_from(text: String) -> Result<Self, ChecksumError> {
        text.parse()
    }
}

/// As in the table of assets.
impl fmt::Display for Checksum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.algorithm.name(), self.digits)
    }
}

impl Checksum {
    /// The algorithm, and how many digits are known if not all are.
    pub fn kind(&self) -> String {
        let (name, digits) = (self.algorithm.name(), self.digits.len());
        match digits < self.algorithm.digits() {
            true => format!("{name}, {digits} digits"),
            false => name.to_owned(),
        }
    }

    /// Whether these are the digits of a file.
    pub(super) fn matches(&self, found: &str) -> bool {
        found.starts_with(&self.digits)
    }
}

/// Computes a checksum while bytes pass.
#[derive(Clone)]
pub(super) enum Hasher {
    Sha256(Sha256),
    Md5(Md5),
}

impl Hasher {
    /// For the algorithm of `checksum`; SHA-256 without one.
    pub(super) fn for_checksum(checksum: Option<&Checksum>) -> Self {
        match checksum.map(|checksum| checksum.algorithm) {
            Some(Algorithm::Md5) => Self::Md5(Md5::new()),
            Some(Algorithm::Sha256) | None => Self::Sha256(Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Md5(hasher) => hasher.update(bytes),
        }
    }

    /// All digits, in lower case.
    pub(super) fn digits(self) -> String {
        match self {
            Self::Sha256(hasher) => hexadecimal(&hasher.finalize()),
            Self::Md5(hasher) => hexadecimal(&hasher.finalize()),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(checksum: &str, bytes: &[u8]) -> (bool, String) {
        let checksum: Checksum = checksum.parse().unwrap();
        let mut hasher = Hasher::for_checksum(Some(&checksum));
        bytes.chunks(2).for_each(|part| hasher.update(part));
        let digits = hasher.digits();
        (checksum.matches(&digits), digits)
    }

    /// The test values of FIPS 180-2 and RFC 1321.
    #[test]
    fn checksum_of_known_text_matches_published_value() {
        let sha256 = "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        assert!(digits(sha256, b"abc").0);
        assert!(digits("sha256:ba7816bf", b"abc").0);
        assert!(!digits("sha256:ba7816be", b"abc").0);
        assert!(digits("md5:900150983cd24fb0d6963f7d28e17f72", b"abc").0);
        assert_eq!(
            digits("md5:900150983cd24fb0d6963f7d28e17f72", b"").1,
            "d41d8cd98f00b204e9800998ecf8427e"
        );
    }

    #[test]
    fn text_that_is_no_checksum_is_rejected() {
        for text in [
            "",
            "sha256",
            "sha256:abc",
            "sha256:xyzxyzxyz",
            "md5:900150983cd24fb0",
            "sha1:ba7816bf",
        ] {
            assert!(text.parse::<Checksum>().is_err(), "{text}");
        }
        let kinds = ["sha256:ba7816bf", "md5:900150983cd24fb0d6963f7d28e17f72"]
            .map(|text| text.parse::<Checksum>().unwrap().kind());
        assert_eq!(kinds, ["sha256, 8 digits", "md5"]);
    }
}
