//! Formats times, sizes and payloads for people.

use std::time::{SystemTime, UNIX_EPOCH};

use quorate_api::shorten;

/// Bytes of a payload that are shown as text, and as hex. The rest is cut off, and the page says so.
pub(super) const SHOWN_TEXT_BYTES: usize = 4096;
pub(super) const SHOWN_HEX_BYTES: usize = 1024;

/// How many characters of a payload a list shows.
const SUMMARY_CHARACTERS: usize = 48;

/// A time in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    /// The time of this node's clock.
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// For programs (`datetime`). Times beyond the calendar stay numbers.
    pub(super) fn iso(&self) -> String {
        crate::explain::moment(self.0)
    }

    /// For people, in UTC.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.date(), self.clock())
    }

    pub(super) fn date(&self) -> String {
        self.iso().split('T').next().unwrap_or_default().to_owned()
    }

    pub(super) fn clock(&self) -> String {
        self.iso().split('T').nth(1).unwrap_or_default().replace('Z', "")
    }
}

/// For templates, which pass references.
pub(super) fn moment(milliseconds: &u64) -> Moment {
    Moment(*milliseconds)
}

/// A duration; also for templates.
pub(super) fn span(milliseconds: &u64) -> String {
    crate::explain::span(*milliseconds)
}

/// A number of bytes in a suitable unit; also for templates.
pub(super) fn bytes(count: &u64) -> String {
    let count = *count;
    let unit = |shift: u32, name: &str| {
        format!("{}.{} {name}", count >> shift, ((count >> (shift - 10)) % 1024) * 10 / 1024)
    };
    match count {
        0..1024 => format!("{count} B"),
        1024..0x10_0000 => unit(10, "KiB"),
        0x10_0000..0x4000_0000 => unit(20, "MiB"),
        _ => unit(30, "GiB"),
    }
}

/// The bytes of a payload, as far as a page shows them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// How many bytes it has.
    pub(super) bytes: usize,
    /// Its beginning as text, if all of it is readable text.
    pub(super) text: Option<String>,
    /// Whether the text is longer.
    pub(super) text_is_cut: bool,
    /// Its beginning as hex, without `0x`.
    pub(super) hex: String,
    /// Whether the hex is longer.
    pub(super) hex_is_cut: bool,
}

impl Shown {
    pub(super) fn of(payload: &[u8]) -> Self {
        let text = readable(payload);
        let cut = text.map(|text| &text[..text.floor_char_boundary(SHOWN_TEXT_BYTES)]);
        let hex = quorate_ledger::to_hex(&payload[..payload.len().min(SHOWN_HEX_BYTES)]);
        Shown {
            bytes: payload.len(),
            text: cut.map(str::to_owned),
            text_is_cut: cut.is_some_and(|cut| cut.len() < payload.len()),
            hex: hex.trim_start_matches("0x").to_owned(),
            hex_is_cut: payload.len() > SHOWN_HEX_BYTES,
        }
    }
}

/// A payload in a few characters.
pub(super) fn summary(payload: &[u8]) -> String {
    let text = match readable(payload) {
        Some(text) => text.replace(['\n', '\r', '\t'], " "),
        None => quorate_ledger::to_hex(&payload[..payload.len().min(SUMMARY_CHARACTERS)]),
    };
    shorten(&text, SUMMARY_CHARACTERS)
}

/// The text of a payload that has only visible characters. Characters that reorder or hide their
/// neighbours could make a reader see another text.
fn readable(payload: &[u8]) -> Option<&str> {
    let invisible = |character: char| {
        let lays_out = matches!(character, '\n' | '\r' | '\t');
        let misleads = matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        misleads || (character.is_control() && !lays_out)
    };
    let text = std::str::from_utf8(payload).ok()?;
    (!text.is_empty() && !text.contains(invisible)).then_some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_dates_or_numbers() {
        let moment = Moment(1_700_000_001_234);
        assert_eq!(moment.iso(), "2023-11-14T22:13:21.234Z");
        assert_eq!(moment.shown(), "2023-11-14 22:13:21.234");
        assert_eq!(Moment(u64::MAX).iso(), u64::MAX.to_string());
        assert_eq!(Moment(u64::MAX).shown().trim(), u64::MAX.to_string());
    }

    #[test]
    fn sizes_have_units() {
        for (count, text) in [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB")] {
            assert_eq!(bytes(&count), text);
        }
        assert_eq!(bytes(&(64 << 20)), "64.0 MiB");
        assert_eq!(bytes(&u64::MAX), "17179869183.9 GiB");
    }

    #[test]
    fn only_visible_characters_are_text() {
        assert_eq!(Shown::of("h\u{e9}llo\n".as_bytes()).text.unwrap(), "h\u{e9}llo\n");
        for hidden in ["", "a\0", "a\u{1b}[2J", "abc\u{202e}def", "a\u{200b}b", "\u{feff}a"] {
            assert_eq!(Shown::of(hidden.as_bytes()).text, None, "{hidden:?}");
        }
        assert_eq!(Shown::of(&[0xff, 0xfe]).text, None);
        assert_eq!(Shown::of(&[0xff, 0xfe]).hex, "fffe");
    }

    #[test]
    fn long_payloads_are_cut_between_characters() {
        let long = "\u{e9}".repeat(SHOWN_TEXT_BYTES);
        let shown = Shown::of(format!("x{long}").as_bytes());
        assert_eq!(shown.text.unwrap().len(), SHOWN_TEXT_BYTES - 1);
        assert_eq!(shown.hex.len(), 2 * SHOWN_HEX_BYTES);
        assert!(shown.text_is_cut && shown.hex_is_cut);
        let whole = Shown::of(&[b'x'; SHOWN_HEX_BYTES]);
        assert!(!whole.text_is_cut && !whole.hex_is_cut);
        assert_eq!(summary("ab\ncd".as_bytes()), "ab cd");
        assert_eq!(summary(long.as_bytes()).chars().count(), SUMMARY_CHARACTERS + 1);
        assert!(summary(&[0; 100]).starts_with("0x0000"));
    }
}
