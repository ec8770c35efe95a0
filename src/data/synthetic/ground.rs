//! The background: a texture of hashed noise for each kind.
//!
//! It is computed from sums, products, comparisons and integer hashes only (no sine, no power), so that an image is the
//! same on every machine.

use super::figures::Point;
use super::scene::Background;

/// Red, green and blue in `[0, 255]`.
pub(super) type Rgb = [f32; 3];

/// Texture units along the image's side; textures scale with the image.
const UNITS: f32 = 64.0;

pub(super) struct Ground {
    background: Background,
    noise: ValueNoise,
    light: f32,
}

impl Ground {
    pub(super) fn new(background: Background, seed: u64) -> Self {
        let noise = ValueNoise(seed);
        let light = 0.93 + 0.14 * noise.at(0, 0);
        Self {
            background,
            noise,
            light,
        }
    }

    /// The color at a point, in fractions of the image's side.
    pub(super) fn color_at(&self, (x, y): Point) -> Rgb {
        let (x, y) = (x * UNITS, y * UNITS);
        let color = match self.background {
            Background::Grass => self.grass(x, y),
            Background::Sand => self.sand(x, y),
            Background::Snow => self.snow(x, y),
            Background::Sea => self.sea(x, y),
            Background::Road => self.road(x, y),
            Background::Night => self.night(x, y),
        };
        lighten(color, self.light)
    }

    fn grass(&self, x: f32, y: f32) -> Rgb {
        let on_blade = self.noise.grain(x / 1.5, y / 4.0) > 0.72;
        let blade = if on_blade { 0.86 } else { 1.0 };
        let light = 0.9 + 0.2 * self.noise.smooth(x / 14.0, y / 14.0);
        lighten([150.0, 200.0, 105.0], blade * light)
    }

    fn sand(&self, x: f32, y: f32) -> Rgb {
        let ripple = 0.06 * wave(y / 9.0 + 0.8 * self.noise.smooth(x / 16.0, y / 16.0));
        let grain = 0.1 * self.noise.grain(x, y);
        lighten([230.0, 208.0, 158.0], 0.92 + ripple + grain)
    }

    fn snow(&self, x: f32, y: f32) -> Rgb {
        let hollow = self.noise.smooth(x / 18.0, y / 11.0);
        let glints = self.noise.grain(x / 1.5, y / 1.5) > 0.94;
        let glint = if glints { 0.95 } else { 1.0 };
        lighten(mix([204.0, 218.0, 236.0], [246.0, 248.0, 252.0], hollow), glint)
    }

    fn sea(&self, x: f32, y: f32) -> Rgb {
        let swell = y + 5.0 * self.noise.smooth(x / 9.0, y / 24.0);
        let crest = (wave(swell / 8.0) - 0.8).max(0.0) * 2.5;
        mix([92.0, 172.0, 200.0], [196.0, 228.0, 236.0], crest)
    }

    fn road(&self, x: f32, y: f32) -> Rgb {
        let middle = 12.0 + 40.0 * self.noise.at(1, 0);
        let on_dash = (y - middle).abs() < 1.0 && wave(x / 16.0 + self.noise.at(2, 0)) > 0.5;
        if on_dash {
            return [222.0, 222.0, 214.0];
        }
        lighten([132.0, 132.0, 138.0], 0.86 + 0.24 * self.noise.grain(x, y))
    }

    fn night(&self, x: f32, y: f32) -> Rgb {
        let cloud = self.noise.smooth(x / 20.0, y / 20.0);
        let sky = mix([16.0, 18.0, 44.0], [36.0, 38.0, 78.0], cloud);
        let twinkle = self.noise.grain(x / 1.1, y / 1.1) > 0.99;
        if twinkle { [206.0, 208.0, 226.0] } else { sky }
    }
}

/// Noise that depends on the seed and the position only.
struct ValueNoise(u64);

impl ValueNoise {
    /// A number in `[0, 1)` for a cell of the grid.
    fn at(&self, column: i32, row: i32) -> f32 {
        let cell = u64::from(column as u32) << 32 | u64::from(row as u32);
        (scramble(self.0 ^ scramble(cell)) >> 40) as f32 / (1u64 << 24) as f32
    }

    /// A number in `[0, 1)`, constant within a cell.
    fn grain(&self, x: f32, y: f32) -> f32 {
        self.at(x.floor() as i32, y.floor() as i32)
    }

    /// A number in `[0, 1)` that changes smoothly from cell to cell (value noise).
    fn smooth(&self, x: f32, y: f32) -> f32 {
        let (column, row) = (x.floor() as i32, y.floor() as i32);
        let (right, down) = (ease(x - x.floor()), ease(y - y.floor()));
        let lerp = |from: f32, to: f32, fraction: f32| from + (to - from) * fraction;
        let in_row = |row| lerp(self.at(column, row), self.at(column + 1, row), right);
        lerp(in_row(row), in_row(row + 1), down)
    }
}

/// The output function of SplitMix64 (Steele, Lea & Flood 2014).
fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// From 0 to 1, flat at both ends (smoothstep).
fn ease(fraction: f32) -> f32 {
    fraction * fraction * (3.0 - 2.0 * fraction)
}

/// Rises from 0 to 1 and falls back over one period of length 1.
fn wave(phase: f32) -> f32 {
    1.0 - (2.0 * (phase - phase.floor()) - 1.0).abs()
}

/// `color` with every channel multiplied.
pub(super) fn lighten(color: Rgb, factor: f32) -> Rgb {
    color.map(|channel| (channel * factor).min(255.0))
}

/// From `from` (0) to `to` (1).
fn mix(from: Rgb, to: Rgb, fraction: f32) -> Rgb {
    std::array::from_fn(|channel| from[channel] + (to[channel] - from[channel]) * fraction)
}
