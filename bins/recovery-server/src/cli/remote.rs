//! The commands through a running service, over HTTP.

use std::{collections::BTreeMap, path::Path, time::Duration};

use async_trait::async_trait;
use recovery_core::{BackupName, ErrorCode, Operation, OperationId, Problem, problem::FieldError};
use recovery_reset::CONFIRMATION;
use reqwest::{
    Client, Method, RequestBuilder, StatusCode, Url,
    header::{HeaderMap, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    backend::{Backend, Task},
    failure::Failure,
    inference::InferenceOrder,
    reset::ResetOrder,
    view::{Backup, Contents, Restore, Status},
};

/// A longer answer is not from the service.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// How long an upload may take.
const LONGEST_UPLOAD: Duration = Duration::from_secs(24 * 3600);

/// A running service.
pub(super) struct Remote {
    client: Client,
    base: Url,
}

impl Remote {
    /// The service at this address. Nothing is sent yet.
    ///
    /// # Errors
    /// The address or the secret cannot be used.
    pub(super) fn new(url: &str, secret: Option<&SecretString>) -> Result<Self, Failure> {
        let base = base_of(url)?;
        let mut headers = HeaderMap::new();
        if let Some(secret) = secret {
            let mut value = HeaderValue::from_str(secret.expose_secret())
                .map_err(|_| Failure::usage("The admin secret holds characters that HTTP cannot carry."))?;
            value.set_sensitive(true);
            headers.insert("x-admin-secret", value);
        }
        let client = Client::builder()
            .default_headers(headers)
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            // Neither a proxy of the environment nor a redirection is to see the secret.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Failure::unavailable("HTTP cannot be used.").caused_by(&error))?;
        Ok(Self { client, base })
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Failure> {
        self.send(self.request(Method::GET, path)).await
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let lost = |error: reqwest::Error| {
            let detail = format!("The service at {} does not answer.", self.base);
            Failure::unavailable(detail)
                .hint("Check the address, and that the service runs; without --url this works directly.")
                .caused_by(&error.without_url())
        };
        let mut answer = request.send().await.map_err(lost)?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(lost)? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(self.not_understood(status));
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            serde_json::from_slice(&bytes).map_err(|error| self.not_understood(status).caused_by(&error))
        } else {
            match serde_json::from_slice::<WireProblem>(&bytes) {
                Ok(problem) => Err(problem.into_failure(status)),
                Err(error) => Err(self.not_understood(status).caused_by(&error)),
            }
        }
    }

    /// Begins a change of the servers of language models. The answer names its operation, unless that has ended already.
    async fn begin_inference(&self, order: &InferenceOrder) -> Result<OperationId, Failure> {
        #[derive(Deserialize)]
        struct Begun {
            operation_id: Option<OperationId>,
        }
        #[derive(Deserialize)]
        struct Listed {
            id: OperationId,
            kind: String,
        }
        let mut path = vec!["inference", "backend"];
        path.extend(order.path.iter().map(String::as_str));
        let mut request = self.request(Method::POST, &path);
        if let Some(seconds) = order.drain.drain_timeout {
            request = request.query(&[("drain_timeout", seconds)]);
        }
        if let Some(model) = &order.model {
            request = request.json(&json!({ "model": model }));
        }
        if let Some(id) = self.send::<Begun>(request).await?.operation_id {
            return Ok(id);
        }
        let listed: Vec<Listed> = self.get(&["operations"]).await?;
        let newest = listed.into_iter().find(|operation| operation.kind == order.kind.as_str());
        newest.map(|operation| operation.id).ok_or_else(|| self.not_understood(StatusCode::OK))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // `base_of` has made sure that it has path segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1", "recovery"]).extend(path);
        }
        url
    }

    fn not_understood(&self, status: StatusCode) -> Failure {
        let detail = format!(
            "What answers at {} does not speak like the recovery service (status {}).",
            self.base,
            status.as_u16()
        );
        Failure::unavailable(detail)
            .hint("Check the address, and that both programs are of the same version.")
    }
}

/// The admin secret in a file: its first line.
///
/// # Errors
/// The file cannot be read, or is empty.
pub(super) fn secret_of_file(path: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("The secret file {} cannot be read.", path.display())).caused_by(&error)
    })?;
    match text.lines().next().map(str::trim) {
        Some(secret) if !secret.is_empty() => Ok(secret.into()),
        _ => Err(Failure::usage(format!("The secret file {} is empty.", path.display()))),
    }
}

