//! Asks the hub which files a model has, and for the bytes of each.

use std::path::PathBuf;

use ureq::http::Response;
use ureq::{Agent, Body};

use super::hub_cache::ModelCache;
use super::settings::Settings;
use super::transfer::{agent, copy};
use crate::output::Failure;

/// A download that breaks off is begun this often.
const TRIES: usize = 3;
/// The most redirects on the hub itself, which follow a model that was renamed.
const REDIRECTS: usize = 5;
/// The longest list of files that is read, in bytes.
const LONGEST_LIST: u64 = 16 << 20;

/// A model on the hub.
pub struct HubModel<'s> {
    settings: &'s Settings,
    agent: Agent,
    model: &'s str,
    pub cache: ModelCache,
}

/// The facts about a file that the server states before it sends it.
struct Metadata {
    commit: String,
    etag: String,
    length: Option<u64>,
}

impl<'s> HubModel<'s> {
    pub fn new(settings: &'s Settings, model: &'s str) -> Self {
        let cache = ModelCache::new(&settings.cache, model);
        Self { settings, agent: agent(), model, cache }
    }

    /// The names of the model's files.
    pub fn files(&self) -> Result<Vec<String>, Failure> {
        let url = format!("{}/api/models/{}/revision/main", self.settings.endpoint, self.model);
        let mut answer = self.request(&url, None, true)?;
        let text = answer.body_mut().with_config().limit(LONGEST_LIST).read_to_string()?;
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|cause| format!("the hub's answer: {cause}"))?;
        let files = json.get("siblings").and_then(|files| files.as_array());
        let files = files.ok_or("the hub's answer lists no files")?.iter();
        let name = |file: &serde_json::Value| Some(file.get("rfilename")?.as_str()?.to_owned());
        Ok(files.filter_map(name).collect())
    }

    /// Fetches a file. Weights that are not what their header says are taken out of the cache again.
    pub fn get(&self, file: &str) -> Result<PathBuf, Failure> {
        let named = |cause: Failure| format!("{file}: {cause}");
        let Metadata { commit, etag, length } = self.metadata(file).map_err(named)?;
        let mut blob = self.cache.blob(&etag)?;
        let mut tries = 0;
        let blob = loop {
            tries += 1;
            match blob.take() {
                Some(blob) => break blob,
                None => match self.download(file, &etag, length) {
                    Ok(path) => blob = Some(path),
                    Err(cause) if tries == TRIES => return Err(named(cause).into()),
                    Err(_) => {}
                },
            }
        };
        let place = self.cache.link(&commit, file, &blob)?;
        if file.ends_with(".safetensors")
            && let Err(cause) = cmm::Checkpoint::open(&place)
        {
            self.cache.remove(&place, &etag);
            return Err(format!("the download is broken: {cause}").into());
        }
        Ok(place)
    }

    fn url(&self, file: &str) -> String {
        format!("{}/{}/resolve/main/{file}", self.settings.endpoint, self.model)
    }

    /// Asks the hub; with `redirects`, the request goes wherever the hub sends it.
    fn request(
        &self,
        url: &str,
        range: Option<&str>,
        redirects: bool,
    ) -> Result<Response<Body>, Failure> {
        let mut request = self.agent.get(url);
        if let Some(range) = range {
            request = request.header("Range", range);
        }
        if let Some(token) = &self.settings.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut config = request.config();
        if !redirects {
            config = config.max_redirects(0).max_redirects_will_error(false);
        }
        config.build().call().map_err(|cause| explained(&cause).into())
    }

    /// The commit, ETag and length of a file. The hub itself says them, even if another server has the bytes.
    fn metadata(&self, file: &str) -> Result<Metadata, Failure> {
        let mut url = self.url(file);
        for _ in 0..=REDIRECTS {
            let answer = self.request(&url, Some("bytes=0-0"), false)?;
            let header = |name: &str| answer.headers().get(name)?.to_str().ok();
            let moved = answer.status().is_redirection().then(|| header("Location")).flatten();
            // A redirect to another place of the hub is followed; one to another server leads to the bytes.
            if let Some(place) =
                moved.filter(|place| place.starts_with('/') && !place.starts_with("//"))
            {
                url = format!("{}{place}", self.settings.origin());
                continue;
            }
            let plain = |text: &str| text.trim_start_matches("W/").trim_matches('"').to_owned();
            let missing = |what: &str| format!("the server names no {what}");
            let etag = header("X-Linked-ETag").or_else(|| header("ETag")).map(plain);
            let of_range = || header("Content-Range")?.rsplit('/').next()?.parse().ok();
            let linked = header("X-Linked-Size").and_then(|size| size.parse().ok());
            return Ok(Metadata {
                commit: header("X-Repo-Commit").ok_or_else(|| missing("commit"))?.to_owned(),
                etag: etag.ok_or_else(|| missing("ETag"))?,
                length: linked.or_else(of_range),
            });
        }
        Err(format!("more than {REDIRECTS} redirects").into())
    }

    fn download(&self, file: &str, etag: &str, length: Option<u64>) -> Result<PathBuf, Failure> {
        let mut answer = self.request(&self.url(file), None, true)?;
        let body = answer.body_mut();
        self.cache.write_blob(etag, |target| copy(body, length, file, target))
    }
}

/// Says what went wrong in the user's words.
fn explained(cause: &ureq::Error) -> String {
    match cause {
        ureq::Error::StatusCode(401 | 403) => {
            "the hub refuses it: name your token in HF_TOKEN, and accept the model's terms".into()
        }
        ureq::Error::StatusCode(404) => "the hub has no such model or file".into(),
        cause => format!(
            "the hub does not answer ({cause}); is there a network, and is HF_ENDPOINT right?"
        ),
    }
}
