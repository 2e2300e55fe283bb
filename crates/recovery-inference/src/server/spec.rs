//! What a backend is: data, so that another one needs no code.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use recovery_core::{ProfileName, ServiceName};
use serde::{Deserialize, Serialize};

/// The name of a backend in requests, answers and the gateway's settings, for example `vllm`: lower-case letters,
/// digits and `-`, beginning with a letter, at most 32 characters. `custom` and `none` are none: they stand for servers
/// that are not looked after here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackendName(String);

/// A text that is not the name of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a backend: such names are made of lower-case letters, digits and `-`")]
pub struct InvalidBackendName;

impl BackendName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackendName {
    type Err = InvalidBackendName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let begins = text.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let reserved = matches!(text, "custom" | "none");
        let is_name = begins && text.len() <= 32 && text.bytes().all(of_name) && !reserved;
        if is_name { Ok(Self(text.to_owned())) } else { Err(InvalidBackendName) }
    }
}

impl TryFrom<String> for BackendName {
    type Error = InvalidBackendName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BackendName> for String {
    fn from(name: BackendName) -> Self {
        name.0
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which interface a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Ollama's own.
    Ollama,
    /// OpenAI's, as vLLM, SGLang and llama.cpp have it.
    OpenAi,
}

/// How a server is asked for the requests that it has in hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum InFlight {
    /// Counters in the text format of Prometheus, summed over their labels.
    Metrics {
        /// The path, for example `/metrics`.
        path: String,
        /// Their names: what runs and what waits.
        counters: Vec<String>,
        /// The name of the one that counts the tokens that were made, where there is one.
        #[serde(default)]
        tokens: Option<String>,
    },
    /// It does not count: it is told to put its models away, which it does when nobody uses them.
    Unload,
}

/// A server of language models that the platform can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendSpec {
    name: BackendName,
    label: String,
    profile: ProfileName,
    service: ServiceName,
    address: String,
    dialect: Dialect,
    health: String,
    in_flight: InFlight,
    model_variable: Option<String>,
    stop_grace: Duration,
}

impl BackendSpec {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &BackendName {
        &self.name
    }

    /// Its name as its makers write it, for people.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The Compose profile that it belongs to.
    #[must_use]
    pub fn profile(&self) -> &ProfileName {
        &self.profile
    }

    /// Its service in the Compose file.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Where it is reached, without a slash at the end, for example `http://nova-vllm:8000`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Which interface it has.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether it fetches models when it is asked to; others have the one that they were started with.
    #[must_use]
    pub fn fetches_models(&self) -> bool {
        self.dialect == Dialect::Ollama
    }

    /// The path that tells whether it answers.
    #[must_use]
    pub fn health(&self) -> &str {
        &self.health
    }

    /// How it is asked for the requests that it has in hand.
    #[must_use]
    pub fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// The variable of the `.env` that names its model; `None` where it is not chosen there.
    #[must_use]
    pub fn model_variable(&self) -> Option<&str> {
        self.model_variable.as_deref()
    }

    /// How long it may take to stop when it is told to.
    #[must_use]
    pub fn stop_grace(&self) -> Duration {
        self.stop_grace
    }
}

/// What the configuration says of one backend: what is left out stays as it is built in, or, of a backend that is not
/// built in, is as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpecChanges {
    /// Its name for people; otherwise its name.
    pub label: Option<String>,
    /// Its Compose profile; otherwise `local-` and its name.
    pub profile: Option<ProfileName>,
    /// Its service in the Compose file; otherwise its name.
    pub service: Option<ServiceName>,
    /// Where it is reached: `http://host:port`. Must be said of one that is not built in.
    pub address: Option<String>,
    /// Which interface it has; otherwise that of OpenAI.
    pub dialect: Option<Dialect>,
    /// The path that tells whether it answers; otherwise `/health`.
    pub health: Option<String>,
    /// How it is asked for the requests that it has in hand. Must be said of one that is not built in.
    pub in_flight: Option<InFlight>,
    /// The variable of the `.env` that names its model; empty for none.
    pub model_variable: Option<String>,
    /// How many seconds it may take to stop; otherwise 30.
    pub stop_grace_s: Option<u64>,
}

