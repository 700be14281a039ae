//! `quorate log-level`: the log level of a running node.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args as ClapArgs;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::commands::block_on;
use crate::config::{self, Overrides};
use crate::exit::Outcome;
use crate::http::{Connection, Endpoint};
use crate::output;

/// How long the node may take to respond.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Show or change what a running node logs.
///
/// The change lasts until the node restarts. The command uses the socket admin.sock in the node's
/// home. Only the user who runs the node, and root, can use this socket. The setting admin.socket
/// moves it; an empty value disables it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate log-level --home net/validator-0
  quorate log-level --home net/validator-0 info,quorate_network=debug")]
pub(crate) struct Args {
    /// The node's home directory.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: PathBuf,

    /// The new level: error, warn, info, debug or trace, optionally for each module. Without it,
    /// the command shows the level.
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
}

/// Runs `quorate log-level`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let config = config::read(&args.home, &Overrides::of_process(&[])?)?;
    let Some(socket) = config.admin_socket else {
        bail!(
            "the node of {} has no administration socket: admin.socket is empty in its configuration",
            args.home.display()
        );
    };
    let endpoint = Endpoint::socket(socket);
    match &args.level {
        Some(level) => {
            let before = block_on(call(endpoint, "admin_set_log_level", json!([level])))?;
            output::note(format_args!("the previous level was {before}"));
            output::print(level)?;
        }
        None => output::print(&block_on(call(endpoint, "admin_log_level", json!([])))?)?,
    }
    Ok(Outcome::Yes)
}

async fn call(endpoint: Endpoint, method: &str, params: Value) -> anyhow::Result<String> {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let (status, body) = Connection::new(endpoint, TIMEOUT).post(request.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (&answer["result"], &answer["error"]["message"]) {
        (Value::String(level), _) if status == StatusCode::OK => Ok(level.clone()),
        (_, Value::String(message)) => bail!("the node refused the request: {message}"),
        _ => bail!("the node returned HTTP {status} without a valid response"),
    }
}
