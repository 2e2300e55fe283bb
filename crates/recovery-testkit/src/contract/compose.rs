//! What `Compose` promises.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use recovery_core::{
    ServiceName,
    compose::{ComposeDependency, DependencyCondition, ServiceStanding},
    port::{Compose, ComposeError},
};

/// A project with these services, of which only `base` is running, and all others have no container:
///
/// | service | profiles | depends on | image |
/// |---|---|---|---|
/// | `base` | | | there |
/// | `tool` | `tools` | `base`, started | there |
/// | `helper` | `tools`, `more` | `tool`, started | there |
/// | `needy` | `needs` | `gone`, healthy | there |
/// | `gone` | `never` | | there |
/// | `imageless` | `nowhere` | | nowhere to be had |
///
/// Its files demand the variable `DEMANDED`, which its `.env` sets.
#[async_trait]
pub trait ComposeFixture: Send + Sync {
    /// The project.
    fn compose(&self) -> Arc<dyn Compose>;

    /// The same project, seen in another directory than the one that its containers were made from.
    fn elsewhere(&self) -> Arc<dyn Compose>;

    /// The container of a service, in any words that are others when it is made anew, and how it stands.
    async fn container(&self, service: &str) -> Option<(String, ServiceStanding)>;
}

/// What holds while the engine and Compose are there. Leaves `tool` and `helper` stopped.
pub async fn compose(fixture: &dyn ComposeFixture) {
    let compose = fixture.compose();
    assert!(compose.version().await.unwrap().major() >= 2);
    model(compose.as_ref()).await;
    check_env(compose.as_ref()).await;
    changes(fixture).await;
    refusals(fixture).await;
}

async fn model(compose: &dyn Compose) {
    let model = compose.model().await.unwrap();
    let names: Vec<&str> = model.services.keys().map(ServiceName::as_str).collect();
    assert_eq!(names, ["base", "gone", "helper", "imageless", "needy", "tool"], "services of every profile");
    let profiles: Vec<String> = model
        .profiles()
        .into_iter()
        .map(|(profile, services)| {
            format!("{profile}: {}", services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" "))
        })
        .collect();
    assert_eq!(
        profiles,
        ["more: helper", "needs: needy", "never: gone", "nowhere: imageless", "tools: helper tool"]
    );
    let depends_on = |service: &str| model.services[service].depends_on.clone();
    let on =
        |service: &str, condition| ComposeDependency { service: name(service), condition, required: true };
    assert_eq!(depends_on("base"), []);
    assert_eq!(depends_on("tool"), [on("base", DependencyCondition::Started)]);
    assert_eq!(depends_on("needy"), [on("gone", DependencyCondition::Healthy)]);
    assert!(model.services["base"].image.is_some() && !model.services["base"].built);
}

async fn check_env(compose: &dyn Compose) {
    let directory = tempfile::tempdir().unwrap();
    let check = async |text: &str| {
        let candidate = directory.path().join("candidate");
        std::fs::write(&candidate, text).unwrap();
        compose.check_env(&candidate).await
    };
    check("DEMANDED=1\nOTHER='a b'\n").await.expect("it can be read");
    let error =
        check("DEMANDED=1\nSECRET=\"hunter2\nLAST=1\n").await.expect_err("a quote that is not closed");
    assert!(matches!(error, ComposeError::EnvInvalid { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "no value is told: {error:?}");
    let error = check("DEMANDED=1\nSECRET=${}\n").await.expect_err("nothing after the $");
    assert!(matches!(error, ComposeError::EnvInvalid { .. }), "{error:?}");
    let error = check("OTHER=1\n").await.expect_err("what is demanded is not there");
    assert!(
        matches!(&error, ComposeError::VariableMissing { variable } if variable == "DEMANDED"),
        "{error:?}"
    );
    assert!(compose.check_env(Path::new("/dev/null")).await.is_err(), "an empty file lacks it too");
}

async fn changes(fixture: &dyn ComposeFixture) {
    let compose = fixture.compose();
    let base = fixture.container("base").await.expect("base runs");
    let silent = |_| {};
    let output = compose.start(&[name("helper"), name("tool")], &silent).await.expect("what it needs runs");
    assert!(output.contains("tool"), "it says what it did: {output:?}");
    let tool = fixture.container("tool").await.expect("it has a container");
    assert_eq!(tool.1, ServiceStanding::Running);
    assert_eq!(fixture.container("helper").await.unwrap().1, ServiceStanding::Running);
    for other in ["needy", "gone", "imageless"] {
        assert_eq!(fixture.container(other).await, None, "{other} was not named");
    }

    compose.start(&[name("tool")], &silent).await.expect("it runs already");
    assert_eq!(fixture.container("tool").await.unwrap(), tool, "what runs as defined is left alone");

    compose.stop(&[name("tool"), name("helper")], Some(Duration::from_secs(7))).await.unwrap();
    for stopped in ["tool", "helper"] {
        let (_, standing) = fixture.container(stopped).await.expect("its container stays");
        assert!(matches!(standing, ServiceStanding::Exited(_)), "{standing:?}");
    }
    compose.stop(&[name("tool")], None).await.expect("what does not run is left alone");
    compose.stop(&[name("gone")], None).await.expect("so is what has no container");
    assert_eq!(fixture.container("base").await.unwrap(), base, "what they depend on is never touched");
}

async fn refusals(fixture: &dyn ComposeFixture) {
    let compose = fixture.compose();
    let base = fixture.container("base").await;
    let tool = fixture.container("tool").await;
    let silent = |_| {};
    match compose.start(&[name("needy")], &silent).await.expect_err("what it needs is not there") {
        ComposeError::DependencyNotReady(unmet) => {
            assert_eq!((unmet.service, unmet.dependency), (name("needy"), name("gone")));
            assert_eq!(unmet.found, ServiceStanding::Absent);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.container("needy").await, None, "nothing half done");
    assert_eq!(fixture.container("gone").await, None, "what it needs is not started on the way");

    let unknown = [name("bas")];
    for result in [
        compose.start(&unknown, &silent).await.map(drop),
        compose.stop(&unknown, None).await.map(drop),
        compose.pull(&unknown, &silent).await,
    ] {
        let error = result.expect_err("names are compared exactly");
        assert!(
            matches!(&error, ComposeError::UnknownService { service } if *service == unknown[0]),
            "{error:?}"
        );
    }

    for result in [
        compose.start(&[name("imageless")], &silent).await.map(drop),
        compose.pull(&[name("imageless")], &silent).await,
    ] {
        let error = result.expect_err("its image is nowhere");
        assert!(matches!(error, ComposeError::ImageMissing { .. }), "{error:?}");
    }
    assert_eq!(fixture.container("imageless").await, None);

    let elsewhere = fixture.elsewhere();
    for result in
        [elsewhere.start(&[name("tool")], &silent).await, elsewhere.stop(&[name("base")], None).await]
    {
        let error = result.expect_err("its containers were made elsewhere");
        assert!(matches!(error, ComposeError::Elsewhere { .. }), "{error:?}");
    }
    assert_eq!((fixture.container("base").await, fixture.container("tool").await), (base, tool));
    elsewhere.model().await.expect("reading harms nothing");
}

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}
