//! Exit codes of the program.

use std::io;
use std::process::ExitCode;

use crate::output;

/// The help text about exit codes. It describes [`code_of`].
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done, and the answer is yes
  1  it could not be done; standard error says why and what to do
  2  the command line is wrong
  3  it was done, and the answer is no: not proven, not committed or not in the awaited state,
     not executed, not found, not ready, not making progress, not a valid genesis";

/// The result of a command that could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// Done; if the command answers a question, the answer is yes.
    Yes,
    /// Done, but the answer is no. The command has printed it.
    No,
}

impl Outcome {
    /// The outcome of a question.
    pub(crate) fn of(answer: bool) -> Self {
        if answer { Outcome::Yes } else { Outcome::No }
    }
}

/// Turns the result of a command into an exit code; prints the error if there is one.
pub(crate) fn code_of(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Yes) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(3),
        // The reader of the output has closed it, as `head` does. That is not an error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(1)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<output::WriteError>()
        .is_some_and(|output::WriteError(error)| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = include_str!("../../README.md");

    /// The table in the README must match the help text.
    #[test]
    fn the_readme_lists_the_same_exit_codes() {
        let rows = README.lines().skip_while(|line| !line.starts_with("| exit code"));
        let rows: Vec<&str> = rows.skip(2).take_while(|line| line.starts_with('|')).collect();
        let table =
            rows.iter().map(|row| row.trim_matches('|').replace('|', " ")).collect::<Vec<_>>().join(" ");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&table), words(EXIT_CODES.trim_start_matches("Exit codes:")));
    }

    #[test]
    fn only_a_closed_standard_output_is_not_an_error() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&output::WriteError(closed()).into()));
        assert!(!is_broken_pipe(&closed().into()), "a broken connection is an error");
        assert!(!is_broken_pipe(&output::WriteError(io::ErrorKind::StorageFull.into()).into()));
    }
}
