//! What the hub is asked: which files a model has, and for each of them its bytes.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::hub_cache::ModelCache;
use crate::hub_settings::Settings;
use crate::output::Failure;

/// How often a download that breaks off is begun.
const TRIES: usize = 3;
/// Redirects on the hub itself, for a model that was renamed.
const REDIRECTS: usize = 5;
/// Bytes between two steps of the progress bar.
const STEP: usize = 1 << 18;
/// The longest list of files, bytes.
const LONGEST_LIST: u64 = 16 << 20;

/// A model on the hub.
pub struct HubModel<'s> {
    settings: &'s Settings,
    agent: Agent,
    model: &'s str,
    pub cache: ModelCache,
}

/// What a server says of a file before it is sent.
struct Metadata {
    commit: String,
    etag: String,
    length: Option<u64>,
}

impl<'s> HubModel<'s> {
    pub fn new(settings: &'s Settings, model: &'s str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(true)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .user_agent(concat!("cmm/", env!("CARGO_PKG_VERSION")))
            .build();
        let cache = ModelCache::new(&settings.cache, model);
        Self { settings, agent: Agent::new_with_config(config), model, cache }
    }

    /// Names of the model's files.
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

    /// A file that is whole, or none: one that is not what its header says is taken out of the cache again.
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

    /// A request to the hub; `redirects`: wherever the hub sends it.
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

    /// Commit, ETag and length of a file. The hub itself says them, also where another server has the bytes.
    fn metadata(&self, file: &str) -> Result<Metadata, Failure> {
        let mut url = self.url(file);
        for _ in 0..=REDIRECTS {
            let answer = self.request(&url, Some("bytes=0-0"), false)?;
            let header = |name: &str| answer.headers().get(name)?.to_str().ok();
            let moved = answer.status().is_redirection().then(|| header("Location")).flatten();
            // To another place of the hub; elsewhere lie the bytes.
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
        let progress = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let style = "{msg} {bar:30} {bytes}/{total_bytes}, {eta} left";
        progress.set_style(ProgressStyle::with_template(style)?);
        progress.set_message(crate::shown::shown(file).into_owned());
        let path = self.cache.write_blob(etag, |target| {
            // One byte more than is announced, to see that it is more.
            let most = length.map_or(u64::MAX, |length| length.saturating_add(1));
            let mut source = answer.body_mut().with_config().limit(u64::MAX).reader().take(most);
            let mut buffer = vec![0; STEP];
            let mut done = 0;
            loop {
                let count = source.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                target.write_all(&buffer[..count])?;
                done += count as u64;
                progress.set_position(done);
            }
            match length {
                Some(length) if length != done => {
                    Err(format!("{done} bytes came of {length}").into())
                }
                _ => Ok(()),
            }
        });
        progress.finish_and_clear();
        path
    }
}

/// What went wrong, in the user's words.
fn explained(cause: &ureq::Error) -> String {
    match cause {
        ureq::Error::StatusCode(401 | 403) => {
            "the hub refuses it: name your token in HF_TOKEN, and accept the model's terms".into()
        }
        ureq::Error::StatusCode(404) => "the hub has no such model or file".into(),
        cause => format!("the hub does not answer ({cause})"),
    }
}
