//! JSON as tools print it: after warnings, with numbers as text or as objects of value and unit.

use serde_json::{Deserializer, Map, Value};

/// How many places are tried as the beginning of the JSON: a long output that is none must not take for ever.
const MOST_BEGINNINGS: usize = 64;

/// The first object or list that begins a line of the text. What stands before and after it is passed over.
pub(crate) fn after_warnings(output: &str) -> Option<Value> {
    let mut tried = 0;
    let mut rest = output;
    loop {
        let line = rest.trim_start();
        if line.starts_with(['{', '[']) {
            let value = Deserializer::from_str(line).into_iter::<Value>().next();
            if let Some(Ok(value)) = value {
                return Some(value);
            }
            tried += 1;
        }
        if tried >= MOST_BEGINNINGS {
            return None;
        }
        rest = line.split_once('\n')?.1;
    }
}

/// A text, or a number as text; of `{"value": 24560, "unit": "MB"}` both.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(object) => {
            let value = object.get("value").filter(|value| !value.is_object()).and_then(text)?;
            let unit = object.get("unit").and_then(Value::as_str).unwrap_or_default();
            Some(format!("{value} {unit}"))
        }
        _ => None,
    }
}

/// The text under the first of these names, which are in lower case, however the tool writes them.
pub(crate) fn field(object: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|wanted| {
        let (_, value) = object.iter().find(|(key, _)| key.to_ascii_lowercase() == *wanted)?;
        text(value)
    })
}

/// The text at a path of names.
pub(crate) fn at(value: &Value, path: &[&str]) -> Option<String> {
    let found = path.iter().try_fold(value, |value, name| value.get(name))?;
    text(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn warnings_before_and_words_after_are_passed_over() {
        let value = json!({ "card0": {} });
        for output in [
            r#"{"card0": {}}"#,
            "WARNING: AMD GPU device(s) is/are in a low-power state.\n\n{\"card0\": {}}\n",
            "[WARN] no driver\n  {\"card0\": {}}\ngood bye\n",
            "{ broken\n{\"card0\": {}}",
        ] {
            assert_eq!(after_warnings(output), Some(value.clone()), "{output}");
        }
        for output in ["", "nothing", "{\"card0\": ", "\n\n{"] {
            assert_eq!(after_warnings(output), None, "{output}");
        }
    }

    #[test]
    fn a_long_output_that_is_none_is_given_up() {
        let began = std::time::Instant::now();
        assert_eq!(after_warnings(&"{\"a\":\n".repeat(1_600_000)), None);
        assert_eq!(after_warnings(&"[".repeat(10 << 20)), None);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}
