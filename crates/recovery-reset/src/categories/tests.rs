use super::*;

/// The categories of this version, in order.
pub(crate) const EVERY: [&str; 12] = [
    "chat_history",
    "task_pipeline_history",
    "cortex_state",
    "intel_data",
    "knowledge_data",
    "runtime_caches",
    "memory_and_knowledge",
    "api_keys",
    "linked_accounts",
    "platform_config",
    "users_and_auth",
    "backups",
];

#[test]
fn the_categories_of_this_version_are_sound() {
    let categories = Categories::built_in().unwrap();
    let keys: Vec<&str> = categories.all().iter().map(|category| category.key.as_str()).collect();
    assert_eq!(keys, EVERY);
    let kept = categories.kept_by_default();
    let kept: Vec<&str> = kept.iter().map(CategoryKey::as_str).collect();
    assert_eq!(kept, keys[6..]);
    assert!(categories.never().contains(&TableName::public("schema_migrations")));
    let users = categories.get(&"users_and_auth".parse().unwrap()).unwrap();
    assert!(users.destructive_warning.as_deref().unwrap().contains("signed out"));
    let warned = categories.all().iter().filter(|category| category.destructive_warning.is_some()).count();
    assert_eq!(warned, 2);
    assert_eq!(
        categories.directories(),
        [PathBuf::from("/app/data/friction-screenshots"), PathBuf::from("/app/data/sources")]
    );
}

/// A file with two categories, the second with these members besides.
fn file(second: &str) -> String {
    format!(
        r#"{{"never": ["tenants"], "categories": [
            {{"key": "chat", "label": "Chat", "description": "", "default_keep": false, "tables": ["messages"],
              "redis": [[2, "chat:*"]], "directories": ["/data/chat"]}},
            {{"label": "More", "description": "", "default_keep": true, {second}}}]}}"#
    )
}

#[test]
fn a_file_that_would_do_what_nobody_meant_is_refused() {
    let check = |second: &str, expect: &str| {
        let error = file(second).parse::<Categories>().unwrap_err().to_string();
        assert!(error.contains(expect), "{second}: {error}");
    };
    let sound = r#""key": "more", "tables": ["app.notes"], "redis": [], "directories": ["/data/more"]"#;
    assert_eq!(file(sound).parse::<Categories>().unwrap().all()[1].tables[0].to_string(), "app.notes");
    check(r#""key": "chat", "tables": [], "redis": [], "directories": []"#, "chat stands there twice");
    check(r#""key": "Chat", "tables": [], "redis": [], "directories": []"#, "is no name of a category");
    check(r#""key": "", "tables": [], "redis": [], "directories": []"#, "is no name of a category");
    check(r#""key": "m", "tables": ["messages"], "redis": [], "directories": []"#, "is in chat and in m");
    check(r#""key": "m", "tables": ["a", "a"], "redis": [], "directories": []"#, "is in m and in m");
    check(r#""key": "m", "tables": ["tenants"], "redis": [], "directories": []"#, "may ever be deleted");
    check(r#""key": "m", "tables": [""], "redis": [], "directories": []"#, "is no name of a table");
    check(r#""key": "m", "tables": [], "redis": [[1, ""]], "directories": []"#, "empty pattern");
    check(r#""key": "m", "tables": [], "redis": [[1]], "directories": []"#, "a tuple of size 2");
    check(r#""key": "m", "tables": [], "redis": [[999, "x"]], "directories": []"#, "expected u8");
    for path in ["data", "/", "/data/../etc", ""] {
        let second = format!(r#""key": "m", "tables": [], "redis": [], "directories": ["{path}"]"#);
        check(&second, "no absolute path");
    }
    for path in ["/data", "/data/chat", "/data/chat/old"] {
        let second = format!(r#""key": "m", "tables": [], "redis": [], "directories": ["{path}"]"#);
        check(&second, "inside one another");
    }
    check(
        r#""key": "m", "tables": [], "redis": [], "directories": [], "keep": true"#,
        "unknown field `keep`",
    );
    check(r#""key": "m", "tables": [], "redis": []"#, "missing field `directories`");
}

#[test]
fn a_file_without_categories_or_that_is_none_is_refused() {
    for text in ["", "[]", "{}", r#"{"never": [], "categories": []}"#] {
        assert!(text.parse::<Categories>().is_err(), "{text}");
    }
}
