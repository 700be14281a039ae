//! A node in the role of its key: when the committee changes, it starts again in the other
//! role, in the same process.
//!
//! A node that missed changes of keys may know no key that is a member's now, or have one itself that
//! the others refuse. If it is isolated, it goes on as a follower with each of its keys in turn, and
//! with the sources that its bootstrap addresses name. As a follower it fetches the blocks that it
//! missed, and then it takes its role again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use quorate_engine::{Engine, EpochRole};
use quorate_governance::State;
use quorate_ledger::{SecretKey, VerifiedTransaction};
use quorate_network::PeerKey;
use quorate_pbft::Now;
use quorate_store::{Journal, Ledger};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::clock::Clock;
use super::epoch::members::peer_key;
use super::epoch::peer_lists;
use super::ordering_thread::{End, Handover};
use super::running::RunningRole;
use super::{Setup, assembly, epoch, observer, validator};
use crate::config::{Config, Role};
use crate::data_files;

/// A node that runs until it is stopped or fails.
pub(crate) struct Running {
    addresses: watch::Receiver<Addresses>,
    /// The reason why the node failed, once it has.
    failure: watch::Receiver<Option<Arc<str>>>,
    /// Ends the task.
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Where a running node is reached.
#[derive(Debug, Clone)]
struct Addresses {
    rpc: SocketAddr,
    p2p: Vec<String>,
}

impl Addresses {
    fn of(role: &RunningRole) -> Self {
        Addresses { rpc: role.rpc_address(), p2p: role.p2p_addresses() }
    }
}

/// Starts a node with existing files. It takes part as soon as this returns.
///
/// # Errors
/// Files that cannot be opened or belong to another node, or addresses that it cannot listen on.
pub(crate) async fn start(mut setup: Setup) -> anyhow::Result<Running> {
    let started = start_role(setup.clone(), None, Way::InForce, &mut Vec::new()).await?;
    keep_addresses(&mut setup.config, &Addresses::of(&started.0));
    let (addresses, known) = watch::channel(Addresses::of(&started.0));
    let (failing, failure) = watch::channel(None);
    let (stop, stopped) = oneshot::channel();
    let roles = Roles { setup, addresses, failing, pooled: Vec::new() };
    let task = tokio::spawn(roles.run(started, stopped));
    Ok(Running { addresses: known, failure, stop, task })
}

impl Running {
    /// The address of the RPC server.
    pub(crate) fn rpc_address(&self) -> SocketAddr {
        self.addresses.borrow().rpc
    }

    /// The addresses at which peers can dial this node.
    pub(crate) fn p2p_addresses(&self) -> Vec<String> {
        self.addresses.borrow().p2p.clone()
    }

    /// Resolves only if the node fails by itself, with the reason.
    pub(crate) async fn failed(&self) -> anyhow::Error {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(cause) => anyhow!("{}", cause.as_deref().unwrap_or("the node failed")),
            Err(_) => anyhow!("the task that supervises the node ended, which is a bug"),
        }
    }

    /// Stops cleanly: finishes pending responses, closes connections, and makes everything durable.
    ///
    /// # Errors
    /// If the node failed before or while stopping.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        // An error means that the task has already ended, with the result that follows.
        let _ = self.stop.send(());
        self.task.await.context("the task that supervises the node panicked")?
    }
}

/// How long a node is isolated before it tries another way to take part. Connections need a few
/// seconds at most.
const ISOLATED: Duration = Duration::from_secs(10);

/// How long a node follows that may have to vote. A follower can not tell whether the others are
/// waiting for its vote.
const FOLLOWS: Duration = Duration::from_secs(60);

/// How a node takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In the role that its ledger says.
    InForce,
    /// As a follower, with its key.
    Follow,
    /// As a follower, with its next key.
    FollowWithNext,
}

impl Way {
    /// The ways of a node with this setup and after this state, in the order in which it tries them.
    ///
    /// Only a key that the state does not know may be that of a later epoch: a next key that is not in
    /// force yet, or a source. A key that is in force or retired finds no more than the way in force
    /// does.
    fn all(setup: &Setup, state: &State) -> Vec<Way> {
        let lists = peer_lists::peers_of(state, &[], &[], &[]);
        let retired = state.retired().keys().map(peer_key);
        let known: BTreeSet<PeerKey> = lists.members.into_iter().chain(retired).collect();
        let mut ways = vec![Way::InForce];
        if setup.config.role == Role::Validator {
            let next = setup.next_key.as_ref().map(|key| peer_key(&key.public()));
            ways.extend(next.filter(|next| !known.contains(next)).map(|_| Way::FollowWithNext));
            let is_new = setup.sources().iter().any(|source| !known.contains(source));
            ways.extend(is_new.then_some(Way::Follow));
        }
        ways
    }

    /// The way that a node with these ways tries after this one.
    fn next(self, ways: &[Way]) -> Way {
        let next = ways.iter().skip_while(|way| **way != self).nth(1);
        next.copied().unwrap_or(Way::InForce)
    }
}

/// Runs a node in one role after the other.
struct Roles {
    setup: Setup,
    addresses: watch::Sender<Addresses>,
    failing: watch::Sender<Option<Arc<str>>>,
    /// The pool of this node when it last was a validator, while it follows. The next validator admits these
    /// transactions again. A follower can neither order nor forward them.
    pooled: Vec<VerifiedTransaction>,
}

