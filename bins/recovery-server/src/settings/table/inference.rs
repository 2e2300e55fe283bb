//! The variables that say how it is found out what the machine has for language models, and what is recommended.

use std::path::PathBuf;

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
