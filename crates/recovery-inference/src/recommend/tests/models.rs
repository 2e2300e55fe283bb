use std::collections::BTreeSet;

use super::*;
use crate::{
    estimate::{Fit, Room, estimate},
    hardware::number::whole,
};

#[test]
fn the_built_in_list_has_something_for_everybody() {
    let models =
        RecommendedModels::parse(include_str!("../../../../../data/recommended_models.json")).unwrap();
    assert_eq!(models, RecommendedModels::built_in());
    assert!(models.all().len() >= 24, "{}", models.all().len());
    for backend in Backend::ALL {
        assert!(models.filtered(Some(backend), None).count() >= 10, "{backend}");
    }
    for category in Category::ALL {
        let of_category = |model: &&RecommendedModel| model.category == category;
        assert!(models.all().iter().filter(of_category).count() >= 3, "{category:?}");
        assert!(models.filtered(None, Some(8.0)).any(|model| model.category == category), "{category:?}");
    }
    let sizes: BTreeSet<u64> = models.all().iter().map(|model| whole(model.min_vram_gb).unwrap()).collect();
    assert!(
        sizes.first() == Some(&0) && sizes.iter().any(|&gb| gb <= 2) && sizes.last() >= Some(&100),
        "{sizes:?}"
    );
    assert!(models.all().iter().all(|model| model.min_vram_gb <= 140.0));
}

#[test]
fn every_entry_is_whole() {
    for model in RecommendedModels::built_in().all() {
        let name = &model.id;
        let distinct: BTreeSet<_> = model.backends.iter().collect();
        assert_eq!(distinct.len(), model.backends.len(), "{name}");
        assert_eq!(model.ollama_id.is_some(), model.backends.contains(&Backend::Ollama), "{name}");
        let from_hub = model.backends.iter().any(|backend| *backend != Backend::Ollama);
        assert_eq!(model.id.split('/').count() == 2, from_hub, "{name}: Hugging Face's names have an owner");
        assert_eq!(model.needs_no_gpu(), model.min_ram_gb.is_some(), "{name}");
        assert!(!model.needs_no_gpu() || model.backends == [Backend::Ollama], "{name}");
        assert!((20..200).contains(&model.description.len()) && model.description.ends_with('.'), "{name}");
    }
}

#[test]
fn every_size_is_what_the_estimate_says() {
    for model in RecommendedModels::built_in().all() {
        let mut least = f64::INFINITY;
        for &backend in &model.backends {
            let (facts, how) = model.estimated_as(backend).unwrap();
            let need = estimate(&facts, how);
            if let Some(ram) = model.min_ram_gb {
                assert!(need.total_gib() <= ram * 0.7, "{}: {need:?} of {ram} GiB", model.id);
                continue;
            }
            let room = Room::one_gpu(whole(model.min_vram_gb * 1024.0).unwrap(), backend);
            assert!(
                matches!(Fit::of(&facts, how, room), Fit::Fits { .. }),
                "{} for {backend}: {need:?}",
                model.id
            );
            least = least.min(need.total_gib());
        }
        let generous = model.min_vram_gb > least * 1.5 + 1.0;
        assert!(
            model.needs_no_gpu() || !generous,
            "{}: {} GiB, {least} are enough",
            model.id,
            model.min_vram_gb
        );
    }
}

#[test]
fn filters() {
    let models = RecommendedModels::built_in();
    let count = |backend, most| models.filtered(backend, most).count();
    assert_eq!(count(None, None), models.all().len());
    assert!(models.filtered(None, Some(0.0)).all(RecommendedModel::needs_no_gpu));
    assert!(count(None, Some(0.0)) >= 5);
    assert!(count(Some(Backend::Vllm), Some(24.0)) < count(Some(Backend::Vllm), Some(48.0)));
    assert_eq!(count(Some(Backend::Sglang), Some(0.0)), 0);
}

#[test]
fn a_list_that_cannot_be_is_refused_with_its_entry() {
    let entry = |id: &str, rest: &str| {
        format!(
            r#"{{"id": "{id}", "name": "n", "category": "chat", "min_vram_gb": 4, "backends": ["ollama"], "description": "d"{rest}}}"#
        )
    };
    let parse = |entries: &[String]| RecommendedModels::parse(&format!("[{}]", entries.join(",")));
    assert_eq!(parse(&[entry("a", ""), entry("b", r#", "more": 1"#)]).unwrap().all().len(), 2);
    let check = |entries: &[String], expect: &str| {
        let error = parse(entries).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(
        &[entry("a", ""), entry("a", "")],
        "entry 2 of the list of recommended models has the id of another one",
    );
    check(&[entry(" ", "")], "entry 1 of the list of recommended models has no id or no name");
    check(&[entry("a", r#", "parameters_b": -1"#)], "a size that cannot be");
    check(&[entry("a", "").replace(r#"["ollama"]"#, "[]")], "names no backend");
    check(&[entry("a", "").replace("ollama", "tgi")], "no JSON of the expected form");
    check(&["{".to_owned()], "no JSON of the expected form");
}
