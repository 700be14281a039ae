//! Problems that an operator should fix although ordering may continue.

use std::collections::BTreeMap;

use quorate_api::{MemberName, PeerJson, Warning, WarningKind};

use super::facts::Facts;
use super::phrase::{list, moment, number, span};

/// Name of the readiness check that fails while hardly any disk space is left.
const DISK_CHECK: &str = "disk";

/// Clocks that differ by more milliseconds than this are reported. With NTP they differ by about a
/// hundredth of it.
const CLOCK_MS: u64 = 1_000;

/// A connected member is reported if it is more than this many windows behind.
const WINDOWS_BEHIND: u64 = 4;

/// How many addresses are listed; the others are only counted.
const ADDRESSES: usize = 8;

/// All warnings, the most urgent first.
pub(super) fn warnings(facts: &Facts<'_>) -> Vec<Warning> {
    disk(facts)
        .into_iter()
        .chain(damage(facts))
        .chain(chain_ahead(facts))
        .chain(clock(facts))
        .chain(addresses(facts))
        .chain(behind(facts))
        .collect()
}

fn disk(facts: &Facts<'_>) -> Option<Warning> {
    let check = facts.readiness.checks.iter().find(|check| check.name == DISK_CHECK && !check.ok)?;
    Some(Warning {
        kind: WarningKind::Disk,
        members: Vec::new(),
        text: format!("The disk of this node: {}.", check.detail),
        action:
            "A node that cannot write stops, so that it never forgets what it signed. Free space, or move its home to a larger \
             disk."
                .to_owned(),
    })
}

fn damage(facts: &Facts<'_>) -> Option<Warning> {
    let damage = facts.damage?;
    let reads = number(damage.failed_reads, "read has failed", "reads have failed");
    Some(Warning {
        kind: WarningKind::StorageDamaged,
        members: Vec::new(),
        text: format!(
            "The ledger of this node is damaged: {}. {reads} since the node started. It serves the blocks that it can \
             still read, and refers clients to other nodes for the rest.",
            damage.reason
        ),
        action: "Check the disk. Stop the node, find the extent of the damage (quorate ledger verify --home DIR), move its \
                 ledger file aside, put the ledger of another stopped node of the same network in its place or fill a \
                 new one (quorate ledger import), and start the node again. Do not touch a validator's journal."
            .to_owned(),
    })
}

fn chain_ahead(facts: &Facts<'_>) -> Option<Warning> {
    Some(Warning {
        kind: WarningKind::ChainAhead,
        members: Vec::new(),
        text: format!(
            "The newest block's time is {} ahead of this node's clock: nothing can be ordered before {}.",
            span(facts.status.head.timestamp_ms.saturating_sub(facts.status.time_ms)),
            moment(facts.possible_at()?)
        ),
        action: "Compare the clock of this node with the real time, and let NTP set it if it is behind. Otherwise ordering resumes by itself at \
                 that time."
            .to_owned(),
    })
}

fn clock(facts: &Facts<'_>) -> Option<Warning> {
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
            "One of the two clocks is wrong, and this node cannot tell which: compare both with the real time, this one \
             and that of {}.",
            one.name
        ),
        (_, []) => "It differs from all others that it was compared with: most likely this clock is wrong."
            .to_owned(),
        (_, right) => format!("It agrees with {}: most likely this clock is right.", list(right)),
    };
    Some(Warning {
        kind: WarningKind::Clock,
        members,
        text: format!("The clock of this node is {}. {whose}", list(&differences)),
        action: "Let NTP set the wrong clock. A validator does not vote for a proposal whose time is too far from its clock."
            .to_owned(),
    })
}

/// A wrong address matters only while the member that should be there is not connected.
fn addresses(facts: &Facts<'_>) -> Option<Warning> {
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
    Some(Warning {
        kind: WarningKind::Address,
        members: missing().filter_map(|peer| peer.index).map(|index| facts.member(index)).collect(),
        text: format!(
            "This node reaches no validator at {}{more}.",
            shown.collect::<Vec<_>>().join(", ")
        ),
        action: "Compare these addresses with those of the validators, and correct p2p.bootstrap where it is wrong. If they are \
                 right, check that the validators run, that their names resolve, and that the network lets connections \
                 through."
            .to_owned(),
    })
}

