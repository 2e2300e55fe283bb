//! `DATABASE_URL`, taken apart. Errors never repeat any of it: it holds a password.

use recovery_core::database::{ConnectionTarget, ServerAddress};
use secrecy::{ExposeSecret, SecretString};

const DEFAULT_PORT: u16 = 5432;

/// A text that is no usable URL of a PostgreSQL database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// It does not begin like one.
    #[error("the database URL must begin with postgresql://, postgres:// or postgresql+asyncpg://")]
    Scheme,
    /// It names no role.
    #[error("the database URL names no user")]
    NoUser,
    /// It names no database.
    #[error("the database URL names no database (the part after the last /)")]
    NoDatabase,
    /// The database's name cannot be one.
    #[error("the database name in the database URL is longer than 63 bytes, or not a name")]
    DatabaseName,
    /// The port is not a number.
    #[error(
        "the port in the database URL is not a number from 1 to 65535; in a password, @ : / ? # and % must be percent-encoded"
    )]
    Port,
    /// An IPv6 address without its closing bracket, or with something behind it.
    #[error("the host in the database URL is not valid; an IPv6 address stands in [ ]")]
    Host,
    /// More than one host.
    #[error("the database URL names several hosts; recovery works on one server")]
    SeveralHosts,
    /// A `%` that is not followed by two hexadecimal digits, or bytes that are no UTF-8.
    #[error("the database URL has a % that is no percent-encoding; a % itself is written %25")]
    Encoding,
    /// TLS is asked for.
    #[error(
        "the database URL asks for TLS (sslmode), which is not supported yet; use sslmode=disable or prefer on a network that you trust"
    )]
    Tls,
}

/// Takes a database URL apart: `postgresql://user:password@host:port/database?host=/socket/directory`.
///
/// ```
/// let target = recovery_store::parse_database_url(&"postgresql://nova:s3cret@db/nova".to_owned().into())?;
/// assert_eq!(target.to_string(), "nova on db:5432 as nova");
/// # Ok::<(), recovery_store::InvalidDatabaseUrl>(())
/// ```
///
/// # Errors
/// Says what is wrong with it, without repeating it.
pub fn parse_database_url(url: &SecretString) -> Result<ConnectionTarget, InvalidDatabaseUrl> {
    let url = url.expose_secret().trim();
    let rest = ["postgresql://", "postgres://", "postgresql+asyncpg://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
        .ok_or(InvalidDatabaseUrl::Scheme)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user_info, host_port) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = match user_info.split_once(':') {
        Some((user, password)) => (user, Some(decode(password)?)),
        None => (user_info, None),
    };
    let (host, port) = host_and_port(host_port)?;
    let mut parts = Parts { host, port, user: decode(user)?, password, database: decode(path)? };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        parts.parameter(&decode(key)?, decode(value)?)?;
    }
    parts.into_target()
}

struct Parts {
    host: String,
    port: u16,
    user: String,
    password: Option<String>,
    database: String,
}

impl Parts {
    /// The parameters of libpq and of asyncpg; those that do not say where to connect to are passed over.
    fn parameter(&mut self, key: &str, value: String) -> Result<(), InvalidDatabaseUrl> {
        match key {
            "host" | "hostaddr" => self.host = value,
            "port" => self.port = port(&value)?,
            "user" => self.user = value,
            "password" => self.password = Some(value),
            "dbname" | "database" => self.database = value,
            "sslmode" | "ssl"
                if !["disable", "allow", "prefer", "false", "off", "0", ""].contains(&value.as_str()) =>
            {
                return Err(InvalidDatabaseUrl::Tls);
            }
            _ => {}
        }
        Ok(())
    }

    fn into_target(self) -> Result<ConnectionTarget, InvalidDatabaseUrl> {
        if self.user.is_empty() {
            return Err(InvalidDatabaseUrl::NoUser);
        }
        if self.database.is_empty() {
            return Err(InvalidDatabaseUrl::NoDatabase);
        }
        if self.host.contains(',') {
            return Err(InvalidDatabaseUrl::SeveralHosts);
        }
        let address = if self.host.starts_with('/') {
            ServerAddress::SocketDirectory(self.host.into())
        } else if self.host.is_empty() {
            ServerAddress::Host("localhost".to_owned())
        } else {
            ServerAddress::Host(self.host)
        };
        Ok(ConnectionTarget {
            address,
            port: self.port,
            user: self.user,
            password: self.password.filter(|password| !password.is_empty()).map(SecretString::from),
            database: self.database.parse().map_err(|_| InvalidDatabaseUrl::DatabaseName)?,
        })
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), InvalidDatabaseUrl> {
    if text.contains(',') {
        return Err(InvalidDatabaseUrl::SeveralHosts);
    }
    let (host, port_text) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or(InvalidDatabaseUrl::Host)?;
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => return Err(InvalidDatabaseUrl::Host),
            }
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = if port_text.is_empty() { DEFAULT_PORT } else { port(port_text)? };
    Ok((decode(host)?, port))
}

