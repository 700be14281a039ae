//! `quorate governance set`.

use anyhow::{Context, bail, ensure};
use clap::Args;
use quorate_governance::{Change, ParameterName, Submit};

use super::act::{Acting, act};
use super::plan::Plan;
use crate::exit::Outcome;

/// The name of the submit mode among the parameters.
const SUBMIT_MODE: &str = "clients.submit";

/// Propose other values of parameters.
///
/// The names are those of the genesis file, as in consensus.window, and those of `quorate
/// governance status`: all numbers of the genesis tables block, consensus, mempool and governance
/// except block.max_transaction_lifetime_ms. clients.submit may be open or registry.
///
/// Parameters that contradict each other must change in one proposal: give several names and
/// values.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate governance set block.max_transactions 2000 --key governance.pem --dry-run
  quorate governance set consensus.checkpoint_interval 64 consensus.log_window 256 --key governance.pem
  quorate governance set clients.submit registry --key governance.pem

Exit code 0 if the proposal was made, 3 if it was not.")]
pub(crate) struct SetArgs {
    /// Names and values: NAME VALUE, again for each further parameter.
    #[arg(value_name = "NAME VALUE", num_args = 2.., required = true)]
    settings: Vec<String>,

    #[command(flatten)]
    acting: Acting,
}

pub(super) fn run(args: &SetArgs) -> anyhow::Result<Outcome> {
    let changes = changes(&args.settings)?;
    act(&args.acting, |_| Ok(Plan::propose(changes)))
}

fn changes(settings: &[String]) -> anyhow::Result<Vec<Change>> {
    ensure!(settings.len().is_multiple_of(2), "give a value after each name: NAME VALUE");
    settings.chunks(2).map(|pair| change(&pair[0], &pair[1])).collect()
}

fn change(name: &str, value: &str) -> anyhow::Result<Change> {
    if name == SUBMIT_MODE {
        let mode = match value {
            "open" => Submit::Open,
            "registry" => Submit::Registry,
            _ => bail!("{SUBMIT_MODE} is open or registry, not {value:?}"),
        };
        return Ok(Change::SetSubmitMode { mode });
    }
    let parameter: ParameterName = name.parse().map_err(|_| {
        let names: Vec<&str> = ParameterName::ALL.iter().map(|parameter| parameter.path()).collect();
        anyhow::anyhow!(
            "governance cannot change {name:?}: choose {SUBMIT_MODE} or one of {}",
            names.join(", ")
        )
    })?;
    let value =
        value.parse().with_context(|| format!("the value of {name} is a whole number, not {value:?}"))?;
    Ok(Change::SetParameter { parameter, value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(settings: &[&str]) -> anyhow::Result<Vec<Change>> {
        changes(&settings.iter().map(|setting| (*setting).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_and_values_become_changes() {
        let parsed = parse(&["consensus.window", "4", "clients.submit", "registry"]).unwrap();
        let expected = [
            Change::SetParameter { parameter: ParameterName::Window, value: 4 },
            Change::SetSubmitMode { mode: Submit::Registry },
        ];
        assert_eq!(parsed, expected);
    }

    #[test]
    fn wrong_names_and_values_are_refused_with_the_right_ones() {
        for (settings, said) in [
            (&["consensus.window"][..], "a value after each name"),
            (&["consensus.windows", "4"], "consensus.window, "),
            (&["consensus.window", "four"], "a whole number"),
            (&["clients.submit", "all"], "open or registry"),
            (&["block.max_transaction_lifetime_ms", "1"], "cannot change"),
        ] {
            let error = format!("{:#}", parse(settings).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
