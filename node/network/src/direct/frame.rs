//! The frames on a direct stream: `u32` length (big endian) of the rest, one byte kind, content.
//!
//! A peer that is no member may not send messages. It may not know that: its ledger may lack the
//! block that removed it. So its messages are skipped, and the connection stays.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Length prefix and kind.
pub(crate) const HEAD_BYTES: usize = 5;

/// Content of a heartbeat: its sequence number.
const SEQUENCE_BYTES: usize = 8;

/// Messages up to this length are copied out of the read buffer, so that keeping a small vote does
/// not keep the 64 KiB buffer.
const COPIED_BYTES_MAX: usize = 4 * 1024;

const MESSAGE: u8 = 0;
const PING: u8 = 1;
const PONG: u8 = 2;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A message of the layer above.
    Message(Bytes),
    /// A message that was skipped. Its bytes were not kept.
    Skipped,
    /// A heartbeat. Sequence numbers start at zero and rise by one.
    Ping(u64),
    /// The answer to the heartbeat with this number.
    Pong(u64),
}

/// The peer violates the protocol, so its connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a message of {bytes} bytes is above the limit of {limit}")]
    TooLong { bytes: usize, limit: usize },
    #[error("a frame has length 0, so it has no kind")]
    Empty,
    #[error("frame kind {0} is unknown")]
    UnknownKind(u8),
    #[error("a heartbeat has {0} bytes instead of 8")]
    HeartbeatLength(usize),
    #[error("an answer names heartbeat {0}, which this node never sent")]
    UnsentHeartbeat(u64),
    #[error("a message arrived before the answer to the first heartbeat")]
    EarlyMessage,
}

/// The head of a message frame with `length` bytes of content.
pub(crate) fn message_head(length: usize) -> [u8; HEAD_BYTES] {
    let length = u32::try_from(length + 1).expect("a message is far below 4 GiB, see MESSAGE_BYTES_MAX");
    let [a, b, c, d] = length.to_be_bytes();
    [a, b, c, d, MESSAGE]
}

/// A complete heartbeat frame.
pub(crate) fn ping(sequence: u64) -> [u8; HEAD_BYTES + SEQUENCE_BYTES] {
    heartbeat(PING, sequence)
}

/// A complete answer to a heartbeat.
pub(crate) fn pong(sequence: u64) -> [u8; HEAD_BYTES + SEQUENCE_BYTES] {
    heartbeat(PONG, sequence)
}

fn heartbeat(kind: u8, sequence: u64) -> [u8; HEAD_BYTES + SEQUENCE_BYTES] {
    let mut frame = [0; HEAD_BYTES + SEQUENCE_BYTES];
    let mut rest = &mut frame[..];
    rest.put_u32(9);
    rest.put_u8(kind);
    rest.put_u64(sequence);
    frame
}

/// Takes the frames of one stream from its bytes.
#[derive(Debug)]
pub(crate) struct Decoder {
    message_bytes_max: usize,
    /// Whether messages are skipped instead of returned.
    skips_messages: bool,
    /// Bytes of the present message that are still to be skipped; `None` outside of one.
    skipping: Option<usize>,
}

impl Decoder {
    /// A decoder that returns messages of at most `message_bytes_max` bytes.
    pub(crate) fn new(message_bytes_max: usize) -> Self {
        Self { message_bytes_max, skips_messages: false, skipping: None }
    }

    /// A decoder that skips messages of at most `message_bytes_max` bytes. It removes their bytes as
    /// they arrive, and reserves no memory for them.
    pub(crate) fn skipping_messages(message_bytes_max: usize) -> Self {
        Self { skips_messages: true, ..Self::new(message_bytes_max) }
    }

