//! How vectors are kept.

use std::fmt;
use std::str::FromStr;

use half::f16;
use serde::{Deserialize, Serialize};

/// How a vector's values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As the model makes them.
    #[default]
    F32,
    /// Half the room.
    F16,
    /// A quarter of the room: each vector's largest value is 127.
    Int8,
}

impl Precision {
    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Int8 => 1,
        }
    }

    /// A vector's bytes, little-endian.
    pub(crate) fn pack(self, vector: &[f32], to: &mut Vec<u8>) {
        match self {
            Self::F32 => to.extend(vector.iter().flat_map(|v| v.to_le_bytes())),
            Self::F16 => to.extend(vector.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes())),
            Self::Int8 => to.extend(in_int8(vector).map(|v| v.to_le_bytes()[0])),
        }
    }
}

/// Values from -127 to 127.
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
