//! `GET /ws`: upgrades HTTP to a WebSocket.

use std::sync::Arc;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, State, WebSocketUpgrade};
use axum::http::header::{SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use quorate_api::{ErrorKind, RpcError};

use super::Streams;
use super::session;
use crate::json_rpc::{Endpoint, RequestRefusal};
use crate::limits::Client;
use crate::transport::ConnectionPlace;

/// Send each frame when it is complete; buffering would cost memory and time.
const WRITE_BUFFER_BYTES: usize = 0;

/// How much is read from the system at a time. The default of 128 KiB is more than requests need.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// The only version of the protocol.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// The refusal of an invalid upgrade, by RFC 6455, 4.4 and RFC 9110, 15.5.22.
fn refusal(rejection: &WebSocketUpgradeRejection, headers: &HeaderMap) -> RequestRefusal {
    let wants_upgrade = headers.contains_key(UPGRADE) && headers.get(SEC_WEBSOCKET_VERSION) == Some(&VERSION);
    let status = if wants_upgrade { rejection.status() } else { StatusCode::UPGRADE_REQUIRED };
    let message = format!("not a WebSocket upgrade: {}", rejection.body_text());
    let refusal = RequestRefusal::new(status, RpcError::new(ErrorKind::InvalidRequest, message));
    if wants_upgrade {
        return refusal;
    }
    let upgrade = HeaderValue::from_static("websocket");
    refusal.with_header(UPGRADE, upgrade).with_header(SEC_WEBSOCKET_VERSION, VERSION)
}

/// The handler.
pub(crate) async fn upgrade(
    State((endpoint, streams)): State<(Arc<Endpoint>, Arc<Streams>)>,
    connection: Option<Extension<ConnectionPlace>>,
    extensions: Extensions,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, RequestRefusal> {
    let upgrade = upgrade.map_err(|rejection| refusal(&rejection, &headers))?;
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
