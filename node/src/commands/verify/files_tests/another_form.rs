//! Files with the content of a good one in a form that is not allowed.

use super::*;

const RECEIPT: [&str; 4] = ["transaction", "index", "path", "proof"];
const PROOF: [&str; 3] = ["header", "descendants", "certificate"];
const HEADER: [&str; 12] = [
    "version",
    "chain_id",
    "epoch",
    "height",
    "parent",
    "transactions_root",
    "transaction_count",
    "body_bytes",
    "timestamp_ms",
    "committee",
    "next_committee",
    "proposer",
];
const CERTIFICATE: [&str; 6] = ["epoch", "view", "height", "block", "signers", "signatures"];

/// A good file.
struct Good {
    json: ReceiptJson,
    plain: String,
}

impl Good {
    /// The same file with another text in one place.
    fn with(&self, from: &str, to: &str) -> String {
        replaced(&self.plain, from, to)
    }
}

pub(super) fn files(quorum: &Quorum) -> Vec<(&'static str, String)> {
    let receipt = quorum.ordered(2, 5, 1);
    let good = Good { json: ReceiptJson::from(&receipt), plain: text(&receipt) };
    [structures(&good, quorum), names(&good, quorum), numbers(&good), hexadecimal(&good), texts(&good)]
        .concat()
}

/// Lists for objects and the reverse.
fn structures(good: &Good, quorum: &Quorum) -> Vec<(&'static str, String)> {
    let Good { json, plain } = good;
    let header = serde_json::to_string(&json.proof.header).unwrap();
    let descendant = serde_json::to_string(&json.proof.descendants[0]).unwrap();
    let certificate = serde_json::to_string(&json.proof.certificate).unwrap();
    let proof = serde_json::to_string(&json.proof).unwrap();
    let all_listed = {
        let headers = listed(&listed(&proof, &header, &HEADER), &descendant, &HEADER);
        let inner = listed(&headers, &certificate, &CERTIFICATE);
        let whole = replaced(plain, &proof, &listed(&inner, &inner, &PROOF));
        listed(&whole, &whole, &RECEIPT)
    };
    vec![
        ("array-for-receipt", listed(plain, plain, &RECEIPT)),
        ("array-for-proof", listed(plain, &proof, &PROOF)),
        ("array-for-header", listed(plain, &header, &HEADER)),
        ("array-for-descendant", listed(plain, &descendant, &HEADER)),
        ("array-for-certificate", listed(plain, &certificate, &CERTIFICATE)),
        ("array-for-everything", all_listed),
        ("array-around", format!("[{plain}]")),
        (
            "object-for-list",
            good.with("\"descendants\":[", "\"descendants\":{\"0\":")
                .replace("}],\"certificate\"", "}},\"certificate\""),
        ),
        ("null-for-list", replaced(&text(&quorum.ordered(0, 1, 0)), "\"path\":[]", "\"path\":null")),
        (
            "null-for-descendants",
            replaced(&text(&quorum.ordered(2, 5, 0)), "\"descendants\":[]", "\"descendants\":null"),
        ),
    ]
}

/// Names of fields that are surplus, repeated or missing.
fn names(good: &Good, quorum: &Quorum) -> Vec<(&'static str, String)> {
    vec![
        ("surplus-in-receipt", good.with("\"index\":", "\"note\":\"\",\"index\":")),
        ("surplus-in-proof", good.with("\"descendants\":", "\"note\":\"\",\"descendants\":")),
        ("surplus-in-header", good.with("\"version\":", "\"note\":0,\"version\":")),
        ("surplus-in-certificate", good.with("\"view\":", "\"note\":null,\"view\":")),
        ("surplus-proto", good.with("\"index\":", "\"__proto__\":{},\"index\":")),
        ("repeated-in-receipt", good.with("\"index\":2", "\"index\":3,\"index\":2")),
        ("repeated-in-header", good.with("\"version\":2", "\"version\":2,\"version\":2")),
        ("repeated-by-escape", good.with("\"index\":2", "\"inde\\u0078\":2,\"index\":2")),
        ("missing-index", good.with("\"index\":2,", "")),
        ("missing-descendants", replaced(&text(&quorum.ordered(2, 5, 0)), "\"descendants\":[],", "")),
        ("missing-view", good.with("\"view\":12,", "")),
    ]
}

fn numbers(good: &Good) -> Vec<(&'static str, String)> {
    vec![
        ("number-with-point", good.with("\"index\":2", "\"index\":2.0")),
        ("number-with-exponent", good.with("\"index\":2", "\"index\":2e0")),
        ("number-in-quotes", good.with("\"index\":2", "\"index\":\"2\"")),
        ("number-with-zero", good.with("\"index\":2", "\"index\":02")),
        ("number-negative", good.with("\"index\":2", "\"index\":-2")),
        ("number-minus-zero", good.with("\"epoch\":0", "\"epoch\":-0")),
        ("number-true", good.with("\"proposer\":1", "\"proposer\":true")),
        ("number-null", good.with("\"epoch\":0", "\"epoch\":null")),
        ("number-too-wide", good.with("\"version\":2", "\"version\":65538")),
        ("number-beyond-64-bits", good.with("\"view\":12", "\"view\":18446744073709551628")),
        ("number-not-a-number", good.with("\"view\":12", "\"view\":NaN")),
    ]
}

fn hexadecimal(good: &Good) -> Vec<(&'static str, String)> {
    let transaction = good.json.transaction.to_string();
    vec![
        ("hex-upper-case", good.with(&transaction, &format!("0x{}", transaction[2..].to_uppercase()))),
        ("hex-capital-x", good.with("\"0x", "\"0X")),
        ("hex-without-0x", good.with("\"0x", "\"")),
        ("hex-longer", good.with("\"0x", "\"0x00")),
        ("hex-odd", good.with("\"0x", "\"0x0")),
        ("hex-as-number", good.with(&format!("\"{transaction}\""), "0")),
    ]
}

/// Texts that are not JSON, or that have more than a receipt.
fn texts(good: &Good) -> Vec<(&'static str, String)> {
    let plain = &good.plain;
    let spaces = " ".repeat(MAX_PROOF_JSON_BYTES + 1 - plain.len());
    vec![
        ("trailing-object", format!("{plain} {{}}")),
        ("trailing-comma", replaced(plain, "]}}", "],}}")),
        ("trailing-nul", format!("{plain}\0")),
        ("comment", format!("/* a receipt */{plain}")),
        ("byte-order-mark", format!("\u{feff}{plain}")),
        ("space-of-another-kind", format!("\u{a0}{plain}")),
        ("single-quotes", plain.replace('"', "'")),
        ("control-character", good.with("\"index\":", "\"in\tdex\":")),
        ("half-a-character", good.with("\"index\":", "\"\\ud800\":0,\"index\":")),
        ("too-long", format!("{plain}{spaces}")),
        ("cut-off", plain[..plain.len() - 1].to_owned()),
        ("empty", String::new()),
        ("null", "null".to_owned()),
        ("deep", "[".repeat(100_000)),
    ]
}

/// The same object as an array of its fields, which serde also accepts for structures.
fn listed(text: &str, object: &str, names: &[&str]) -> String {
    let value: Value = serde_json::from_str(object).unwrap();
    let list: Vec<&Value> = names.iter().map(|name| &value[name]).collect();
    replaced(text, object, &serde_json::to_string(&list).unwrap())
}
