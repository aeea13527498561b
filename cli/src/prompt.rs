//! What stands before each text, for models that were trained so.

use clap::Args;
use cmm::{FastBert, Prompts};

use crate::output::Failure;

#[derive(Args)]
pub struct PromptArguments {
    /// The model's prompt of this name before each text (of `search`: before the query) [default: the model's own choice]
    #[arg(long, value_name = "NAME", conflicts_with = "prompt")]
    prompt_name: Option<String>,
    /// This before each text (of `search`: before the query)
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
}

impl PromptArguments {
    /// The prompt that is asked for, or else the model's own.
    pub fn of<'a>(
        &'a self,
        model: &'a FastBert,
        own: impl FnOnce(&'a Prompts) -> &'a str,
    ) -> Result<&'a str, Failure> {
        match (&self.prompt, &self.prompt_name) {
            (Some(prompt), _) => Ok(prompt),
            (None, Some(name)) => Ok(model.prompts().get(name)?),
            (None, None) => Ok(own(model.prompts())),
        }
    }
}