/// Checks the address of a service.
fn base_of(url: &str) -> Result<Url, Failure> {
    let example = "Write it like http://127.0.0.1:8888.";
    let base =
        Url::parse(url).map_err(|_| Failure::usage("The value of --url is not a URL.").hint(example))?;
    if base.scheme() == "https" {
        return Err(Failure::usage("The command line does not speak TLS: an https:// address cannot be used.").hint(
            "Run the command on the host of the service, or through a tunnel (ssh -L 8888:127.0.0.1:8888 HOST), \
             with an http:// address.",
        ));
    }
    let is_plain = base.scheme() == "http"
        && base.has_host()
        && base.username().is_empty()
        && base.password().is_none()
        && base.query().is_none()
        && base.fragment().is_none();
    if is_plain {
        Ok(base)
    } else {
        Err(Failure::usage("The value of --url is not the address of a service.").hint(example))
    }
}

/// An error as it comes over HTTP. A code that this version does not know is told by its status.
#[derive(Deserialize)]
struct WireProblem {
    code: Value,
    detail: String,
    hint: Option<String>,
    #[serde(default)]
    errors: Vec<FieldError>,
    operation_id: Option<OperationId>,
}

impl WireProblem {
    fn into_failure(self, status: StatusCode) -> Failure {
        let code = serde_json::from_value(self.code).unwrap_or(match status {
            StatusCode::NOT_FOUND => ErrorCode::NotFound,
            StatusCode::CONFLICT => ErrorCode::Busy,
            StatusCode::SERVICE_UNAVAILABLE => ErrorCode::DependencyUnavailable,
            _ => ErrorCode::Internal,
        });
        let hint = match code {
            ErrorCode::Unauthorized | ErrorCode::CredentialsRequired => {
                Some("Set ADMIN_SECRET to the service's admin secret, or name a file that holds it with --secret-file.".to_owned())
            }
            _ => self.hint,
        };
        let Self { detail, errors, operation_id, .. } = self;
        Problem { code, detail, hint, errors, operation_id }.into()
    }
}

#[async_trait(?Send)]
impl Backend for Remote {
    async fn backups(&self) -> Result<Vec<Backup>, Failure> {
        self.get(&["backups"]).await
    }

    async fn contents(&self, backup: &BackupName) -> Result<Option<Contents>, Failure> {
        let manifest: Value = self.get(&["backups", backup.as_str()]).await?;
        Ok(serde_json::from_value(manifest).ok())
    }

    async fn delete(&self, backup: &BackupName) -> Result<(), Failure> {
        self.send::<Value>(self.request(Method::DELETE, &["backups", backup.as_str()])).await.map(drop)
    }

    async fn set_pinned(&self, backup: &BackupName, pinned: bool) -> Result<Backup, Failure> {
        let action = if pinned { "pin" } else { "unpin" };
        self.send(self.request(Method::POST, &["backups", backup.as_str(), action])).await
    }

    async fn restores(&self) -> Result<Vec<Restore>, Failure> {
        self.get(&["restores"]).await
    }

    async fn status(&self) -> Result<Status, Failure> {
        self.get(&["status"]).await
    }

    async fn environment(&self) -> Result<BTreeMap<String, String>, Failure> {
        self.get(&["env"]).await
    }

    async fn change_environment(
        &self,
        updates: Vec<(String, SecretString)>,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let updates: BTreeMap<&str, &str> =
            updates.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        self.send(self.request(Method::PATCH, &["env"]).json(&json!({ "updates": updates }))).await
    }

    async fn kept_by_default(&self) -> Result<Vec<String>, Failure> {
        #[derive(Deserialize)]
        struct Category {
            key: String,
            default_keep: bool,
        }
        let categories: Vec<Category> = self.get(&["factory-reset", "categories"]).await?;
        let kept = categories.into_iter().filter(|category| category.default_keep);
        Ok(kept.map(|category| category.key).collect())
    }

    async fn preview_reset(&self, order: &ResetOrder, exact: bool) -> Result<Value, Failure> {
        let mut body = json!(order);
        if let Some(body) = body.as_object_mut() {
            body.insert("exact".to_owned(), json!(exact));
        }
        self.send(self.request(Method::POST, &["factory-reset", "preview"]).json(&body)).await
    }

    async fn inference(&self) -> Result<Value, Failure> {
        self.get(&["inference", "backend"]).await
    }

