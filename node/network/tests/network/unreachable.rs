//! Configured addresses at which no member can be reached.

use std::io::Write;
use std::net::TcpListener;

use crate::support::{Node, by_key, config, eventually, key};

#[tokio::test]
async fn unreachable_addresses_are_reported_with_their_reasons() {
    let members = by_key(2);
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let foreign_port = foreign.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in foreign.incoming() {
            // The connection may be closed already.
            let _ = connection.and_then(|mut connection| connection.write_all(b"SSH-2.0-OpenSSH_9.9\r\n"));
        }
    });
    let id = quorate_network::peer_id_text(&key(members[1])).unwrap();
    let mut config = config(members[0], &members);
    config.bootstrap = vec![
        format!("/ip4/127.0.0.1/tcp/{unused}"),
        format!("/ip4/127.0.0.1/tcp/{foreign_port}/p2p/{id}"),
        "/dns/bank-b.invalid/tcp/9000".into(),
    ];
    let node = Node::start(members[0], config).await;
    eventually("all three have failed", || node.network.failed_addresses().len() == 3).await;
    let failed = node.network.failed_addresses();
    let found = |part: &str| failed.iter().find(|failed| failed.address.contains(part)).unwrap();
    assert!(found(&unused.to_string()).reason.contains("refused"), "{failed:?}");
    assert!(found("bank-b.invalid").reason.contains("name"), "{failed:?}");
    let foreign = found(&foreign_port.to_string());
    assert!(foreign.reason.contains("no node of this program"), "{failed:?}");
    assert_eq!(foreign.member, Some(key(members[1])));
    assert_eq!(found("bank-b.invalid").member, None, "the configuration names no peer id");
    node.network.shutdown().await;
}

#[tokio::test]
async fn an_address_that_works_again_is_no_longer_reported() {
    let members = by_key(2);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut first = config(members[0], &members);
    first.bootstrap = vec![format!("/ip4/127.0.0.1/tcp/{port}")];
    let mut first = Node::start(members[0], first).await;
    eventually("nothing answers there", || first.network.failed_addresses().len() == 1).await;
    let mut second = config(members[1], &members);
    second.listen = first.network.failed_addresses().into_iter().map(|failed| failed.address).collect();
    let second = Node::start(members[1], second).await;
    first.connected(members[1]).await;
    eventually("the other one is there", || first.network.failed_addresses().is_empty()).await;
    first.network.shutdown().await;
    second.network.shutdown().await;
}

/// A restart while the name service is down: only the addresses of the last run lead to the other
/// members.
#[tokio::test]
async fn addresses_of_the_last_run_are_used() {
    let members = by_key(2);
    let second = Node::join(members[1], &members, &[]).await;
    let mut first = Node::join(members[0], &members, &[&second]).await;
    first.connected(members[1]).await;
    let address = second.bare_address();
    let knows = || first.network.known_addresses().contains(&(key(members[1]), address.clone()));
    eventually("the address is to be persisted", knows).await;
    let known = first.network.known_addresses();
    first.network.shutdown().await;

    let mut again = config(members[0], &members);
    let id = quorate_network::peer_id_text(&key(members[1])).unwrap();
    again.bootstrap = vec![format!("/dns/bank-b.invalid/tcp/9000/p2p/{id}")];
    again.known = known;
    let mut again = Node::start(members[0], again).await;
    again.connected(members[1]).await;
    again.network.shutdown().await;
    second.network.shutdown().await;
}
