//! The texts of requests: one text, several, pairs, or token ids.

use cmm::CutSide;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use crate::model::Text;

/// One text of a list, or one token of a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Text(String),
    Id(u32),
    Ids(Vec<u32>),
}

/// The contents of `input` or `inputs`.
pub(crate) struct Input {
    pub(crate) texts: Vec<Text>,
    /// Whether the input is a list of texts, not a single text.
    pub(crate) several: bool,
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InputVisitor)
    }
}

struct InputVisitor;

impl<'de> Visitor<'de> for InputVisitor {
    type Value = Input;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a text, a list of texts, token ids, or lists of token ids")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Input, E> {
        Ok(Input { texts: vec![Text::One(text.to_owned())], several: false })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Input, A::Error> {
        let mut texts = Vec::new();
        let mut ids = Vec::new();
        let mixed = || A::Error::custom("a list of one kind: texts, token ids, or lists of ids");
        let item = || A::Error::custom("expected a text, a token id, or a list of token ids");
        loop {
            match items.next_element::<Item>().map_err(|_| item())? {
                None => break,
                Some(Item::Id(id)) => ids.push(id),
                Some(Item::Text(text)) => texts.push(Text::One(text)),
                Some(Item::Ids(ids)) => texts.push(Text::Ids(ids)),
            }
            let ids_of_several = texts.iter().any(|text| matches!(text, Text::Ids(_)));
            let of_texts = texts.iter().any(|text| matches!(text, Text::One(_)));
            if usize::from(ids_of_several) + usize::from(of_texts) + usize::from(!ids.is_empty())
                > 1
            {
                return Err(mixed());
            }
        }
        if ids.is_empty() {
            return Ok(Input { texts, several: true });
        }
        Ok(Input { texts: vec![Text::Ids(ids)], several: false })
    }
}

/// One or several texts, but no token ids.
pub(crate) struct Texts {
    pub(crate) texts: Vec<String>,
    pub(crate) several: bool,
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;
        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("a text or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts { texts: vec![text.to_owned()], several: false })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(Texts { texts, several: true })
            }
        }
        deserializer.deserialize_any(TextsVisitor)
    }
}

/// The input of `/predict`: a text, a pair `[a, b]`, or several of both, `[[a], [a, b], ...]`.
pub(crate) struct Pairs {
    pub(crate) texts: Vec<Text>,
    pub(crate) several: bool,
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Item {
            Text(String),
            Texts(Vec<String>),
        }
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str(PAIRS)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Pairs, E> {
                Ok(Pairs { texts: vec![Text::One(text.to_owned())], several: false })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Pairs, A::Error> {
                let bad = || A::Error::custom(format!("expected {PAIRS}"));
                let mut one = Vec::new();
                let mut texts = Vec::new();
                while let Some(item) = items.next_element::<Item>().map_err(|_| bad())? {
                    match item {
                        Item::Text(text) => one.push(text),
                        Item::Texts(of) => texts.push(single_or_pair(of).ok_or_else(bad)?),
                    }
                    if !one.is_empty() && !texts.is_empty() {
                        return Err(bad());
                    }
                }
                if one.is_empty() {
                    return Ok(Pairs { texts, several: true });
                }
                let text = single_or_pair(one).ok_or_else(bad)?;
                Ok(Pairs { texts: vec![text], several: false })
            }
        }
        deserializer.deserialize_any(PairsVisitor)
    }
}

const PAIRS: &str =
    "a text, a pair of texts [a, b], or a list of texts and pairs [[a], [a, b], ...]";

fn single_or_pair(mut texts: Vec<String>) -> Option<Text> {
    match (texts.pop(), texts.pop(), texts.pop()) {
        (Some(text), None, _) => Some(Text::One(text)),
        (Some(second), Some(first), None) => Some(Text::Pair(first, second)),
        _ => None,
    }
}

/// The side on which a text that is too long is cut.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub(crate) enum TruncationDirection {
    /// Its beginning.
    #[serde(alias = "left")]
    Left,
    /// Its end.
    #[serde(alias = "right")]
    Right,
}

impl From<TruncationDirection> for CutSide {
    fn from(direction: TruncationDirection) -> Self {
        match direction {
            TruncationDirection::Left => Self::Left,
            TruncationDirection::Right => Self::Right,
        }
    }
}