    async fn begin(&self, task: &Task) -> Result<OperationId, Failure> {
        #[derive(Deserialize)]
        struct Begun {
            id: OperationId,
        }
        let post = |path: &[&str]| self.request(Method::POST, path).header("prefer", "respond-async");
        let request = match task {
            Task::Inference(order) => return self.begin_inference(order).await,
            Task::Backup => post(&["backups"]),
            Task::Verify(name, level) => {
                post(&["backups", name.as_str(), "verify"]).json(&json!({ "level": level }))
            }
            Task::Restore(name) => post(&["backups", name.as_str(), "restore"]),
            Task::Rollback(restore) => post(&["restores", &restore.to_string(), "rollback"]),
            Task::Reset(order) => {
                let mut body = json!(order);
                if let Some(body) = body.as_object_mut() {
                    body.insert("confirm".to_owned(), json!(CONFIRMATION));
                }
                post(&["factory-reset"]).json(&body)
            }
            Task::Upload(path, name) => {
                let (file, size) = super::file::open(path).await?;
                let mut request = post(&["backups", "upload"])
                    .header("content-type", "application/x-tar")
                    .header("content-length", size)
                    // However long it takes: the service gives up where nothing arrives.
                    .timeout(LONGEST_UPLOAD)
                    .body(reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(file)));
                if let Some(name) = name {
                    request = request.query(&[("filename", name.as_str())]);
                }
                request
            }
        };
        self.send::<Begun>(request).await.map(|begun| begun.id)
    }

    async fn operation(&self, id: OperationId) -> Result<Operation, Failure> {
        let mut answer: Value = self.get(&["operations", &id.to_string()]).await?;
        if let Some(progress) = answer.get_mut("progress").and_then(Value::as_object_mut)
            && let (Some(done), Some(total)) =
                (progress.remove("tables_done"), progress.remove("tables_total"))
        {
            progress.insert("tables".to_owned(), json!([done, total]));
        }
        serde_json::from_value(answer).map_err(|error| self.not_understood(StatusCode::OK).caused_by(&error))
    }

    async fn cancel(&self, id: OperationId) -> Result<(), Failure> {
        let path = ["operations", &id.to_string(), "cancel"];
        self.send::<Value>(self.request(Method::POST, &path)).await.map(drop)
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(300)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Status as Exit;

    #[test]
    fn addresses_are_plain_http() {
        let check = |url: &str, expect: &str| {
            let text = match Remote::new(url, None) {
                Ok(remote) => remote.url(&["backups", "x y"]).to_string(),
                Err(failure) => failure.problem.detail,
            };
            assert!(text.contains(expect), "{url}: {text}");
        };
        check("http://127.0.0.1:8888", "http://127.0.0.1:8888/api/v1/recovery/backups/x%20y");
        check("http://[::1]:8888/", "http://[::1]:8888/api/v1/recovery/backups/x%20y");
        check("http://nova/recovery/", "http://nova/recovery/api/v1/recovery/backups/x%20y");
        check("https://nova", "does not speak TLS");
        check("127.0.0.1:8888", "not a URL");
        check("nova:8888", "not the address of a service");
        check("http://user:hunter2@nova", "not the address of a service");
        check("ftp://nova", "not the address of a service");
        check("http://nova/?a=b", "not the address of a service");
    }

    #[test]
    fn the_secret_is_the_first_line_of_its_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(secret_of_file(file.path()).unwrap_err().status, Exit::Usage);
        std::fs::write(file.path(), "s3cret-of-nova\n").unwrap();
        assert_eq!(secret_of_file(file.path()).unwrap().expose_secret(), "s3cret-of-nova");
        assert_eq!(secret_of_file(Path::new("/does/not/exist")).unwrap_err().status, Exit::Usage);
    }

    #[test]
    fn errors_of_the_service_keep_their_meaning() {
        let check = |status: u16, body: Value, expect: Exit| {
            let problem: WireProblem = serde_json::from_value(body).unwrap();
            assert_eq!(problem.into_failure(StatusCode::from_u16(status).unwrap()).status, expect);
        };
        check(409, json!({"code": "busy", "detail": "A restore is running."}), Exit::Busy);
        check(404, json!({"code": "not_found", "detail": "x"}), Exit::NotFound);
        check(422, json!({"code": "backup_damaged", "detail": "x"}), Exit::Damaged);
        check(503, json!({"code": "of_a_later_version", "detail": "x"}), Exit::Unavailable);
        check(401, json!({"code": "unauthorized", "detail": "x"}), Exit::Failed);
    }
}
