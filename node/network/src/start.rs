//! Starts a network from a configuration.

use std::num::NonZeroU8;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use fastrand::Rng;
use libp2p::{Multiaddr, PeerId, Swarm, swarm};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::addresses::AddressBook;
use crate::behaviour::{Behaviour, Names, Presentation};
use crate::bootstrap::Bootstrap;
use crate::config::{NetworkConfig, NetworkLimits};
use crate::counters::Counters;
use crate::dialing::{Dialing, Pace};
use crate::driver::{Driver, Work};
use crate::error::StartError;
use crate::event::{self, NetworkEvents, Share};
use crate::failures::Failures;
use crate::handle::{Network, Shared};
use crate::identity::{keypair, peer_id};
use crate::listening::listen;
use crate::peer::Peers;
use crate::settings::{AddressSettings, Addresses};
use crate::transport;

/// Addresses of one member that are dialed at the same time.
const PARALLEL_DIALS: NonZeroU8 = NonZeroU8::new(8).expect("not zero");

/// Starts a network in the current tokio runtime. When it returns, the node listens on every listen
/// address.
///
/// # Errors
/// [`StartError`], for example if a port is in use. Nothing is left running then.
pub async fn start(config: NetworkConfig) -> Result<(Network, NetworkEvents), StartError> {
    config.check()?;
    let (keypair, own) = keypair(&config.secret_key)?;
    let is_member = config.members.contains(&own);
    let peers = Arc::new(Peers::new(&config.members, &config.observers, own, &config.limits)?);
    let settings = AddressSettings {
        listen: &config.listen,
        advertise: &config.advertise,
        bootstrap: &config.bootstrap,
    };
    let Addresses { listen: listened, advertise, bootstrap } =
        settings.check(Some(&config.members)).map_err(StartError::Addresses)?;
    let (mut book, without_peer_id) = sorted(bootstrap, peer_id(&own)?, &peers, &config.limits);
    for (key, address) in &config.known {
        if peers.by_key(key).is_some_and(|peer| peer.is_member()) {
            book.remember(*key, address);
        }
    }

    let names = Names::new(&config.network_name);
    let transport = transport::build(&keypair, &config.timing, config.limits.requests_per_peer)
        .map_err(|error| StartError::Setup(error.to_string()))?;
    let counters = Arc::new(Counters::default());
    let presentation = Presentation { is_member, advertises: !advertise.is_empty() };
    let behaviour = Behaviour::new(
        &keypair,
        presentation,
        &names,
        &peers,
        &config.limits,
        &config.timing,
        counters.clone(),
    )
    .map_err(StartError::Setup)?;
    let settings = swarm::Config::with_tokio_executor().with_dial_concurrency_factor(PARALLEL_DIALS);
    let mut swarm = Swarm::new(transport, behaviour, keypair.public().to_peer_id(), settings);
    for address in advertise {
        swarm.add_external_address(address);
    }
    listen(&mut swarm, &listened).await?;

    let now = Instant::now();
    let pace = Pace::from(&config.timing);
    // Members never dial observers, so an observer dials every member at once.
    let members = peers.members().map(|peer| (peer.key, !is_member || own < peer.key));
    let dialing = Dialing::new(members, pace, now, Rng::new());
    let bootstrap = Bootstrap::new(without_peer_id, pace, now, Rng::new());
    let work = Work::new(now, &config.timing);

    let commands_max = config.limits.publish_messages + peers.len() * config.limits.requests_per_peer;
    let (commands, command_receiver) = mpsc::channel(commands_max);
    let (inbox, events) = event::channel(peers.len(), &config.limits);
    let shared = Shared {
        peers,
        counters,
        publishing: Share::new(config.limits.publish_messages, config.limits.publish_bytes),
        limits: Arc::new(config.limits),
        timing: Arc::new(config.timing),
        listening: Arc::new(RwLock::default()),
        failed: Arc::new(RwLock::default()),
        known: Arc::new(RwLock::default()),
        commands,
        stop: CancellationToken::new(),
        stopped: CancellationToken::new(),
    };
    let mut driver = Driver {
        swarm,
        topic: names.topic(),
        network: config.network_name,
        peers: shared.peers.clone(),
        counters: shared.counters.clone(),
        limits: shared.limits.clone(),
        timing: shared.timing.clone(),
        inbox,
        commands: command_receiver,
        listening: shared.listening.clone(),
        failed: shared.failed.clone(),
        failures: Failures::default(),
        known: shared.known.clone(),
        stop: shared.stop.clone(),
        dialing,
        bootstrap,
        book,
        work,
    };
    driver.publish_listening();
    driver.publish_known();
    let stopped = shared.stopped.clone().drop_guard();
    tokio::spawn(async move {
        // Cancelled when the driver ends, even by a panic, so that `shutdown` always returns.
        let _stopped = stopped;
        driver.run().await;
    });
    Ok((Network { shared: Arc::new(shared) }, events))
}

/// Splits the bootstrap addresses: adds those with a peer id to an address book, and returns the
/// others.
fn sorted(
    addresses: Vec<(Multiaddr, Option<PeerId>)>,
    own: PeerId,
    peers: &Peers,
    limits: &NetworkLimits,
) -> (AddressBook, Vec<Multiaddr>) {
    let mut book = AddressBook::new(limits.addresses_per_member);
    let mut without_peer_id = Vec::new();
    for (address, id) in addresses {
        match id {
            None if !without_peer_id.contains(&address) => without_peer_id.push(address),
            None => {}
            Some(id) if id == own => {}
            // `AddressSettings::check` has verified that the id is a member's.
            Some(id) => {
                peers.by_id(&id).into_iter().for_each(|peer| book.configure(peer.key, address.clone()));
            }
        }
    }
    (book, without_peer_id)
}
