//! How precisely a GPU multiplies matrices.

use super::DeviceChoice;

/// The precision of the factors of a product on a GPU. Sums have 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum MatmulPrecision {
    /// 32 bits.
    Full,
    /// TF32, with ten bits of mantissa. Faster from compute capability 8.0 on.
    Tf32,
    /// BF16, with seven bits of mantissa. Factors stay in memory as they are. From compute capability 8.0 on.
    Bf16,
}

impl MatmulPrecision {
    /// The environment variable with its name, which child processes inherit.
    pub const VARIABLE: &str = "CUTLINE_MATMUL";

    /// The setting of the environment.
    pub fn from_environment() -> Self {
        Self::of(std::env::var(Self::VARIABLE).ok().as_deref())
    }

    fn of(setting: Option<&str>) -> Self {
        setting.and_then(|name| name.parse().ok()).unwrap_or(Self::Full)
    }

    /// Its value in the environment.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The name of the GPU in logs: results in lower precision differ by rounding.
    pub fn on(self, ordinal: usize) -> String {
        let gpu = DeviceChoice::Cuda(ordinal);
        match self {
            Self::Full => gpu.to_string(),
            Self::Tf32 | Self::Bf16 => format!("{gpu} in {}", self.name().to_uppercase()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_in_logs_follows_the_environment() {
        let logged = |setting| MatmulPrecision::of(setting).on(1);
        assert_eq!(logged(Some("tf32")), "cuda:1 in TF32");
        assert_eq!(logged(Some("bf16")), "cuda:1 in BF16");
        for full in [None, Some(""), Some("full"), Some("yes")] {
            assert_eq!(logged(full), "cuda:1");
        }
    }
}
