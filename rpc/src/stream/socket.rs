//! `GET /ws`: from HTTP to a WebSocket.

use std::sync::Arc;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, State, WebSocketUpgrade};
use axum::http::{Extensions, HeaderMap};
use axum::response::Response;
use quorate_api::{ErrorKind, RpcError};

use super::Streams;
use super::session;
use super::slots::ConnectionPlace;
use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::refusal::Refusal;

/// A frame is sent when it is complete; what a socket holds back costs memory and time.
const WRITE_BUFFER_BYTES: usize = 0;

/// What is read from the system at a time. The default of 128 KiB is much for requests.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// The handler.
pub(crate) async fn upgrade(
    State((endpoint, streams)): State<(Arc<Endpoint>, Arc<Streams>)>,
    connection: Option<Extension<ConnectionPlace>>,
    extensions: Extensions,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|rejection| {
        let message = format!("not the beginning of a WebSocket: {}", rejection.body_text());
        Refusal::new(rejection.status(), RpcError::new(ErrorKind::InvalidRequest, message))
    })?;
    streams.origins.check(&headers)?;
    let client = Client::of(&extensions);
    let slot = streams.slots.take(client, connection.map(|Extension(place)| place))?;
    let upgrade = upgrade
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(streams.max_message_bytes)
        .max_frame_size(streams.max_message_bytes);
    Ok(upgrade.on_upgrade(move |socket| async move {
        session::run(socket, client, &endpoint, &streams).await;
        drop(slot);
    }))
}
