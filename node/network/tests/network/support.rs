//! Test nodes, and helpers that wait for events and conditions.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use quorate_network::{
    Network, NetworkConfig, NetworkEvent, NetworkEvents, NetworkLimits, NetworkTiming, PeerKey, PeerStatus,
    start,
};
use tokio::time::{interval, timeout};
use zeroize::Zeroizing;

/// Timeout of every wait. Normally nothing here takes a tenth of it.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Time between two checks of a condition.
const GLANCE: Duration = Duration::from_millis(10);

/// Time between two attempts to send.
pub(crate) const ATTEMPTS: Duration = Duration::from_millis(50);

/// A secret key for tests.
pub(crate) fn secret(number: u8) -> Zeroizing<[u8; 32]> {
    Zeroizing::new([number; 32])
}

/// The public key of that secret key.
pub(crate) fn key(number: u8) -> PeerKey {
    let mut copy = *secret(number);
    let secret = libp2p::identity::secp256k1::SecretKey::try_from_bytes(&mut copy).unwrap();
    PeerKey(libp2p::identity::secp256k1::Keypair::from(secret).public().to_bytes())
}

/// The numbers of `count` keys, ordered by key: of each pair the first is the one that dials.
pub(crate) fn by_key(count: u8) -> Vec<u8> {
    let mut numbers: Vec<u8> = (1..=count).collect();
    numbers.sort_by_key(|number| key(*number));
    numbers
}

/// The configuration of member `number` of `members`.
pub(crate) fn config(number: u8, members: &[u8]) -> NetworkConfig {
    NetworkConfig {
        secret_key: secret(number),
        members: members.iter().map(|number| key(*number)).collect(),
        observers: Vec::new(),
        network_name: "test".into(),
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        advertise: Vec::new(),
        bootstrap: Vec::new(),
        known: Vec::new(),
        limits: NetworkLimits::default(),
        timing: NetworkTiming {
            redial_max: Duration::from_millis(500),
            // No test depends on the silent timeout, unless it sets it.
            silent_timeout: 2 * TIME_LIMIT,
            ..NetworkTiming::default()
        },
    }
}

/// A running node, with the events that no call has taken yet.
pub(crate) struct Node {
    pub(crate) number: u8,
    pub(crate) network: Network,
    pub(crate) events: NetworkEvents,
    backlog: VecDeque<NetworkEvent>,
}

impl Node {
    pub(crate) async fn start(number: u8, config: NetworkConfig) -> Self {
        let (network, events) = start(config).await.unwrap();
        Self { number, network, events, backlog: VecDeque::new() }
    }

    /// Starts member `number` of `members`, which knows the addresses of `known`.
    pub(crate) async fn join(number: u8, members: &[u8], known: &[&Node]) -> Self {
        let mut config = config(number, members);
        config.bootstrap = known.iter().map(|node| node.address()).collect();
        Self::start(number, config).await
    }

    pub(crate) fn key(&self) -> PeerKey {
        key(self.number)
    }

    /// The listening address, with the peer id.
    pub(crate) fn address(&self) -> String {
        self.network.listen_addresses().remove(0)
    }

    /// The listening address alone.
    pub(crate) fn bare_address(&self) -> String {
        let address = self.address();
        address.split("/p2p/").next().unwrap().to_owned()
    }

