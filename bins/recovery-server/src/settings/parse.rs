//! How the text of a variable becomes a value. The errors say what is expected and end without a full stop; they
//! repeat the text only where it is no secret.

use std::{fmt::Display, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use ipnet::IpNet;
use reqwest::Url;
use secrecy::SecretString;

use crate::alerts::Webhook;

/// The shortest admin secret, in characters.
const SHORTEST_SECRET: usize = 8;

/// Values that stand in examples and templates, and that everybody knows. Compared in lower case.
const KNOWN_SECRETS: &[&str] = &[
    "nova-admin-secret-change-me",
    "nova-admin-secret",
    "your-admin-secret",
    "your-admin-secret-here",
    "your-secret-here",
    "change-me-in-production",
    "changemeplease",
    "changeme",
    "changeme123",
    "change-me",
    "change_me",
    "change-this",
    "admin-secret",
    "adminsecret",
    "password",
    "password1",
    "password123",
    "placeholder",
    "replace-me",
    "replaceme",
    "secretsecret",
    "12345678",
    "123456789",
];

pub(super) fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

pub(super) fn secret(text: &str) -> Result<SecretString, String> {
    Ok(text.into())
}

pub(super) fn from_str<T>(text: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: Display,
{
    text.trim().parse().map_err(|error: T::Err| error.to_string())
}

pub(crate) fn admin_secret(text: &str) -> Result<SecretString, String> {
    if KNOWN_SECRETS.contains(&text.to_lowercase().as_str()) {
        Err("is a placeholder that everybody knows; set a secret of your own, or unset it to have one generated"
            .to_owned())
    } else if text.chars().count() < SHORTEST_SECRET {
        Err(format!(
            "is shorter than {SHORTEST_SECRET} characters; set a longer one, or unset it to have one generated"
        ))
    } else if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || text.trim() != text {
        Err("holds characters that an HTTP header cannot carry unchanged (line ends, outer blanks, or other than \
             printable ASCII)"
            .to_owned())
    } else {
        Ok(text.into())
    }
}

pub(super) fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("`{text}` is no absolute path")) }
}

pub(super) fn directories(text: &str) -> Result<Vec<PathBuf>, String> {
    text.split(':').filter(|part| !part.is_empty()).map(directory).collect()
}

/// Paths, which may be relative.
pub(super) fn paths(text: &str) -> Result<Vec<PathBuf>, String> {
    Ok(text.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect())
}

pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is no IP address; a name is not accepted here"))
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is no port, a number from 0 to 65535"))
}

pub(super) fn jobs(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(jobs @ 1..=64) => Ok(jobs),
        _ => Err(format!("`{text}` is no number from 1 to 64")),
    }
}

pub(super) fn hours(text: &str) -> Result<Duration, String> {
    const TEN_YEARS: f64 = 10.0 * 365.0 * 24.0;
    number(text, 0.0, TEN_YEARS).map(|hours| Duration::from_secs_f64(hours * 3600.0))
}

/// A span between things that happen by themselves; 0 turns them off.
pub(super) fn interval_days(text: &str) -> Result<Option<Duration>, String> {
    const TEN_YEARS: f64 = 10.0 * 365.0;
    let days = number(text, 0.0, TEN_YEARS)?;
    Ok((days > 0.0).then(|| Duration::from_secs_f64(days * 24.0 * 3600.0)))
}

pub(super) fn checkpoint_hours(text: &str) -> Result<Option<Duration>, String> {
    const SHORTEST: f64 = 0.0005;
    const A_YEAR: f64 = 365.0 * 24.0;
    match number(text, 0.0, A_YEAR) {
        Ok(0.0) => Ok(None),
        Ok(hours) if hours >= SHORTEST => Ok(Some(Duration::from_secs_f64(hours * 3600.0))),
        _ => Err(format!("`{text}` is neither 0 (off) nor a number from {SHORTEST} to {A_YEAR}")),
    }
}

pub(super) fn kept(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(kept @ 1..=10_000) => Ok(kept),
        _ => Err(format!("`{text}` is no whole number from 1 to 10000")),
    }
}

pub(super) fn days(text: &str) -> Result<Option<Duration>, String> {
    match text.trim().parse::<u32>() {
        Ok(0) => Ok(None),
        Ok(days @ 1..=36_500) => Ok(Some(Duration::from_secs(u64::from(days) * 24 * 3600))),
        _ => Err(format!("`{text}` is neither 0 (for ever) nor a whole number of days up to 36500")),
    }
}

pub(super) fn webhook(text: &str) -> Result<Webhook, String> {
    Webhook::new(&text.into()).map_err(|error| error.to_string())
}

/// The address of a web server, without a slash at its end.
pub(super) fn web_address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let wrong = || "is no address of the form http://host or https://host".to_owned();
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.password().is_none() {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(wrong())
    }
}

/// A token that can stand in a header.
pub(super) fn token(text: &str) -> Result<SecretString, String> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.into())
    } else {
        Err("holds characters that no token has".to_owned())
    }
}

pub(super) fn wait_seconds(text: &str) -> Result<Duration, String> {
    number(text, 0.0, 3600.0).map(Duration::from_secs_f64)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    text.trim()
        .parse::<f64>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("`{text}` is no number from {least} to {most}"))
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    list(text)
        .map(|part| {
            part.parse::<IpNet>()
                .or_else(|_| part.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| format!("`{part}` is neither an IP address nor a network such as 172.18.0.0/16"))
        })
        .collect()
}

pub(super) fn origins(text: &str) -> Result<Vec<String>, String> {
    list(text)
        .map(|part| {
            if part.contains('*') {
                return Err(format!(
                    "`{part}` would let every web page in; name each origin in full (scheme, host, port)"
                ));
            }
            let origin = Url::parse(part)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https"))
                .map(|url| url.origin().ascii_serialization());
            // The browser sends the serialised form, so that anything else could never match.
            match origin {
                Some(origin) if part.eq_ignore_ascii_case(&origin) || part == format!("{origin}/") => {
                    Ok(origin)
                }
                _ => Err(format!("`{part}` is no origin: scheme, host and port, without a path")),
            }
        })
        .collect()
}

pub(super) fn hosts(text: &str) -> Result<Vec<String>, String> {
    list(text)
        .map(|part| {
            let plain = part.len() <= 253
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
            if plain {
                Ok(part.to_ascii_lowercase())
            } else {
                Err(format!("`{part}` is no host name; write it without scheme, port and wildcard"))
            }
        })
        .collect()
}

pub(super) fn redis_url(text: &str) -> Result<SecretString, String> {
    let url = Url::parse(text.trim()).map_err(|error| format!("is no URL: {error}"))?;
    if url.scheme() != "redis" {
        return Err("does not begin with redis:// (TLS to Redis is not supported)".to_owned());
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("names no host".to_owned());
    }
    match url.path().trim_start_matches('/') {
        "" => Ok(text.trim().into()),
        database if database.parse::<u8>().is_ok() => Ok(text.trim().into()),
        _ => Err("has a path that is no database number".to_owned()),
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}
