//! The settings of the environment for models: where caches lie and who asks, by the variables that huggingface_hub documents, and CMM_MODEL_URL.

use std::path::PathBuf;

/// The hub that is asked where HF_ENDPOINT names no other.
const HUB: &str = "https://huggingface.co";

/// The settings of the environment for models.
pub struct Settings {
    /// The address of the hub, without a slash at its end.
    pub endpoint: String,
    /// The hub's cache of models.
    pub cache: PathBuf,
    /// The cache of models that come with cmm: `cmm` in the hub's cache if a variable names that, else in `HF_HOME`.
    pub shipped: PathBuf,
    /// The address that models which come with cmm are fetched from, without a slash at its end.
    pub model_url: Option<String>,
    /// The user's token, for models that are not public.
    pub token: Option<String>,
    /// Whether nothing may be fetched.
    pub offline: bool,
}

impl Settings {
    /// `HF_HUB_CACHE`, before `HUGGINGFACE_HUB_CACHE`, before `hub` in `HF_HOME`, which is `huggingface` in `XDG_CACHE_HOME` or `~/.cache`;
    /// `HF_TOKEN`, before `HUGGING_FACE_HUB_TOKEN`, before the file `HF_TOKEN_PATH` or `token` in `HF_HOME`;
    /// `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`; `HF_ENDPOINT`; `CMM_MODEL_URL`.
    pub fn from_env() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// The scheme and host of the hub.
    pub fn origin(&self) -> &str {
        let host = self.endpoint.find("://").map_or(0, |scheme| scheme + 3);
        let path = self.endpoint[host..].find('/').map_or(self.endpoint.len(), |path| host + path);
        &self.endpoint[..path]
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        // Windows has the second of these.
        let user = set("HOME").or_else(|| set("USERPROFILE"));
        let path = |name: &str| set(name).map(|path| expanded(&path, user.as_deref()));
        let home = path("HF_HOME").unwrap_or_else(|| {
            let in_user = || Some(PathBuf::from(user.as_ref()?).join(".cache"));
            let caches = path("XDG_CACHE_HOME").or_else(in_user);
            caches.unwrap_or_else(|| ".cache".into()).join("huggingface")
        });
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let stored = || {
            if on(set("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
                return None;
            }
            String::from_utf8(cmm::read_file(token_file, cmm::LONGEST_JSON).ok()?).ok()
        };
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(stored);
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| HUB.into());
        let model_url = set("CMM_MODEL_URL").map(|url| url.trim().trim_end_matches('/').to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            shipped: cache.as_ref().unwrap_or(&home).join("cmm"),
            model_url,
            cache: cache.unwrap_or_else(|| home.join("hub")),
            token: token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()),
            offline: on(set("HF_HUB_OFFLINE")) || on(set("TRANSFORMERS_OFFLINE")),
        }
    }
}

fn on(value: Option<String>) -> bool {
    value.is_some_and(|v| ["1", "on", "true", "yes"].contains(&v.trim().to_lowercase().as_str()))
}

/// The path that a leading `~` makes of the home directory.
fn expanded(path: &str, home: Option<&str>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path.into(),
    }
}

#[cfg(test)]
impl Settings {
    /// The settings in an environment that has these variables alone.
    pub fn with(variables: &[(&str, &str)]) -> Self {
        let find = |name: &str| variables.iter().find(|(of, _)| *of == name);
        Self::of(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_in_their_documented_order() {
        let cache =
            |variables: &[(&str, &str)]| Settings::with(variables).cache.display().to_string();
        let mut variables = vec![("HOME", "/h")];
        assert_eq!(cache(&variables), "/h/.cache/huggingface/hub");
        for (name, value, expected, shipped) in [
            ("XDG_CACHE_HOME", "/x", "/x/huggingface/hub", "/x/huggingface/cmm"),
            ("HF_HOME", "~/hf", "/h/hf/hub", "/h/hf/cmm"),
            ("HUGGINGFACE_HUB_CACHE", "/old", "/old", "/old/cmm"),
            ("HF_HUB_CACHE", "/new", "/new", "/new/cmm"),
        ] {
            variables.push((name, value));
            assert_eq!(cache(&variables), expected);
            assert_eq!(Settings::with(&variables).shipped, PathBuf::from(shipped));
        }
    }

    #[test]
    fn tokens_and_offline() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "of the file\n").unwrap();
        let home = dir.path().to_str().unwrap();
        let token =
            |more: &[(&str, &str)]| Settings::with(&[&[("HF_HOME", home)], more].concat()).token;
        assert_eq!(token(&[]).as_deref(), Some("of the file"));
        assert_eq!(token(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert_eq!(token(&[("HUGGING_FACE_HUB_TOKEN", "old")]).as_deref(), Some("old"));
        let both = [("HUGGING_FACE_HUB_TOKEN", "old"), ("HF_TOKEN", "new")];
        assert_eq!(token(&both).as_deref(), Some("new"));
        assert_eq!(token(&[("HF_TOKEN_PATH", "/nowhere")]), None);
        let mirror = Settings::with(&[("HF_ENDPOINT", "http://mirror:8/hub/")]);
        assert_eq!(
            (&*mirror.endpoint, mirror.origin()),
            ("http://mirror:8/hub", "http://mirror:8")
        );
        for (name, value, offline) in [
            ("HF_HUB_OFFLINE", "ON", true),
            ("TRANSFORMERS_OFFLINE", "1", true),
            ("HF_HUB_OFFLINE", "0", false),
        ] {
            assert_eq!(Settings::with(&[(name, value)]).offline, offline);
        }
    }
}
