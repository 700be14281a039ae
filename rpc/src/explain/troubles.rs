//! What an operator should know although ordering may go on with it.

use std::collections::BTreeMap;

use quorate_api::{MemberName, PeerJson, Trouble, TroubleKind};

use super::facts::Facts;
use super::phrase::{list, moment, number, span};

/// The readiness check that fails while there is hardly room to write.
const DISK_CHECK: &str = "disk";

/// Clocks that differ by more than this, in milliseconds, are not right: with NTP they differ by a hundredth of it.
const CLOCK_MS: u64 = 1_000;

/// A member that is connected and behind by more than so many windows does not follow.
const WINDOWS_BEHIND: u64 = 4;

/// Addresses that are told one by one.
const ADDRESSES: usize = 8;

/// The most pressing first.
pub(super) fn troubles(facts: &Facts<'_>) -> Vec<Trouble> {
    disk(facts)
        .into_iter()
        .chain(damage(facts))
        .chain(chain_ahead(facts))
        .chain(clock(facts))
        .chain(addresses(facts))
        .chain(behind(facts))
        .collect()
}

fn disk(facts: &Facts<'_>) -> Option<Trouble> {
    let check = facts.readiness.checks.iter().find(|check| check.name == DISK_CHECK && !check.ok)?;
    Some(Trouble {
        kind: TroubleKind::Disk,
        members: Vec::new(),
        text: format!("The disk of this node: {}.", check.detail),
        remedy:
            "A node that cannot write stops rather than forget. Make room, or move its home to a larger disk."
                .to_owned(),
    })
}

fn damage(facts: &Facts<'_>) -> Option<Trouble> {
    let damage = facts.damage?;
    let reads = number(damage.failed_reads, "read has failed", "reads have failed");
    Some(Trouble {
        kind: TroubleKind::StorageDamaged,
        members: Vec::new(),
        text: format!(
            "The ledger of this node is damaged: {}. {reads} since the node started. It serves what it can still read, and \
             clients that ask for more are sent to other nodes.",
            damage.reason
        ),
        remedy: "Check the disk. Stop the node, see how far the damage goes (quorate ledger verify --home DIR), move its \
                 ledger file aside, put a stopped node's ledger of the same network in its place or fill a new one \
                 (quorate ledger import), and start it again. Leave a validator's journal as it is."
            .to_owned(),
    })
}

fn chain_ahead(facts: &Facts<'_>) -> Option<Trouble> {
    Some(Trouble {
        kind: TroubleKind::ChainAhead,
        members: Vec::new(),
        text: format!(
            "The newest block's time is {} ahead of this node's clock: nothing can be ordered before {}.",
            span(facts.status.head.timestamp_ms.saturating_sub(facts.status.time_ms)),
            moment(facts.possible_at()?)
        ),
        remedy: "Compare the clock of this node with the real time, and let NTP set it if it is behind. Otherwise ordering goes on by itself at \
                 that time."
            .to_owned(),
    })
}

fn clock(facts: &Facts<'_>) -> Option<Trouble> {
    let mut off: Vec<(MemberName, i64)> = Vec::new();
    let mut right = Vec::new();
    for peer in facts.peers {
        let (Some(index), Some(ahead)) = (peer.index, peer.clock_ahead_ms) else { continue };
        if ahead.unsigned_abs() > CLOCK_MS {
            off.push((facts.member(index), ahead));
        } else {
            right.push(facts.name(index));
        }
    }
    if off.is_empty() {
        return None;
    }
    let differences: Vec<String> = off
        .iter()
        .map(|(member, ahead)| {
            let direction = if *ahead > 0 { "ahead of" } else { "behind" };
            format!("{} {direction} that of {}", span(ahead.unsigned_abs()), member.name)
        })
        .collect();
    let members: Vec<MemberName> = off.into_iter().map(|(member, _)| member).collect();
    let whose = match (members.as_slice(), right.as_slice()) {
        ([one], []) => format!(
            "One of the two is wrong, and nothing here shows which: compare both, this one and that of {}.",
            one.name
        ),
        (_, []) => {
            "All others it was compared with differ: most likely it is this clock that is wrong.".to_owned()
        }
        (_, right) => format!("It agrees with {}: most likely this clock is right.", list(right)),
    };
    Some(Trouble {
        kind: TroubleKind::Clock,
        members,
        text: format!("The clock of this node is {}. {whose}", list(&differences)),
        remedy: "Let NTP set the clock that is wrong. Proposals whose time is too far from a validator's clock get no vote of it."
            .to_owned(),
    })
}

