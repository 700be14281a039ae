//! The frames on a direct stream: `u32` length (big endian) of the rest, one byte kind, content.

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
    #[error("an observer sent a direct message, which only members may do")]
    NotAMember,
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

/// Takes one complete frame from the front of `buffer`, or returns `None` if it is incomplete.
/// Reserves memory for the rest of a frame only after the claimed length was found to be allowed.
pub(crate) fn decode(buffer: &mut BytesMut, message_bytes_max: usize) -> Result<Option<Frame>, FrameError> {
    if buffer.len() < HEAD_BYTES {
        return Ok(None);
    }
    let mut head = &buffer[..HEAD_BYTES];
    let length = head.get_u32() as usize;
    let kind = head.get_u8();
    let Some(content) = length.checked_sub(1) else { return Err(FrameError::Empty) };
    match kind {
        MESSAGE if content > message_bytes_max => {
            return Err(FrameError::TooLong { bytes: content, limit: message_bytes_max });
        }
        PING | PONG if content != SEQUENCE_BYTES => return Err(FrameError::HeartbeatLength(content)),
        MESSAGE | PING | PONG => {}
        other => return Err(FrameError::UnknownKind(other)),
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
            let mut buffer = BytesMut::new();
            let mut frames = Vec::new();
            for part in wire.chunks(step) {
                buffer.extend_from_slice(part);
                while let Some(frame) = decode(&mut buffer, 10_000).unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, expected, "in steps of {step}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn the_longest_message_passes_and_one_byte_more_does_not() {
        let mut fits = BytesMut::from(&message(&[1; 10])[..]);
        assert_eq!(decode(&mut fits, 10), Ok(Some(Frame::Message(vec![1; 10].into()))));
        let mut long = BytesMut::from(&message_head(11)[..]);
        assert_eq!(decode(&mut long, 10), Err(FrameError::TooLong { bytes: 11, limit: 10 }));
    }

    #[test]
    fn a_claimed_length_alone_takes_no_memory() {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0xff, MESSAGE][..]);
        let before = buffer.capacity();
        assert!(decode(&mut buffer, 1000).is_err());
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
            assert_eq!(decode(&mut BytesMut::from(bytes), 100), Err(expected));
        }
    }
}
