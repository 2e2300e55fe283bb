//! The variables that say how it is found out what the machine has for language models, and what is recommended.

use std::path::PathBuf;

use secrecy::SecretString;

use super::{About, Default, Shown, Variable};
use crate::settings::parse;

use Default::{Described, Text};

pub(in crate::settings) const HARDWARE_FILE: Variable<PathBuf> = Variable {
    about: About {
        name: "HARDWARE_FILE",
        alias: None,
        meaning: "Facts about the machine that the host's installer wrote (JSON), used where nothing else knows them.",
        default: Text("/app/data/hardware.json"),
        example: "/app/data/hardware.json",
        shown: Shown::Plain,
    },
    parse: parse::directory,
};

pub(in crate::settings) const GPU_TOOL_DIRS: Variable<Vec<PathBuf>> = Variable {
    about: About {
        name: "GPU_TOOL_DIRS",
        alias: None,
        meaning: "Directories in which `nvidia-smi`, `amd-smi` and `rocm-smi` are looked for, separated by colons.",
        default: Text("/usr/local/bin:/usr/bin:/bin:/opt/rocm/bin:/usr/lib/wsl/lib"),
        example: "/usr/bin:/opt/rocm/bin",
        shown: Shown::Plain,
    },
    parse: parse::directories,
};

pub(in crate::settings) const RECOMMENDED_MODELS_FILE: Variable<PathBuf> = Variable {
    about: About {
        name: "RECOMMENDED_MODELS_FILE",
        alias: None,
        meaning: "A file in place of the built-in list of recommended models (JSON, of the form of \
                  `data/recommended_models.json`).",
        default: Described("the built-in list"),
        example: "/app/data/recommended_models.json",
        shown: Shown::Plain,
    },
    parse: parse::directory,
};

pub(in crate::settings) const HF_ENDPOINT: Variable<String> = Variable {
    about: About {
        name: "HF_ENDPOINT",
        alias: None,
        meaning: "Where models for vLLM and SGLang are looked for: Hugging Face, or a server like it.",
        default: Text("https://huggingface.co"),
        example: "https://hf-mirror.example.org",
        shown: Shown::Url,
    },
    parse: parse::web_address,
};

pub(in crate::settings) const HF_TOKEN: Variable<SecretString> = Variable {
    about: About {
        name: "HF_TOKEN",
        alias: None,
        meaning: "A token of Hugging Face that may read; with one, models are found that are not for everybody.",
        default: Described("unset"),
        example: "hf_0123456789",
        shown: Shown::Secret,
    },
    parse: parse::token,
};

pub(in crate::settings) const OLLAMA_LIBRARY_URL: Variable<String> = Variable {
    about: About {
        name: "OLLAMA_LIBRARY_URL",
        alias: None,
        meaning: "Where models for Ollama are looked for: its library.",
        default: Text("https://ollama.com"),
        example: "https://ollama.com",
        shown: Shown::Url,
    },
    parse: parse::web_address,
};

pub(in crate::settings) const OLLAMA_REGISTRY_URL: Variable<String> = Variable {
    about: About {
        name: "OLLAMA_REGISTRY_URL",
        alias: None,
        meaning: "Where the sizes of Ollama's models are asked for: its registry.",
        default: Text("https://registry.ollama.ai"),
        example: "https://registry.ollama.ai",
        shown: Shown::Url,
    },
    parse: parse::web_address,
};
