//! How a view begins: what the new primary selects from a quorum of VIEW-CHANGEs (R20a).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, CommitCertificate, Committee, Epoch, Header, Height, View};

use crate::config::EpochRoot;
use crate::messages::rejected::Rejected;
use crate::view_change::statements::ViewChangePayload;
use crate::votes::prepared::PreparedCertificate;

/// Number of VIEW-CHANGEs that begin a view: a quorum, so that one of them at least contains each
/// block that may be final (R20a).
pub(crate) fn view_changes_needed(committee: &Committee) -> usize {
    if is(Mutant::ViewChangeQuorumShort) { committee.weak_quorum() } else { committee.quorum() }
}

/// How a view begins: a function of a quorum of VIEW-CHANGEs, the same at all replicas (R20a).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The highest committed anchor among them; `None` for the root of the epoch.
    pub anchor: Option<CommitCertificate>,
    /// The blocks to propose again, from the height above the anchor on, each the parent of the
    /// next.
    pub chain: Vec<Header>,
}

impl Selection {
    /// Selects from these payloads (R20a), in an epoch on this root: the highest anchor, and for each height above it the
    /// block that is prepared in the highest view. Stops at the first height without such a block,
    /// or whose block does not extend the one below. No block from there on can be final, because a
    /// quorum of COMMITs covers all heights below (R10).
    ///
    /// # Errors
    /// [`Rejected`] if two blocks are committed at one height, or prepared at one height in one
    /// view. More than f members are faulty then.
    pub fn of<'a>(
        root: EpochRoot,
        known: &(impl Iterator<Item = &'a ViewChangePayload> + Clone),
    ) -> Result<Self, Rejected> {
        let known = || known.clone();
        let mut anchor: Option<&CommitCertificate> = None;
        for certificate in known().filter_map(|payload| payload.anchor.as_ref()) {
            let (ballot, best) = (certificate.ballot(), anchor.map(CommitCertificate::ballot));
            match best {
                Some(best) if best.height == ballot.height && best.block != ballot.block => {
                    return Err(Rejected::ViewChange("two blocks are committed at one height"));
                }
                Some(best) if best.height >= ballot.height => {}
                _ => anchor = Some(certificate),
            }
        }
        let mut end = anchor.map_or(root.block, |certificate| certificate.ballot().block);
        let mut height = anchor.map_or(root.height, |certificate| certificate.ballot().height);
        let mut chain = Vec::new();
        // Heights are claims until the signatures are verified, so a height may be `u64::MAX`.
        while let Some(next) = height.0.checked_add(1).map(Height) {
            height = next;
            let candidates = known()
                .flat_map(|payload| &payload.prepared)
                .filter(|certificate| certificate.header().height == height);
            let Some(best) = highest(candidates)? else { break };
            if is(Mutant::NewViewDropsPrepared) {
                break;
            }
            if best.header().parent != end {
                break;
            }
            end = best.header().hash();
            chain.push(best.header().clone());
        }
        Ok(Selection { anchor: anchor.cloned(), chain })
    }

    /// The ballots of the blocks to propose again, in this view.
    pub(crate) fn ballots(&self, epoch: Epoch, view: View) -> impl Iterator<Item = Ballot> {
        self.chain.iter().map(move |header| Ballot {
            epoch,
            view,
            height: header.height,
            block: header.hash(),
        })
    }
}

/// Among these certificates, the one of the highest view.
fn highest<'a>(
    candidates: impl Iterator<Item = &'a PreparedCertificate>,
) -> Result<Option<&'a PreparedCertificate>, Rejected> {
    let mut best: Option<&PreparedCertificate> = None;
    for candidate in candidates {
        match best {
            Some(known) if known.view() == candidate.view() => {
                if known.header() != candidate.header() {
                    return Err(Rejected::ViewChange("two blocks are prepared at one height in one view"));
                }
            }
            Some(known) if (known.view() > candidate.view()) != is(Mutant::LowestCertificate) => {}
            _ => best = Some(candidate),
        }
    }
    Ok(best)
}
