//! How precisely a GPU multiplies matrices.

use super::DeviceChoice;

/// What a GPU rounds the factors of a product to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Products {
    /// Nothing: they stay in 32 bits.
    Full,
    /// TF32, with ten bits of mantissa; sums stay in 32 bits. Faster from compute capability 8.0 on.
    Tf32,
}

impl Products {
    /// The variable of the environment that cuBLAS reads on first use.
    pub const VARIABLE: &str = "NVIDIA_TF32_OVERRIDE";
    /// Its value that asks for TF32.
    pub const TF32: &str = "1";

    /// What the environment asks for.
    pub fn asked_for() -> Self {
        Self::of(std::env::var(Self::VARIABLE).ok().as_deref())
    }

    fn of(setting: Option<&str>) -> Self {
        match setting {
            Some(Self::TF32) => Self::Tf32,
            _ => Self::Full,
        }
    }

    /// What logs call a GPU that multiplies so: figures of the one and the other are not the same to rounding.
    pub fn on(self, ordinal: usize) -> String {
        let gpu = DeviceChoice::Cuda(ordinal);
        match self {
            Self::Full => gpu.to_string(),
            Self::Tf32 => format!("{gpu} in TF32"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_tell_what_the_environment_asks_for() {
        let logged = |setting| Products::of(setting).on(1);
        assert_eq!(logged(Some("1")), "cuda:1 in TF32");
        for full in [None, Some(""), Some("0"), Some("yes")] {
            assert_eq!(logged(full), "cuda:1");
        }
    }
}
