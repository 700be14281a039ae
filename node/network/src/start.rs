//! Starts a network from a configuration.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use fastrand::Rng;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, Swarm, swarm};
use tokio_util::sync::CancellationToken;

use crate::config::address_settings::{AddressSettings, Addresses};
use crate::config::{KEPT_LIMITS_MAX, NetworkConfig, NetworkLimits};
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
use crate::identity::{PeerKey, key_of, keypair};
use crate::listening::listen;
use crate::peers::Peers;
use crate::protocols::behaviour::Behaviour;
use crate::protocols::requests::Codec;
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
    let peers = Peers::none(own).changed(&config.members, &config.observers, &config.limits)?;
    let peers = Arc::new(peers);
    let Addresses { listen: listened, advertise, bootstrap } = usable_addresses(&config)?;
    let (mut book, without_peer_id) = sorted(bootstrap, own, &peers, &config.limits);
    remember(&mut book, &config.known, own, &peers);

    let names = Names::new(&config.network_name);
    let codec = Codec {
        request_bytes_max: config.limits.request_bytes,
        response_bytes_max: Arc::new(AtomicUsize::new(config.limits.accepted_response_bytes)),
        counters: Arc::new(Counters::default()),
    };
    let mut swarm = swarm(&keypair, !advertise.is_empty(), &names, &peers, &config, &codec)?;
    for address in advertise {
        swarm.add_external_address(address);
    }
    listen(&mut swarm, &listened).await?;

    let now = Instant::now();
    let pace = Pace::from(&config.timing);
    let mut dialing = Dialing::new(pace, Rng::new());
    for peer in peers.members() {
        dialing.add(peer.key, peers.dials_first(&peer.key), false, now);
    }
    let (inbox, events) = event::channel(KEPT_LIMITS_MAX, &config.limits);
    let (shared, commands) = Shared::new(peers.clone(), codec, config.limits, config.timing);
    let driver = Driver {
        swarm,
        topic: names.topic(),
        network: config.network_name,
        peers,
        listed: shared.peers.subscribe(),
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
    // Peer ids of nodes that are not members are no errors: the members change while nodes run.
    settings.check(None).map_err(StartError::Addresses)
}

/// Adds the addresses from before this start. Those of members come first, because the number of
/// nodes is limited.
fn remember(book: &mut AddressBook, known: &[(PeerKey, String)], own: PeerKey, peers: &Peers) {
    let others = known.iter().filter(|(key, _)| *key != own);
    let (of_members, rest): (Vec<_>, Vec<_>) = others.partition(|(key, _)| peers.is_member(key));
    for (key, address) in of_members.into_iter().chain(rest) {
        book.remember(*key, address);
    }
}

fn swarm(
    keypair: &Keypair,
    advertises: bool,
    names: &Names,
    peers: &Peers,
    config: &NetworkConfig,
    codec: &Codec,
) -> Result<Swarm<Behaviour>, StartError> {
    let NetworkConfig { limits, timing, .. } = config;
    let transport = transport::build(keypair, timing, limits.requests_per_peer)
        .map_err(|error| StartError::Setup(error.to_string()))?;
    let behaviour = Behaviour::new(keypair, advertises, names, peers, limits, timing, codec.clone())
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
    own: PeerKey,
    peers: &Peers,
    limits: &NetworkLimits,
) -> (AddressBook, Vec<Multiaddr>) {
    let mut book = AddressBook::new(limits.addresses_per_member);
    let mut without_peer_id = Vec::new();
    for (address, id) in addresses {
        match id.map(|id| (id, key_of(&id))) {
            None if !without_peer_id.contains(&address) => without_peer_id.push(address),
            None => {}
            Some((_, Some(key))) if key == own => {}
            Some((id, key)) => {
                if !key.is_some_and(|key| peers.is_member(&key)) {
                    // The peer may have been removed, or may become a member later.
                    tracing::warn!(%address, peer = %id, "p2p.bootstrap names the peer id of a node that is no validator now: the node does not dial this address until it is one; check the peer id");
                }
                key.into_iter().for_each(|key| book.configure(key, address.clone()));
            }
        }
    }
    (book, without_peer_id)
}
