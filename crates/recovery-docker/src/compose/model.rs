//! What `docker compose config --format json` prints, as far as it matters here. It holds every secret of the project:
//! nothing of it is kept but names.

use std::collections::BTreeMap;

use recovery_core::{
    ServiceName,
    compose::{ComposeDependency, ComposeModel, ComposeService, DependencyCondition},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(default)]
    profiles: Vec<String>,
    image: Option<String>,
    build: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    #[serde(default)]
    condition: String,
    required: Option<bool>,
}

/// Reads it; the error says what is wrong without repeating anything of it.
pub(super) fn parse(json: &[u8]) -> Result<ComposeModel, String> {
    let config: Config = serde_json::from_slice(json).map_err(|error| {
        format!("not the expected JSON (line {}, column {})", error.line(), error.column())
    })?;
    let services = config.services.into_iter().filter_map(|(name, service)| {
        // A name that the service knows no form of (Compose allows nearly everything) is nothing to be worked with.
        let name: ServiceName = name.parse().ok()?;
        Some((name, service.into()))
    });
    Ok(ComposeModel { services: services.collect() })
}

impl From<Service> for ComposeService {
    fn from(service: Service) -> Self {
        let depends_on = service.depends_on.into_iter().filter_map(|(name, dependency)| {
            Some(ComposeDependency {
                service: name.parse().ok()?,
                condition: match dependency.condition.as_str() {
                    "service_healthy" => DependencyCondition::Healthy,
                    "service_completed_successfully" => DependencyCondition::Completed,
                    _ => DependencyCondition::Started,
                },
                required: dependency.required.unwrap_or(true),
            })
        });
        Self {
            profiles: service.profiles.iter().filter_map(|profile| profile.parse().ok()).collect(),
            image: service.image,
            built: service.build.is_some(),
            depends_on: depends_on.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_profiles_images_and_dependencies_are_read_and_nothing_else() {
        let model = parse(
            br#"{"name": "nova", "services": {
                "web": {"image": "acme/web:1", "environment": {"PASSWORD": "hunter2"}, "networks": {"default": null},
                    "depends_on": {
                        "db": {"condition": "service_healthy", "required": true, "restart": true},
                        "init": {"condition": "service_completed_successfully", "required": true},
                        "cache": {"condition": "service_started", "required": false}}},
                "db": {"image": "postgres:17", "build": {"context": "/srv/nova", "dockerfile": "Dockerfile"}},
                "tool": {"profiles": ["tools", "more"], "image": "debian"},
                "not a name": {"image": "x"}},
              "networks": {"default": {"name": "nova_default"}}}"#,
        )
        .unwrap();
        let names: Vec<&str> = model.services.keys().map(ServiceName::as_str).collect();
        assert_eq!(names, ["db", "tool", "web"]);
        let web = &model.services["web"];
        let needs: Vec<_> = web
            .depends_on
            .iter()
            .map(|needed| (needed.service.as_str(), needed.condition, needed.required))
            .collect();
        assert_eq!(
            needs,
            [
                ("cache", DependencyCondition::Started, false),
                ("db", DependencyCondition::Healthy, true),
                ("init", DependencyCondition::Completed, true),
            ]
        );
        assert_eq!((web.image.as_deref(), web.built), (Some("acme/web:1"), false));
        assert!(model.services["db"].built);
        assert_eq!(model.services["tool"].profiles.len(), 2);
        assert!(!format!("{model:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_no_model_is_refused_without_a_word_of_it() {
        for json in [
            "",
            "hunter2",
            "[1]",
            r#"{"services": {"web": "hunter2"}}"#,
            r#"{"services": {"web": {"image": ["hunter2"]}}}"#,
        ] {
            let error = parse(json.as_bytes()).unwrap_err();
            assert!(error.starts_with("not the expected JSON") && !error.contains("hunter2"), "{error}");
        }
        assert_eq!(parse(br#"{"name": "nova"}"#).unwrap(), ComposeModel::default());
    }
}
