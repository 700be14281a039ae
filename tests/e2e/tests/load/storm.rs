//! Many connections, most of them hostile.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_e2e::Random;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use crate::rubbish::Rubbish;

/// Number of messages of a sender; afterwards it starts again with the first.
const MESSAGES: usize = 60;

/// Interval between two bytes of a head that never ends, and between two reads of a slow reader.
const SLOW_INTERVAL: Duration = Duration::from_millis(500);

/// Bytes that a slow reader takes at a time.
const SLOW_READ_BYTES: usize = 512;

/// How long a sender waits for a response before it closes the connection.
const ANSWER: Duration = Duration::from_secs(5);

/// Pause before a connection that could not be opened is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Number of connections and messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Connections to all nodes together.
    pub(crate) connections: usize,
    /// Messages of all connections together.
    pub(crate) messages_per_second: usize,
}

/// Counters of the connections.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    open: AtomicUsize,
    sent: AtomicUsize,
    /// Responses by status; 0 stands for connections without a response in time.
    answers: Mutex<BTreeMap<u16, usize>>,
}

impl Seen {
    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Messages sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Answers so far, by status.
    pub(crate) fn answers(&self) -> BTreeMap<u16, usize> {
        self.answers.lock().unwrap().clone()
    }
}

/// The attack; it runs until it is dropped.
pub(crate) struct Storm {
    runtime: Option<Runtime>,
    seen: Arc<Seen>,
}

impl Storm {
    /// Opens the connections, evenly to all nodes. They run on a separate thread, which must not
    /// delay the measurement.
    pub(crate) fn start(nodes: &[SocketAddr], size: Size, random: &mut Random) -> Storm {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::<Seen>::default();
        let habits: Vec<Behaviour> =
            (0..size.connections).map(|number| Behaviour::of(number / nodes.len())).collect();
        let senders = habits.iter().filter(|behaviour| **behaviour == Behaviour::Sender).count().max(1);
        let pace = Duration::from_secs(1) * u32::try_from(senders).unwrap()
            / u32::try_from(size.messages_per_second).unwrap();
        let mut rubbish = Rubbish::of(random.branch());
        for (number, behaviour) in habits.into_iter().enumerate() {
            let messages = if behaviour == Behaviour::Sender { rubbish.take(MESSAGES) } else { Vec::new() };
            let (node, delay) = (nodes[number % nodes.len()], random.up_to(pace));
            let stranger = Attacker { node, behaviour, messages, pace, delay, seen: Arc::clone(&seen) };
            runtime.spawn(stranger.run());
        }
        Storm { runtime: Some(runtime), seen }
    }

    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// What an attacker does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    /// Sends nothing.
    Idle,
    /// Sends a head byte by byte.
    SlowHead,
    /// Sends a part of a large body, a mebibyte.
    HalfBody,
    /// Reads the chain from the beginning, slowly.
    SlowReader,
    /// Sends useless messages, and keeps the connection as long as the node does.
    Sender,
}

impl Behaviour {
    /// The behaviour of a connection to one node by its number. At most 16 of 125 read, because a node
    /// allows only so many streams for one address.
    fn of(number: usize) -> Behaviour {
        match number % 8 {
            0 | 5 => Behaviour::Idle,
            1 | 6 => Behaviour::SlowHead,
            2 => Behaviour::HalfBody,
            3 => Behaviour::SlowReader,
            _ => Behaviour::Sender,
        }
    }
}

struct Attacker {
    node: SocketAddr,
    behaviour: Behaviour,
    messages: Vec<Vec<u8>>,
    /// Interval between two messages.
    pace: Duration,
    /// Delay before the first message.
    delay: Duration,
    seen: Arc<Seen>,
}

impl Attacker {
    /// Opens a connection again as soon as the node has closed it.
    async fn run(mut self) {
        // The start times differ.
        sleep(self.delay).await;
        let mut ticks = interval(self.pace);
        // Messages that a slow response has delayed are sent afterwards.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            let Ok(stream) = TcpStream::connect(self.node).await else {
                sleep(PAUSE).await;
                continue;
            };
            self.seen.open.fetch_add(1, Ordering::Relaxed);
            // After any end of a connection, open another one.
            let _ = self.use_up(BufReader::new(stream), &mut ticks).await;
            self.seen.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn use_up(&mut self, mut wire: BufReader<TcpStream>, ticks: &mut Interval) -> io::Result<()> {
        match self.behaviour {
            Behaviour::Idle => {}
            Behaviour::SlowHead => {
                wire.write_all(b"POST / HTTP/1.1\r\nx: ").await?;
                loop {
                    wire.write_all(b"x").await?;
                    sleep(SLOW_INTERVAL).await;
                }
            }
            Behaviour::HalfBody => {
                let head = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
                wire.write_all(head).await?;
                wire.write_all(b"content-length: 4000000\r\n\r\n").await?;
                wire.write_all(&[b' '; 1 << 20]).await?;
            }
            Behaviour::SlowReader => {
                wire.write_all(b"GET /stream?from_height=1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
                let mut sip = [0; SLOW_READ_BYTES];
                while wire.read(&mut sip).await? > 0 {
                    sleep(SLOW_INTERVAL).await;
                }
            }
            Behaviour::Sender => return self.send(wire, ticks).await,
        }
        // Until the node closes it.
        tokio::io::copy(&mut wire, &mut tokio::io::sink()).await?;
        Ok(())
    }

    async fn send(&mut self, mut wire: BufReader<TcpStream>, ticks: &mut Interval) -> io::Result<()> {
        loop {
            ticks.tick().await;
            let message = &self.messages[0];
            self.seen.sent.fetch_add(1, Ordering::Relaxed);
            let exchange = async {
                // A node may respond before it has read everything; then the response counts.
                let sent = wire.write_all(message).await;
                let (status, goes_on) = answer(&mut wire).await?;
                Ok((status, goes_on && sent.is_ok()))
            };
            let answered: io::Result<_> =
                timeout(ANSWER, exchange).await.unwrap_or_else(|late| Err(late.into()));
            let (status, goes_on) = answered.unwrap_or((0, false));
            *self.seen.answers.lock().unwrap().entry(status).or_default() += 1;
            self.messages.rotate_left(1);
            if !goes_on {
                return Ok(());
            }
        }
    }
}

/// Reads a response: its status, and whether the connection stays open.
async fn answer(wire: &mut BufReader<TcpStream>) -> io::Result<(u16, bool)> {
    let mut line = String::new();
    let (mut status, mut length, mut goes_on) = (0, 0, true);
    loop {
        line.clear();
        if wire.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = text.strip_prefix("http/1.1 ").or(text.strip_prefix("http/1.0 ")) {
            status = rest.get(..3).and_then(|status| status.parse().ok()).unwrap_or_default();
        } else if let Some(value) = text.strip_prefix("content-length: ") {
            length = value.parse().unwrap_or_default();
        } else if text == "connection: close" {
            goes_on = false;
        } else if text.is_empty() {
            break;
        }
    }
    tokio::io::copy(&mut wire.take(length), &mut tokio::io::sink()).await?;
    Ok((status, goes_on))
}
