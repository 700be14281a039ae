//! From a configuration to a running network.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU8;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use futures::StreamExt;
use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, swarm};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::addresses::{AddressBook, without_peer};
use crate::behaviour::{Appearance, Behaviour, Names};
use crate::bootstrap::Bootstrap;
use crate::config::NetworkConfig;
use crate::counters::Counters;
use crate::dialing::{Dialing, Jitter, Pace};
use crate::driver::{Driver, Work};
use crate::error::StartError;
use crate::event::{self, NetworkEvents, Share};
use crate::handle::{Network, Shared};
use crate::identity::{PeerKey, keypair};
use crate::peer::Peers;
use crate::transport;

/// Addresses of one member that are tried at the same time.
const PARALLEL_DIALS: NonZeroU8 = NonZeroU8::new(8).expect("not zero");

/// Starts a network in the current tokio runtime. When it returns, the node listens on every address given.
///
/// # Errors
/// [`StartError`], with nothing left running. A busy port is among them.
pub async fn start(config: NetworkConfig) -> Result<(Network, NetworkEvents), StartError> {
    config.check()?;
    let (keypair, own) = keypair(&config.secret_key)?;
    let is_member = config.members.contains(&own);
    let peers = Arc::new(Peers::new(&config.members, &config.observers, own, &config.limits)?);
    let (book, strays) = bootstrap_addresses(&config, own, &peers)?;
    let advertised = advertised_addresses(&config)?;

    let names = Names::new(&config.network_name);
    let transport = transport::build(&keypair, &config.timing, config.limits.requests_per_peer)
        .map_err(|error| StartError::Setup(error.to_string()))?;
    let counters = Arc::new(Counters::default());
    let appearance = Appearance { is_member, advertises: !advertised.is_empty() };
    let behaviour = Behaviour::new(
        &keypair,
        appearance,
        &names,
        &peers,
        &config.limits,
        &config.timing,
        counters.clone(),
    )
    .map_err(StartError::Setup)?;
    let settings = swarm::Config::with_tokio_executor().with_dial_concurrency_factor(PARALLEL_DIALS);
    let mut swarm = Swarm::new(transport, behaviour, keypair.public().to_peer_id(), settings);
    for address in advertised {
        swarm.add_external_address(address);
    }
    listen(&mut swarm, &config.listen).await?;

    let now = Instant::now();
    let pace = Pace::from(&config.timing);
    // Members dial no observer, so an observer dials every member.
    let members = peers.members().map(|peer| (peer.key, !is_member || own < peer.key));
    let dialing = Dialing::new(members, pace, now, Jitter::from_system());
    let bootstrap = Bootstrap::new(strays, pace, now, Jitter::from_system());
    let work = Work::new(now, &config.timing);

    let commands_max = config.limits.publish_messages + peers.len() * config.limits.requests_per_peer;
    let (commands, orders) = mpsc::channel(commands_max);
    let (inbox, events) = event::channel(peers.len(), &config.limits);
    let shared = Shared {
        peers,
        counters,
        publishing: Share::new(config.limits.publish_messages, config.limits.publish_bytes),
        limits: Arc::new(config.limits),
        timing: Arc::new(config.timing),
        listening: Arc::new(RwLock::default()),
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
        commands: orders,
        listening: shared.listening.clone(),
        stop: shared.stop.clone(),
        dialing,
        bootstrap,
        book,
        work,
    };
    driver.note_listening();
    let stopped = shared.stopped.clone().drop_guard();
    tokio::spawn(async move {
        // Cancelled when the driver is done, and also if it should panic: nobody waits for ever.
        let _stopped = stopped;
        driver.run().await;
    });
    Ok((Network { shared: Arc::new(shared) }, events))
}

/// Sorts the bootstrap addresses: those with a peer id into the book, the others apart.
fn bootstrap_addresses(
    config: &NetworkConfig,
    own: PeerKey,
    peers: &Peers,
) -> Result<(AddressBook, Vec<Multiaddr>), StartError> {
    let own = crate::identity::peer_id(&own)?;
    let mut book = AddressBook::new(config.limits.addresses_per_member);
    let mut strays = Vec::new();
    for text in &config.bootstrap {
        let (address, id) = dialable("bootstrap", text)?;
        match id {
            None if !strays.contains(&address) => strays.push(address),
            None => {}
            Some(id) if id == own => {}
            Some(id) => match peers.by_id(&id).filter(|peer| peer.is_member()) {
                Some(peer) => book.configure(peer.key, address),
                None => return Err(unusable("bootstrap", text, "its peer id is not that of a member")),
            },
        }
    }
    Ok((book, strays))
}

fn advertised_addresses(config: &NetworkConfig) -> Result<Vec<Multiaddr>, StartError> {
    config.advertise.iter().map(|text| dialable("advertise", text).map(|(address, _)| address)).collect()
}

fn dialable(setting: &'static str, text: &str) -> Result<(Multiaddr, Option<libp2p::PeerId>), StartError> {
    without_peer(&parse(setting, text)?).map_err(|reason| unusable(setting, text, reason))
}

fn parse(setting: &'static str, text: &str) -> Result<Multiaddr, StartError> {
    text.parse().map_err(|error: libp2p::multiaddr::Error| unusable(setting, text, &error.to_string()))
}

fn unusable(setting: &'static str, address: &str, reason: &str) -> StartError {
    StartError::Address { setting, address: address.to_owned(), reason: reason.to_owned() }
}

/// Binds all addresses and waits until each is really listened on.
async fn listen(swarm: &mut Swarm<Behaviour>, addresses: &[String]) -> Result<(), StartError> {
    if addresses.is_empty() {
        return Err(StartError::NothingToListenOn);
    }
    for text in addresses {
        let socket = socket_address(&parse("listen", text)?)
            .ok_or_else(|| unusable("listen", text, "only /ip4/…/tcp/… and /ip6/…/tcp/… will do"))?;
        let failed = |source| StartError::Listen { address: text.clone(), source };
        probe(socket).map_err(failed)?;
        let id = swarm.listen_on(parse("listen", text)?).map_err(|error| {
            failed(match error {
                TransportError::Other(source) => source,
                TransportError::MultiaddrNotSupported(_) => io::ErrorKind::Unsupported.into(),
            })
        })?;
        listening(swarm, id).await.map_err(failed)?;
    }
    Ok(())
}

/// libp2p binds its listeners such that a second process may bind the same port, and the system then deals
/// connections out to both. Binding without that option first tells whether the port is free.
fn probe(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 { Ok(()) } else { TcpListener::bind(address).map(drop) }
}

fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Protocol::Tcp(port) = parts.next()? else { return None };
    parts.next().is_none().then_some(SocketAddr::new(ip, port))
}

async fn listening(swarm: &mut Swarm<Behaviour>, id: ListenerId) -> io::Result<()> {
    loop {
        // Nothing else can happen yet: no connection was accepted or begun before the address is known.
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { listener_id, .. } if listener_id == id => return Ok(()),
            SwarmEvent::ListenerError { listener_id, error } if listener_id == id => return Err(error),
            SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == id => {
                return Err(reason.err().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()));
            }
            _ => {}
        }
    }
}
