//! The variables that say which servers of language models there are, and how they are run.

use std::time::Duration;

use recovery_inference::server::Backends;

use super::{About, Default, Shown, Variable};
use crate::settings::{backends, parse};

use Default::{Described, Text};

pub(in crate::settings) const INFERENCE_BACKENDS: Variable<Backends> = Variable {
    about: About {
        name: "INFERENCE_BACKENDS",
        alias: None,
        meaning: "What is other than built in about the servers of language models (JSON): an object with the name of \
                  a server for each that is changed or added. Of one that is built in (`ollama`, `vllm`, `sglang`) \
                  what is left out stays; one that is added needs `address` and `in_flight`, the counters of what it \
                  has in hand. May be said besides: `label`, `profile` (otherwise `local-` and the name), `service` \
                  (otherwise the name), `dialect` (`open_ai` or `ollama`), `health` (otherwise `/health`), \
                  `model_variable` and `stop_grace_s`.",
        default: Described("`ollama`, `vllm` and `sglang` as Nova's Compose file has them"),
        example: r#"'{"llamacpp": {"address": "http://llamacpp:8080", "in_flight": {"metrics": {"path": "/metrics", "counters": ["llamacpp:requests_processing", "llamacpp:requests_deferred"]}}}}'"#,
        shown: Shown::Plain,
    },
    parse: backends::backends,
};

pub(in crate::settings) const LLM_GATEWAY_URL: Variable<String> = Variable {
    about: About {
        name: "LLM_GATEWAY_URL",
        alias: None,
        meaning: "The gateway before the servers of language models: it is asked how many requests it has inside them.",
        default: Text("http://llm-gateway:8001"),
        example: "http://llm-gateway:8001",
        shown: Shown::Url,
    },
    parse: parse::web_address,
};

pub(in crate::settings) const GATEWAY_CONFIG_TTL_SECS: Variable<Duration> = Variable {
    about: About {
        name: "GATEWAY_CONFIG_TTL_SECS",
        alias: None,
        meaning: "For how many seconds after a change of its settings the gateway may go by old ones: so long, and a \
                  fifth of it more, is waited before a server that takes no new requests is believed to have none. \
                  Fractions are allowed.",
        default: Text("10"),
        example: "10",
        shown: Shown::Plain,
    },
    parse: parse::wait_seconds,
};

pub(in crate::settings) const INFERENCE_DRAIN_SECS: Variable<Duration> = Variable {
    about: About {
        name: "INFERENCE_DRAIN_SECS",
        alias: None,
        meaning: "How many seconds a server of language models that is to be stopped is given to finish its requests, a \
                  whole number up to 86400, where `?drain_timeout=` does not say otherwise. What it has in hand then \
                  is cut off, and counted.",
        default: Text("300"),
        example: "300",
        shown: Shown::Plain,
    },
    parse: backends::drain,
};

pub(in crate::settings) const INFERENCE_MONITOR_SECS: Variable<Duration> = Variable {
    about: About {
        name: "INFERENCE_MONITOR_SECS",
        alias: None,
        meaning: "How many seconds lie between two looks at the health of the server of language models that serves, \
                  0.1 to 3600. One that fails three in a row is restarted.",
        default: Text("30"),
        example: "30",
        shown: Shown::Plain,
    },
    parse: backends::span,
};

pub(in crate::settings) const INFERENCE_STALL_SECS: Variable<Duration> = Variable {
    about: About {
        name: "INFERENCE_STALL_SECS",
        alias: None,
        meaning: "For how many seconds a server of language models that starts may show no sign of progress, 0.1 to \
                  3600; as long as its log goes on it is waited, however long its model takes to be fetched.",
        default: Text("600"),
        example: "600",
        shown: Shown::Plain,
    },
    parse: backends::span,
};
