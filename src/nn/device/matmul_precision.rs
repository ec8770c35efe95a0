//! How precisely a GPU multiplies matrices.

use super::DeviceChoice;

/// The precision of the factors of a product on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatmulPrecision {
    /// 32 bits.
    Full,
    /// TF32, with ten bits of mantissa; sums stay in 32 bits. Faster from compute capability 8.0 on.
    Tf32,
}

impl MatmulPrecision {
    /// The variable of the environment that cuBLAS reads on first use.
    pub const VARIABLE: &str = "NVIDIA_TF32_OVERRIDE";
    /// Its value for TF32.
    pub const TF32: &str = "1";

    /// The setting of the environment.
    pub fn from_environment() -> Self {
        Self::of(std::env::var(Self::VARIABLE).ok().as_deref())
    }

    fn of(setting: Option<&str>) -> Self {
        match setting {
            Some(Self::TF32) => Self::Tf32,
            _ => Self::Full,
        }
    }

    /// The name of the GPU in logs: results in TF32 differ by rounding.
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
    fn name_in_logs_follows_the_environment() {
        let logged = |setting| MatmulPrecision::of(setting).on(1);
        assert_eq!(logged(Some("1")), "cuda:1 in TF32");
        for full in [None, Some(""), Some("0"), Some("yes")] {
            assert_eq!(logged(full), "cuda:1");
        }
    }
}
