//! The sentence at the top of the page and what it proposes, situation by situation.
//!
//! `verdicts.json` holds the situations: the facts when all is well, and for each situation what is otherwise. The
//! page's own module is asked in the page's own browser, so that no other JavaScript engine has to agree with it.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{browser::Page, world};

const SITUATIONS: &str = include_str!("verdicts.json");

#[tokio::test(flavor = "multi_thread")]
async fn each_situation_has_its_sentence() {
    let table: Value = serde_json::from_str(SITUATIONS).unwrap();
    let now = OffsetDateTime::parse(table["now"].as_str().unwrap(), &Rfc3339).unwrap();
    let situations = table["situations"].as_array().unwrap();
    let facts: Vec<Value> = situations
        .iter()
        .map(|situation| {
            let mut facts = table["all_well"].clone();
            facts["now"] = json!(now.unix_timestamp() * 1000);
            for (path, value) in situation["but"].as_object().into_iter().flatten() {
                change(&mut facts, path, value);
            }
            facts
        })
        .collect();

    let world = world();
    let service = world.serve().await;
    service.backup().await;
    // What the table calls facts is what the service says.
    for (part, path) in [("status", "/status"), ("services", "/services/all")] {
        let answer = service.get_json(path).await.assert_ok();
        assert_says(&answer, &table["all_well"][part], part);
    }
    let page = Page::open(&service).await;
    page.until_text("#facts", "PostgreSQL").await;
    let script = "const [facts] = arguments;
        const files = performance.getEntriesByType('resource').map(({ name }) => name);
        return import(files.find((name) => name.endsWith('/verdict.js')))
            .then(({ verdict }) => facts.map(verdict))";
    let verdicts = page.driver.execute(script, vec![json!(facts)]).await.unwrap();
    let verdicts = verdicts.json().as_array().unwrap().clone();
    assert_eq!(verdicts.len(), situations.len());
    let wrong: Vec<String> = situations
        .iter()
        .zip(&verdicts)
        .filter(|(situation, verdict)| situation["says"] != said(verdict))
        .map(|(situation, verdict)| format!("{}: {}", situation["when"], said(verdict)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a verdict says, as the table writes it: level, sentence, what to do, what its button does.
fn said(verdict: &Value) -> Value {
    let action = verdict.get("action").filter(|action| action.is_object()).map(|action| {
        assert!(!action["label"].as_str().unwrap().is_empty(), "{verdict}");
        let words = ["does", "target"].map(|name| action.get(name).and_then(Value::as_str));
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    json!([verdict["level"], verdict["text"], verdict.get("next").unwrap_or(&Value::Null), action])
}

/// Makes a fact otherwise. The path leads through lists by the names of their entries; an object is changed in part.
fn change(facts: &mut Value, path: &str, value: &Value) {
    let place = path.split('.').fold(facts, |place, name| match place {
        Value::Array(list) => list
            .iter_mut()
            .find(|own| own["service"] == name || own["name"] == name)
            .unwrap_or_else(|| panic!("{path} leads nowhere")),
        object => &mut object[name],
    });
    match (place.as_object_mut(), value.as_object()) {
        (Some(place), Some(value)) => place.extend(value.clone()),
        _ => *place = value.clone(),
    }
}

/// Whether an answer of the service has every member that the table makes use of.
fn assert_says(answer: &Value, table: &Value, path: &str) {
    match table {
        Value::Object(members) => {
            for (name, member) in members {
                let own = answer.get(name).unwrap_or_else(|| panic!("no {path}.{name} in {answer}"));
                assert_says(own, member, &format!("{path}.{name}"));
            }
        }
        Value::Array(entries) => {
            for entry in entries {
                let own =
                    |other: &&Value| ["name", "service"].iter().all(|key| other.get(key) == entry.get(key));
                let found = answer.as_array().and_then(|list| list.iter().find(own));
                let own = found.unwrap_or_else(|| panic!("no {entry} in {path}: {answer}"));
                assert_says(own, entry, path);
            }
        }
        _ => {}
    }
}
