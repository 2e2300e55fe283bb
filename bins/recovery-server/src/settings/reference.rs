//! The reference of all variables as a Markdown document.

use super::table::{self, About, Default, Shown};

/// The text of `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         <!-- Written by `nova-recovery config --reference`; a test compares the two. -->\n\n\
         Every setting is an environment variable. A TOML file, named by `NOVA_RECOVERY_CONFIG`, may supply the same \
         under the lower-case names (`backup_dir = \"/backups\"`); the environment goes before the file. A variable \
         that is set to the empty string counts as unset. An unknown key in the file and a value that cannot be used \
         keep the program from starting; all of them are named at once. `nova-recovery config` shows what is in \
         effect, and from where, without secrets.\n\n\
         | variable | meaning | default |\n\
         |---|---|---|\n",
    );
    for about in table::ALL {
        text.push_str(&row(about));
    }
    text.push_str("\nExamples:\n\n```sh\n");
    for about in table::ALL {
        if about.shown != Shown::Secret {
            text.push_str(&format!("{}={}\n", about.name, about.example));
        }
    }
    text.push_str("```\n");
    text
}

fn row(about: &About) -> String {
    let name = match about.alias {
        Some(alias) => format!("`{}` (or `{alias}`)", about.name),
        None => format!("`{}`", about.name),
    };
    let default = match about.default {
        Default::Text(text) => format!("`{text}`"),
        Default::Described(words) => words.to_owned(),
    };
    format!("| {name} | {} | {default} |\n", about.meaning)
}