fn behind(facts: &Facts<'_>) -> Vec<Warning> {
    let most = facts.config.parameters().consensus.window.saturating_mul(WINDOWS_BEHIND);
    let warning = |peer: &PeerJson| {
        let (index, behind) = (peer.index?, peer.blocks_behind?);
        if !peer.connected || behind <= most {
            return None;
        }
        let name = facts.name(index);
        Some(Warning {
            kind: WarningKind::MemberBehind,
            members: vec![facts.member(index)],
            text: format!(
                "{name} is connected and {behind} blocks behind this node: it is catching up, or it is stuck."
            ),
            action: format!(
                "Run quorate explain at {name}: see whether it catches up, and whether its disk, network or load limits it."
            ),
        })
    };
    facts.peers.iter().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use quorate_api::{Explanation, FailedAddress, ReadinessCheck};
    use quorate_store::Damage;

    use super::super::scene::Scene;
    use super::*;

    fn told(change: impl FnOnce(&mut Scene)) -> Vec<(WarningKind, Vec<u16>, String)> {
        let Explanation { state, warnings, .. } = Scene::idle().but(change).explained();
        assert!(state.is_progress(), "ordering continues");
        let parts = |warning: Warning| {
            assert!(!warning.action.is_empty());
            (warning.kind, warning.members.iter().map(|member| member.index).collect(), warning.text)
        };
        warnings.into_iter().map(parts).collect()
    }

    fn clocks(ahead: [Option<i64>; 3]) -> impl FnOnce(&mut Scene) {
        move |scene| {
            for (peer, ahead) in scene.peers.iter_mut().zip(ahead) {
                peer.clock_ahead_ms = ahead;
            }
        }
    }

    #[test]
    fn a_healthy_node_has_none() {
        assert_eq!(told(|_| {}), []);
        assert_eq!(told(clocks([Some(1_000), Some(-1_000), Some(3)])), []);
        let at_the_edge = |scene: &mut Scene| scene.peers[1].blocks_behind = Some(32);
        assert_eq!(told(at_the_edge), []);
    }

    #[test]
    fn a_disk_that_is_nearly_full() {
        let check =
            ReadinessCheck { name: "disk".to_owned(), ok: false, detail: "12 MiB are left".to_owned() };
        let warnings = told(|scene| scene.readiness.checks.push(check));
        let [(WarningKind::Disk, _, text)] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert!(text.contains("12 MiB are left"), "{text}");
    }

    #[test]
    fn addresses_that_fail_while_their_validator_is_missing() {
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
        let warnings = told(with_typo);
        let [(WarningKind::Address, members, text)] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert_eq!(members, &[2]);
        assert!(text.contains("/dns/bank-b.exmaple/tcp/9000 (the name cannot be resolved)."), "{text}");
        let many = |scene: &mut Scene| {
            scene.peers[1].connected = false;
            scene.peers[1].failed_addresses = (1..=20).map(|port| failed(&format!("/tcp/{port}"))).collect();
        };
        assert!(told(many)[0].2.ends_with(" and 12 more."), "{:?}", told(many));
        // A connected member was reached by some other address.
        assert_eq!(told(|scene| scene.peers[1].failed_addresses = vec![failed(typo)]), []);
    }

    #[test]
    fn a_ledger_that_is_damaged() {
        let damage = Damage { reason: "the body at height 7: cut off".to_owned(), failed_reads: 3 };
        let warnings = told(|scene| scene.damage = Some(damage));
        let [(WarningKind::StorageDamaged, _, text)] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert!(text.contains("the body at height 7: cut off. 3 reads have failed"), "{text}");
    }

    #[test]
    fn a_chain_whose_time_is_ahead_is_reported_in_any_state() {
        let ahead = |scene: &mut Scene| scene.status.head.timestamp_ms = 1_700_000_000_000;
        for scene in [Scene::idle().but(ahead), Scene::idle().but(ahead).without(&[0, 2, 3])] {
            let warnings = scene.explained().warnings;
            let [Warning { kind: WarningKind::ChainAhead, text, action, .. }] = warnings.as_slice() else {
                panic!("{warnings:?}")
            };
            assert!(
                text.contains("before 2023-11-14T22:13:19.501Z") && action.contains("NTP"),
                "{text} {action}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_off_and_whose_it_probably_is() {
        let cases = [
            (
                [Some(3_600_000), None, None],
                vec![0],
                "60 min ahead of that of validator-0. One of the two clocks",
            ),
            ([Some(-1_001), None, None], vec![0], "1.0 s behind that of validator-0"),
            ([Some(-2_000), Some(-2_100), None], vec![0, 2], "most likely this clock is wrong"),
            (
                [Some(5_000), Some(10), None],
                vec![0],
                "It agrees with validator-2: most likely this clock is right",
            ),
            ([Some(i64::MIN), None, None], vec![0], "days behind"),
        ];
        for (ahead, members, words) in cases {
            let warnings = told(clocks(ahead));
            let [(WarningKind::Clock, found, text)] = warnings.as_slice() else { panic!("{warnings:?}") };
            assert_eq!(*found, members);
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_member_that_is_connected_and_does_not_follow() {
        let behind = |scene: &mut Scene| scene.peers[1].blocks_behind = Some(33);
        let warnings = told(behind);
        let [(WarningKind::MemberBehind, members, text)] = warnings.as_slice() else {
            panic!("{warnings:?}")
        };
        assert_eq!((members.as_slice(), text.contains("33 blocks behind")), ([2].as_slice(), true), "{text}");
        // A member that is not connected is listed as silent instead.
        let gone = |scene: &mut Scene| {
            scene.peers[1].blocks_behind = Some(139);
            scene.peers[1].connected = false;
        };
        assert_eq!(told(gone), []);
    }
}