    /// The TCP port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.bare_address().rsplit('/').next().unwrap().parse().unwrap()
    }

    pub(crate) fn status(&self, of: u8) -> PeerStatus {
        self.network.peers().into_iter().find(|peer| peer.key == key(of)).unwrap()
    }

    /// Waits for the first event that `pick` accepts. Other events stay for later calls, in order.
    pub(crate) async fn expect<T>(
        &mut self,
        what: &str,
        mut pick: impl FnMut(NetworkEvent) -> Result<T, NetworkEvent>,
    ) -> T {
        let mut passed = VecDeque::new();
        while let Some(event) = self.backlog.pop_front() {
            match pick(event) {
                Ok(found) => {
                    passed.append(&mut self.backlog);
                    self.backlog = passed;
                    return found;
                }
                Err(other) => passed.push_back(other),
            }
        }
        self.backlog = passed;
        let found = timeout(TIME_LIMIT, async {
            loop {
                let event = self.events.recv().await.expect("the network is running");
                match pick(event) {
                    Ok(found) => return found,
                    Err(other) => self.backlog.push_back(other),
                }
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => {
                panic!("node {}: {what} did not happen; peers: {:#?}", self.number, self.network.peers())
            }
        }
    }

    pub(crate) async fn connected(&mut self, with: u8) {
        let with = key(with);
        self.expect("a connection", |event| match event {
            NetworkEvent::Connected { peer } if peer == with => Ok(()),
            other => Err(other),
        })
        .await;
    }

    pub(crate) async fn disconnected(&mut self, from: u8) {
        let from = key(from);
        self.expect("a disconnection", |event| match event {
            NetworkEvent::Disconnected { peer } if peer == from => Ok(()),
            other => Err(other),
        })
        .await;
    }

    /// The next direct message of that member.
    pub(crate) async fn message(&mut self, sender: u8) -> Bytes {
        // Deriving a key for each event would take longer than everything else here.
        let sender = key(sender);
        self.expect("a message", |event| match event {
            NetworkEvent::Message { from, bytes } if from == sender => Ok(bytes),
            other => Err(other),
        })
        .await
    }

    /// Takes the events that have arrived, for later calls. A node that takes none does not serve
    /// further connections of a peer after a few.
    pub(crate) fn collect(&mut self) {
        while let Some(event) = self.events.try_recv() {
            self.backlog.push_back(event);
        }
    }

    /// Takes all events that have arrived.
    pub(crate) fn drain(&mut self) -> Vec<NetworkEvent> {
        self.collect();
        self.backlog.drain(..).collect()
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        let mut glances = interval(GLANCE);
        while !condition() {
            glances.tick().await;
        }
    };
    timeout(TIME_LIMIT, wait).await.unwrap_or_else(|_| panic!("{what} did not happen"));
}

/// Sends a direct message until it arrives: a connection may be replaced once more while the nodes
/// discover each other.
pub(crate) async fn direct_passes(from: &Node, to: &mut Node, label: &'static str) {
    let (key, sender) = (to.key(), from.number);
    let network = from.network.clone();
    let sending = async move {
        let mut attempts = interval(ATTEMPTS);
        loop {
            attempts.tick().await;
            network.send(key, label.into());
        }
    };
    tokio::select! {
        () = sending => {}
        bytes = to.message(sender) => assert_eq!(bytes, label),
    }
}

/// Waits until every node is connected with every other.
pub(crate) async fn full_mesh(nodes: &mut [Node]) {
    let numbers: Vec<u8> = nodes.iter().map(|node| node.number).collect();
    for node in nodes.iter_mut() {
        let own = node.number;
        for other in numbers.iter().filter(|other| **other != own) {
            node.connected(*other).await;
        }
    }
    eventually("a full mesh", || {
        nodes.iter().all(|node| node.network.peers().iter().all(|peer| peer.connected))
    })
    .await;
}

/// Publishes new content at `from` until `to` receives it. Subscriptions are exchanged shortly
/// after connecting, so the first attempts may reach no member.
pub(crate) async fn gossip_passes(from: &Network, to: &mut Node, label: &str) {
    let mut number = 0;
    let publishing = async {
        let mut attempts = interval(ATTEMPTS);
        loop {
            attempts.tick().await;
            from.publish(format!("{label} {number}").into()).unwrap();
            number += 1;
        }
    };
    let hearing = to.expect("gossip", |event| match event {
        NetworkEvent::Gossip { bytes, .. } if bytes.starts_with(label.as_bytes()) => Ok(()),
        other => Err(other),
    });
    tokio::select! {
        never = publishing => never,
        () = hearing => {}
    }
}
