//! Starts a network from a configuration.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, Swarm, swarm};
use tokio_util::sync::CancellationToken;

use crate::config::address_settings::{AddressSettings, Addresses};
use crate::config::{NetworkConfig, NetworkLimits};
use crate::counters::Counters;
use crate::dialing::addresses::AddressBook;
use crate::dialing::bootstrap::Bootstrap;
use crate::dialing::failures::Failures;
use crate::dialing::schedule::{Dialing, Pace};
use crate::driver::Driver;
use crate::driver::work::Work;
use crate::error::StartError;
use crate::event::{self, NetworkEvents};
use crate::handle::{Network, Shared};
use crate::identity::{PeerKey, keypair, peer_id};
use crate::listening::listen;
use crate::peer::Peers;
use crate::protocols::behaviour::{Behaviour, Presentation};
use crate::protocols::transport;
use crate::protocols::version::Names;

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
    let peers = Arc::new(Peers::new(&config.members, &config.observers, own, &config.limits)?);
    let Addresses { listen: listened, advertise, bootstrap } = usable_addresses(&config)?;
    let (mut book, without_peer_id) = sorted(bootstrap, peer_id(&own)?, &peers, &config.limits);
    remember(&mut book, &config.known, &peers);

    let names = Names::new(&config.network_name);
    let counters = Arc::new(Counters::default());
    let is_member = config.members.contains(&own);
    let presentation = Presentation { is_member, advertises: !advertise.is_empty() };
    let mut swarm = swarm(&keypair, presentation, &names, &peers, &config, &counters)?;
    for address in advertise {
        swarm.add_external_address(address);
    }
    listen(&mut swarm, &listened).await?;

    let now = Instant::now();
    let pace = Pace::from(&config.timing);
    // Members never dial observers, so an observer dials every member at once.
    let members = peers.members().map(|peer| (peer.key, !is_member || own < peer.key));
    let dialing = Dialing::new(members, pace, now, Rng::new());
    let (inbox, events) = event::channel(peers.len(), &config.limits);
    let (shared, commands) = Shared::new(peers, counters, config.limits, config.timing);
    let driver = Driver {
        swarm,
        topic: names.topic(),
        network: config.network_name,
        peers: shared.peers.clone(),
        counters: shared.counters.clone(),
        limits: shared.limits.clone(),
        timing: shared.timing.clone(),
        inbox,
        commands,
        listening: shared.listening.clone(),
        failed: shared.failed.clone(),
        failures: Failures::default(),
        known: shared.known.clone(),
        stop: shared.stop.clone(),
        dialing,
        bootstrap: Bootstrap::new(without_peer_id, pace, now, Rng::new()),
        book,
        work: Work::new(now, &shared.timing),
    };
    spawn(driver, shared.stopped.clone());
    Ok((Network { shared: Arc::new(shared) }, events))
}

fn usable_addresses(config: &NetworkConfig) -> Result<Addresses, StartError> {
    let settings = AddressSettings {
        listen: &config.listen,
        advertise: &config.advertise,
        bootstrap: &config.bootstrap,
    };
    settings.check(Some(&config.members)).map_err(StartError::Addresses)
}

/// Adds the addresses of members from before this start.
fn remember(book: &mut AddressBook, known: &[(PeerKey, String)], peers: &Peers) {
    for (key, address) in known {
        if peers.by_key(key).is_some_and(|peer| peer.is_member()) {
            book.remember(*key, address);
        }
    }
}

fn swarm(
    keypair: &Keypair,
    presentation: Presentation,
    names: &Names,
    peers: &Peers,
    config: &NetworkConfig,
    counters: &Arc<Counters>,
) -> Result<Swarm<Behaviour>, StartError> {
    let NetworkConfig { limits, timing, .. } = config;
    let transport = transport::build(keypair, timing, limits.requests_per_peer)
        .map_err(|error| StartError::Setup(error.to_string()))?;
    let behaviour = Behaviour::new(keypair, presentation, names, peers, limits, timing, counters.clone())
        .map_err(StartError::Setup)?;
    let settings = swarm::Config::with_tokio_executor().with_dial_concurrency_factor(PARALLEL_DIALS);
    Ok(Swarm::new(transport, behaviour, keypair.public().to_peer_id(), settings))
}

/// Runs the driver in a task of its own.
fn spawn(mut driver: Driver, stopped: CancellationToken) {
    driver.publish_listening();
    driver.publish_known();
    let stopped = stopped.drop_guard();
    tokio::spawn(async move {
        // Cancelled when the driver ends, even by a panic, so that `shutdown` always returns.
        let _stopped = stopped;
        driver.run().await;
    });
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
