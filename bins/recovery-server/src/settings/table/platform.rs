//! The variables that say how to reach the platform which is looked after: its engine, its Compose project and its
//! `.env`.

use std::path::PathBuf;

use recovery_core::ProjectName;

use super::{About, Default, Shown, Variable};
use crate::settings::{parse, platform::EngineAddress};

use Default::{Described, Text};

pub(in crate::settings) const NOVA_ENV_FILE: Variable<PathBuf> = Variable {
    about: About {
        name: "NOVA_ENV_FILE",
        alias: None,
        meaning: "The `.env` of the Compose project, which is shown and edited.",
        default: Text("/project/.env"),
        example: "/home/me/nova/.env",
        shown: Shown::Plain,
    },
    parse: parse::directory,
};

pub(in crate::settings) const COMPOSE_PROJECT_DIR: Variable<PathBuf> = Variable {
    about: About {
        name: "COMPOSE_PROJECT_DIR",
        alias: None,
        meaning: "The directory of the Compose project. Relative binds of its files resolve against it, so inside a \
                  container it must be mounted at the path that it has on the host.",
        default: Text("/project"),
        example: "/home/me/nova",
        shown: Shown::Plain,
    },
    parse: parse::directory,
};

pub(in crate::settings) const COMPOSE_PROJECT_NAME: Variable<ProjectName> = Variable {
    about: About {
        name: "COMPOSE_PROJECT_NAME",
        alias: None,
        meaning: "The name of the Compose project whose containers are looked after.",
        default: Text("nova"),
        example: "nova",
        shown: Shown::Plain,
    },
    parse: parse::from_str,
};

pub(in crate::settings) const COMPOSE_FILE: Variable<Vec<PathBuf>> = Variable {
    about: About {
        name: "COMPOSE_FILE",
        alias: None,
        meaning: "The Compose files, separated by colons; relative ones stand in `COMPOSE_PROJECT_DIR`.",
        default: Described("what `COMPOSE_FILE` in the `.env` says, or `docker-compose.yml`"),
        example: "docker-compose.yml:docker-compose.gpu.yml",
        shown: Shown::Plain,
    },
    parse: parse::paths,
};

pub(in crate::settings) const DOCKER_HOST: Variable<EngineAddress> = Variable {
    about: About {
        name: "DOCKER_HOST",
        alias: None,
        meaning: "The container engine: `unix://` and the path of its socket, or `tcp://` with host and port.",
        default: Text("unix:///var/run/docker.sock"),
        example: "tcp://socket-proxy:2375",
        shown: Shown::Plain,
    },
    parse: parse::from_str,
};

pub(in crate::settings) const DOCKER_SDK_HOST: Variable<EngineAddress> = Variable {
    about: About {
        name: "DOCKER_SDK_HOST",
        alias: None,
        meaning: "Where the engine is reached for listing, inspecting, logs, events and restarts, for example a socket \
                  proxy. Compose and whatever runs inside containers keep `DOCKER_HOST`.",
        default: Described("`DOCKER_HOST`"),
        example: "tcp://socket-proxy:2375",
        shown: Shown::Plain,
    },
    parse: parse::from_str,
};

pub(in crate::settings) const RESET_CATEGORIES_FILE: Variable<PathBuf> = Variable {
    about: About {
        name: "RESET_CATEGORIES_FILE",
        alias: None,
        meaning: "A file that says what belongs to which category of a factory reset, in place of the list that this \
                  program was built with (`data/reset_categories.json` in its source).",
        default: Described("the list of this version"),
        example: "/etc/nova/reset_categories.json",
        shown: Shown::Plain,
    },
    parse: parse::directory,
};
