//! `quorate ledger compare`: do two copies hold the same chain?

use clap::Args;
use quorate_genesis::Genesis;
use quorate_ledger::{BlockHash, Height};
use serde::Serialize;

use super::Chain;
use super::source::{Source, is_url};
use crate::exit::Outcome;
use crate::output::{self, Output};

/// Compare two chains: are they the same as far as both go?
///
/// Each is the URL of a running node's JSON-RPC, the home of a stopped node, or an export. Blocks name their parents by hash, so two chains
/// that have the same block at a height are the same below. If they are not, the first height where they differ is looked
/// for. Certificates are not compared: nodes may hold different ones for one block. Exit code 0 if they are the same, though one may be
/// longer; 3 if they are not.
///
/// Nothing is proven by it: `quorate ledger verify` does that.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate ledger compare http://127.0.0.1:8545 http://127.0.0.1:8546 --genesis genesis.toml
  quorate ledger compare chain.export net/validator-0 --genesis net/genesis.toml")]
pub(crate) struct CompareArgs {
    /// A URL, a home, or an export.
    #[arg(value_name = "A")]
    first: String,

    /// The other one.
    #[arg(value_name = "B")]
    second: String,

    #[command(flatten)]
    chain: Chain,

    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    same: bool,
    /// The last height that both have.
    common_height: u64,
    heights: [u64; 2],
    /// Where they part, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
}

#[derive(Serialize)]
struct Difference {
    height: u64,
    hashes: [String; 2],
    /// Who signed for each of the two.
    signers: [Vec<String>; 2],
    /// Who signed for both.
    signed_both: Vec<String>,
}

pub(super) fn run(args: &CompareArgs) -> anyhow::Result<Outcome> {
    let report = compare(&args.first, &args.second, &genesis(args)?)?;
    args.output.show(&report, || human(&report, args))?;
    Ok(Outcome::of(report.same))
}

fn compare(first: &str, second: &str, genesis: &Genesis) -> anyhow::Result<Report> {
    let (mut first, mut second) = (Source::open(first, genesis)?, Source::open(second, genesis)?);
    let heads = [first.head()?, second.head()?];
    let common = heads[0].0.min(heads[1].0);
    // One is asked for a height that is not its last, so it must be asked.
    let hashes = [hash_at(&mut first, common, heads[0])?, hash_at(&mut second, common, heads[1])?];
    let difference = if hashes[0] == hashes[1] {
        None
    } else {
        let height = first_difference(&mut first, &mut second, common)?;
        Some(difference(&mut first, &mut second, height, genesis)?)
    };
    let heights = [heads[0].0.0, heads[1].0.0];
    Ok(Report { same: difference.is_none(), common_height: common.0, heights, difference })
}

/// The genesis that is named, or that of a home that is compared.
fn genesis(args: &CompareArgs) -> anyhow::Result<Genesis> {
    if args.chain.genesis.is_none() && args.chain.home.is_none() {
        let home = [&args.first, &args.second]
            .into_iter()
            .find(|argument| !is_url(argument) && std::path::Path::new(argument).is_dir());
        if let Some(home) = home {
            let chain = Chain { genesis: None, home: Some(home.into()) };
            return chain.genesis();
        }
    }
    args.chain.genesis()
}

fn hash_at(
    source: &mut Source,
    height: Height,
    head: (Height, BlockHash),
) -> anyhow::Result<Option<BlockHash>> {
    if height == head.0 { Ok(Some(head.1)) } else { source.hash_at(height) }
}

/// The lowest height with different blocks, of which `known` is one.
fn first_difference(first: &mut Source, second: &mut Source, known: Height) -> anyhow::Result<Height> {
    let mut differ =
        |height: Height| -> anyhow::Result<bool> { Ok(first.hash_at(height)? != second.hash_at(height)?) };
    let (mut same, mut different) = (0, known.0);
    while same + 1 < different {
        let middle = same + (different - same) / 2;
        if differ(Height(middle))? {
            different = middle;
        } else {
            same = middle;
        }
    }
    Ok(Height(different))
}

fn difference(
    first: &mut Source,
    second: &mut Source,
    height: Height,
    genesis: &Genesis,
) -> anyhow::Result<Difference> {
    let mut told = Vec::new();
    for source in [first, second] {
        let hash = source.hash_at(height)?.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
        let signers: Vec<String> = source.certificate_of(height)?.map_or_else(Vec::new, |certificate| {
            let name = |replica| genesis.validator(replica).map(|validator| validator.name.clone());
            certificate.votes().signers().iter().filter_map(name).collect()
        });
        told.push((hash, signers));
    }
    let [(first, of_first), (second, of_second)] = <[_; 2]>::try_from(told).expect("there are two sources");
    let signed_both = of_first.iter().filter(|name| of_second.contains(name)).cloned().collect();
    Ok(Difference { height: height.0, hashes: [first, second], signers: [of_first, of_second], signed_both })
}

fn human(report: &Report, args: &CompareArgs) -> String {
    let mut fields = vec![
        ("first", format!("{} up to height {}", args.first, report.heights[0])),
        ("second", format!("{} up to height {}", args.second, report.heights[1])),
    ];
    let Some(Difference { height, hashes, signers, signed_both }) = &report.difference else {
        return format!("SAME up to height {}.\n\n{}", report.common_height, output::fields(fields));
    };
    fields.push(("first has", format!("{}, signed by {}", hashes[0], signers[0].join(", "))));
    fields.push(("second has", format!("{}, signed by {}", hashes[1], signers[1].join(", "))));
    fields.push(("signed both", signed_both.join(", ")));
    format!(
        "DIFFERENT from height {height} on. If both are verified, more than f validators lied or share keys: keep both as evidence.\n\n{}",
        output::fields(fields)
    )
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
