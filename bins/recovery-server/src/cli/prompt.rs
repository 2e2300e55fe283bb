//! Asks before something is replaced or removed. What must be typed is never just `y`: a habit is no confirmation.

use std::io::{BufRead, Write};

use recovery_core::{ErrorCode, Problem};

use super::failure::Failure;

/// Shows what will happen, and returns once the person has typed `expected`.
///
/// # Errors
/// Anything else was typed, or the input ended.
pub(super) fn confirm(
    explanation: &str,
    what: &str,
    expected: &str,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Failure> {
    let mut answer = String::new();
    write!(output, "{explanation}\nType {what} ({expected}) to go on: ")
        .and_then(|()| output.flush())
        .and_then(|()| input.read_line(&mut answer))
        .map_err(|error| Failure::usage("The answer cannot be read.").caused_by(&error))?;
    if answer.trim_end_matches(['\n', '\r']) == expected {
        Ok(())
    } else {
        Err(Problem::new(ErrorCode::ConfirmationRequired, "Not confirmed. Nothing was changed.").into())
    }
}

/// Nobody can be asked.
pub(super) fn nobody_to_ask() -> Failure {
    Failure::usage("This needs a confirmation, and standard input is no terminal.")
        .hint("Run it in a terminal, or with --yes if you are sure.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Status;

    fn ask(typed: &str) -> (Result<(), Status>, String) {
        let mut shown = Vec::new();
        let result = confirm("It goes.", "the database's name", "nova", &mut typed.as_bytes(), &mut shown);
        (result.map_err(|failure| failure.status), String::from_utf8(shown).unwrap())
    }

    #[test]
    fn only_the_exact_name_confirms() {
        assert_eq!(ask("nova\n").0, Ok(()));
        assert_eq!(ask("nova\r\n").0, Ok(()));
        for typed in ["", "\n", "y\n", "Nova\n", "nova2\n", " nova\n"] {
            assert_eq!(ask(typed).0, Err(Status::Cancelled), "{typed:?}");
        }
    }

    #[test]
    fn the_question_says_what_will_happen_first() {
        assert_eq!(ask("nova\n").1, "It goes.\nType the database's name (nova) to go on: ");
    }

    #[test]
    fn without_a_terminal_it_is_a_usage_error() {
        assert_eq!(nobody_to_ask().status, Status::Usage);
    }
}
