//! An engine that stops answering, and one that comes back.

use std::time::Duration;

use recovery_core::{
    compose::ServiceStanding,
    port::{Compose, ComposeError},
};
use recovery_testkit::servers::DockerEngine;

use crate::compose_fixture::{Fixture, SERVICES, names, start};

#[tokio::test]
async fn an_engine_that_hangs_dies_and_comes_back_is_told_and_survived() {
    let mut fixture = Fixture::on(DockerEngine::start(), SERVICES);
    fixture.project.compose(&["up", "--detach", "base"]);
    let base = fixture.inspect("base").unwrap();
    let compose = fixture.with(|settings| settings.patience = Duration::from_secs(2));

    fixture.engine.freeze();
    let error = start(&compose, &["tool"]).await.unwrap_err();
    assert!(matches!(error, ComposeError::EngineUnavailable), "{error:?}");
    compose.model().await.expect("the files can be read all the same");
    fixture.engine.thaw();
    let compose = fixture.cli();
    start(&compose, &["tool"]).await.expect("it answers again");
    assert_eq!(fixture.inspect("base").unwrap(), base);

    fixture.engine.kill_hard();
    let error = compose.stop(&names(&["tool"]), None).await.unwrap_err();
    assert!(matches!(error, ComposeError::EngineUnavailable), "{error:?}");
    fixture.engine.up();
    fixture.project.compose(&["start", "base"]);
    start(&compose, &["tool"]).await.expect("it is there again");
    assert_eq!(fixture.inspect("tool").unwrap().1, ServiceStanding::Running);
}
