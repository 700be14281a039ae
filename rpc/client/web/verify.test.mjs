// node --test rpc/client/web/verify.test.mjs
//
// Tests primitives with published results and OpenSSL, formats with the vectors of ledger/WIRE.md,
// and receipts with every alteration of a digit. If QUORATE_RECEIPTS names a folder with
// genesis.toml, epochs.json and receipts of a running network (*.json), the tests verify and alter
// these receipts too. It must have a receipt of every epoch. `epochs.test.mjs` has the tests of chains
// with several epochs.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { decodePoint, domainHash, hex, keccak256, verifySignature } from "./crypto.js";
import { anchorOf } from "./genesis.js";
import { readEpochProofs, readProof } from "./json.js";
import {
  ORDER, altered, alterations, bytes, certify, epochProofAsJson, number32, page, receiptAsJson, signature, vectors,
} from "./testing.mjs";
import {
  Epochs, UnprovenError, blockHash, quorumOf, rootOfPath, transactionId, verifyProof, verifyReceipt,
} from "./verify.js";

const anchor = { chain_id: vectors.chain_id, committee: [0, 1, 2, 3].map((i) => vectors[`member_${i}`]) };
const receipt = receiptAsJson(vectors.receipt);
const epochs = { chain_id: vectors.chain_id, proofs: [epochProofAsJson(vectors.epoch_proof)] };

function refusesEveryAlteration(value, verify, everyDigit) {
  verify(value);
  let count = 0;
  for (const [what, other] of alterations(value, everyDigit)) {
    if (other === null) continue;
    count += 1;
    assert.throws(() => verify(other), Error, `accepted: ${what}`);
  }
  assert.ok(count > 200, `only ${count} alterations`);
  return count;
}

