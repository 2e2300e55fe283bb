//! Which variables may be seen and changed from outside, and how much of a secret is shown.

use crate::EnvKey;

/// The variables that may be seen and changed, and whether their values are masked.
const SETTINGS: &[(&str, Visibility)] = &[
    ("CLOUDFLARE_TUNNEL_TOKEN", Visibility::Masked),
    ("TAILSCALE_AUTHKEY", Visibility::Masked),
    ("COMPOSE_PROFILES", Visibility::Plain),
    ("CORS_ALLOWED_ORIGINS", Visibility::Plain),
    ("REQUIRE_AUTH", Visibility::Plain),
    ("TRUSTED_PROXY_HEADER", Visibility::Plain),
    ("GOOGLE_CLIENT_ID", Visibility::Plain),
    ("REGISTRATION_MODE", Visibility::Plain),
    ("VLLM_MODEL", Visibility::Plain),
    ("SGLANG_MODEL", Visibility::Plain),
    ("VLLM_GPU_MEMORY_UTILIZATION", Visibility::Plain),
    ("NOVA_INFERENCE_MODE", Visibility::Plain),
    ("OLLAMA_BASE_URL", Visibility::Plain),
    ("NOVA_GITHUB_REPO", Visibility::Plain),
    ("NOVA_GITHUB_USER", Visibility::Plain),
    ("NOVA_GITHUB_EMAIL", Visibility::Plain),
    ("SELFMOD_ENABLED", Visibility::Plain),
    ("SELFMOD_RATE_LIMIT_PER_HOUR", Visibility::Plain),
    ("DEFAULT_CHAT_MODEL", Visibility::Plain),
    ("LLM_ROUTING_STRATEGY", Visibility::Plain),
    ("LOG_LEVEL", Visibility::Plain),
    ("HF_TOKEN", Visibility::Masked),
    ("EDITOR_FLAVOR", Visibility::Plain),
    ("EDITOR_WORKSPACE", Visibility::Plain),
    ("EDITOR_DOTFILES_REPO", Visibility::Plain),
    ("VSCODE_CONFIG_PATH", Visibility::Plain),
    ("NEOVIM_CONFIG_PATH", Visibility::Plain),
];

/// How much of a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// All of it.
    Plain,
    /// Its mask.
    Masked,
}

/// How a variable is shown; `None` for one that may be neither seen nor changed.
#[must_use]
pub fn visibility(key: &EnvKey) -> Option<Visibility> {
    SETTINGS.iter().find(|(name, _)| *name == key.as_str()).map(|(_, visibility)| *visibility)
}

/// Whether a variable that may not be seen sounds like a secret: such belong in the Dashboard's secret store.
#[must_use]
pub fn sounds_secret(key: &EnvKey) -> bool {
    const MARKS: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"];
    let name = key.as_str().to_ascii_uppercase();
    MARKS.iter().any(|mark| name.contains(mark))
}

/// What is shown of a secret: nothing of one up to 12 characters, else the first and the last four. That there is none
/// shows.
///
/// ```
/// assert_eq!(recovery_env::mask("hf_abcdefghijkl"), "hf_a...ijkl");
/// assert_eq!(recovery_env::mask("short"), "****");
/// assert_eq!(recovery_env::mask(""), "");
/// ```
#[must_use]
pub fn mask(value: &str) -> String {
    let length = value.chars().count();
    match length {
        0 => String::new(),
        1..=LONGEST_HIDDEN => HIDDEN.to_owned(),
        _ => {
            let first: String = value.chars().take(ENDS).collect();
            let last: String = value.chars().skip(length - ENDS).collect();
            format!("{first}{BETWEEN}{last}")
        }
    }
}

/// Whether a value is a mask, of whatever secret: somebody who sends one means the value that stands there.
pub(crate) fn is_mask(value: &str) -> bool {
    let chars: Vec<char> = value.chars().collect();
    let between: String = chars.iter().skip(ENDS).take(BETWEEN.len()).collect();
    value == HIDDEN || (chars.len() == 2 * ENDS + BETWEEN.len() && between == BETWEEN)
}

/// What stands for a short secret.
const HIDDEN: &str = "****";
/// The longest secret of which nothing is shown, in characters.
const LONGEST_HIDDEN: usize = 12;
/// How many characters are shown at each end of a longer one.
const ENDS: usize = 4;
const BETWEEN: &str = "...";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_a_name_and_stands_there_once() {
        for (index, (name, visibility)) in SETTINGS.iter().enumerate() {
            let key: EnvKey = name.parse().unwrap();
            assert_eq!(super::visibility(&key), Some(*visibility));
            assert!(SETTINGS.iter().skip(index + 1).all(|(other, _)| other != name), "{name}");
        }
        let masked: Vec<&str> =
            SETTINGS.iter().filter(|(_, how)| *how == Visibility::Masked).map(|(name, _)| *name).collect();
        assert_eq!(masked, ["CLOUDFLARE_TUNNEL_TOKEN", "TAILSCALE_AUTHKEY", "HF_TOKEN"]);
        assert_eq!(SETTINGS.len(), 27);
    }

    #[test]
    fn secrets_of_others_are_out_of_reach() {
        for name in [
            "ANTHROPIC_API_KEY",
            "OPENAI_API_KEY",
            "TELEGRAM_BOT_TOKEN",
            "SLACK_BOT_TOKEN",
            "SLACK_APP_TOKEN",
            "GOOGLE_CLIENT_SECRET",
            "POSTGRES_PASSWORD",
            "NOVA_ADMIN_SECRET",
            "log_level_token",
        ] {
            let key = name.parse().unwrap();
            assert_eq!(visibility(&key), None, "{name}");
            assert!(sounds_secret(&key), "{name}");
        }
        for name in ["PATH", "log_level", "COMPOSE_FILE"] {
            let key = name.parse().unwrap();
            assert_eq!((visibility(&key), sounds_secret(&key)), (None, false), "{name}");
        }
    }

    #[test]
    fn masks_are_known_as_masks() {
        for secret in ["x", "123456789012", "1234567890123", "größer-als-zwölf-🦀", "****", "hf_abcdefghijkl"]
        {
            let mask = mask(secret);
            assert!(is_mask(&mask), "{mask}");
            assert!(secret == "****" || !mask.contains(secret), "{mask}");
        }
        assert_eq!(mask("123456789012"), "****");
        assert_eq!(mask("1234567890123"), "1234...0123");
        assert_eq!(mask("größer-als-zwölf-🦀"), "größ...lf-🦀");
        for other in ["", "***", "*****", "abcd..efgh", "abcd...efghi", "1234567890a", "a real token"] {
            assert!(!is_mask(other), "{other}");
        }
    }
}
