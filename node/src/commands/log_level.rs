//! `quorate log-level`: what a running node logs.

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

/// How long the node may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Show or change what a running node logs.
///
/// The change lasts until the node is restarted. It goes through the socket admin.sock in the node's home, which only
/// the user who runs the node can use (and root); the setting admin.socket moves it or, empty, removes it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate log-level --home net/validator-0
  quorate log-level --home net/validator-0 info,quorate_network=debug")]
pub(crate) struct Args {
    /// The validator's directory.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: PathBuf,

    /// What to log from now on: error, warn, info, debug or trace, also for each module. Without it the level is
    /// shown.
    #[arg(value_name = "LEVEL")]
    level: Option<String>,
}

/// Runs `quorate log-level`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let config = config::read(&args.home, &Overrides::of_process(&[])?)?;
    let Some(socket) = config.admin_socket else {
        bail!("{} has no administration: admin.socket is empty in its configuration", args.home.display());
    };
    let endpoint = Endpoint::socket(socket);
    match &args.level {
        Some(level) => {
            let before = block_on(call(endpoint, "admin_set_log_level", json!([level])))?;
            output::note(format_args!("the node logged {before} until now"));
            output::print(level)?;
        }
        None => output::print(&block_on(call(endpoint, "admin_log_level", json!([])))?)?,
    }
    Ok(Outcome::Yes)
}

async fn call(endpoint: Endpoint, method: &str, params: Value) -> anyhow::Result<String> {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let (status, body) = Connection::new(endpoint, PATIENCE).post(request.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (&answer["result"], &answer["error"]["message"]) {
        (Value::String(level), _) if status == StatusCode::OK => Ok(level.clone()),
        (_, Value::String(message)) => bail!("the node refuses: {message}"),
        _ => bail!("the node answers {status} and nothing that can be understood"),
    }
}
