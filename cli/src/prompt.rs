//! The prompt that stands before each text, for models that were trained with one.

use clap::Args;
use cmm::{FastBert, Prompts};

use crate::help::MODEL;
use crate::output::Failure;

#[derive(Args)]
pub struct PromptArguments {
    /// The name of the model's prompt before each text [default: its own choice]
    #[arg(long, value_name = "NAME", conflicts_with = "prompt", help_heading = MODEL)]
    prompt_name: Option<String>,
    /// The text that is put before each text
    #[arg(long, value_name = "TEXT", help_heading = MODEL)]
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
