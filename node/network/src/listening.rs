//! Listening: checks whether the ports are free, and binds them.

use std::io;
use std::net::SocketAddr;

use futures::StreamExt;
use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm};
use rustix::net::{AddressFamily, SocketType, bind, ipproto, socket, sockopt};

use crate::config::address_settings::socket_address;
use crate::error::StartError;
use crate::protocols::behaviour::Behaviour;

/// Backlog of the socket that tests a port; no connection is expected there.
const TRIAL_BACKLOG: i32 = 1;

/// Binds all addresses and waits until the node listens on each.
pub(crate) async fn listen(swarm: &mut Swarm<Behaviour>, addresses: &[Multiaddr]) -> Result<(), StartError> {
    for address in addresses {
        let failed = |source| StartError::Listen { address: address.to_string(), source };
        let socket = socket_address(address).ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
        probe(socket).map_err(failed)?;
        let id = swarm.listen_on(address.clone()).map_err(|error| {
            failed(match error {
                TransportError::Other(source) => source,
                TransportError::MultiaddrNotSupported(_) => io::ErrorKind::Unsupported.into(),
            })
        })?;
        listening(swarm, id).await.map_err(failed)?;
    }
    Ok(())
}

/// Checks that the port is free.
///
/// libp2p sets `SO_REUSEPORT` on its listeners, so a second process may bind the same port, and the
/// system then distributes connections between the two. So this function first listens without that
/// option and otherwise with the same ones. One of the others affects which ports are free: a
/// listener on an IPv6 address accepts no IPv4 connections.
fn probe(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let trial = socket(family, SocketType::STREAM, Some(ipproto::TCP))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&trial, true)?;
    }
    sockopt::set_socket_reuseaddr(&trial, true)?;
    bind(&trial, &address)?;
    rustix::net::listen(&trial, TRIAL_BACKLOG)?;
    Ok(())
}

async fn listening(swarm: &mut Swarm<Behaviour>, id: ListenerId) -> io::Result<()> {
    loop {
        // No other event needs handling yet: no connection is accepted or dialed before the address
        // is known.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

    use super::*;

    /// A port that is in use on all IPv4 addresses may be free on all IPv6 addresses.
    #[test]
    fn both_kinds_of_addresses_share_a_port_in_either_order() {
        let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(probe((Ipv4Addr::UNSPECIFIED, port).into()).is_err(), "it is taken");
        match probe((Ipv6Addr::UNSPECIFIED, port).into()) {
            Ok(()) => {}
            // The machine has no IPv6.
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::AddrInUse, "{error}"),
        }
        drop(taken);
        probe((Ipv4Addr::UNSPECIFIED, port).into()).unwrap();
    }
}
