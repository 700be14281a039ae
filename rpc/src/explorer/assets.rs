//! The files that pages need. No page loads files from other origins.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// A file that is compiled into the program.
#[derive(Hash)]
struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The verifier is the public one in `rpc/client/web`.
const ASSETS: [Asset; 7] = [
    Asset {
        name: "explorer.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("../../assets/explorer.css"),
    },
    Asset { name: "icon.svg", media_type: "image/svg+xml", text: include_str!("../../assets/icon.svg") },
    Asset { name: "live.js", media_type: JAVASCRIPT, text: include_str!("../../assets/live.js") },
    Asset { name: "receipt.js", media_type: JAVASCRIPT, text: include_str!("../../assets/receipt.js") },
    Asset { name: "crypto.js", media_type: JAVASCRIPT, text: include_str!("../../client/web/crypto.js") },
    Asset { name: "verify.js", media_type: JAVASCRIPT, text: include_str!("../../client/web/verify.js") },
    Asset { name: "genesis.js", media_type: JAVASCRIPT, text: include_str!("../../client/web/genesis.js") },
];

/// Changes with the content of any file. It is a folder in the address, so that modules find each
/// other and browsers may cache the files without revalidation.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    ASSETS.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
});

/// The folder of the files of this version.
pub(super) fn folder() -> String {
    format!("/assets/{}", *VERSION)
}

/// `GET /assets/{version}/{name}`
pub(super) async fn asset(named: Result<Path<(String, String)>, PathRejection>) -> Response {
    // A path that is not UTF-8 names no file.
    let (version, name) = named.map(|Path(names)| names).unwrap_or_default();
    let found = ASSETS.iter().find(|asset| asset.name == name && version == *VERSION);
    match found {
        Some(asset) => {
            let forever = "public, max-age=31536000, immutable";
            ([(CONTENT_TYPE, asset.media_type), (CACHE_CONTROL, forever)], asset.text).into_response()
        }
        None => (StatusCode::NOT_FOUND, [(CACHE_CONTROL, "no-store")]).into_response(),
    }
}
