//! Pieces of sentences.

use quorate_api::MemberName;

/// A stretch of time for people.
pub(super) fn span(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..120_000 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{} min", milliseconds / 60_000),
    }
}

/// When something happens that is this far away.
pub(super) fn within(milliseconds: u64) -> String {
    if milliseconds == 0 { "now".to_owned() } else { format!("in {}", span(milliseconds)) }
}

/// A number of things.
pub(super) fn number(count: u64, one: &str, more: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {more}") }
}

/// Names in a row.
pub(super) fn list(names: &[String]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The names of members in a row.
pub(super) fn names(members: &[MemberName]) -> String {
    list(&members.iter().map(|member| member.name.clone()).collect::<Vec<_>>())
}
