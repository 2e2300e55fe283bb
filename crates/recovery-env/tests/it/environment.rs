//! What may be seen and changed, over a file in memory.

use std::sync::Arc;

use recovery_core::{
    ErrorCode, Problem,
    port::{EnvFile as _, EnvVersion},
};
use recovery_env::{EnvError, Environment, Expected, Shown};
use recovery_testkit::{EnvFilePoint, MemoryEnvFile};

const SAMPLE: &str = "# Nova\n\
    POSTGRES_PASSWORD=hunter2hunter2\n\
    LOG_LEVEL=info # for now\n\
    HF_TOKEN=hf_abcdefghijklmnop\n\
    TAILSCALE_AUTHKEY=\n\
    OPENAI_API_KEY='sk-very-secret-key'\n\
    COMPOSE_PROFILES=bridges,website\n";

fn over(content: &str) -> (MemoryEnvFile, Environment) {
    let file = MemoryEnvFile::new(content);
    (file.clone(), Environment::new(Arc::new(file)))
}

async fn update(
    environment: &Environment,
    updates: &[(&str, &str)],
    expected: &Expected,
) -> Result<Shown, EnvError> {
    let updates = updates.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned().into()));
    environment.update(updates.collect(), expected).await
}

fn pairs(shown: &Shown) -> Vec<(&str, &str)> {
    shown.values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn only_what_may_be_seen_and_stands_there_is_shown() {
    let (_, environment) = over(SAMPLE);
    assert_eq!(
        pairs(&environment.show().await.unwrap()),
        [
            ("COMPOSE_PROFILES", "bridges,website"),
            ("HF_TOKEN", "hf_a...mnop"),
            ("LOG_LEVEL", "info"),
            ("TAILSCALE_AUTHKEY", ""),
        ]
    );
}

#[tokio::test]
async fn a_change_touches_its_own_bytes_alone() {
    let (file, environment) = over(SAMPLE);
    let changes =
        [("LOG_LEVEL", "debug"), ("HF_TOKEN", "hf_0123456789abcdef"), ("VLLM_MODEL", "Qwen/Qwen3 8B")];
    let shown = update(&environment, &changes, &Expected::Any).await.unwrap();
    assert_eq!(
        pairs(&shown),
        [("HF_TOKEN", "hf_0...cdef"), ("LOG_LEVEL", "debug"), ("VLLM_MODEL", "Qwen/Qwen3 8B")]
    );
    let expect = SAMPLE
        .replace("LOG_LEVEL=info", "LOG_LEVEL=debug")
        .replace("hf_abcdefghijklmnop", "hf_0123456789abcdef")
        + "VLLM_MODEL='Qwen/Qwen3 8B'\n";
    assert_eq!(file.text(), expect);
    assert_eq!(shown.version, file.read().await.unwrap().version);
}

#[tokio::test]
async fn a_mask_sent_back_changes_nothing() {
    let (file, environment) = over("HF_TOKEN=hf_abcdefghijklmnop\nTAILSCALE_AUTHKEY=short\nLOG_LEVEL=a\n");
    for mask in ["hf_a...mnop", "****", "abcd...efgh"] {
        let changes = [("HF_TOKEN", mask), ("TAILSCALE_AUTHKEY", "****")];
        let shown = update(&environment, &changes, &Expected::Any).await.unwrap();
        assert_eq!(pairs(&shown), [("HF_TOKEN", "hf_a...mnop"), ("TAILSCALE_AUTHKEY", "****")]);
    }
    assert!(file.replaced().is_empty());
    // Only secrets have masks, and an empty value is none.
    update(&environment, &[("LOG_LEVEL", "****"), ("HF_TOKEN", "")], &Expected::Any).await.unwrap();
    assert_eq!(file.text(), "HF_TOKEN=\nTAILSCALE_AUTHKEY=short\nLOG_LEVEL='****'\n");
    // Where no secret stands, none is written.
    let (file, environment) = over("LOG_LEVEL=a\n");
    let shown = update(&environment, &[("HF_TOKEN", "****")], &Expected::Any).await.unwrap();
    assert!(shown.values.is_empty() && file.replaced().is_empty());
}

async fn check_refused(updates: &[(&str, &str)], code: ErrorCode, words: &str) {
    let (file, environment) = over(SAMPLE);
    let mut with_a_good_one = vec![("LOG_LEVEL", "debug")];
    with_a_good_one.extend(updates);
    let error = update(&environment, &with_a_good_one, &Expected::Any).await.unwrap_err();
    let problem = Problem::from(error);
    assert_eq!(problem.code, code, "{problem:?}");
    let all = format!("{problem:?}");
    assert!(all.contains(words), "{words} in {all}");
    assert!(!all.contains("hunter2") && !all.contains("s3cret"), "{all}");
    assert!(file.replaced().is_empty(), "nothing is written");
}

#[tokio::test]
async fn what_may_not_be_changed_is_refused_and_nothing_is_written() {
    check_refused(&[("PATH", "s3cret")], ErrorCode::InvalidRequest, "PATH cannot be changed here").await;
    for secret in ["OPENAI_API_KEY", "TELEGRAM_BOT_TOKEN", "GOOGLE_CLIENT_SECRET", "POSTGRES_PASSWORD"] {
        check_refused(&[(secret, "s3cret")], ErrorCode::InvalidRequest, "secret store").await;
    }
    check_refused(&[("LOG LEVEL", "s3cret")], ErrorCode::InvalidRequest, "not the name of a variable").await;
    check_refused(&[("log_level", "x")], ErrorCode::InvalidRequest, "updates.log_level").await;
    for bad in ["s3cret\nB=1", "s3cret\r", "s3cret\0"] {
        check_refused(&[("VLLM_MODEL", bad)], ErrorCode::InvalidBody, "updates.VLLM_MODEL").await;
    }
    check_refused(&[("VLLM_MODEL", &"s".repeat(40_000))], ErrorCode::InvalidBody, "32768").await;
}

#[tokio::test]
async fn a_file_that_compose_refuses_is_told_by_its_line() {
    let (file, environment) = over("A=1\nHF_TOKEN=\"hunter2\nB=2\n");
    let problem = Problem::from(environment.show().await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::Conflict);
    assert_eq!(
        problem.detail,
        "The .env file cannot be understood, by Docker Compose neither: line 2: a quote is not closed."
    );
    let problem =
        Problem::from(update(&environment, &[("LOG_LEVEL", "x")], &Expected::Any).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::Conflict);
    assert!(file.replaced().is_empty());
}

#[tokio::test]
async fn a_change_that_another_line_cannot_bear_is_refused() {
    let text = "LOG_LEVEL=info\nOTHER=${LOG_LEVEL:?s3cret}\n";
    let (file, environment) = over(text);
    let problem =
        Problem::from(update(&environment, &[("LOG_LEVEL", "")], &Expected::Any).await.unwrap_err());
    assert_eq!(problem.code, ErrorCode::EnvironmentRefused);
    assert!(!format!("{problem:?}").contains("s3cret"), "{problem:?}");
    assert_eq!(file.text(), text);
}

#[tokio::test]
async fn a_change_is_meant_for_the_content_that_was_seen() {
    let (file, environment) = over("LOG_LEVEL=info\n");
    let seen = environment.show().await.unwrap().version;
    let expected = Expected::OneOf(vec![EnvVersion::new("another"), seen.clone()]);
    let shown = update(&environment, &[("LOG_LEVEL", "debug")], &expected).await.unwrap();
    assert_ne!(shown.version, seen);
    let late = update(&environment, &[("LOG_LEVEL", "trace")], &expected).await.unwrap_err();
    assert_eq!(Problem::from(late).code, ErrorCode::PreconditionFailed);
    let never = update(&environment, &[("LOG_LEVEL", "trace")], &Expected::OneOf(vec![])).await.unwrap_err();
    assert!(matches!(never, EnvError::NotExpected));
    assert_eq!(file.text(), "LOG_LEVEL=debug\n");
}

#[tokio::test]
async fn a_change_is_made_anew_on_what_somebody_else_wrote_meanwhile() {
    let (file, environment) = over("LOG_LEVEL=info\n");
    let mut hold = file.faults().hold_next(EnvFilePoint::Replace);
    let changes = [("LOG_LEVEL", "debug")];
    let updating = update(&environment, &changes, &Expected::Any);
    let meddling = async {
        hold.reached().await;
        file.put("# by hand\nLOG_LEVEL=warn\nB=1\n");
        hold.release();
    };
    let (updated, ()) = tokio::join!(updating, meddling);
    updated.unwrap();
    assert_eq!(file.text(), "# by hand\nLOG_LEVEL=debug\nB=1\n");

    // Who said what was to stand there is not overruled.
    let seen = Expected::OneOf(vec![environment.show().await.unwrap().version]);
    let mut hold = file.faults().hold_next(EnvFilePoint::Replace);
    let changes = [("LOG_LEVEL", "trace")];
    let updating = update(&environment, &changes, &seen);
    let meddling = async {
        hold.reached().await;
        file.put("LOG_LEVEL=error\n");
        hold.release();
    };
    let (updated, ()) = tokio::join!(updating, meddling);
    assert!(matches!(updated, Err(EnvError::NotExpected)), "{updated:?}");
    assert_eq!(file.text(), "LOG_LEVEL=error\n");
}

#[tokio::test]
async fn the_service_changes_its_own_variables_as_it_finds_them() {
    let (file, environment) = over("COMPOSE_PROFILES=bridges\n");
    let key = "COMPOSE_PROFILES".parse().unwrap();
    let add = |now: Option<String>| format!("{},website", now.unwrap_or_default());
    environment.change(&key, add).await.unwrap();
    assert_eq!(file.text(), "COMPOSE_PROFILES=bridges,website\n");
}
