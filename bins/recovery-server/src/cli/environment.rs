//! Variables on the command line.

use std::io::{self, BufRead};

use recovery_env::{EnvKey, Visibility, visibility};
use secrecy::SecretString;

use super::failure::Failure;

/// Takes `NAME=VALUE` apart. For a `NAME` alone the value is the next line of `input`: so a secret must come, since every
/// user of the machine can read arguments.
///
/// # Errors
/// A secret stands among the arguments, or the input has no line left.
pub(super) fn assignments(
    arguments: &[String],
    input: &mut dyn BufRead,
) -> Result<Vec<(String, SecretString)>, Failure> {
    arguments
        .iter()
        .map(|argument| match argument.split_once('=') {
            Some((name, value)) if is_secret(name) && !value.is_empty() => Err(Failure::usage(format!(
                "The value of {name} is a secret, which every user of this machine could read here."
            ))
            .hint(format!(
                "Give the name alone, and the value on standard input: nova-recovery env set {name}"
            ))),
            Some((name, value)) => Ok((name.to_owned(), value.to_owned().into())),
            None => Ok((argument.clone(), line(input)?.into())),
        })
        .collect()
}

fn is_secret(name: &str) -> bool {
    name.parse::<EnvKey>().is_ok_and(|key| visibility(&key) == Some(Visibility::Masked))
}

fn line(input: &mut dyn BufRead) -> Result<String, Failure> {
    let mut line = String::new();
    let read = io::Read::take(input, 64 * 1024).read_line(&mut line);
    match read {
        Ok(0) => Err(Failure::usage("Standard input has no line with the value.")),
        Ok(_) => Ok(line.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(Failure::usage("Standard input cannot be read.").caused_by(&error)),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::cli::failure::Status;

    fn check(arguments: &[&str], input: &str, expect: Result<&[(&str, &str)], Status>) {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let found = assignments(&arguments, &mut input.as_bytes()).map_err(|failure| failure.status);
        let found = found.map(|found| {
            let exposed = |(name, value): (String, SecretString)| (name, value.expose_secret().to_owned());
            found.into_iter().map(exposed).collect::<Vec<_>>()
        });
        let owned = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
        assert_eq!(found, expect.map(|expect| expect.iter().map(owned).collect()), "{arguments:?}");
    }

    #[test]
    fn values_come_from_the_arguments_and_secrets_from_the_input() {
        check(
            &["LOG_LEVEL=debug", "VLLM_MODEL=a=b"],
            "",
            Ok(&[("LOG_LEVEL", "debug"), ("VLLM_MODEL", "a=b")]),
        );
        check(
            &["HF_TOKEN", "LOG_LEVEL"],
            "hf_x\r\ninfo\n",
            Ok(&[("HF_TOKEN", "hf_x"), ("LOG_LEVEL", "info")]),
        );
        check(&["HF_TOKEN="], "", Ok(&[("HF_TOKEN", "")]));
        check(&["HF_TOKEN=hf_x"], "", Err(Status::Usage));
        check(&["HF_TOKEN"], "", Err(Status::Usage));
    }
}