fn port(text: &str) -> Result<u16, InvalidDatabaseUrl> {
    text.parse().ok().filter(|port| *port != 0).ok_or(InvalidDatabaseUrl::Port)
}

fn decode(text: &str) -> Result<String, InvalidDatabaseUrl> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let (digits, behind) = after.split_at_checked(2).ok_or(InvalidDatabaseUrl::Encoding)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidDatabaseUrl::Encoding);
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| InvalidDatabaseUrl::Encoding)?);
        rest = behind;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| InvalidDatabaseUrl::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<ConnectionTarget, InvalidDatabaseUrl> {
        parse_database_url(&SecretString::from(url.to_owned()))
    }

    #[test]
    fn urls_say_where_the_database_is() {
        let check = |url: &str, expect: &str, password: Option<&str>| {
            let target = parse(url).unwrap();
            assert_eq!(target.to_string(), expect, "{url}");
            assert_eq!(target.password.as_ref().map(|p| p.expose_secret()), password, "{url}");
        };
        check("postgres://nova:pw@db:6543/nova", "nova on db:6543 as nova", Some("pw"));
        check("postgresql://nova@db/nova", "nova on db:5432 as nova", None);
        check("postgresql+asyncpg://nova:@db/nova?ssl=disable", "nova on db:5432 as nova", None);
        check(" postgres://nova:a%40b%3A%2F%25@db/n%C3%BC ", "nü on db:5432 as nova", Some("a@b:/%"));
        check("postgres://nova:a@b@db/nova", "nova on db:5432 as nova", Some("a@b"));
        check("postgres://nova:pw@[::1]:5433/nova", "nova on ::1:5433 as nova", Some("pw"));
        check(
            "postgres://nova:pw@/nova?host=/run/postgresql",
            "nova on /run/postgresql:5432 as nova",
            Some("pw"),
        );
        check("postgres://nova@%2Frun%2Fpg:6000/nova", "nova on /run/pg:6000 as nova", None);
        check(
            "postgres:///?user=u&password=p%26q&dbname=d&port=99&host=h&sslmode=prefer&application_name=x",
            "d on h:99 as u",
            Some("p&q"),
        );
        check("postgres://nova@/nova", "nova on localhost:5432 as nova", None);
    }

    #[test]
    fn wrong_urls_are_refused_without_being_repeated() {
        let check = |url: &str, expect: InvalidDatabaseUrl| {
            let error = parse(url).unwrap_err();
            assert_eq!(error, expect, "{url}");
            assert!(!error.to_string().contains("hunter2"), "{url}");
        };
        check("mysql://nova:hunter2@db/nova", InvalidDatabaseUrl::Scheme);
        check("", InvalidDatabaseUrl::Scheme);
        check("postgres://db/nova", InvalidDatabaseUrl::NoUser);
        check("postgres://nova:hunter2@db", InvalidDatabaseUrl::NoDatabase);
        check("postgres://nova:hunter2@db/", InvalidDatabaseUrl::NoDatabase);
        check("postgres://nova:hunter2@db:port/nova", InvalidDatabaseUrl::Port);
        check("postgres://nova:hunter2@db:0/nova", InvalidDatabaseUrl::Port);
        check("postgres://nova:hunter2/x@db/nova", InvalidDatabaseUrl::Port);
        check("postgres://nova:hunter2@[::1/nova", InvalidDatabaseUrl::Host);
        check("postgres://nova:hunter2@[::1]x/nova", InvalidDatabaseUrl::Host);
        check("postgres://nova:hunter2@a,b/nova", InvalidDatabaseUrl::SeveralHosts);
        check("postgres://nova:hunter2%zz@db/nova", InvalidDatabaseUrl::Encoding);
        check("postgres://nova:hunter2%ff@db/nova", InvalidDatabaseUrl::Encoding);
        check("postgres://nova:hunter2%4@db/nova", InvalidDatabaseUrl::Encoding);
        check("postgres://nova:hunter2@db/nova?sslmode=require", InvalidDatabaseUrl::Tls);
        check("postgres://nova:hunter2@db/nova?sslmode=verify-full", InvalidDatabaseUrl::Tls);
        check("postgres://nova:hunter2@db/nova?ssl=true", InvalidDatabaseUrl::Tls);
        check(&format!("postgres://nova:hunter2@db/{}", "n".repeat(64)), InvalidDatabaseUrl::DatabaseName);
    }
}
