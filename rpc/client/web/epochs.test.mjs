// node --test rpc/client/web/epochs.test.mjs
//
// Receipts of chains with several epochs, with the files of ledger/receipts.

import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";

import { anchorOf } from "./genesis.js";
import { readEpochProofs, readProof } from "./json.js";
import { altered, certify, epochProofAsJson, flips, vectors } from "./testing.mjs";
import { Epochs, UnprovenError, blockHash, verifyReceipt } from "./verify.js";

const shared = new URL("../../../ledger/receipts/", import.meta.url);
const read = (name) => fs.readFileSync(new URL(name, shared));
const anchor = anchorOf(read("genesis.toml").toString());

/** The name of each folder, and a function that verifies its receipt with its epoch proofs. */
function cases(kind) {
  return fs.readdirSync(new URL(`epochs/${kind}/`, shared)).map((name) => {
    const file = (of) => read(`epochs/${kind}/${name}/${of}.json`);
    return [name, () => verifyReceipt(readProof(file("receipt")), anchor, readEpochProofs(file("epochs")))];
  });
}

test("receipts of later epochs are proven with the epoch proofs that they need, and not otherwise", () => {
  const [good, bad, unproven] = ["good", "bad", "unproven"].map(cases);
  assert.ok(good.length >= 10 && bad.length >= 40 && unproven.length >= 3);
  for (const [, verify] of good) verify();
  for (const [name, verify] of bad) {
    assert.throws(verify, (error) => !(error instanceof UnprovenError), `${name} is taken for proven or unproven`);
  }
  for (const [name, verify] of unproven) assert.throws(verify, UnprovenError, name);
});

/** A receipt of each epoch, and the proofs that lead to them. */
const receipts = [0, 1, 2].map((epoch) => readProof(read(`every-byte/epoch-${epoch}.json`)));
const list = readEpochProofs(read("every-byte/epochs.json"));

test("a receipt of each epoch is proven, and with fewer epoch proofs it is unproven", () => {
  receipts.forEach((receipt, epoch) => {
    assert.equal(receipt.proof.header.epoch, epoch);
    for (let known = 0; known <= list.proofs.length; known++) {
      const verify = () => verifyReceipt(receipt, anchor, { ...list, proofs: list.proofs.slice(0, known) });
      if (known < epoch) assert.throws(verify, UnprovenError);
      else assert.equal(verify().epoch, epoch);
    }
    if (epoch === 0) assert.equal(verifyReceipt(receipt, anchor).epoch, 0);
    else assert.throws(() => verifyReceipt(receipt, anchor), UnprovenError);
  });
});

test("with any byte of a receipt changed it is not valid", () => {
  const epochs = new Epochs(anchor, list);
  for (const receipt of receipts) {
    let count = 0;
    for (const [what, other] of flips(receipt)) {
      count += 1;
      assert.throws(() => epochs.verifyReceipt(other), Error, `epoch ${receipt.proof.header.epoch}: ${what}`);
    }
    assert.ok(count > 600, `only ${count} bytes`);
  }
});

test("with any byte of the epoch proofs changed no receipt is valid", () => {
  let count = 0;
  for (const [what, other] of flips(list)) {
    count += 1;
    const receipt = receipts[count % receipts.length];
    const refused = (error) => !(error instanceof UnprovenError);
    assert.throws(() => verifyReceipt(receipt, anchor, other), refused, what);
  }
  assert.ok(count > 1200, `only ${count} bytes`);
});

/** A node with these proofs; it returns at most as many as requested, and at most two. */
const node = (proofs, chainId = list.chain_id) => async (method, { from_epoch: from, limit }) => {
  assert.equal(method, "network_epochs");
  return { chain_id: chainId, proofs: proofs.slice(from, from + Math.min(limit, 2)) };
};

test("epochs are extended from a node, and saved for the next time", async () => {
  const epochs = new Epochs(anchor);
  assert.throws(() => epochs.verifyReceipt(receipts[2]), UnprovenError);
  await epochs.extendFrom(node(list.proofs.slice(0, 1)));
  assert.equal(epochs.newest, 1);
  await epochs.extendFrom(node(list.proofs));
  assert.equal(epochs.newest, list.proofs.length);
  await epochs.extendFrom(node(list.proofs));
  const saved = readEpochProofs(JSON.stringify(epochs));
  assert.deepEqual(structuredClone(saved), structuredClone(list));
  const again = new Epochs(anchor, saved);
  receipts.forEach((receipt, epoch) => assert.equal(again.verifyReceipt(receipt).epoch, epoch));
  assert.deepEqual(again.members(0), anchor.committee);
  assert.deepEqual(again.members(2), [...list.proofs[1].next]);
  assert.equal(again.members(list.proofs.length + 1), null);
});

test("a node with an older proof chain does not lead back", async () => {
  const epochs = new Epochs(anchor, list);
  const older = [[], list.proofs.slice(0, 1)];
  for (const proofs of older) {
    await assert.rejects(epochs.extendFrom(node(proofs)), /does not prove the end of epoch 1, which is known here/);
  }
  assert.throws(() => epochs.extend(list), /the proof of the end of epoch 2: it is about the end of epoch 0/);
  await assert.rejects(epochs.extendFrom(node(list.proofs, vectors.hash)), /of another chain/);
  assert.equal(epochs.newest, list.proofs.length);
  receipts.forEach((receipt, epoch) => assert.equal(epochs.verifyReceipt(receipt).epoch, epoch));
});

test("a node with another end of a known epoch is not trusted", async () => {
  const trusted = { chain_id: vectors.chain_id, committee: [0, 1, 2, 3].map((i) => vectors[`member_${i}`]) };
  const proof = epochProofAsJson(vectors.epoch_proof), epochs = new Epochs(trusted);
  await epochs.extendFrom(node([proof], vectors.chain_id));
  // The members of epoch 0 sign another end of it, when they have left.
  const header = { ...proof.last.header, timestamp_ms: proof.last.header.timestamp_ms + 1 };
  const last = { ...proof.last, header, certificate: certify(header, blockHash(header)) };
  const other = { ...proof, last };
  assert.equal(new Epochs(trusted, { chain_id: vectors.chain_id, proofs: [other] }).newest, 1);
  await assert.rejects(epochs.extendFrom(node([other], vectors.chain_id)), /another end of epoch 0 .* do not trust it/);
  for (const malformed of [null, {}, { last: null }, { last: {} }]) {
    await assert.rejects(epochs.extendFrom(node([malformed], vectors.chain_id)), Error);
  }
  assert.deepEqual(epochs.toJSON().proofs, [proof]);
});

test("a proof that is refused changes nothing, and the valid ones before it stay", async () => {
  const bad = altered(list.proofs[1], ["next"], (keys) => [...keys].reverse());
  const epochs = new Epochs(anchor);
  await assert.rejects(epochs.extendFrom(node([list.proofs[0], bad])), /the proof of the end of epoch 1/);
  assert.equal(epochs.newest, 1);
  assert.equal(epochs.verifyReceipt(receipts[1]).epoch, 1);
  await epochs.extendFrom(node(list.proofs));
  assert.equal(epochs.verifyReceipt(receipts[2]).epoch, 2);
});
