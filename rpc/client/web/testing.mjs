// Helpers for the tests of verify.js and crypto.js: the vectors of ledger/WIRE.md, and alterations of
// receipts.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";

import { concat, domainHash, encodeNumber, hex, unhex } from "./crypto.js";

export const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

export const bytes = (text) => unhex(text, null, "test");
export const number32 = (value) => bytes("0x" + value.toString(16).padStart(64, "0"));
export const signature = (r, s) => new Uint8Array([...number32(r), ...number32(s)]);

/** The text of WIRE.md. */
export const page = fs.readFileSync(new URL("../../../ledger/WIRE.md", import.meta.url), "utf8");
/** Its vectors by name. */
export const vectors = {};
for (const [, block] of page.matchAll(/^```vectors \w+\n(.*?)^```/gms)) {
  for (const [, name, value] of block.matchAll(/^(\w+) = (0x[0-9a-f]*(?:\n  [0-9a-f]+)*)/gm)) {
    vectors[name] = value.replace(/\s/g, "");
  }
}

/** Reads an encoded value of WIRE.md as JSON: the fields by name, in order. */
function reader(encoded) {
  const view = new DataView(bytes(encoded).buffer);
  let at = 0;
  const uint = (size) => {
    at += size;
    if (size === 8) return Number(view.getBigUint64(at - 8, true));
    return size === 4 ? view.getUint32(at - 4, true) : view.getUint16(at - 2, true);
  };
  const blob = (size) => hex(new Uint8Array(view.buffer, (at += size) - size, size));
  const list = (read) => Array.from({ length: uint(4) }, read);
  const header = () => ({
    version: uint(2), chain_id: blob(32), epoch: uint(8), height: uint(8), parent: blob(32),
    transactions_root: blob(32), transaction_count: uint(4), body_bytes: uint(4), timestamp_ms: uint(8),
    committee: blob(32), next_committee: blob(32), proposer: uint(2),
  });
  const proof = () => {
    const parts = {
      header: header(), descendants: list(header),
      certificate: { epoch: uint(8), view: uint(8), height: uint(8), block: blob(32) },
    };
    const mask = uint(4);
    parts.certificate.signers = [...Array(32).keys()].filter((i) => mask & (1 << i));
    parts.certificate.signatures = list(() => blob(64));
    return parts;
  };
  return { uint, blob, list, proof, end: () => assert.equal(at, view.byteLength) };
}

/** An encoded receipt as JSON, as `tx_receipt` returns it. */
export function receiptAsJson(encoded) {
  const { uint, blob, list, proof, end } = reader(encoded);
  const receipt = { transaction: blob(32), index: uint(4), path: list(() => blob(32)), proof: proof() };
  end();
  return receipt;
}

/** An encoded epoch proof as JSON. */
export function epochProofAsJson(encoded) {
  const { blob, list, proof, end } = reader(encoded);
  const epochProof = { last: proof(), next: list(() => blob(33)) };
  end();
  return epochProof;
}

/**
 * An ECDSA signature with low s. OpenSSL multiplies the point. The nonce is fixed, because no key
 * here is secret.
 */
export function signFor(secret, hash) {
  const exchange = crypto.createECDH("secp256k1"), nonce = 0x1234567890abcdefn;
  exchange.setPrivateKey(number32(nonce));
  const r = BigInt(hex(exchange.getPublicKey().subarray(1, 33))) % ORDER;
  let inverse = 1n;
  for (let base = nonce, exponent = ORDER - 2n; exponent > 0n; exponent >>= 1n, base = (base * base) % ORDER) {
    if (exponent & 1n) inverse = (inverse * base) % ORDER;
  }
  const s = (inverse * (BigInt(hex(hash)) + r * BigInt(secret))) % ORDER;
  return signature(r, s > ORDER / 2n ? ORDER - s : s);
}

/** A copy of `value` in which the element at the path `where` is replaced by `change(element)`. */
export function altered(value, where, change) {
  const copy = structuredClone(value);
  const parent = where.slice(0, -1).reduce((at, key) => at[key], copy);
  parent[where.at(-1)] = change(parent[where.at(-1)]);
  return copy;
}

/** The paths of all elements in a JSON value, without the value itself. */
function* places(value, where = []) {
  if (value === null || typeof value !== "object") return;
  for (const key of Object.keys(value)) {
    yield [...where, key];
    yield* places(value[key], [...where, key]);
  }
}

