//! Search: redirects from what a user typed to its page.

use askama::Template;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use quorate_api::{BlockAt, TransactionStatus, excerpt};
use serde::Deserialize;

use super::page::{Frame, Problem};
use super::{Explorer, query};
use crate::node::Node;

/// Hex digits of a hash or id.
const HEX_DIGITS: usize = 64;

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    frame: Frame,
    /// The typed text, shortened; may be empty.
    typed: String,
    /// Whether the text can name a block or transaction.
    is_understood: bool,
}

#[derive(Deserialize)]
struct Parameters {
    q: Option<String>,
}

/// What the typed text may name.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Nothing,
    Height(u64),
    /// `0x` and lower-case hex, of a block or a transaction.
    Hash(String),
    Other,
}

fn meaning(typed: &str) -> Meaning {
    let typed = typed.trim();
    if typed.is_empty() {
        return Meaning::Nothing;
    }
    let digits = typed.strip_prefix("0x").or_else(|| typed.strip_prefix("0X")).unwrap_or(typed);
    if digits.len() == HEX_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Meaning::Hash(format!("0x{}", digits.to_ascii_lowercase()));
    }
    let is_number = typed.bytes().all(|byte| byte.is_ascii_digit());
    typed.parse().ok().filter(|_| is_number).map_or(Meaning::Other, Meaning::Height)
}

/// `GET /search?q=`
pub(super) async fn page<N: Node>(
    explorer: &Explorer<N>,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let typed = query::<Parameters>(uri)?.q.unwrap_or_default();
    let meaning = meaning(&typed);
    let (status, is_understood) = match meaning {
        Meaning::Nothing => (StatusCode::OK, true),
        Meaning::Height(height) => return Ok(Redirect::to(&format!("/blocks/{height}")).into_response()),
        Meaning::Hash(hash) => {
            if let Some(place) = place_of(explorer, &hash).await? {
                return Ok(Redirect::to(&place).into_response());
            }
            (StatusCode::NOT_FOUND, true)
        }
        Meaning::Other => (StatusCode::BAD_REQUEST, false),
    };
    let frame = explorer.frame(headers, "");
    Ok(explorer.show(status, &SearchPage { frame, typed: excerpt(typed.trim()), is_understood }))
}

/// The page of a block or transaction that this node knows.
async fn place_of<N: Node>(explorer: &Explorer<N>, hash: &str) -> Result<Option<String>, Problem> {
    if let Ok(at) = hash.parse::<BlockAt>()
        && explorer.api.chain_block(at, Some(false)).await?.is_some()
    {
        return Ok(Some(format!("/blocks/{hash}")));
    }
    let Ok(id) = hash.parse() else { return Ok(None) };
    let status = explorer.api.tx_status(id).await?.status;
    Ok((status != TransactionStatus::Unknown).then(|| format!("/transactions/{hash}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_text_is_understood_in_many_forms() {
        let hash = "AB".repeat(32);
        let small = Meaning::Hash(format!("0x{}", "ab".repeat(32)));
        assert_eq!(meaning(&hash), small);
        assert_eq!(meaning(&format!(" 0x{hash}\n")), small);
        assert_eq!(meaning(" 17 "), Meaning::Height(17));
        assert_eq!(meaning("  "), Meaning::Nothing);
        for other in ["+1", "-1", "1e3", "18446744073709551616", "0x12", "validator-0", "<b>"] {
            assert_eq!(meaning(other), Meaning::Other, "{other}");
        }
    }
}
