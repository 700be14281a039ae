//! Members that restart.

use std::thread;

use tokio::sync::oneshot;

use crate::support::{Node, by_key, config, direct_passes, full_mesh, gossip_passes};

/// How the first instance of the member ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// By a shutdown in good order.
    Shutdown,
    /// Killed: the operating system closes its sockets.
    Killed,
    /// Frozen or cut off: its sockets stay open, but it does not answer.
    Frozen,
}

/// An instance of a member on its own runtime, which can be stopped at any point.
struct Instance {
    end: oneshot::Sender<End>,
    release: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Instance {
    /// Starts the instance and returns when it is connected with all of `others`.
    async fn start(number: u8, members: Vec<u8>, known: String, others: Vec<u8>) -> Self {
        let (end, ending) = oneshot::channel();
        let (release, released) = oneshot::channel::<()>();
        let (ready, when_ready) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (node, end) = runtime.block_on(async move {
                let mut config = config(number, &members);
                config.bootstrap = vec![known];
                let mut node = Node::start(number, config).await;
                for other in others {
                    node.connected(other).await;
                }
                ready.send(()).unwrap();
                let end = ending.await.unwrap();
                if end == End::Shutdown {
                    node.network.shutdown().await;
                }
                (node, end)
            });
            if end == End::Frozen {
                // From here on this instance does not run, but its sockets stay open.
                let _ = released.blocking_recv();
            }
            drop(runtime);
            drop(node);
        });
        when_ready.await.unwrap();
        Self { end, release, thread }
    }
}

async fn returns(which: usize, end: End) {
    let members = by_key(3);
    let returning = members[which];
    let staying: Vec<u8> = members.iter().copied().filter(|number| *number != returning).collect();
    let hub = Node::join(staying[0], &members, &[]).await;
    let other = Node::join(staying[1], &members, &[&hub]).await;
    let mut nodes = vec![hub, other];
    full_mesh_of_two(&mut nodes).await;
    let instance = Instance::start(returning, members.clone(), nodes[0].address(), staying.clone()).await;
    for node in &mut nodes {
        node.connected(returning).await;
    }

    instance.end.send(end).unwrap();
    if end != End::Frozen {
        instance.thread.join().unwrap();
        drop(instance.release);
        nodes.push(Node::join(returning, &members, &[&nodes[0]]).await);
        check(&mut nodes).await;
    } else {
        nodes.push(Node::join(returning, &members, &[&nodes[0]]).await);
        check(&mut nodes).await;
        for node in &nodes[..2] {
            assert!(node.network.counters().connections_replaced > 0, "node {}", node.number);
        }
        drop(instance.release);
        instance.thread.join().unwrap();
    }
}

async fn full_mesh_of_two(nodes: &mut [Node]) {
    let numbers = [nodes[0].number, nodes[1].number];
    nodes[0].connected(numbers[1]).await;
    nodes[1].connected(numbers[0]).await;
}

/// Checks that everything works between the last node, which restarted, and the others.
async fn check(nodes: &mut [Node]) {
    let (back, others) = nodes.split_last_mut().unwrap();
    for node in others {
        node.disconnected(back.number).await;
        node.connected(back.number).await;
        back.connected(node.number).await;
        // Connections may be replaced once more during discovery, so the request is repeated until
        // it is answered.
        direct_passes(node, back, "hello").await;
        direct_passes(back, node, "hello").await;
        gossip_passes(&back.network.clone(), node, "from the returned").await;
        gossip_passes(&node.network.clone(), back, &format!("to the returned from {}", node.number)).await;
    }
}

#[tokio::test]
async fn after_a_shutdown_smallest_key() {
    returns(0, End::Shutdown).await;
}

#[tokio::test]
async fn after_a_shutdown_largest_key() {
    returns(2, End::Shutdown).await;
}

#[tokio::test]
async fn after_a_kill_smallest_key() {
    returns(0, End::Killed).await;
}

#[tokio::test]
async fn after_a_kill_largest_key() {
    returns(2, End::Killed).await;
}

#[tokio::test]
async fn while_the_old_instance_is_frozen_smallest_key() {
    returns(0, End::Frozen).await;
}

#[tokio::test]
async fn while_the_old_instance_is_frozen_middle_key() {
    returns(1, End::Frozen).await;
}

#[tokio::test]
async fn while_the_old_instance_is_frozen_largest_key() {
    returns(2, End::Frozen).await;
}

#[tokio::test]
async fn a_whole_network_restarts() {
    let members = by_key(3);
    for _ in 0..2 {
        let hub = Node::join(members[0], &members, &[]).await;
        let mut nodes = vec![hub];
        for number in &members[1..] {
            let node = Node::join(*number, &members, &[&nodes[0]]).await;
            nodes.push(node);
        }
        full_mesh(&mut nodes).await;
        for node in &nodes {
            node.network.shutdown().await;
        }
    }
}
