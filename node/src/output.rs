//! Output: tables for people, JSON for programs, errors for both.
//!
//! Data goes to standard output, all remarks go to standard error. Text from another source (a
//! node, a file) is printed without control characters, so that it cannot control the terminal.

use std::fmt::Display;
use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;
use tracing::Level;

use crate::logging;

/// Number of characters of a hash or key that [`short`] keeps at each end.
const SHORT_DIGITS: usize = 8;

/// The format in which data is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences.
    #[default]
    Human,
    /// One JSON document on standard output.
    Json,
}

/// The option of every command that prints data.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// The format of the output.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Format,
}

impl Output {
    /// Prints a value as JSON, or as the text that `human` returns.
    pub(crate) fn show<T: Serialize>(
        self,
        value: &T,
        human: impl FnOnce() -> String,
    ) -> Result<(), WriteError> {
        match self.output {
            Format::Human => print(&human()),
            Format::Json => {
                let mut json = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
                json.push('\n');
                write(&json)
            }
        }
    }
}

/// Standard output does not accept the output.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written: {0}")]
pub(crate) struct WriteError(#[from] pub(crate) io::Error);

/// Prints text to standard output, with one line break at its end.
pub(crate) fn print(text: &str) -> Result<(), WriteError> {
    write(&format!("{}\n", printable(text.trim_end())))
}

/// Prints trusted text without changes.
pub(crate) fn write(text: &str) -> Result<(), WriteError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints a remark to standard error. Errors of printing it are ignored.
pub(crate) fn note(text: impl Display) {
    let text = printable(&text.to_string());
    if !logging::print(Level::INFO, &text, &text, &[]) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Prints an error with its causes, one per line, or in the format of the log if logging was
/// started.
pub(crate) fn error(error: &anyhow::Error) {
    let causes: Vec<String> = causes(error).iter().map(|cause| printable(cause)).collect();
    let text = format!("error: {}", causes.join("\n  because: "));
    let (message, because) = causes.split_first().expect("an error is its own first cause");
    if !logging::print(Level::ERROR, &text, message, because) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// The texts of an error and its causes.
fn causes(error: &anyhow::Error) -> Vec<String> {
    let mut causes = Vec::<String>::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // Many errors include their cause in their own text; printing it twice adds nothing.
        if causes.last().is_none_or(|last| !last.contains(&text)) {
            causes.push(text);
        }
    }
    causes
}

/// The text without control characters other than line breaks.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The beginning and the end of a hash or key, for tables.
pub(crate) fn short(value: &impl Display) -> String {
    let text = value.to_string();
    let digits: Vec<char> = text.strip_prefix("0x").unwrap_or(&text).chars().collect();
    if digits.len() <= 2 * SHORT_DIGITS {
        return text;
    }
    let (head, tail) = (&digits[..SHORT_DIGITS], &digits[digits.len() - SHORT_DIGITS..]);
    format!("0x{}…{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
}

/// A time in milliseconds since 1970 as text.
pub(crate) fn time(timestamp_ms: u64) -> String {
    // A node can send any time; the formatter panics after the year 9999.
    const YEAR_9999_MS: u64 = 253_370_764_800_000;
    if timestamp_ms >= YEAR_9999_MS {
        return format!("{timestamp_ms} ms");
    }
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_millis(timestamp_ms);
    humantime::format_rfc3339_millis(time).to_string()
}

/// Columns of text under headings.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Table { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row. Cells beyond the headings are kept.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell).replace('\n', " ")).collect());
    }

    /// The text; each column is as wide as its widest cell.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// Names and values, one per line.
pub(crate) fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<_> = fields.into_iter().collect();
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    fields.iter().map(|(name, value)| format!("{name:<width$}  {}\n", value.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_control_characters() {
        let mut table = Table::new(&["name", "height"]);
        table.row(["validator-0".to_owned(), "7".to_owned()]);
        table.row(["\u{1b}[2Jé".to_owned(), "1\n2".to_owned()]);
        assert_eq!(table.render(), "name         height\nvalidator-0  7\n\u{fffd}[2Jé        1 2\n");
    }

    #[test]
    fn long_hex_is_shortened_and_short_hex_is_not() {
        assert_eq!(short(&"0x00112233445566778899aabbccddeeff00112233"), "0x00112233…00112233");
        assert_eq!(short(&"0x0011223344556677"), "0x0011223344556677");
    }

    #[test]
    fn every_cause_of_an_error_is_printed_once() {
        let error = anyhow::anyhow!("the disk is full")
            .context("journal: the disk is full")
            .context("the node cannot start");
        assert_eq!(causes(&error), ["the node cannot start", "journal: the disk is full"]);
    }

    #[test]
    fn times_are_readable_and_impossible_times_do_not_panic() {
        assert_eq!(time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(u64::MAX), format!("{} ms", u64::MAX));
        assert!(time(253_370_764_799_999).starts_with("9998-12-31"));
    }

    #[test]
    fn fields_are_aligned() {
        let text = fields([("id", "1".to_owned()), ("height", "2".to_owned())]);
        assert_eq!(text, "id      1\nheight  2\n");
    }
}
