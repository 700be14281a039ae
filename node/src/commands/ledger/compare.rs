//! `quorate ledger compare`: do two copies hold the same chain?

use clap::Args;
use quorate_genesis::Genesis;
use quorate_ledger::{BlockHash, ChainAnchor, CommitCertificate, FinalityProof, Height, PublicKey};
use serde::Serialize;

use super::Chain;
use super::source::{Source, is_url};
use crate::exit::Outcome;
use crate::output::{self, Output};

/// Compare two chains: are they equal up to the height that both have?
///
/// Each chain is the URL of a running node's JSON-RPC, the home of a stopped node, or an export.
/// Every block contains the hash of its parent, so two chains that have the same block at one
/// height are equal below it. If the chains differ, the command finds the first height with
/// different blocks. It does not compare certificates: two nodes may hold different certificates
/// for the same block. Exit code 0 if the chains are equal, even if one is longer; 3 if they
/// differ.
///
/// The command names a validator as faulty only if both certificates are valid and the validator
/// signed two blocks at one height in one view. If the two certificates are of different views or
/// heights, a correct validator may have signed both. Each chain itself proves the members of its later
/// epochs; a member whose key is not in the genesis is named by its key. Use `quorate ledger verify` to
/// prove a whole chain.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate ledger compare http://127.0.0.1:8545 http://127.0.0.1:8546 --genesis genesis.toml
  quorate ledger compare chain.export net/validator-0 --genesis net/genesis.toml")]
pub(crate) struct CompareArgs {
    /// A URL, a home, or an export.
    #[arg(value_name = "A")]
    first: String,

    /// The chain to compare it with.
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
    /// The highest height that both chains have.
    common_height: u64,
    heights: [u64; 2],
    /// The first difference, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Difference>,
}

#[derive(Serialize)]
struct Difference {
    height: u64,
    hashes: [String; 2],
    /// The certificate that proves each of the two blocks final, if there is one.
    certificates: [Option<Certificate>; 2],
    /// Validators proven faulty: each signed two blocks at one height in one view.
    proven_faulty: Vec<String>,
}

/// A commit certificate with valid signatures.
#[derive(Serialize)]
struct Certificate {
    view: u64,
    /// The height of the block, or a height above it.
    height: u64,
    signers: Vec<String>,
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
    // The common height is below the last height of one chain, so its hash must be read.
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

/// The genesis from the option, or from a home that is compared.
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

/// The lowest height with different blocks. `known` is a height where they differ.
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
    let sides = [Side::at(first, height, genesis)?, Side::at(second, height, genesis)?];
    let name = |key: &PublicKey| genesis.name_of(key).map_or_else(|| key.to_string(), str::to_owned);
    let proven_faulty = proven_faulty(&sides).iter().map(name).collect();
    let certificates = [&sides[0], &sides[1]].map(|side| {
        side.certificate.as_ref().map(|certificate| Certificate {
            view: certificate.ballot().view.0,
            height: certificate.ballot().height.0,
            signers: side.signers.iter().map(name).collect(),
        })
    });
    let hashes = sides.map(|side| side.hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string()));
    Ok(Difference { height: height.0, hashes, certificates, proven_faulty })
}

/// What one source has at the height with different blocks.
struct Side {
    hash: Option<BlockHash>,
    /// The certificate, if it proves this block.
    certificate: Option<CommitCertificate>,
    /// The keys of its signers, in ascending order.
    signers: Vec<PublicKey>,
}

impl Side {
    fn at(source: &mut Source, height: Height, genesis: &Genesis) -> anyhow::Result<Self> {
        let hash = source.hash_at(height)?;
        let (anchor, proof) = (source.anchor(genesis)?, source.proof_of(height)?);
        // A source is not trusted: report signers only if their certificate proves this block.
        let proves =
            |proof: &FinalityProof| Some(proof.header.hash()) == hash && proof.verify(&anchor).is_ok();
        let certificate = proof.filter(proves).map(|proof| proof.certificate);
        let signers = certificate.as_ref().map_or_else(Vec::new, |certificate| signers(certificate, &anchor));
        Ok(Side { hash, certificate, signers })
    }
}

/// The keys of the members that signed a valid certificate.
fn signers(certificate: &CommitCertificate, anchor: &ChainAnchor) -> Vec<PublicKey> {
    let committee = anchor.committee(certificate.ballot().epoch);
    let key = |replica| committee.and_then(|committee| committee.member(replica)).copied();
    certificate.votes().signers().iter().filter_map(key).collect()
}

/// The keys whose COMMITs in both certificates are equivocation (R4): they are for two blocks at one
/// height in one view. A COMMIT in another view, or at another height, is another statement, and a
/// correct member may have signed both.
fn proven_faulty([first, second]: &[Side; 2]) -> Vec<PublicKey> {
    let (Some(one), Some(other)) = (&first.certificate, &second.certificate) else { return Vec::new() };
    let (one, other) = (one.ballot(), other.ballot());
    let one_subject = (one.epoch, one.view, one.height) == (other.epoch, other.view, other.height);
    if !one_subject || one.block == other.block {
        return Vec::new();
    }
    first.signers.iter().filter(|key| second.signers.contains(key)).copied().collect()
}

fn human(report: &Report, args: &CompareArgs) -> String {
    let mut fields = vec![
        ("first", format!("{} up to height {}", args.first, report.heights[0])),
        ("second", format!("{} up to height {}", args.second, report.heights[1])),
    ];
    let Some(Difference { height, hashes, certificates, proven_faulty }) = &report.difference else {
        return format!("SAME up to height {}.\n\n{}", report.common_height, output::fields(fields));
    };
    let signed = |side: usize| match &certificates[side] {
        None => format!("{}, not proven final", hashes[side]),
        Some(Certificate { view, height, signers }) => {
            format!("{}, signed at height {height} in view {view} by {}", hashes[side], signers.join(", "))
        }
    };
    fields.push(("first has", signed(0)));
    fields.push(("second has", signed(1)));
    let both_hold = certificates.iter().all(Option::is_some);
    let named = if proven_faulty.is_empty() { "none".to_owned() } else { proven_faulty.join(", ") };
    fields.push(("proven faulty", named));
    let advice = match (both_hold, proven_faulty.is_empty()) {
        (false, _) => {
            "At least one of the two blocks is not proven final: run `quorate ledger verify` on both chains \
             to find out which one is valid."
        }
        (true, false) => {
            "Each validator named as proven faulty signed two blocks at one height in one view, or another \
             process used its key. Keep both chains as evidence."
        }
        (true, true) => {
            "The two certificates are of different views or heights. A correct validator may have signed \
             both, so none is named. If both chains are verified, more than f validators are faulty or \
             share keys. Keep both chains as evidence, and ask every validator for `consensus_evidence`."
        }
    };
    format!("DIFFERENT from height {height} on. {advice}\n\n{}", output::fields(fields))
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
