//! The precision in which vectors are stored.

use std::fmt;
use std::str::FromStr;

use half::f16;
use serde::{Deserialize, Serialize};

/// The precision in which the values of a vector are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// The values as the model computes them.
    #[default]
    F32,
    /// Half the space.
    F16,
    /// A quarter of the space. The largest value of each vector becomes 127.
    Int8,
}

impl Precision {
    /// Returns the bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Int8 => 1,
        }
    }

    /// Appends a vector's bytes, little-endian.
    pub(crate) fn pack(self, vector: &[f32], to: &mut Vec<u8>) {
        match self {
            Self::F32 => to.extend(vector.iter().flat_map(|v| v.to_le_bytes())),
            Self::F16 => to.extend(vector.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes())),
            Self::Int8 => to.extend(in_int8(vector).map(|v| v.to_le_bytes()[0])),
        }
    }
}

/// Returns the values as numbers from -127 to 127.
pub(crate) fn in_int8(vector: &[f32]) -> impl Iterator<Item = i8> {
    let largest = vector.iter().fold(0_f32, |largest, v| largest.max(v.abs()));
    let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    vector.iter().map(move |v| (v * scale).round() as i8)
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::F32, Self::F16, Self::Int8]
            .into_iter()
            .find(|precision| precision.to_string() == text)
            .ok_or_else(|| format!("expected f32, f16 or int8, found {text}"))
    }
}
