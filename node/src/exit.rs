//! How the program ends.

use std::io;
use std::process::ExitCode;

use crate::output;

/// The help text about exit codes. Kept beside [`code_of`], which it describes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done, and the answer is yes
  1  it could not be done; standard error says why and what to do
  2  the command line is wrong
  3  it was done, and the answer is no: not proven, not committed (or whatever was waited for), not found,
     not ready, not making progress, not a valid genesis";

/// What a command found out, when it could do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// Done; if there was a question, the answer is yes.
    Yes,
    /// Done, but the answer is no. The command has said so.
    No,
}

impl Outcome {
    /// The outcome of a question.
    pub(crate) fn of(answer: bool) -> Self {
        if answer { Outcome::Yes } else { Outcome::No }
    }
}

/// Turns the end of a command into an exit code; prints the error if there is one.
pub(crate) fn code_of(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Yes) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(3),
        // Whoever reads our output has read enough, as `head` does.
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

    /// The README has a table of what the help says.
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
    fn only_a_closed_standard_output_is_no_failure() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&output::WriteError(closed()).into()));
        assert!(!is_broken_pipe(&closed().into()), "a connection that broke is a failure");
        assert!(!is_broken_pipe(&output::WriteError(io::ErrorKind::StorageFull.into()).into()));
    }
}