impl Roles {
    /// Runs until `stop` resolves. A request to stop while the node starts again is served when it
    /// has started.
    async fn run(
        mut self,
        (mut role, mut ways): (RunningRole, Vec<Way>),
        mut stop: oneshot::Receiver<()>,
    ) -> anyhow::Result<()> {
        let mut way = Way::InForce;
        loop {
            let end = tokio::select! {
                end = role.ended() => {
                    // The ledger knows the role again.
                    way = Way::InForce;
                    end
                }
                reason = fails(way, &ways, role.isolated(ISOLATED)) => {
                    way = way.next(&ways);
                    tracing::warn!(?way, "{reason}");
                    End::RoleChanged
                }
                _ = &mut stop => return role.stop().await.map(drop),
            };
            if let End::Failed(cause) = end {
                self.failing.send_replace(Some(cause));
                let _ = stop.await;
                return role.stop().await.map(drop);
            }
            (role, ways) = match self.start_again(role, way).await {
                Ok(started) => started,
                Err(error) => {
                    self.failing.send_replace(Some(format!("{error:#}").into()));
                    let _ = stop.await;
                    return Err(error);
                }
            };
        }
    }

    /// Closes everything that the role has opened, then opens it for the other role. The ledger stays
    /// open: late readers of the old role would otherwise keep it locked.
    async fn start_again(&mut self, role: RunningRole, way: Way) -> anyhow::Result<(RunningRole, Vec<Way>)> {
        let handover = role.stop().await?;
        let ledger = handover.map(|Handover { ledger, pooled }| {
            // A follower has no pool. It keeps that of the validator for the next one.
            self.pooled.extend(pooled);
            ledger
        });
        let started = start_role(self.setup.clone(), ledger, way, &mut self.pooled).await;
        let (role, ways) = started.context("the node cannot start again in its other role")?;
        self.addresses.send_replace(Addresses::of(&role));
        Ok((role, ways))
    }
}

/// Resolves when the node should try another way, with the reason.
async fn fails(way: Way, ways: &[Way], isolated: impl Future<Output = ()>) -> &'static str {
    if way == Way::InForce {
        if ways.len() == 1 {
            std::future::pending::<()>().await;
        }
        isolated.await;
    } else if timeout(FOLLOWS, isolated).await.is_err() {
        return "the node has followed for a minute, and looks whether its vote is needed";
    }
    NOT_CONNECTED
}

const NOT_CONNECTED: &str = "too few of the validators that this node knows are connected. In case that it missed a change of \
     keys, it starts again with its other key, or as a follower that fetches blocks. If the validators have other keys \
     now, list their addresses with the new peer ids in p2p.bootstrap: node_peers of another node has both";

/// Starts the node in the role that its key has in the configuration in force, or in another way.
/// `ledger`: the open ledger, if the node ran in its other role before. `pooled`: see [`Roles`]. Returns
/// also the ways that the node has.
async fn start_role(
    setup: Setup,
    ledger: Option<Ledger>,
    way: Way,
    pooled: &mut Vec<VerifiedTransaction>,
) -> anyhow::Result<(RunningRole, Vec<Way>)> {
    let ledger = match ledger {
        Some(ledger) => ledger,
        None => data_files::open_ledger(&setup.genesis, &setup.config.ledger)?,
    };
    let ways = Way::all(&setup, ledger.governance());
    Ok((start_in(setup, ledger, way, pooled).await?, ways))
}

async fn start_in(
    mut setup: Setup,
    ledger: Ledger,
    way: Way,
    pooled: &mut Vec<VerifiedTransaction>,
) -> anyhow::Result<RunningRole> {
    if way != Way::InForce {
        if way == Way::FollowWithNext
            && let Some(next) = setup.next_key.take()
        {
            setup.key = next;
        }
        return observer::start(setup, ledger).await;
    }
    let clock = Clock::new();
    let setup = setup.with_key_in_force(ledger.governance());
    let opened = match epoch::role_in_force(setup.config.role, &setup.key.public(), ledger.governance()) {
        Role::Validator => open_engine(&setup, ledger, clock.now())?,
        Role::Observer => {
            // A candidate must be able to vote as soon as it is a member.
            if setup.config.role == Role::Validator && setup.config.journal.exists() {
                drop(open_journal(&setup)?);
            }
            EpochRole::Follower(ledger)
        }
    };
    let pooled = std::mem::take(pooled);
    // The blocks of the journal may have ended the epoch, so the key may be another one now.
    match opened {
        EpochRole::Member(engine) => {
            validator::start(setup.with_key_in_force(engine.governance()), engine, clock, pooled).await
        }
        EpochRole::Follower(ledger) => {
            observer::start(setup.with_key_in_force(ledger.governance()), ledger).await
        }
    }
}

/// Opens the journal of a node that is a member after the blocks of this ledger.
fn open_engine(setup: &Setup, ledger: Ledger, now: Now) -> anyhow::Result<EpochRole> {
    let journal = open_journal(setup)?;
    let mut keys = vec![setup.key.clone()];
    keys.extend(setup.next_key.clone());
    Ok(Engine::open(&keys, ledger, journal, Some(assembly::vote_memo()), now)?)
}

fn open_journal(setup: &Setup) -> anyhow::Result<Journal> {
    let others: Vec<_> = setup.next_key.iter().map(SecretKey::public).collect();
    data_files::open_journal(&setup.genesis, &setup.key.public(), &others, &setup.config.journal)
}

/// Makes the node use the same ports when it starts again. Clients and peers know the ports that the
/// system chose at the first start.
fn keep_addresses(config: &mut Config, addresses: &Addresses) {
    config.rpc.listen = addresses.rpc;
    for listen in &mut config.p2p_listen {
        let chosen = listen.strip_suffix("/tcp/0").and_then(|host| {
            let prefix = format!("{host}/tcp/");
            let port = addresses.p2p.iter().find_map(|address| address.strip_prefix(&prefix))?;
            Some(format!("{prefix}{}", port.split('/').next()?))
        });
        if let Some(chosen) = chosen {
            *listen = chosen;
        }
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