/// Addresses that do not work matter while a member is missing.
fn addresses(facts: &Facts<'_>) -> Option<Trouble> {
    let missing = || facts.peers.iter().filter(|peer| !peer.connected && !peer.failed_addresses.is_empty());
    let failed: BTreeMap<&str, &str> = missing()
        .flat_map(|peer| &peer.failed_addresses)
        .map(|failed| (failed.address.as_str(), failed.reason.as_str()))
        .collect();
    if failed.is_empty() {
        return None;
    }
    let shown = failed.iter().take(ADDRESSES).map(|(address, reason)| format!("{address} ({reason})"));
    let more = match failed.len().saturating_sub(ADDRESSES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(Trouble {
        kind: TroubleKind::Address,
        members: missing().filter_map(|peer| peer.index).map(|index| facts.member(index)).collect(),
        text: format!(
            "This node reaches no validator at {}{more}.",
            shown.collect::<Vec<_>>().join(", ")
        ),
        remedy: "Compare the addresses with those under which the validators are run, and correct p2p.bootstrap where it is \
                 wrong. If they are right, see whether the validators run, and whether the name service and the network \
                 between lead there."
            .to_owned(),
    })
}

fn behind(facts: &Facts<'_>) -> Vec<Trouble> {
    let most = facts.genesis.consensus().window.saturating_mul(WINDOWS_BEHIND);
    let trouble = |peer: &PeerJson| {
        let (index, behind) = (peer.index?, peer.blocks_behind?);
        if !peer.connected || behind <= most {
            return None;
        }
        let name = facts.name(index);
        Some(Trouble {
            kind: TroubleKind::MemberBehind,
            members: vec![facts.member(index)],
            text: format!(
                "{name} is connected and {behind} blocks behind this node: it catches up, or it is stuck."
            ),
            remedy: format!(
                "Ask {name} (quorate explain) whether it gets closer, and what holds it up: disk, network or load."
            ),
        })
    };
    facts.peers.iter().filter_map(trouble).collect()
}

#[cfg(test)]
mod tests {
    use quorate_api::{Explanation, FailedAddress, ReadinessCheck};
    use quorate_store::Damage;

    use super::super::scene::Scene;
    use super::*;

    fn told(change: impl FnOnce(&mut Scene)) -> Vec<(TroubleKind, Vec<u16>, String)> {
        let Explanation { state, troubles, .. } = Scene::idle().but(change).explained();
        assert!(state.is_progress(), "ordering goes on");
        let told = |trouble: Trouble| {
            assert!(!trouble.remedy.is_empty());
            (trouble.kind, trouble.members.iter().map(|member| member.index).collect(), trouble.text)
        };
        troubles.into_iter().map(told).collect()
    }

    fn clocks(ahead: [Option<i64>; 3]) -> impl FnOnce(&mut Scene) {
        move |scene| {
            for (peer, ahead) in scene.peers.iter_mut().zip(ahead) {
                peer.clock_ahead_ms = ahead;
            }
        }
    }

    #[test]
    fn a_node_that_is_well_has_none() {
        assert_eq!(told(|_| {}), []);
        assert_eq!(told(clocks([Some(1_000), Some(-1_000), Some(3)])), []);
        let at_the_edge = |scene: &mut Scene| scene.peers[1].blocks_behind = Some(32);
        assert_eq!(told(at_the_edge), []);
    }

    #[test]
    fn a_disk_that_is_nearly_full() {
        let check =
            ReadinessCheck { name: "disk".to_owned(), ok: false, detail: "12 MiB are left".to_owned() };
        let troubles = told(|scene| scene.readiness.checks.push(check));
        let [(TroubleKind::Disk, _, text)] = troubles.as_slice() else { panic!("{troubles:?}") };
        assert!(text.contains("12 MiB are left"), "{text}");
    }

    #[test]
    fn addresses_that_lead_nowhere_while_their_validator_is_missing() {
        let failed = |address: &str| FailedAddress {
            address: address.to_owned(),
            reason: "the name cannot be resolved".to_owned(),
        };
        let typo = "/dns/bank-b.exmaple/tcp/9000";
        let with_typo = |scene: &mut Scene| {
            scene.peers[1].connected = false;
            for peer in &mut scene.peers {
                peer.failed_addresses = vec![failed(typo)];
            }
        };
        let troubles = told(with_typo);
        let [(TroubleKind::Address, members, text)] = troubles.as_slice() else { panic!("{troubles:?}") };
        assert_eq!(members, &[2]);
        assert!(text.contains("/dns/bank-b.exmaple/tcp/9000 (the name cannot be resolved)."), "{text}");
        let many = |scene: &mut Scene| {
            scene.peers[1].connected = false;
            scene.peers[1].failed_addresses = (1..=20).map(|port| failed(&format!("/tcp/{port}"))).collect();
        };
        assert!(told(many)[0].2.ends_with(" and 12 more."), "{:?}", told(many));
        // What is connected is reached somehow.
        assert_eq!(told(|scene| scene.peers[1].failed_addresses = vec![failed(typo)]), []);
    }

    #[test]
    fn a_ledger_that_is_damaged() {
        let damage = Damage { reason: "the body at height 7: cut off".to_owned(), failed_reads: 3 };
        let troubles = told(|scene| scene.damage = Some(damage));
        let [(TroubleKind::StorageDamaged, _, text)] = troubles.as_slice() else { panic!("{troubles:?}") };
        assert!(text.contains("the body at height 7: cut off. 3 reads have failed"), "{text}");
    }

    #[test]
    fn a_chain_whose_time_is_ahead_is_told_in_any_state() {
        let ahead = |scene: &mut Scene| scene.status.head.timestamp_ms = 1_700_000_000_000;
        for scene in [Scene::idle().but(ahead), Scene::idle().but(ahead).without(&[0, 2, 3])] {
            let troubles = scene.explained().troubles;
            let [Trouble { kind: TroubleKind::ChainAhead, text, remedy, .. }] = troubles.as_slice() else {
                panic!("{troubles:?}")
            };
            assert!(
                text.contains("before 2023-11-14T22:13:19.501Z") && remedy.contains("NTP"),
                "{text} {remedy}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_off_and_whose_it_probably_is() {
        let cases = [
            ([Some(3_600_000), None, None], vec![0], "60 min ahead of that of validator-0. One of the two"),
            ([Some(-1_001), None, None], vec![0], "1.0 s behind that of validator-0"),
            ([Some(-2_000), Some(-2_100), None], vec![0, 2], "most likely it is this clock"),
            (
                [Some(5_000), Some(10), None],
                vec![0],
                "It agrees with validator-2: most likely this clock is right",
            ),
            ([Some(i64::MIN), None, None], vec![0], "days behind"),
        ];
        for (ahead, members, words) in cases {
            let troubles = told(clocks(ahead));
            let [(TroubleKind::Clock, found, text)] = troubles.as_slice() else { panic!("{troubles:?}") };
            assert_eq!(*found, members);
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_member_that_is_connected_and_does_not_follow() {
        let behind = |scene: &mut Scene| scene.peers[1].blocks_behind = Some(33);
        let troubles = told(behind);
        let [(TroubleKind::MemberBehind, members, text)] = troubles.as_slice() else {
            panic!("{troubles:?}")
        };
        assert_eq!((members.as_slice(), text.contains("33 blocks behind")), ([2].as_slice(), true), "{text}");
        // One that is not there is told as silent.
        let gone = |scene: &mut Scene| {
            scene.peers[1].blocks_behind = Some(139);
            scene.peers[1].connected = false;
        };
        assert_eq!(told(gone), []);
    }
}
