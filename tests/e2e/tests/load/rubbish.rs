//! Useless messages of an attacker.

use quorate_e2e::{Random, now};
use quorate_ledger::{ChainId, Payload, SecretKey, Transaction, to_hex};
use serde_json::{Value, json};

/// Upper limit of a body that a node reads in bytes, unless configured.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Upper limit of entries in a batch that a node accepts.
const BATCH: usize = 100;

/// Number of different transactions with invalid signatures.
const FORGED: usize = 64;

/// Creates messages; some are requests, some are not.
pub(crate) struct Rubbish {
    random: Random,
    /// As hex. They are signed for another chain, so a node must do the whole verification to
    /// reject them.
    forged: Vec<String>,
}

impl Rubbish {
    pub(crate) fn of(mut random: Random) -> Rubbish {
        let (key, other) = (SecretKey::generate(), ChainId::from_bytes([7; 32]));
        let forge = |nonce| {
            let payload = Payload::Data(random.bytes(100));
            to_hex(&Transaction::sign(&other, &key, nonce, now().plus_ms(60_000), payload).to_bytes())
        };
        let forged = (0..FORGED as u64).map(forge).collect();
        Rubbish { random, forged }
    }

    /// The next messages.
    pub(crate) fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.message()).collect()
    }

    fn message(&mut self) -> Vec<u8> {
        match self.random.below(100) {
            0..10 => {
                let count = 1 + self.random.below(2000);
                self.random.bytes(count)
            }
            10..20 => self.illegal(),
            20..30 => post(&self.deep()),
            30..37 => {
                let count = self.random.below(5000);
                post(&self.random.bytes(count))
            }
            37..94 => post(self.call().to_string().as_bytes()),
            94..97 => self.oversized(),
            97..99 => {
                let calls: Vec<Value> = (0..BATCH).map(|_| self.call()).collect();
                post(Value::Array(calls).to_string().as_bytes())
            }
            _ => post(Value::Array(vec![json!({}); BATCH + 1]).to_string().as_bytes()),
        }
    }

    /// Similar to HTTP, but invalid.
    fn illegal(&mut self) -> Vec<u8> {
        let head = match self.random.below(8) {
            0 => "POST / HTTP/3.7".to_owned(),
            1 => "POST  / HTTP/1.1\r\nhost: localhost".to_owned(),
            2 => "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1".to_owned(),
            3 => "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\ntransfer-encoding: chunked"
                .to_owned(),
            4 => format!("POST / HTTP/1.1\r\nhost: localhost\r\nx: {}", "x".repeat(64 << 10)),
            5 => format!("GET /{} HTTP/1.1\r\nhost: localhost", "%2e/".repeat(2000)),
            6 => format!("GET / HTTP/1.1\r\n{}host: localhost", "x: y\r\n".repeat(100)),
            _ => {
                "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nno length".to_owned()
            }
        };
        format!("{head}\r\n\r\n").into_bytes()
    }

    /// Nested lists or objects, mostly deeper than parsers accept.
    fn deep(&mut self) -> Vec<u8> {
        let depth = 1 + self.random.below(20_000);
        let open: &[u8] = if self.random.below(2) == 0 { b"[" } else { b"{\"a\":" };
        open.repeat(depth)
    }

    /// JSON that is not a call, or a call with a useless response.
    fn call(&mut self) -> Value {
        let id = to_hex(&self.random.bytes(32));
        let (method, params) = match self.random.below(10) {
            0 => return Value::String(id),
            1 => (id, json!([])),
            2 => ("chain_blocks".to_owned(), json!({ "from_height": self.random.number(), "limit": 101 })),
            3 => ("tx_submit".to_owned(), json!([to_hex(&self.random.bytes(200))])),
            4 => ("tx_status".to_owned(), json!([id])),
            5 => ("tx_get".to_owned(), json!([id])),
            6 => ("tx_receipt".to_owned(), json!([id])),
            7 => ("chain_block".to_owned(), json!([id])),
            _ => {
                let which = self.random.below(FORGED);
                let wait = ["none", "accepted", "committed"][self.random.below(3)];
                let forged = &self.forged[which];
                ("tx_submit".to_owned(), json!({ "transaction": forged, "wait": wait, "timeout_ms": 60_000 }))
            }
        };
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
    }

    /// A body that is announced to be too large, or is too large.
    fn oversized(&mut self) -> Vec<u8> {
        let most = MAX_BODY_BYTES + 1;
        if self.random.below(20) > 0 {
            let announced = head(&format!("content-length: {most}"));
            return [announced, vec![b' '; 32 << 10]].concat();
        }
        let chunk = format!("{most:x}\r\n").into_bytes();
        [head("transfer-encoding: chunked"), chunk, vec![b' '; most], b"\r\n0\r\n\r\n".to_vec()].concat()
    }
}

fn head(length: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{length}\r\n\r\n")
        .into_bytes()
}

fn post(body: &[u8]) -> Vec<u8> {
    [head(&format!("content-length: {}", body.len())), body.to_vec()].concat()
}
