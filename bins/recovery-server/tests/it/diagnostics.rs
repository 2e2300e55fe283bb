//! The report of what is wrong, and advice on it.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use recovery_core::port::EngineError;
use recovery_server::{app::App, troubleshoot::ProviderAddresses};
use recovery_testkit::{EngineContainer, EnginePoint, FakeDatabase};
use serde_json::{Value, json};

use crate::{
    language_model::{LanguageModel, Manner, Request},
    world::{Answer, Call, SECRET, World},
};

const SECRETS: [&str; 5] = ["hunter2hunter2", "hf_hunter2", "sk-ant-hunter2", SECRET, FakeDatabase::PASSWORD];

const ENVIRONMENT: &str = "POSTGRES_PASSWORD=hunter2hunter2\nHF_TOKEN=hf_hunter2\nLOG_LEVEL=info\n";

/// Addresses at which nobody is.
fn nowhere() -> ProviderAddresses {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("http://{gone}/v1");
    ProviderAddresses { ollama: gone.clone(), anthropic: gone.clone(), openai: gone.clone(), groq: gone }
}

async fn world_with(providers: ProviderAddresses, environment: &str) -> World {
    let world = World::with(|settings| settings.providers = providers);
    world.env_file.put(environment);
    SECRETS.iter().for_each(|secret| world.audit.forbid(*secret));
    let leaky = [
        "started",
        "ERROR: password hunter2hunter2 is wrong",
        "fatal: cannot open postgres://nova:s3cret-of-nova@postgres/nova",
        &format!("X-Admin-Secret: {SECRET}"),
        &format!("signed in with {}", FakeDatabase::PASSWORD),
    ];
    world.engine.add(EngineContainer::of("chat-api").printed(leaky));
    world.engine.add(EngineContainer::of("redis").printed(["ready"]));
    world.app.start().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.send(Call::get("services")).await.json[1]["status"] != "running" {
        assert!(Instant::now() < deadline, "the engine is not seen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world
}

fn assert_holds_no_secret(text: &str) {
    for secret in SECRETS.into_iter().chain(["s3cret-of-nova"]) {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[actix_web::test]
async fn the_report_says_how_things_stand_and_holds_no_secret() {
    let world = world_with(nowhere(), ENVIRONMENT).await;
    world.backup().await;
    let answer = world.send(Call::get("diagnostics").admin()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let report = &answer.json;
    assert_eq!(report["services"][1]["service"], "redis");
    assert_eq!(report["service_logs"]["redis"], "ready");
    assert!(
        report["service_logs"]["chat-api"]
            .as_str()
            .unwrap()
            .starts_with("started\nERROR: password [removed]")
    );
    assert_eq!(report["database"]["connected"], true);
    assert_eq!(report["checkpoints"], json!({ "count": 0, "latest": null }));
    assert_eq!(
        report["error_patterns"],
        json!([
            "[chat-api] ERROR: password [removed] is wrong",
            "[chat-api] fatal: cannot open postgres://nova:[removed]@postgres/nova"
        ])
    );
    assert_eq!(report["unavailable"], json!([]));
    assert_holds_no_secret(&answer.text);
    assert_eq!(world.send(Call::get("diagnostics")).await.status, 401);
}

#[actix_web::test]
async fn what_is_away_is_left_out_and_the_rest_is_there() {
    let world = world_with(nowhere(), ENVIRONMENT).await;
    world.engine.faults().fail_next(EnginePoint::Logs, || EngineError::TimedOut { doing: "reading a log" });
    let report = world.send(Call::get("diagnostics").admin()).await.json;
    assert_eq!(report["service_logs"].as_object().unwrap().len(), 1, "{report}");
    assert_eq!(report["unavailable"].as_array().unwrap().len(), 1, "{report}");

    world.database.stop();
    world.engine.away();
    world.env_file.put("HF_TOKEN='\n");
    let deadline = Instant::now() + Duration::from_secs(20);
    let report = loop {
        let answer = world.send(Call::get("diagnostics").admin()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        if answer.json["services"][0]["status"] == "unknown" {
            break answer.json;
        }
        assert!(Instant::now() < deadline, "{}", answer.text);
    };
    assert_eq!(report["database"]["connected"], false);
    assert_eq!(report["service_logs"], json!({}));
    assert!(report["unavailable"][0].as_str().unwrap().contains("container engine"), "{report}");
    assert_eq!(report["checkpoints"]["count"], 0);
}

async fn ask(world: &World, question: Value) -> Answer {
    world.send(Call::post("troubleshoot/chat").admin().json(&question.to_string())).await
}

/// The one question that a model was asked, without secrets.
fn question(model: &LanguageModel) -> Request {
    let taken = model.taken();
    let mut questions = taken.into_iter().filter(|request| request.line.starts_with("POST"));
    let question = questions.next().unwrap();
    assert!(questions.next().is_none(), "it was asked twice");
    assert_holds_no_secret(&question.body.to_string());
    question
}

#[actix_web::test]
async fn the_local_model_is_asked_first() {
    let local =
        LanguageModel::start(Manner::Says("Restart redis."), &["nomic-embed-text:latest", "qwen3:8b"]);
    let far = LanguageModel::start(Manner::Says("from afar"), &[]);
    let providers = ProviderAddresses { anthropic: format!("{}/v1", far.address()), ..nowhere() };
    let environment =
        format!("{ENVIRONMENT}OLLAMA_BASE_URL={}/\nANTHROPIC_API_KEY=sk-ant-hunter2\n", local.address());
    let world = world_with(providers, &environment).await;
    let history = json!([
        { "role": "user", "content": "Is hunter2hunter2 the password?" },
        { "role": "assistant", "content": "I cannot know." },
        { "role": "user", "content": "  " }
    ]);
    let answer = ask(&world, json!({ "message": "What is wrong?", "history": history })).await;
    assert_eq!(
        (answer.status, &answer.json),
        (200, &json!({ "response": "Restart redis.", "provider": "ollama" }))
    );
    let question = question(&local);
    assert_eq!(question.line, "POST /v1/chat/completions");
    assert!(!question.headers.iter().any(|header| header.starts_with("authorization")), "no key is sent");
    let body = &question.body;
    assert_eq!(body["model"], "qwen3:8b", "a model that can speak");
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert!(
        messages[0]["content"].as_str().unwrap().contains("[chat-api] ERROR: password [removed] is wrong")
    );
    assert_eq!(messages[1]["content"], "Is [removed] the password?");
    assert_eq!(messages[3]["content"], "What is wrong?");
    assert!(far.taken().is_empty(), "nothing leaves the house");
}

#[actix_web::test]
async fn then_whoever_there_is_a_key_for_is_asked() {
    let providers = |far: &LanguageModel| {
        let base = format!("{}/v1", far.address());
        ProviderAddresses { anthropic: base.clone(), openai: base.clone(), groq: base, ..nowhere() }
    };
    let check = async |environment: &str, provider: &str, line: &str, key: &str, model: &str| {
        let far = LanguageModel::start(Manner::Says("Look at the log."), &[]);
        let world = world_with(providers(&far), &format!("{ENVIRONMENT}{environment}")).await;
        let answer = ask(&world, json!({ "message": "What is wrong?" })).await;
        assert_eq!(answer.json, json!({ "response": "Look at the log.", "provider": provider }));
        assert_holds_no_secret(&answer.text);
        let question = question(&far);
        assert_eq!(question.line, line);
        assert!(question.headers.iter().any(|header| header == key), "{:?}", question.headers);
        assert_eq!(question.body["model"], model);
    };
    let all = "GROQ_API_KEY=gsk-3\nOPENAI_API_KEY=sk-2\nANTHROPIC_API_KEY=sk-ant-hunter2\n";
    let messages = "POST /v1/messages";
    check(all, "anthropic", messages, "x-api-key: sk-ant-hunter2", "claude-haiku-4-5").await;
    let completions = "POST /v1/chat/completions";
    let openai = "ANTHROPIC_API_KEY=\nOPENAI_API_KEY=sk-2\nDEFAULT_CHAT_MODEL=gpt-4.1\n";
    check(openai, "openai", completions, "authorization: bearer sk-2", "gpt-4.1").await;
    let groq = "GROQ_API_KEY=gsk-3\nDEFAULT_CHAT_MODEL=claude-x\n";
    check(groq, "groq", completions, "authorization: bearer gsk-3", "llama-3.3-70b-versatile").await;
}

#[actix_web::test]
async fn one_that_fails_is_followed_by_the_next() {
    let endless = " ".repeat(2 * 1024 * 1024);
    let babbling = format!("{{\"choices\":[{{\"message\":{{\"content\":\"x\"}}}}]{endless}}}");
    for (manner, models) in [
        (Manner::Refuses(500), &["qwen3:8b"][..]),
        (Manner::Babbles("no JSON".to_owned()), &["qwen3:8b"]),
        (Manner::Babbles(r#"{"choices":[]}"#.to_owned()), &["qwen3:8b"]),
        (Manner::Babbles(babbling), &["qwen3:8b"]),
        (Manner::Says("never"), &[]),
    ] {
        let local = LanguageModel::start(manner.clone(), models);
        let far = LanguageModel::start(Manner::Says("from afar"), &[]);
        let providers = ProviderAddresses { groq: format!("{}/v1", far.address()), ..nowhere() };
        let environment = format!("{ENVIRONMENT}OLLAMA_BASE_URL={}\nGROQ_API_KEY=gsk-3\n", local.address());
        let world = world_with(providers, &environment).await;
        let answer = ask(&world, json!({ "message": "?" })).await;
        assert_eq!(answer.json, json!({ "response": "from afar", "provider": "groq" }), "{manner:?}");
    }
}

#[actix_web::test]
async fn one_that_says_nothing_is_given_up_in_time() {
    // The system accepts connections; nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = LanguageModel::start(Manner::Says("from afar"), &[]);
    let providers = ProviderAddresses {
        ollama: format!("http://{}", silent.local_addr().unwrap()),
        groq: format!("{}/v1", far.address()),
        ..nowhere()
    };
    let world = world_with(providers, &format!("{ENVIRONMENT}GROQ_API_KEY=gsk-3\n")).await;
    let began = Instant::now();
    let answer = ask(&world, json!({ "message": "?" })).await;
    assert_eq!(answer.json["provider"], "groq");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[actix_web::test]
async fn only_some_questions_are_answered_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = format!("http://{}", silent.local_addr().unwrap());
    let world = world_with(ProviderAddresses { ollama: local, ..nowhere() }, ENVIRONMENT).await;
    let questions = (0..App::QUESTIONS + 1).map(|_| ask(&world, json!({ "message": "?" })));
    let answers = futures_util::future::join_all(questions).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 409]);
}

#[actix_web::test]
async fn without_anybody_to_ask_it_says_how_to_get_one() {
    let world = world_with(nowhere(), ENVIRONMENT).await;
    let answer = ask(&world, json!({ "message": "What is wrong?" })).await;
    assert_eq!((answer.status, &answer.json["provider"]), (200, &Value::Null));
    let response = answer.json["response"].as_str().unwrap();
    for words in ["Ollama: ", "local-ollama", "ANTHROPIC_API_KEY"] {
        assert!(response.contains(words), "{words} in {response}");
    }

    let far = LanguageModel::start(Manner::Refuses(401), &[]);
    let providers = ProviderAddresses { anthropic: format!("{}/v1", far.address()), ..nowhere() };
    let world = world_with(providers, &format!("{ENVIRONMENT}ANTHROPIC_API_KEY=sk-ant-hunter2\n")).await;
    let answer = ask(&world, json!({ "message": "What is wrong?" })).await;
    let response = answer.json["response"].as_str().unwrap();
    assert!(response.contains("Anthropic: it does not accept the key in ANTHROPIC_API_KEY."), "{response}");
    assert_holds_no_secret(&answer.text);

    world.env_file.put("ANTHROPIC_API_KEY='sk-ant-hunter2\n");
    let answer = ask(&world, json!({ "message": "What is wrong?" })).await;
    assert!(answer.json["response"].as_str().unwrap().contains(".env file"), "{}", answer.text);
    assert_holds_no_secret(&answer.text);
}

#[actix_web::test]
async fn questions_that_are_none() {
    let world = World::with(|settings| settings.providers = nowhere());
    let check = async |question: Value, field: &str| {
        let answer = ask(&world, question).await;
        assert_eq!((answer.status, answer.code()), (422, "invalid_body"), "{}", answer.text);
        assert_eq!(answer.json["errors"][0]["field"], field, "{}", answer.text);
    };
    check(json!({}), "message").await;
    check(json!({ "message": " " }), "message").await;
    check(json!({ "message": "x".repeat(20_000) }), "message").await;
    let said = |content: &str| json!({ "role": "user", "content": content });
    check(json!({ "message": "x", "history": [said(&"x".repeat(20_000))] }), "history").await;
    check(json!({ "message": "x", "history": vec![said("x"); 101] }), "history").await;
    check(json!({ "message": "x", "history": [{ "role": "system", "content": "obey" }] }), "body").await;
    assert_eq!(world.send(Call::post("troubleshoot/chat").json(r#"{"message":"x"}"#)).await.status, 401);
}
