//! What the weights of a model take.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Certainty;

/// What is known of the weights.
#[derive(Clone, Debug, PartialEq)]
pub enum Weights {
    /// The files of this size: nothing is surer.
    Files {
        /// Their bytes in all.
        bytes: u64,
        /// How many parameters they hold, where that is known.
        parameters: Option<u64>,
    },
    /// So many parameters of each type, as the heads of safetensors files say it.
    Tensors(BTreeMap<Dtype, u64>),
    /// So many parameters, in such a form.
    Parameters {
        /// How many.
        count: u64,
        /// In which form.
        quantization: Quantization,
        /// Whether that was read out of the model's name.
        guessed: bool,
    },
}

impl Weights {
    /// The bytes that they take, and how sure that is.
    #[must_use]
    pub fn bytes(&self) -> (u64, Certainty) {
        match self {
            Self::Files { bytes, .. } => (*bytes, Certainty::High),
            Self::Tensors(tensors) => {
                let bytes =
                    tensors.iter().fold(0_u64, |sum, (dtype, count)| sum.saturating_add(dtype.bytes(*count)));
                let packed = tensors.keys().any(|dtype| dtype.may_be_packed());
                (bytes, if packed { Certainty::Medium } else { Certainty::High })
            }
            Self::Parameters { count, quantization, guessed } => {
                let certainty = if *guessed { Certainty::Low } else { Certainty::Medium };
                (quantization.bytes(*count), certainty)
            }
        }
    }

    /// How many parameters there are, where that is known.
    #[must_use]
    pub fn parameters(&self) -> Option<u64> {
        match self {
            Self::Files { parameters, .. } => *parameters,
            // What is packed holds more of them than it counts: that is no number of parameters.
            Self::Tensors(tensors) if tensors.keys().any(|dtype| dtype.may_be_packed()) => None,
            Self::Tensors(tensors) => Some(tensors.values().fold(0, |sum, count| sum.saturating_add(*count))),
            Self::Parameters { count, .. } => Some(*count),
        }
    }
}

/// The type of the numbers of a tensor, by its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// Eight bytes: `F64`, `I64`, `U64`.
    Eight,
    /// Four bytes: `F32`.
    Four,
    /// Four bytes that hold eight packed numbers in GPTQ and AWQ: `I32`, `U32`.
    PackedFour,
    /// Two bytes: `BF16`, `F16`.
    Two,
    /// One byte: `F8_E4M3`, `I8`, `U8`, `BOOL`.
    One,
    /// Half a byte: `F4`.
    Half,
}

impl Dtype {
    /// The type with this name in a safetensors file; `None` where it is not known.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "F64" | "I64" | "U64" => Self::Eight,
            "F32" => Self::Four,
            "I32" | "U32" => Self::PackedFour,
            "BF16" | "F16" | "I16" | "U16" => Self::Two,
            "F4" => Self::Half,
            "I8" | "U8" | "BOOL" => Self::One,
            name if name.starts_with("F8") => Self::One,
            _ => return None,
        })
    }

    fn bytes(self, count: u64) -> u64 {
        match self {
            Self::Eight => count.saturating_mul(8),
            Self::Four | Self::PackedFour => count.saturating_mul(4),
            Self::Two => count.saturating_mul(2),
            Self::One => count,
            Self::Half => count / 2,
        }
    }

    fn may_be_packed(self) -> bool {
        matches!(self, Self::PackedFour | Self::Half)
    }
}

/// In which form weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    /// Four bytes a number.
    Full,
    /// Two bytes a number: BF16 or F16, as models are published.
    Half,
    /// FP8 or eight-bit integers.
    Eight,
    /// AWQ or GPTQ with four bits, with scales, and embeddings of two bytes.
    Four,
    /// A GGUF file with about so many hundredths of a bit a number.
    Gguf(u16),
}

impl Quantization {
    /// The form that a model's name tells of, such as `Qwen2.5-7B-Instruct-AWQ`, `…-FP8`, `…-Q4_K_M.gguf`.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase().replace('-', "_");
        let has = |part: &str| name.contains(part);
        if let Some(gguf) = Self::gguf(&name) {
            return Some(gguf);
        }
        if has("int8") || has("8bit") || has("fp8") || has("w8a8") {
            Some(Self::Eight)
        } else if ["awq", "gptq", "4bit", "int4", "w4a16", "bnb", "nf4", "fp4"].into_iter().any(has) {
            Some(Self::Four)
        } else {
            None
        }
    }

    /// The form that a GGUF file of this name has, by how many bits its numbers take on average: those that llama.cpp's
    /// page on `llama-quantize` gives for Llama 3.1 8B.
    #[must_use]
    pub fn gguf(name: &str) -> Option<Self> {
        const BITS: [(&str, u16); 19] = [
            ("q2_k", 316),
            ("q3_k_s", 364),
            ("q3_k_m", 400),
            ("q3_k_l", 430),
            ("q4_0", 466),
            ("q4_1", 516),
            ("q4_k_s", 467),
            ("q4_k_m", 489),
            ("q5_0", 559),
            ("q5_k_s", 557),
            ("q5_k_m", 570),
            ("q6_k", 656),
            ("q8_0", 850),
            ("iq2_m", 293),
            ("iq3_m", 376),
            ("iq4_xs", 446),
            ("iq4_nl", 468),
            ("mxfp4", 436),
            ("f16.gguf", 1600),
        ];
        let name = name.to_ascii_lowercase().replace('-', "_");
        BITS.into_iter().find(|(kind, _)| name.contains(kind)).map(|(_, bits)| Self::Gguf(bits))
    }

    fn bytes(self, count: u64) -> u64 {
        // Embeddings and the head keep their two bytes: they are a fifth of a small model and a thirtieth of a large one.
        let small = count < 20_000_000_000;
        let hundredths_of_a_bit = match self {
            Self::Full => 3200,
            Self::Half => 1600,
            Self::Eight if small => 890,
            Self::Eight => 830,
            Self::Four if small => 570,
            Self::Four => 460,
            Self::Gguf(bits) => u64::from(bits),
        };
        u64::try_from(u128::from(count) * u128::from(hundredths_of_a_bit) / 800).unwrap_or(u64::MAX)
    }

    /// Whether weights are stored with less than they were made with.
    #[must_use]
    pub fn is_quantized(self) -> bool {
        !matches!(self, Self::Full | Self::Half)
    }
}