/// A description of a backend that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the backend {backend} cannot be used: {field} {why}")]
pub struct InvalidBackend {
    /// Which one.
    pub backend: BackendName,
    /// What is wrong.
    pub field: &'static str,
    /// Why.
    pub why: &'static str,
}

/// All backends, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backends(BTreeMap<BackendName, BackendSpec>);

impl Default for Backends {
    /// Those that are built in.
    fn default() -> Self {
        Self::configured(BTreeMap::new()).unwrap_or(Self(BTreeMap::new()))
    }
}

impl Backends {
    /// Those that are built in, as the configuration changes them, and those that it adds.
    ///
    /// # Errors
    /// A description lacks something, is not valid, or two backends have one service or address.
    pub fn configured(changes: BTreeMap<BackendName, SpecChanges>) -> Result<Self, InvalidBackend> {
        let mut described = builtin();
        for (name, changes) in changes {
            let merged = match described.remove(&name) {
                Some(known) => changes.over(known),
                None => changes,
            };
            described.insert(name, merged);
        }
        let mut all = BTreeMap::<BackendName, BackendSpec>::new();
        for (name, description) in described {
            let spec = description.check(name.clone())?;
            let refuse = |field, why| Err(InvalidBackend { backend: name.clone(), field, why });
            if all.values().any(|other| other.service == spec.service) {
                return refuse("service", "is that of another backend");
            }
            // Requests are told apart by it.
            if all.values().any(|other| other.address == spec.address) {
                return refuse("address", "is that of another backend");
            }
            all.insert(name, spec);
        }
        Ok(Self(all))
    }

    /// The backend of this name.
    #[must_use]
    pub fn get(&self, name: &BackendName) -> Option<&BackendSpec> {
        self.0.get(name)
    }

    /// Every backend, by name.
    pub fn iter(&self) -> impl Iterator<Item = &BackendSpec> {
        self.0.values()
    }

    /// The backend of this service.
    #[must_use]
    pub fn of_service(&self, service: &ServiceName) -> Option<&BackendSpec> {
        self.0.values().find(|spec| spec.service == *service)
    }

    /// The backend of this profile.
    #[must_use]
    pub fn of_profile(&self, profile: &ProfileName) -> Option<&BackendSpec> {
        self.0.values().find(|spec| spec.profile == *profile)
    }
}

impl SpecChanges {
    /// These changes, and where they say nothing what was known.
    fn over(self, known: Self) -> Self {
        Self {
            label: self.label.or(known.label),
            profile: self.profile.or(known.profile),
            service: self.service.or(known.service),
            address: self.address.or(known.address),
            dialect: self.dialect.or(known.dialect),
            health: self.health.or(known.health),
            in_flight: self.in_flight.or(known.in_flight),
            model_variable: self.model_variable.or(known.model_variable),
            stop_grace_s: self.stop_grace_s.or(known.stop_grace_s),
        }
    }

