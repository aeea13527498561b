//! The weights of a plan's parts.

use crate::fff::FffWeights;
use crate::model::{
    DenseWeights, EmbeddingWeights, FfnWeights, HeadWeights, LayerWeights, NormWeights,
};
use crate::plan::{LayerPart, Part};

/// The weights of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PartWeights<'w> {
    Norm(&'w NormWeights),
    Dense(&'w DenseWeights),
    Fff(&'w FffWeights),
}

impl LayerWeights {
    /// Returns a part of the layer, if the layer has it.
    pub(crate) fn part(&self, part: LayerPart) -> Option<PartWeights<'_>> {
        let found = match (part, &self.ffn) {
            (LayerPart::Norm1, _) => PartWeights::Norm(&self.norm1),
            (LayerPart::Norm2, _) => PartWeights::Norm(&self.norm2),
            (LayerPart::Qkv, _) => PartWeights::Dense(&self.qkv),
            (LayerPart::AttentionOut, _) => PartWeights::Dense(&self.attention_out),
            (LayerPart::Fff, FfnWeights::Fff(weights)) => PartWeights::Fff(weights),
            (LayerPart::Up, FfnWeights::Dense { up, .. }) => PartWeights::Dense(up),
            (LayerPart::Down, FfnWeights::Dense { down, .. }) => PartWeights::Dense(down),
            _ => return None,
        };
        Some(found)
    }
}

impl HeadWeights {
    /// Returns a part of the head, if the head has it. The decoder's matrix is the embedding's.
    pub(crate) fn part(&self, part: Part) -> Option<PartWeights<'_>> {
        let found = match (part, self) {
            (Part::Transform, Self::MaskedLm { transform: Some((dense, _)), .. })
            | (Part::Pooler, Self::Classifier { dense, .. })
            | (Part::Classifier, Self::Classifier { out: dense, .. }) => PartWeights::Dense(dense),
            (Part::TransformNorm, Self::MaskedLm { transform: Some((_, norm)), .. }) => {
                PartWeights::Norm(norm)
            }
            _ => return None,
        };
        Some(found)
    }
}

impl EmbeddingWeights {
    /// Returns the LayerNorm after the sum, as a part.
    pub(crate) fn norm_part(&self) -> Option<PartWeights<'_>> {
        self.norm.as_ref().map(PartWeights::Norm)
    }
}