test("Keccak-256 gives the published hashes, around the end of a block too", () => {
  const known = [
    ["", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"],
    ["\xcc", "eead6dbfc7340a56caedc044696a168870549a6a7f6f56961e84a54bd9970b8a"],
    ["abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"],
    ["a".repeat(135), "34367dc248bbd832f4e3e69dfaac2f92638bd0bbd18f2912ba4ef454919cf446"],
    ["a".repeat(136), "a6c4d403279fe3e0af03729caada8374b5ca54d8065329a3ebcaeb4b60aa386e"],
    ["a".repeat(137), "d869f639c7046b4929fc92a4d988a8b22c55fbadb802c0c66ebcd484f1915f39"],
    ["a".repeat(1000), "b6a4ac1f51884d71f30fa397a5e155de3099e11fc0edef5d08b646e621e19de9"],
  ];
  for (const [message, hash] of known) assert.equal(hex(keccak256(Buffer.from(message, "latin1"))), "0x" + hash);
});

test("a published signature of secp256k1 is good, and its twin with high s is refused", () => {
  // Key 1 signs SHA-256("Satoshi Nakamoto") with the nonce of RFC 6979.
  const key = bytes("0x0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
  const hash = crypto.createHash("sha256").update("Satoshi Nakamoto").digest();
  const r = 0x934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8n;
  const s = 0x2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5n;
  verifySignature(key, hash, signature(r, s));
  assert.throws(() => verifySignature(key, hash, signature(r, ORDER - s)), /not canonical/);
  assert.throws(() => verifySignature(key, hash, signature(r, s + 1n)), /not good/);
  assert.throws(() => verifySignature(key, hash, signature(s, r)), /not (good|canonical)/);
});

test("signatures of OpenSSL are good for their key and hash alone", () => {
  for (let i = 0; i < 20; i++) {
    const message = Buffer.from(`message ${i}`);
    const { privateKey, publicKey } = crypto.generateKeyPairSync("ec", { namedCurve: "secp256k1" });
    const { x, y } = publicKey.export({ format: "jwk" });
    const key = new Uint8Array([2 + (Buffer.from(y, "base64url").at(-1) & 1), ...Buffer.from(x, "base64url")]);
    const made = crypto.sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" });
    const r = BigInt(hex(made.subarray(0, 32))), s = BigInt(hex(made.subarray(32)));
    const low = s > (ORDER - 1n) / 2n ? ORDER - s : s;
    const hash = crypto.createHash("sha256").update(message).digest();
    verifySignature(key, hash, signature(r, low));
    assert.throws(() => verifySignature(key, hash, signature(r, ORDER - low)), /not canonical/);
    key[0] ^= 1; // the opposite point
    assert.throws(() => verifySignature(key, hash, signature(r, low)), /not good/);
    key[0] ^= 1;
    hash[31] ^= 1;
    assert.throws(() => verifySignature(key, hash, signature(r, low)), /not good/);
  }
});

test("numbers out of range, points off the curve and the neutral element are refused", () => {
  const key = bytes("0x0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
  const hash = new Uint8Array(32).fill(5);
  for (const [r, s] of [[0n, 1n], [1n, 0n], [ORDER, 1n], [1n, ORDER], [1n, (ORDER + 1n) / 2n]]) {
    assert.throws(() => verifySignature(key, hash, signature(r, s)), /not canonical/, `${r} ${s}`);
  }
  assert.equal(hex(number32((ORDER - 1n) / 2n)), vectors.highest_s);
  assert.equal(hex(number32(ORDER)), vectors.curve_order);
  // The sum of the two multiples is the neutral element, which has no x.
  const opposite = bytes("0x0212eb6046e7d2de36b692b5f1409b3ee9b8c3f334f7e50077a08096c1bb612552");
  assert.throws(() => verifySignature(opposite, hash, signature(12345n, 1n)), /not good/);
  // The sum has an x of n + 2, above the order: r is 2, and the signature good.
  const large = bytes("0x02425cd56469252c572adeaf5b97402c87cf3736f6659d52a2cc764cd4809e8cf0");
  verifySignature(large, hash, signature(2n, 3n));
  assert.throws(() => decodePoint(new Uint8Array([2, ...number32(5n)])), /not a point/);
  assert.throws(() => decodePoint(new Uint8Array([2, ...number32(2n ** 256n - 2n ** 32n - 977n + 1n)])), /not a point/);
  assert.throws(() => decodePoint(new Uint8Array([4, ...number32(1n)])), /begin/);
  assert.throws(() => decodePoint(number32(1n)), /begin/);
});

test("the vectors of WIRE.md for hashes, transactions, trees and quorums are reproduced", () => {
  assert.equal(hex(domainHash(66, Buffer.from("abc"))), vectors.hash);
  assert.equal(transactionId(vectors.transaction), vectors.transaction_id);
  const sender = bytes(vectors.public_key), message = bytes(vectors.transaction_signing_hash);
  verifySignature(sender, message, bytes(vectors.transaction_signature));
  assert.throws(() => verifySignature(sender, message, bytes(vectors.transaction_high_s).slice(-64)), /not canonical/);
  const id = (index) => new Uint8Array(32).fill(index);
  const path = (name) => vectors[name].slice(10).match(/.{64}/g).map((each) => "0x" + each);
  const leaf = hex(domainHash(68, id(0)));
  for (const [index, count, siblings] of [
    [0, 1, []], [1, 2, [leaf]], [2, 3, [vectors.tree_root_2]], [3, 5, path("tree_path_3_of_5")],
    [4, 5, path("tree_path_4_of_5")],
  ]) {
    assert.equal(rootOfPath(id(index), index, count, siblings), vectors[`tree_root_${count}`]);
    if (index > 0) assert.throws(() => rootOfPath(id(index), index, count, siblings.slice(1)), /too short/);
    assert.throws(() => rootOfPath(id(index), index, count, [...siblings, leaf]), /too long/);
  }
  assert.throws(() => rootOfPath(id(3), 3, 3, [leaf, vectors.tree_root_2]), /not below/);
  assert.equal(hex(Uint8Array.from({ length: 31 }, (_, i) => quorumOf(i + 1))), vectors.quorums);
});

test("the receipt of WIRE.md proves what it says", () => {
  assert.deepEqual(verifyReceipt(receipt, anchor), {
    transaction: vectors.body_id_1, index: 1, height: 7, block: vectors.block_hash, timestamp_ms: 1700000000000,
    transaction_count: 3, chain_id: vectors.chain_id, epoch: 0, certified_height: 8, view: 2, signers: [0, 1, 2],
  });
  assert.equal(verifyProof(receipt.proof, { ...anchor, quorum: 3 }).block, vectors.block_hash);
});

test("the epoch proof of WIRE.md holds, and no alteration of it", () => {
  const { block, epoch } = verifyProof(epochs.proofs[0].last, anchor);
  assert.deepEqual([block, epoch], [vectors.last_block_hash, 0]);
  assert.equal(verifyReceipt(receipt, anchor, epochs).height, 7);
  const [proof] = epochs.proofs;
  refusesEveryAlteration(proof, (other) => verifyReceipt(receipt, anchor, { ...epochs, proofs: [other] }), true);
  const others = [{ ...epochs, unknown: 1 }, { ...epochs, chain_id: vectors.hash }, { ...epochs, proofs: [proof, proof] }];
  for (const nonsense of [null, 0, "", [], {}, [epochs], ...others]) {
    assert.throws(() => verifyReceipt(receipt, anchor, nonsense), Error);
  }
});

test("every alteration of the receipt of WIRE.md is refused", () => {
  refusesEveryAlteration(receipt, (other) => verifyReceipt(other, anchor), true);
});

test("a certificate of other members counts; one of too few, too many, twice the same or high s does not", () => {
  const certified = (signers, signatures = signers.map((i) => vectors[`commit_signature_${i}`])) =>
    altered(receipt, ["proof", "certificate"], (certificate) => ({ ...certificate, signers, signatures }));
  verifyReceipt(certified([0, 2, 3]), anchor);
  assert.throws(() => verifyReceipt(certified([0, 1]), anchor), /a quorum is exactly 3/);
  assert.throws(() => verifyReceipt(certified([0, 1, 2, 3]), anchor), /a quorum is exactly 3/);
  assert.throws(() => verifyReceipt(certified([0, 1, 1]), anchor), /ascending/);
  const strangers = certified([0, 1, 4], [0, 1, 3].map((i) => vectors[`commit_signature_${i}`]));
  assert.throws(() => verifyReceipt(strangers, anchor), /no member/);
  const high = [0, 1, 2].map((i) => vectors[`commit_signature_${i}`]);
  const s = BigInt("0x" + high[1].slice(66));
  high[1] = high[1].slice(0, 66) + (ORDER - s).toString(16).padStart(64, "0");
  assert.throws(() => verifyReceipt(certified([0, 1, 2], high), anchor), /member 1: a signature is not canonical/);
  assert.throws(() => verifyReceipt(certified(new Array(3), new Array(3)), anchor), /no member/);
});

test("what a quorum signs does not hold if the headers break a rule", () => {
  const certified = (header, descendants, changes = {}) => {
    const last = [header, ...descendants].at(-1);
    return { header, descendants, certificate: certify(last, blockHash(last), changes) };
  };
  const { header, descendants: [next] } = receipt.proof;
  const third = { ...next, height: 9, parent: blockHash(next), timestamp_ms: next.timestamp_ms + 1 };
  for (const descendants of [[], [next], [next, third]]) verifyProof(certified(header, descendants), anchor);
  const rules = [
    [{ version: 1 }, /unknown version/], [{ version: 3 }, /unknown version/],
    [{ chain_id: vectors.hash }, /another chain/], [{ committee: vectors.hash }, /another committee/],
  ];
  const links = [{ height: 9 }, { height: 7 }, { parent: vectors.hash }, { timestamp_ms: header.timestamp_ms }];
  for (const [change, message] of rules) {
    assert.throws(() => verifyProof(certified({ ...header, ...change }, []), anchor), message);
    assert.throws(() => verifyProof(certified(header, [{ ...next, ...change }]), anchor), message);
  }
  for (const change of links) {
    assert.throws(() => verifyProof(certified(header, [{ ...next, ...change }]), anchor), /does not follow/);
  }
  assert.throws(() => verifyProof(certified(header, [third]), anchor), /does not follow/);
  assert.throws(() => verifyProof(certified({ ...header, epoch: 1 }, []), anchor), UnprovenError);
  assert.throws(() => verifyProof(certified(header, [{ ...next, epoch: 1 }]), anchor), /beyond the end/);
  const last = { ...header, next_committee: vectors.hash };
  verifyProof(certified(last, []), anchor); // its epoch ends there
  const above = { ...next, parent: blockHash(last) };
  assert.throws(() => verifyProof(certified(last, [above]), anchor), /beyond the end/);
  for (const change of [{ epoch: 1 }, { height: 8 }, { block: vectors.hash }]) {
    assert.throws(() => verifyProof(certified(header, [], change), anchor), /for another block/);
  }
  const many = Array.from({ length: 65 }, () => next);
  assert.throws(() => verifyProof(certified(header, many), anchor), /at most 64/);
});

test("another anchor is refused", () => {
  const [first, second, third, fourth] = anchor.committee;
  assert.throws(() => verifyReceipt(receipt, { ...anchor, chain_id: vectors.hash }), /another chain/);
  assert.throws(() => verifyReceipt(receipt, { ...anchor, committee: [first, second, third] }), /another committee/);
  assert.throws(() => verifyReceipt(receipt, { ...anchor, committee: [second, first, third, fourth] }), /ascending/);
  assert.throws(() => verifyReceipt(receipt, { ...anchor, committee: [first, first, third, fourth] }), /ascending/);
  assert.throws(() => verifyReceipt(receipt, { ...anchor, committee: [] }), /empty/);
  assert.throws(() => verifyReceipt(receipt, { ...anchor, quorum: 2 }), /quorum of 3/);
  for (const nonsense of [undefined, null, 1, "0x", [], {}]) {
    assert.throws(() => verifyReceipt(receipt, nonsense), Error);
    assert.throws(() => verifyReceipt(nonsense, anchor), Error);
  }
});

const genesisFile = /```toml\n(.*?)```/s.exec(page)[1];

test("a genesis file has the chain id of WIRE.md, however it is written", () => {
  const { chain_id, committee, quorum } = anchorOf(genesisFile);
  assert.equal(chain_id, vectors.genesis_chain_id);
  assert.equal(quorum, 3);
  const [top, ...validators] = genesisFile.split("[[validators]]");
  const head = top.replace("version = 2\n", "version = 2 # comment\n").replace("1700000000000", "1_700_000_000_000");
  const rewritten = `${head}
    [clients]\r\nsubmit = "open" # every key
    [ block ]\nmax_transactions = 1_000
    ${validators.reverse().map((each) => "[[validators]]" + each).join("\n")}`;
  assert.deepEqual(anchorOf(rewritten).committee, committee);
  assert.equal(anchorOf(rewritten).chain_id, chain_id);
  const others = [
    "[block]\nmax_transactions = 999", "[clients]\nsubmit = \"registry\"", "[governance]\nmax_clients = 1",
  ];
  const ids = others.map((more) => anchorOf(`${genesisFile}${more}\n`).chain_id);
  assert.equal(new Set([chain_id, ...ids]).size, 4);
});

test("a genesis that continues a chain has the chain id of WIRE.md", () => {
  const table = /```toml\n(\[predecessor\].*?)```/s.exec(page)[1];
  assert.equal(anchorOf(genesisFile + table).chain_id, vectors.genesis_continued_chain_id);
  const wrong = [
    table.replace("height = 149\n", ""), `${table}hight = 1\n`, table.replace("= 149", '= "149"'), "[predecessor]\n",
    table.replace('"0x1111', '"0x11'), table + table, "[[predecessor]]\n",
  ];
  for (const each of wrong) assert.throws(() => anchorOf(genesisFile + each), Error, each);
});

test("omitted quotas of members follow the blocks", () => {
  const idOf = (more) => anchorOf(genesisFile + more).chain_id;
  const quotas = (count, size) =>
    `[governance]\nmax_transactions_per_member = ${count}\nmax_bytes_per_member = ${size}\n`;
  assert.equal(idOf(quotas(250, 262144)), idOf(""));
  const blocks = "[block]\nmax_transactions = 3\nmax_transaction_bytes = 1000000\n";
  assert.equal(idOf(blocks + quotas(1, 1000000)), idOf(blocks));
  const larger = "[block]\nmax_body_bytes = 2097155\n";
  assert.equal(idOf(larger + quotas(250, 524288)), idOf(larger));
});

test("a genesis file with something unknown, repeated or missing is refused", () => {
  const wrong = [
    "[block]\nmax_transaction = 1", "[block]\n[block]", "[blocks]", "[validators]", "[[block]]", "[[validators]]",
    "name = \"again\"", "[consensus]\nwindow = -1", "[block]\nmax_bytes = 1", "[consensus]\nwindow = \"8\"",
    "[consensus]\nwindow = 1.5", "[clients]\nsubmit = \"members\"", "[consensus]\nwindow = 18446744073709551615",
    "[block]\nmax_transactions = 0x10", "[governance]\nmax_client = 1", "governance_key = \"0x02\"",
    "[governance]\n[governance]",
  ];
  for (const more of wrong) assert.throws(() => anchorOf(`${genesisFile}\n${more}`), Error, more);
  const changes = [
    ["version = 2", "version = 1"], ["version = 2", ""], ["governance_key", "governance_kex"],
    ["seeded-1", "Seeded"], ["0x02675c", "0x02675C"], ["name = \"seeded-1\"", ""],
  ];
  for (const [from, to] of changes) {
    assert.throws(() => anchorOf(genesisFile.replace(from, to)), Error, to);
  }
  for (const nonsense of [undefined, null, "", 1, {}]) assert.throws(() => anchorOf(nonsense), Error);
});

// The files on which every verifier must agree. The tests of the program and of the Python client
// read them too.
const shared = new URL("../../../ledger/receipts/", import.meta.url);

function sharedFiles(folder) {
  const files = fs.readdirSync(new URL(folder, shared));
  return files.map((name) => [name, fs.readFileSync(new URL(folder + name, shared))]);
}

test("every good file of ledger/receipts is proven, and no bad one", () => {
  const trusted = anchorOf(fs.readFileSync(new URL("genesis.toml", shared), "utf8"));
  const [good, bad] = [sharedFiles("good/"), sharedFiles("bad/")];
  assert.ok(good.length > 10 && bad.length > 80);
  for (const [name, file] of good) {
    const claim = readProof(file);
    assert.equal(verifyReceipt(claim, trusted).transaction, claim.transaction, name);
  }
  for (const [name, file] of bad) {
    assert.throws(() => verifyReceipt(readProof(file), trusted), Error, `${name} is taken for proven`);
  }
});

test("the text of a receipt is read as JSON.parse does where that is exact", () => {
  const text = JSON.stringify(receipt, null, 2);
  assert.deepEqual(structuredClone(readProof(text)), receipt);
  assert.deepEqual(readProof(" [ 9007199254740991 , 9007199254740992, true, null, \"\\u00e4\" ]\n"),
    [9007199254740991, 9007199254740992n, true, null, "ä"]);
  for (const wrong of ["", "1 2", "[1,]", "{\"a\":1,}", "01", "+1", "1e0", "\"\n\"", "\"\\x\"", "[", "{\"a\"}"]) {
    assert.throws(() => readProof(wrong), Error, wrong);
  }
});

const folder = process.env.QUORATE_RECEIPTS;
const skip = !folder && "QUORATE_RECEIPTS is not set";

test("receipts of a running network are good, and no alteration of them is", { skip }, () => {
  const read = (name) => fs.readFileSync(path.join(folder, name));
  const trusted = anchorOf(read("genesis.toml").toString());
  const known = new Epochs(trusted, readEpochProofs(read("epochs.json")));
  const names = fs.readdirSync(folder).filter((name) => name.endsWith(".json") && name !== "epochs.json");
  assert.ok(names.length > 0, `no receipts in ${folder}`);
  const seen = new Set();
  for (const name of names) {
    const given = readProof(read(name)), { transaction, epoch } = known.verifyReceipt(given);
    assert.equal(transaction, given.transaction);
    if (epoch > 0) assert.throws(() => verifyReceipt(given, trusted), UnprovenError, name);
    seen.add(epoch);
    refusesEveryAlteration(given, (other) => known.verifyReceipt(other), false);
  }
  assert.deepEqual([...seen].sort(), Array.from({ length: known.newest + 1 }, (_, epoch) => epoch));
});
