//! Responses of JSON-RPC and HTTP. A body holds its memory reservation until it is sent.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::stream;
use quorate_api::RpcError;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::limits::{Reservation, UNIT_BYTES};

/// The response to one request, with its memory reservation.
#[derive(Debug)]
pub(crate) struct Part {
    text: Bytes,
    reservation: Reservation,
}

impl Part {
    pub(crate) fn new(text: String, reservation: Reservation) -> Self {
        Part { text: text.into(), reservation }
    }
}

/// A response body. Its reservations end when the connection has taken the last piece.
#[derive(Debug)]
pub(crate) struct Answer {
    pieces: VecDeque<Bytes>,
    /// Only held until the response is sent.
    reservations: Vec<Reservation>,
}

impl From<Part> for Answer {
    fn from(part: Part) -> Self {
        Answer { pieces: VecDeque::from([part.text]), reservations: vec![part.reservation] }
    }
}

impl Answer {
    /// A JSON array of the parts.
    pub(crate) fn array(parts: Vec<Part>) -> Self {
        let mut pieces = VecDeque::with_capacity(2 * parts.len() + 1);
        let mut reservations = Vec::with_capacity(parts.len());
        for part in parts {
            pieces.push_back(Bytes::from_static(if pieces.is_empty() { b"[" } else { b"," }));
            pieces.push_back(part.text);
            reservations.push(part.reservation);
        }
        pieces.push_back(Bytes::from_static(b"]"));
        Answer { pieces, reservations }
    }

    /// The whole text, with its memory reservations.
    pub(crate) fn into_text(self) -> (String, Vec<Reservation>) {
        let bytes: Vec<u8> = self.pieces.iter().flatten().copied().collect();
        let text = String::from_utf8(bytes).expect("responses are made of UTF-8 parts");
        (text, self.reservations)
    }

    /// The next piece of at most [`UNIT_BYTES`].
    fn next_piece(&mut self) -> Option<Bytes> {
        let mut piece = self.pieces.pop_front()?;
        if piece.len() > UNIT_BYTES {
            let rest = piece.split_off(UNIT_BYTES);
            self.pieces.push_front(rest);
        }
        Some(piece)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let bytes: usize = self.pieces.iter().map(Bytes::len).sum();
        if bytes <= UNIT_BYTES {
            let whole: Vec<u8> = self.pieces.iter().flatten().copied().collect();
            return Body::from(whole).into_response();
        }
        let pieces = stream::unfold(self, |mut answer| async move {
            let piece = answer.next_piece()?;
            Some((Ok::<_, Infallible>(piece), answer))
        });
        let mut response = Body::from_stream(pieces).into_response();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        response
    }
}

/// A response as JSON over HTTP.
pub(crate) fn json(status: StatusCode, answer: Answer) -> Response {
    let mut response = answer.into_response();
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The response object of a call that failed.
pub(crate) fn failed(id: &RawValue, error: &RpcError) -> Part {
    #[derive(Serialize)]
    struct Failure<'a> {
        jsonrpc: &'static str,
        id: &'a RawValue,
        error: &'a RpcError,
    }
    let failure = Failure { jsonrpc: "2.0", id, error };
    let text = serde_json::to_string(&failure).expect("an error has only string keys");
    // Errors are small, and must be sent even if no memory is left for other responses.
    Part::new(text, Reservation::default())
}

/// The same as a whole response.
pub(crate) fn failure(id: &RawValue, error: &RpcError) -> Answer {
    failed(id, error).into()
}
