//! The shapes of the texts in requests, for the OpenAPI document.

use utoipa::ToSchema;

/// A text, several texts, the token ids of one text, or those of several.
#[derive(ToSchema)]
#[schema(as = Input)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) enum InputSchema {
    Text(NonEmptyText),
    Texts(TextList),
    Ids(Ids),
    IdsOfSeveral(IdsList),
}

/// One text or several.
#[derive(ToSchema)]
#[schema(as = Texts)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) enum TextsSchema {
    Text(NonEmptyText),
    Texts(TextList),
}

/// A text, a pair of texts, or several of both.
#[derive(ToSchema)]
#[schema(as = Pairs)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) enum PairsSchema {
    Text(NonEmptyText),
    Pair(TextOrPair),
    Several(PairList),
}

/// A text that is not empty.
#[derive(ToSchema)]
#[schema(min_length = 1)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct NonEmptyText(String);

/// A token of the model's own vocabulary.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct TokenId(u32);

/// Token ids of one text.
#[derive(ToSchema)]
#[schema(min_items = 1)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct Ids(Vec<TokenId>);

/// A text, or a pair of texts.
#[derive(ToSchema)]
#[schema(min_items = 1, max_items = 2)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct TextOrPair(Vec<NonEmptyText>);

/// Texts, at least one.
#[derive(ToSchema)]
#[schema(min_items = 1)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct TextList(Vec<NonEmptyText>);

/// Token ids of texts, at least one.
#[derive(ToSchema)]
#[schema(min_items = 1)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct IdsList(Vec<Ids>);

/// Texts and pairs, at least one.
#[derive(ToSchema)]
#[schema(min_items = 1)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct PairList(Vec<TextOrPair>);