    /// Takes one complete frame from the front of `buffer`, or returns `None` if it is incomplete.
    /// Reserves memory for the rest of a frame only after the claimed length was found to be allowed.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if let Some(rest) = self.skipping {
            return Ok(self.skip(buffer, rest));
        }
        if buffer.len() < HEAD_BYTES {
            return Ok(None);
        }
        let mut head = &buffer[..HEAD_BYTES];
        let length = head.get_u32() as usize;
        let kind = head.get_u8();
        let Some(content) = length.checked_sub(1) else { return Err(FrameError::Empty) };
        match kind {
            MESSAGE if content > self.message_bytes_max => {
                return Err(FrameError::TooLong { bytes: content, limit: self.message_bytes_max });
            }
            PING | PONG if content != SEQUENCE_BYTES => return Err(FrameError::HeartbeatLength(content)),
            MESSAGE | PING | PONG => {}
            other => return Err(FrameError::UnknownKind(other)),
        }
        if kind == MESSAGE && self.skips_messages {
            buffer.advance(HEAD_BYTES);
            return Ok(self.skip(buffer, content));
        }
        let whole = HEAD_BYTES + content;
        if buffer.len() < whole {
            buffer.reserve(whole - buffer.len());
            return Ok(None);
        }
        let mut frame = buffer.split_to(whole);
        frame.advance(HEAD_BYTES);
        Ok(Some(match kind {
            PING => Frame::Ping(frame.get_u64()),
            PONG => Frame::Pong(frame.get_u64()),
            _ if content <= COPIED_BYTES_MAX => Frame::Message(Bytes::copy_from_slice(&frame)),
            _ => Frame::Message(frame.freeze()),
        }))
    }

    /// Removes what has arrived of the `rest` of a message.
    fn skip(&mut self, buffer: &mut BytesMut, rest: usize) -> Option<Frame> {
        let arrived = rest.min(buffer.len());
        buffer.advance(arrived);
        let missing = rest - arrived;
        self.skipping = (missing > 0).then_some(missing);
        self.skipping.is_none().then_some(Frame::Skipped)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn message(content: &[u8]) -> Vec<u8> {
        [&message_head(content.len())[..], content].concat()
    }

    #[test]
    fn the_bytes_are_fixed() {
        assert_eq!(message(b"ab"), [0, 0, 0, 3, 0, b'a', b'b']);
        assert_eq!(ping(1), [0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(pong(256), [0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn frames_are_decoded_whole_from_chunks_of_any_size() {
        let long = vec![7; COPIED_BYTES_MAX + 1];
        let sent = [message(b""), ping(3).to_vec(), message(&long), pong(u64::MAX).to_vec(), message(b"x")];
        let expected = vec![
            Frame::Message(Bytes::new()),
            Frame::Ping(3),
            Frame::Message(long.into()),
            Frame::Pong(u64::MAX),
            Frame::Message(Bytes::from_static(b"x")),
        ];
        let wire = sent.concat();
        for step in [1, 2, 5, 7, 1000, wire.len()] {
            assert_eq!(in_steps(Decoder::new(10_000), &wire, step), expected, "in steps of {step}");
            let skipped: Vec<Frame> = expected.iter().cloned().map(without_message).collect();
            let skipping = Decoder::skipping_messages(10_000);
            assert_eq!(in_steps(skipping, &wire, step), skipped, "in steps of {step}");
        }
    }

    /// The frames in `wire`, of which `step` bytes arrive at a time.
    fn in_steps(mut decoder: Decoder, wire: &[u8], step: usize) -> Vec<Frame> {
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for part in wire.chunks(step) {
            buffer.extend_from_slice(part);
            while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                frames.push(frame);
            }
        }
        assert!(buffer.is_empty());
        frames
    }

    fn without_message(frame: Frame) -> Frame {
        if matches!(frame, Frame::Message(_)) { Frame::Skipped } else { frame }
    }

    #[test]
    fn a_skipped_message_takes_no_memory_and_has_the_same_limit() {
        const LONG: usize = 1 << 20;
        let mut decoder = Decoder::skipping_messages(LONG);
        let mut buffer = BytesMut::with_capacity(1000);
        let wire = message(&vec![7; LONG]);
        let mut chunks = wire.chunks(1000).peekable();
        while let Some(chunk) = chunks.next() {
            buffer.extend_from_slice(chunk);
            let expected = if chunks.peek().is_none() { Some(Frame::Skipped) } else { None };
            assert_eq!(decoder.decode(&mut buffer), Ok(expected));
            assert!(buffer.is_empty() && buffer.capacity() <= 1000, "{}", buffer.capacity());
        }
        let mut long = BytesMut::from(&message_head(LONG + 1)[..]);
        assert_eq!(decoder.decode(&mut long), Err(FrameError::TooLong { bytes: LONG + 1, limit: LONG }));
    }

    #[test]
    fn the_longest_message_passes_and_one_byte_more_does_not() {
        let mut fits = BytesMut::from(&message(&[1; 10])[..]);
        assert_eq!(Decoder::new(10).decode(&mut fits), Ok(Some(Frame::Message(vec![1; 10].into()))));
        let mut long = BytesMut::from(&message_head(11)[..]);
        assert_eq!(Decoder::new(10).decode(&mut long), Err(FrameError::TooLong { bytes: 11, limit: 10 }));
    }

    #[test]
    fn a_claimed_length_alone_takes_no_memory() {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0xff, MESSAGE][..]);
        let before = buffer.capacity();
        assert!(Decoder::new(1000).decode(&mut buffer).is_err());
        assert_eq!(buffer.capacity(), before);
    }

    #[test]
    fn everything_else_is_refused() {
        let cases: [(&[u8], FrameError); 4] = [
            (&[0, 0, 0, 0, 0], FrameError::Empty),
            (&[0, 0, 0, 9, 3], FrameError::UnknownKind(3)),
            (&[0, 0, 0, 8, PING], FrameError::HeartbeatLength(7)),
            (&[0, 0, 0, 10, PONG], FrameError::HeartbeatLength(9)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Decoder::new(100).decode(&mut BytesMut::from(bytes)), Err(expected));
        }
    }
}