    fn check(self, name: BackendName) -> Result<BackendSpec, InvalidBackend> {
        let refuse = |field, why| InvalidBackend { backend: name.clone(), field, why };
        let dialect = self.dialect.unwrap_or(Dialect::OpenAi);
        let address = self.address.ok_or_else(|| refuse("address", "is missing"))?;
        let address = address.trim_end_matches('/').to_owned();
        if !is_address(&address) {
            return Err(refuse("address", "must be http://host:port"));
        }
        let health = self.health.unwrap_or_else(|| "/health".to_owned());
        if !is_path(&health) {
            return Err(refuse("health", "must be a path that begins with /"));
        }
        let in_flight = self.in_flight.ok_or_else(|| refuse("in_flight", "is missing"))?;
        match &in_flight {
            InFlight::Metrics { path, .. } if !is_path(path) => {
                return Err(refuse("in_flight", "must have a path that begins with /"));
            }
            InFlight::Metrics { counters, .. }
                if counters.is_empty() || !counters.iter().all(|counter| is_counter(counter)) =>
            {
                return Err(refuse("in_flight", "must name counters"));
            }
            InFlight::Metrics { tokens: Some(tokens), .. } if !is_counter(tokens) => {
                return Err(refuse("in_flight", "must name a counter of tokens, or none"));
            }
            InFlight::Unload if dialect != Dialect::Ollama => {
                return Err(refuse("in_flight", "can be unload only where the dialect is ollama"));
            }
            _ => {}
        }
        let model_variable = self.model_variable.filter(|variable| !variable.is_empty());
        if model_variable.as_deref().is_some_and(|variable| !is_variable(variable)) {
            return Err(refuse("model_variable", "must be the name of a variable, such as VLLM_MODEL"));
        }
        let stop_grace_s = self.stop_grace_s.unwrap_or(30);
        if !(1..=3600).contains(&stop_grace_s) {
            return Err(refuse("stop_grace_s", "must be 1 to 3600"));
        }
        let named = |text: String| {
            text.parse().map_err(|_| refuse("profile", "is missing, and cannot be made of the name"))
        };
        let service = match self.service {
            Some(service) => service,
            None => name.as_str().parse().map_err(|_| refuse("service", "is missing"))?,
        };
        Ok(BackendSpec {
            label: self.label.unwrap_or_else(|| name.to_string()),
            profile: self.profile.map_or_else(|| named(format!("local-{name}")), Ok)?,
            service,
            address,
            dialect,
            health,
            in_flight,
            model_variable,
            stop_grace: Duration::from_secs(stop_grace_s),
            name,
        })
    }
}

fn is_address(text: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(text) else { return false };
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    url.scheme() == "http"
        && url.host_str().is_some()
        && bare
        && url.username().is_empty()
        && url.password().is_none()
}

fn is_path(text: impl AsRef<str>) -> bool {
    let text = text.as_ref();
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
}

fn is_counter(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
}

fn is_variable(text: &str) -> bool {
    !text.bytes().next().is_some_and(|first| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The three of the platform.
fn builtin() -> BTreeMap<BackendName, SpecChanges> {
    let metrics = |counters: [&str; 2], tokens: &str| InFlight::Metrics {
        path: "/metrics".to_owned(),
        counters: counters.map(str::to_owned).to_vec(),
        tokens: Some(tokens.to_owned()),
    };
    let of = |name: &str, label: &str, service: &str, address: &str, in_flight| {
        let changes = SpecChanges {
            label: Some(label.to_owned()),
            service: service.parse().ok(),
            address: Some(address.to_owned()),
            in_flight: Some(in_flight),
            ..SpecChanges::default()
        };
        (BackendName(name.to_owned()), changes)
    };
    let mut all = BTreeMap::from([
        of("ollama", "Ollama", "ollama", "http://ollama:11434", InFlight::Unload),
        of(
            "vllm",
            "vLLM",
            "nova-vllm",
            "http://nova-vllm:8000",
            metrics(
                ["vllm:num_requests_running", "vllm:num_requests_waiting"],
                "vllm:generation_tokens_total",
            ),
        ),
        of(
            "sglang",
            "SGLang",
            "nova-sglang",
            "http://nova-sglang:8000",
            metrics(["sglang:num_running_reqs", "sglang:num_queue_reqs"], "sglang:generation_tokens_total"),
        ),
    ]);
    for (name, changes) in &mut all {
        match name.as_str() {
            "ollama" => {
                changes.dialect = Some(Dialect::Ollama);
                changes.health = Some("/api/version".to_owned());
            }
            "vllm" => changes.model_variable = Some("VLLM_MODEL".to_owned()),
            // Told to stop, it finishes what it has, however long that takes.
            _ => {
                changes.model_variable = Some("SGLANG_MODEL".to_owned());
                changes.stop_grace_s = Some(60);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
