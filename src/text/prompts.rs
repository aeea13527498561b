//! The prompts that a sentence-transformers model wants before a text
//! (`config_sentence_transformers.json`).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::text::folder::Folder;

/// The name of the file.
const FILE: &str = "config_sentence_transformers.json";

/// A model's prompts by name, and the prompt that every text gets unless another one is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prompts {
    named: BTreeMap<String, String>,
    default: Option<String>,
}

impl Prompts {
    pub(crate) fn read(folder: &Folder<'_>) -> Result<Self> {
        let Some(config) = folder.json(FILE)? else { return Ok(Self::default()) };
        let bad = |key: &str, expected: &str, found: &Value| {
            Err(Error::input(format!("{key} in {}", folder.name(FILE)), expected, found))
        };
        let mut prompts = Self::default();
        match config.get("prompts") {
            None | Some(Value::Null) => {}
            Some(Value::Object(named)) => {
                for (name, prompt) in named {
                    let Some(text) = prompt.as_str() else {
                        return bad(&format!("prompts.{name}"), "a text", prompt);
                    };
                    prompts.named.insert(name.clone(), text.to_owned());
                }
            }
            Some(other) => return bad("prompts", "an object of texts", other),
        }
        match config.get("default_prompt_name") {
            None | Some(Value::Null) => {}
            Some(Value::String(name)) => prompts.default = Some(prompts.get(name)?.to_owned()),
            Some(other) => return bad("default_prompt_name", "a name or null", other),
        }
        Ok(prompts)
    }

    /// Returns the prompt of this name.
    ///
    /// # Errors
    /// [`Error::Input`] lists the names that exist.
    pub fn get(&self, name: &str) -> Result<&str> {
        self.named.get(name).map(String::as_str).ok_or_else(|| {
            let names: Vec<_> = self.named.keys().map(String::as_str).collect();
            let expected = match names[..] {
                [] => "no name, because this model declares no prompts".into(),
                _ => format!("one of {}", names.join(", ")),
            };
            Error::input("name of a prompt", expected, name)
        })
    }

    /// Returns all prompts that the model declares, by name.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|(name, prompt)| (name.as_str(), prompt.as_str()))
    }

    /// Returns the prompt that every text gets unless another one is asked for. It is empty for
    /// most models.
    pub fn for_texts(&self) -> &str {
        self.default.as_deref().unwrap_or_default()
    }

    /// Returns the prompt of a query: `query` if the model declares it, as in `encode_query` of
    /// sentence-transformers.
    pub fn for_queries(&self) -> &str {
        self.first_of(&["query"])
    }

    /// Returns the prompt of a text that queries are compared with: `document`, `passage` or
    /// `corpus`, as in `encode_document` of sentence-transformers.
    pub fn for_documents(&self) -> &str {
        self.first_of(&["document", "passage", "corpus"])
    }

    fn first_of(&self, names: &[&str]) -> &str {
        let declared = names.iter().find_map(|name| self.named.get(*name));
        declared.map_or(self.for_texts(), String::as_str)
    }
}
