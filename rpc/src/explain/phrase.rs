//! Parts of sentences.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use quorate_api::MemberName;

/// A duration for people.
pub(crate) fn span(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..120_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        120_000..7_200_000 => format!("{} min", milliseconds / 60_000),
        7_200_000..172_800_000 => format!("{} h", milliseconds / 3_600_000),
        _ => format!("{} days", milliseconds / 86_400_000),
    }
}

/// A point in time, milliseconds since the Unix epoch, for people.
pub(crate) fn moment(milliseconds: u64) -> String {
    let mut text = String::new();
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds));
    match time.map(|time| write!(text, "{}", humantime::format_rfc3339_millis(time))) {
        Some(Ok(())) => text,
        // Beyond the last year of the calendar.
        _ => milliseconds.to_string(),
    }
}

/// When something happens, given the time until then.
pub(super) fn within(milliseconds: u64) -> String {
    if milliseconds == 0 { "now".to_owned() } else { format!("in {}", span(milliseconds)) }
}

/// A count with its noun in the right number.
pub(super) fn number(count: u64, one: &str, more: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {more}") }
}

/// Names as an enumeration.
pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The names of members as an enumeration.
pub(super) fn names(members: &[MemberName]) -> String {
    list(&members.iter().map(|member| member.name.clone()).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_while_the_calendar_has_them() {
        assert_eq!(moment(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(moment(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn spans_use_the_unit_that_suits_their_length() {
        let minute = 60_000;
        let spans = [999, 1_250, 2 * minute - 1, 2 * minute, 120 * minute, 48 * 60 * minute, u64::MAX];
        let texts = ["999 ms", "1.2 s", "119.9 s", "2 min", "2 h", "2 days", "213503982334 days"];
        assert_eq!(spans.map(span), texts);
    }
}