const at = (value, where) => where.reduce((inner, key) => inner[key], value);

/**
 * All alterations for the tests: each digit and number is changed, and each field and element is
 * removed, repeated or added.
 */
export function* alterations(value, everyDigit) {
  for (const where of places(value)) {
    const leaf = at(value, where), name = where.join(".");
    if (typeof leaf === "string") {
      for (let i = 2; i < leaf.length; i += everyDigit ? 1 : 17) {
        const digit = ((parseInt(leaf[i], 16) + 1 + (i % 15)) % 16).toString(16);
        yield [`digit ${i} of ${name}`, altered(value, where, () => leaf.slice(0, i) + digit + leaf.slice(i + 1))];
      }
      yield [`${name} one byte longer`, altered(value, where, () => leaf + "00")];
      yield [`${name} one byte shorter`, altered(value, where, () => leaf.slice(0, -2))];
      yield [`${name} in upper case`, altered(value, where, () => "0x" + leaf.slice(2, -1).toUpperCase() + "A")];
      yield [`${name} without 0x`, altered(value, where, () => leaf.slice(2))];
    } else if (typeof leaf === "number") {
      const others = [leaf + 1, leaf - 1, leaf + 0.5, leaf + 256, leaf + 2 ** 32, 2 ** 53, -1, `${leaf}`, null, true];
      for (const other of others) {
        yield [`${name} = ${other}`, altered(value, where, () => other)];
      }
    } else if (Array.isArray(leaf)) {
      yield [`${name} with null`, altered(value, where, (list) => [...list, null])];
      if (leaf.length > 0) {
        yield [`${name} with its last twice`, altered(value, where, (list) => [...list, list.at(-1)])];
        yield [`${name} without its last`, altered(value, where, (list) => list.slice(0, -1))];
        yield [`${name} backwards`, leaf.length > 1 ? altered(value, where, (list) => [...list].reverse()) : null];
      }
      yield [`${name} empty`, leaf.length > 0 ? altered(value, where, () => []) : null];
      yield [`${name} no list`, altered(value, where, (list) => ({ ...list }))];
    } else {
      yield [`${name} with an unknown field`, altered(value, where, (object) => ({ ...object, unknown: 1 }))];
      yield [`${name} null`, altered(value, where, () => null)];
    }
    if (typeof where.at(-1) === "string" && !/^\d+$/.test(where.at(-1))) {
      const copy = structuredClone(value);
      delete at(copy, where.slice(0, -1))[where.at(-1)];
      yield [`without ${name}`, copy];
    }
  }
  yield ["an unknown field", { ...value, unknown: 1 }];
}

/** A number with one bit of one byte of its 64-bit encoding changed. */
function withByteFlipped(number, index) {
  const flipped = BigInt(number) ^ (1n << BigInt(8 * index));
  return flipped <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(flipped) : flipped;
}

/** Copies of a JSON value: in each, one byte of one hash, key, signature or number is another. */
export function* flips(value) {
  for (const where of places(value)) {
    const leaf = at(value, where), name = where.join(".");
    if (typeof leaf === "string") {
      const whole = bytes(leaf);
      for (let i = 0; i < whole.length; i++) {
        const other = whole.with(i, whole[i] ^ (1 << (i % 8)));
        yield [`byte ${i} of ${name}`, altered(value, where, () => hex(other))];
      }
    } else if (typeof leaf === "number") {
      for (let i = 0; i < 8; i++) {
        yield [`byte ${i} of ${name}`, altered(value, where, () => withByteFlipped(leaf, i))];
      }
    }
  }
}

/** A certificate of the members 0, 1 and 3 of the vectors of WIRE.md for a header, in any view. */
export function certify(header, block, changes = {}) {
  const certificate = { epoch: 0, view: 5, height: header.height, block, ...changes };
  const { epoch, view, height } = certificate;
  const ballot = [epoch, view, height].map((each) => encodeNumber(each, 8, "it"));
  const statement = domainHash(4, bytes(vectors.chain_id), concat(ballot), bytes(certificate.block));
  const signers = [0, 1, 3];
  const signatures = signers.map((i) => hex(signFor(vectors[`member_secret_${i}`], statement)));
  return { ...certificate, signers, signatures };
}
