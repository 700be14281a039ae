//! The metrics that are read at each scrape. `node/METRICS.md` is made from this table and the
//! others.

use quorate_api::ProgressState;
use quorate_rpc::MetricSpec;

use super::facts::Facts;
use super::read::{Reading, Samples};

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Facts, &mut Samples),
) -> Reading {
    Reading { spec: MetricSpec::gauge(name, labels, help), read }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    read: fn(&Facts, &mut Samples),
) -> Reading {
    Reading { spec: MetricSpec::counter(name, labels, help), read }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floating-point numbers")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

const VALIDATOR: &[&str] = &["validator"];

/// In the order of the document.
pub(crate) const READ: &[Reading] = &[
    gauge(
        "quorate_info",
        &["version", "network", "validator"],
        "1; the labels identify the node.",
        |facts, samples| {
            let status = &facts.status;
            let name = status.name.clone().unwrap_or_default();
            samples.with(vec![status.version.clone(), status.network.clone(), name], 1.0);
        },
    ),
    gauge("quorate_uptime_seconds", &[], "Time since the node started.", |facts, samples| {
        samples.is(seconds(facts.status.uptime_ms));
    }),
    counter(
        "quorate_log_lines_lost_total",
        &[],
        "Log lines that were lost because standard error did not accept them, or not fast enough.",
        |facts, samples| samples.counts(facts.log_lines_lost),
    ),
    gauge(
        "quorate_snapshot_age_seconds",
        &[],
        "Age of the ordering thread's last report; readiness, status and most of these metrics are derived from it.",
        |facts, samples| samples.is(seconds(facts.status.snapshot_age_ms)),
    ),
    gauge("quorate_ready", &[], "1 while /readyz responds with 200.", |facts, samples| {
        samples.counts(u64::from(facts.readiness.is_ready()));
    }),
    gauge("quorate_ready_check", &["check"], "1 while this check of /readyz succeeds.", |facts, samples| {
        facts.readiness.checks.iter().for_each(|check| samples.says(&check.name, check.ok));
    }),
    gauge(
        "quorate_ordering_state",
        &["state"],
        "1 for the state that consensus_explain returns, 0 for all others.",
        |facts, samples| {
            ProgressState::ALL.iter().for_each(|state| samples.says(state.name(), *state == facts.state));
        },
    ),
    // ---- the chain
    gauge("quorate_committed_height", &[], "Height of the newest final block.", |facts, samples| {
        samples.counts(facts.status.head.height);
    }),
    gauge(
        "quorate_committed_time_seconds",
        &[],
        "Time of the newest final block, seconds since 1970.",
        |facts, samples| samples.is(seconds(facts.status.head.timestamp_ms)),
    ),
    gauge(
        "quorate_ordering_possible_time_seconds",
        &[],
        "If the newest block's time is so far ahead of this node's clock that no block can follow: the time at which one can, \
         seconds since 1970. 0 otherwise.",
        |facts, samples| samples.is(facts.possible_at.map_or(0.0, |time| seconds(time.0))),
    ),
    gauge(
        "quorate_durable_height",
        &[],
        "Height up to which the ledger file alone survives a power failure; the journal has the rest.",
        |facts, samples| samples.counts(facts.snapshot.durable().0),
    ),
    gauge("quorate_stable_height", &[], "Height of the stable checkpoint.", |facts, samples| {
        samples.counts(facts.consensus.stable_height);
    }),
    gauge(
        "quorate_earliest_height",
        &[],
        "Height of the oldest block that the node keeps.",
        |facts, samples| {
            samples.counts(facts.status.earliest_height);
        },
    ),
    counter(
        "quorate_blocks_fetched_total",
        &[],
        "Blocks fetched from other validators instead of ordered here.",
        |facts, samples| samples.counts(facts.snapshot.fetched()),
    ),
    gauge(
        "quorate_catching_up",
        &[],
        "1 while the node fetches blocks from other validators.",
        |facts, samples| {
            samples.counts(u64::from(facts.consensus.catching_up));
        },
    ),
    // ---- ordering
    gauge("quorate_view", &[], "Number of the view.", |facts, samples| samples.counts(facts.consensus.view)),
    gauge(
        "quorate_view_active",
        &[],
        "1 while the view has begun, 0 while the node waits for its NEW-VIEW.",
        |facts, samples| samples.counts(u64::from(facts.consensus.active)),
    ),
    gauge(
        "quorate_primary",
        VALIDATOR,
        "1 for the primary of the view, 0 for all others.",
        |facts, samples| {
            let primary = usize::from(facts.consensus.primary);
            facts.names.iter().enumerate().for_each(|(index, name)| samples.says(name, index == primary));
        },
    ),
    gauge(
        "quorate_signing_state",
        &["state"],
        "1 for the state that says whether this validator may sign (voting, probing or recovering), 0 for the others.",
        |facts, samples| {
            if facts.ordering().is_none() {
                return;
            }
            let word = |state| serde_json::to_value(state).ok();
            let own = word(facts.consensus.signing_state);
            for state in ["voting", "probing", "recovering"] {
                samples.says(state, own.as_ref().is_some_and(|own| own == state));
            }
        },
    ),
    counter(
        "quorate_views_left_total",
        &["cause"],
        "Views that this validator left, by cause.",
        |facts, samples| {
            let Some(ordering) = facts.ordering() else { return };
            let counters = &ordering.overview.pbft_counters;
            let causes = [
                ("no_progress", counters.no_progress),
                ("censorship", counters.censorship),
                ("evidence", counters.proven_liars),
                ("others_left", counters.joined),
                ("no_new_view", counters.no_new_view),
            ];
            causes.into_iter().for_each(|(cause, left)| samples.counts_of(cause, left));
        },
    ),
    counter("quorate_views_entered_total", &[], "Views that this validator entered.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|it| it.overview.pbft_counters.views_entered));
    }),
    gauge(
        "quorate_request_timeout_seconds",
        &[],
        "How long pending work may go without a commit at present; doubled for each failed view.",
        |facts, samples| {
            let timeout = seconds(facts.consensus.request_timeout_ms);
            facts.ordering().iter().for_each(|_| samples.is(timeout));
        },
    ),
    gauge(
        "quorate_waiting_seconds",
        &[],
        "How long work has waited without a commit, across views; 0 while no work waits.",
        |facts, samples| {
            let waiting = seconds(facts.consensus.waiting_ms.unwrap_or(0));
            facts.ordering().iter().for_each(|_| samples.is(waiting));
        },
    ),
    gauge(
        "quorate_heights_in_flight",
        &[],
        "Heights that have begun in this view and are not final.",
        |facts, samples| {
            let in_flight = count(facts.consensus.in_flight.len());
            samples.counts_if(facts.ordering().map(|_| in_flight));
        },
    ),
    gauge(
        "quorate_proposals_validating",
        &[],
        "Proposals in validation, some of whose transactions have not arrived.",
        |facts, samples| samples.counts_if(facts.ordering().map(|it| count(it.overview.examining))),
    ),
    counter(
        "quorate_body_requests_total",
        &[],
        "Requests for transactions of a proposal that had not arrived by gossip.",
        |facts, samples| samples.counts_if(facts.ordering().map(|it| it.overview.counters.bodies_asked)),
    ),
    gauge("quorate_quorum", &[], "Quorum size: how many votes are a quorum.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|_| facts.consensus.quorum.into()));
    }),
    gauge(
        "quorate_validators_heard",
        &[],
        "Validators heard from within three status intervals, this one included.",
        |facts, samples| {
            samples.counts(
                count(facts.consensus.recently_heard.len()) + u64::from(facts.status.index.is_some()),
            );
        },
    ),
    gauge(
        "quorate_validator_heard",
        VALIDATOR,
        "1 for every other validator heard from within three status intervals, 0 for the others.",
        |facts, samples| {
            for (index, name) in (0_u16..).zip(&facts.names).filter(|(index, _)| facts.is_other(*index)) {
                samples.says(name, facts.consensus.recently_heard.contains(&index));
            }
        },
    ),
    counter("quorate_stable_checkpoints_total", &[], "Checkpoints that became stable.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|it| it.overview.pbft_counters.stable_checkpoints));
    }),
    gauge(
        "quorate_evidence",
        &[],
        "Entries of evidence against faulty validators that the node keeps.",
        |facts, samples| {
            samples.counts_if(facts.ordering().map(|_| facts.consensus.evidence_count));
        },
    ),
    counter(
        "quorate_equivocations_total",
        &[],
        "Conflicting statements of one validator where only one is allowed, since the start.",
        |facts, samples| {
            samples.counts_if(facts.ordering().map(|it| it.overview.pbft_counters.contradictions));
        },
    ),
    counter("quorate_bad_proposals_total", &[], "Proposals that broke a rule.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|it| it.overview.pbft_counters.bad_proposals));
    }),
    counter(
        "quorate_messages_dropped_total",
        &["reason"],
        "Messages of other validators that ordering ignored, by reason.",
        |facts, samples| {
            let Some(ordering) = facts.ordering() else { return };
            let counters = &ordering.overview.pbft_counters;
            samples.counts_of("outside_window", counters.outside_window);
            samples.counts_of("prepare_of_primary", counters.primary_prepares);
            facts.not_checked.iter().for_each(|(reason, number)| samples.counts_of(reason, *number));
        },
    ),
    counter(
        "quorate_messages_retransmitted_total",
        &[],
        "Messages sent again because a STATUS showed that the other validator lacks them.",
        |facts, samples| samples.counts_if(facts.ordering().map(|it| it.overview.pbft_counters.repaired)),
    ),
    // ---- disk
    counter(
        "quorate_journal_commits_total",
        &[],
        "Commits of the journal: groups of records that were written with one sync.",
        |facts, samples| {
            samples.counts_if(facts.ordering().map(|it| it.overview.counters.groups));
        },
    ),
    gauge("quorate_journal_rows", &[], "Rows in the journal.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|it| it.overview.journal_rows));
    }),
    gauge("quorate_journal_bytes", &[], "Bytes of keys and values in the journal.", |facts, samples| {
        samples.counts_if(facts.ordering().map(|it| it.overview.journal_bytes));
    }),
    gauge(
        "quorate_file_bytes",
        &["file"],
        "Size of the ledger file and of the journal file.",
        |facts, samples| {
            facts.files.iter().for_each(|(file, bytes)| samples.counts_of(file, *bytes));
        },
    ),
    counter(
        "quorate_ledger_damaged_reads_total",
        &[],
        "Reads of the ledger that failed because of damage.",
        |facts, samples| samples.counts(facts.damaged_reads),
    ),
    gauge(
        "quorate_disk_free_bytes",
        &[],
        "Free space on the file system of the journal, or of the ledger if that has less.",
        |facts, samples| samples.counts_if(facts.free),
    ),
    // ---- the pool
    gauge("quorate_mempool_transactions", &[], "Transactions in the pool.", |facts, samples| {
        samples.counts(facts.pool.transactions);
    }),
    gauge("quorate_mempool_bytes", &[], "Bytes of the transactions in the pool.", |facts, samples| {
        samples.counts(facts.pool.bytes);
    }),
    gauge(
        "quorate_mempool_max_transactions",
        &[],
        "Most transactions that the pool accepts.",
        |facts, samples| {
            samples.counts(facts.pool.max_transactions);
        },
    ),
    gauge("quorate_mempool_max_bytes", &[], "Most bytes that the pool accepts.", |facts, samples| {
        samples.counts(facts.pool.max_bytes);
    }),
    gauge(
        "quorate_mempool_in_flight",
        &[],
        "Transactions of the pool that are in accepted blocks.",
        |facts, samples| samples.counts(facts.pool.in_flight),
    ),
    gauge("quorate_mempool_senders", &[], "Senders with transactions in the pool.", |facts, samples| {
        samples.counts(facts.pool.senders);
    }),
    gauge(
        "quorate_mempool_oldest_seconds",
        &[],
        "How long the oldest transaction without a block has waited; 0 if there is none.",
        |facts, samples| samples.is(seconds(facts.pool.oldest_waiting_ms.unwrap_or(0))),
    ),
    counter(
        "quorate_mempool_admitted_total",
        &[],
        "Transactions that the pool accepted.",
        |facts, samples| {
            samples.counts_if(facts.ordering().map(|it| it.overview.mempool.admitted));
        },
    ),
    counter(
        "quorate_mempool_refused_total",
        &["reason"],
        "Transactions of clients and gossip that the pool refused, by reason.",
        |facts, samples| {
            let Some(ordering) = facts.ordering() else { return };
            let pool = &ordering.overview.mempool;
            samples.counts_of("full", pool.refused_full);
            samples.counts_of("sender_quota", pool.refused_quota);
            samples.counts_of("expired", pool.refused_expired);
        },
    ),
    counter(
        "quorate_mempool_expired_total",
        &[],
        "Transactions of the pool that expired without being committed.",
        |facts, samples| samples.counts_if(facts.ordering().map(|it| it.overview.mempool.expired)),
    ),
    counter(
        "quorate_gossip_refused_total",
        &[],
        "Gossiped transactions that the pool refused; duplicates of pooled ones are not counted.",
        |facts, samples| samples.counts_if(facts.ordering().map(|it| it.overview.counters.gossip_refused)),
    ),
    // ---- queues
    gauge(
        "quorate_engine_inbox",
        &[],
        "Items that wait for the ordering thread; at 4096, senders wait.",
        |facts, samples| samples.counts(count(facts.inbox)),
    ),
    gauge(
        "quorate_verification_queue",
        &[],
        "Clients' transactions and gossiped batches that wait for a verification thread; at 1024, gossip is dropped.",
        |facts, samples| samples.counts(count(facts.checking)),
    ),
    // ---- other validators
    gauge("quorate_peer_connected", VALIDATOR, "1 while this validator is connected.", |facts, samples| {
        facts.validators().for_each(|(name, peer)| samples.says(name, peer.connected));
    }),
    gauge(
        "quorate_clock_ahead_seconds",
        VALIDATOR,
        "This node's clock minus that of this validator, from its proposals of the last two minutes, including their time in \
         transit. Only primaries propose, so few validators have a sample. If it is far from 0, one of the two clocks is wrong.",
        |facts, samples| {
            for peer in &facts.peers {
                if let Some(ahead) = peer.clock_ahead_ms {
                    let name = peer.name.as_deref().unwrap_or_default();
                    #[expect(
                        clippy::cast_precision_loss,
                        reason = "a difference of clocks needs no 53 bits"
                    )]
                    samples.of(name, ahead as f64 / 1000.0);
                }
            }
        },
    ),
    gauge(
        "quorate_peer_blocks_behind",
        VALIDATOR,
        "Blocks that this validator was behind this node when it last reported its height.",
        |facts, samples| {
            for peer in &facts.peers {
                if let Some(behind) = peer.blocks_behind {
                    samples.counts_of(peer.name.as_deref().unwrap_or_default(), behind);
                }
            }
        },
    ),
    gauge(
        "quorate_peer_committed_height",
        VALIDATOR,
        "Height that this validator last reported as committed; this node's own height if the validator reported more and sent no blocks.",
        |facts, samples| {
            for (name, peer) in facts.validators() {
                peer.committed_height.into_iter().for_each(|height| samples.counts_of(name, height));
            }
        },
    ),
    gauge(
        "quorate_peer_round_trip_seconds",
        VALIDATOR,
        "Round trip of the last heartbeat, including the wait behind other messages.",
        |facts, samples| {
            for (name, peer) in facts.validators() {
                let micros = peer.round_trip_us.into_iter();
                micros.for_each(|micros| samples.of(name, seconds(micros) / 1000.0));
            }
        },
    ),
    gauge(
        "quorate_peer_messages_waiting",
        VALIDATOR,
        "Messages that wait to be sent to this validator.",
        |facts, samples| {
            facts.links.iter().for_each(|(name, link)| samples.counts_of(name, count(link.messages_waiting)));
        },
    ),
    counter(
        "quorate_peer_messages_dropped_total",
        VALIDATOR,
        "Messages to this validator that were dropped here: its queue was full, or it was not connected.",
        |facts, samples| {
            facts.links.iter().for_each(|(name, link)| samples.counts_of(name, link.messages_dropped));
        },
    ),
    counter(
        "quorate_peer_received_bytes_total",
        VALIDATOR,
        "Bytes of direct messages received from this validator.",
        |facts, samples| {
            facts.links.iter().for_each(|(name, link)| samples.counts_of(name, link.bytes_in));
        },
    ),
    counter(
        "quorate_peer_sent_bytes_total",
        VALIDATOR,
        "Bytes of direct messages sent to this validator.",
        |facts, samples| {
            facts.links.iter().for_each(|(name, link)| samples.counts_of(name, link.bytes_out));
        },
    ),
    gauge("quorate_observers_connected", &[], "Connected observers.", |facts, samples| {
        let connected = facts.peers.iter().filter(|peer| peer.index.is_none() && peer.connected);
        samples.counts(count(connected.count()));
    }),
    counter(
        "quorate_network_events_total",
        &["event"],
        "Events of the peer-to-peer network; they are listed below.",
        |facts, samples| {
            facts.traffic.each().for_each(|(event, times)| samples.counts_of(event, times));
        },
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use quorate_network::NetworkCounters;
    use quorate_rpc::RPC_METRICS;

    use super::*;
    use crate::runtime::metrics::measured::MEASURED;

    const DOCUMENT: &str = include_str!("../../../METRICS.md");

    fn all() -> impl Iterator<Item = MetricSpec> {
        let read = READ.iter().map(|reading| reading.spec);
        read.chain(MEASURED.iter().copied()).chain(RPC_METRICS.iter().copied())
    }

    /// The text of `node/METRICS.md`, made from the tables.
    fn document() -> String {
        let mut text = String::from(
            "\
# Metrics of a node

`GET /metrics` at the RPC address returns these metrics in the Prometheus text format, and the usual `process_` metrics.
All counters start at 0 with the process. Names do not change within a version. The values of labels are validators of
the genesis, methods and fixed words, so the number of series is bounded. `docker/monitoring` has a dashboard and alert
rules.

An observer reports the view as validators report it. It has no samples about voting, the journal and the history of
its mempool, which is always empty.

A test compares this page with the code.

| metric | kind | labels | meaning |
|---|---|---|---|
",
        );
        for MetricSpec { name, kind, labels, help } in all() {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(text, "| `{name}` | {} | {} | {help} |", kind.name(), labels.join(", "))
                .expect("writing to a string does not fail");
        }
        text += "\n## Events of the network\n\n| event | meaning |\n|---|---|\n";
        for (event, meaning) in NetworkCounters::MEANINGS {
            writeln!(text, "| `{event}` | {meaning} |").expect("writing to a string does not fail");
        }
        text
    }

    #[test]
    fn the_document_agrees_with_the_code() {
        let expected = document();
        assert!(DOCUMENT == expected, "put this into node/METRICS.md:\n{expected}");
    }

    /// The conventions that promtool also checks: counters end in `_total`, other metrics do not,
    /// and names are unique.
    #[test]
    fn names_follow_the_conventions() {
        let mut names = BTreeSet::new();
        for spec in all() {
            assert!(names.insert(spec.name), "{} is there twice", spec.name);
            assert!(spec.name.starts_with("quorate_"), "{}", spec.name);
            let counts = spec.kind == quorate_rpc::MetricKind::Counter;
            assert_eq!(spec.name.ends_with("_total"), counts, "{}", spec.name);
            assert!(spec.help.ends_with('.') && !spec.help.contains('|'), "{}", spec.name);
        }
    }
}
