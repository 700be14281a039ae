//! Limits how much of untrusted text is repeated to people.

/// Most characters of an untrusted value that an error, a log line or a page repeats.
pub const MAX_EXCERPT_CHARS: usize = 64;

/// The first [`MAX_EXCERPT_CHARS`] characters of an untrusted text, with `…` for the rest.
///
/// Call this before any further formatting: a request may have megabytes, and `{:?}` costs much
/// more than a copy.
pub fn excerpt(text: &str) -> String {
    shorten(text, MAX_EXCERPT_CHARS)
}

/// The first `max_chars` characters of a text, with `…` for the rest.
pub fn shorten(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Cuts a text off at the end of a character, so that it has at most this many bytes with the sign
/// for what is missing.
pub fn cut_off(mut text: String, limit: usize) -> String {
    const CUT: char = '…';
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit.saturating_sub(CUT.len_utf8())));
        text.push(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let smileys = |count| "😀".repeat(count);
        assert_eq!(excerpt(&smileys(64)), smileys(64));
        assert_eq!(excerpt(&smileys(900_000)), smileys(64) + "…");
        assert_eq!(cut_off(smileys(2), 8), smileys(2));
        assert_eq!(cut_off(smileys(3), 11), smileys(2) + "…");
        assert_eq!(cut_off(smileys(3), 10), smileys(1) + "…");
    }
}
