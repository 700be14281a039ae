// Verification of receipts in a browser or in node 20. It is standard JavaScript without
// dependencies, and does not use the network.
//
//     import { verifyReceipt } from "./verify.js";
//     const facts = verifyReceipt(receipt, { chain_id: "0x…", committee: ["0x02…", …] });
//
// `receipt` is the JSON of `tx_receipt`. To verify a file, read its text with `readProof` of
// `json.js`. The anchor is the data that the caller trusts: the chain id and the public keys of the
// validators of epoch 0, in ascending order. `genesis.js` makes an anchor from a genesis file. The
// third argument has the epoch proofs, which `readEpochProofs` of `json.js` reads; without it, only
// blocks of epoch 0 are proven. If the receipt is not proven, the function throws an Error with the
// reason. It throws an UnprovenError if the epoch proofs do not reach the epoch of the receipt, which
// may then be valid or not.
//
// Written from ledger/WIRE.md. The comments name its sections. All data here is public, so the code
// does not run in constant time. Never sign with this code.

const VERSION = 2; // of the protocol, in every header
const MAX_MEMBERS = 31, MAX_PATH = 14, MAX_DESCENDANTS = 64, MAX_EPOCH_PROOFS = 4096;
const COMMIT = 4, HEADER = 65, TRANSACTION_ID = 66, COMMITTEE = 67, LEAF = 68, NODE = 69;

/** The committee of the block's epoch is not proven: the block is neither valid nor invalid. */
export class UnprovenError extends Error {}

function require(condition, message) {
  if (!condition) throw new Error(message);
}

// --- Encoding and Text ----------------------------------------------------------------------------------------------

/**
 * Bytes from `0x` and lower-case hex: exactly `length` bytes, or any number if `length` is null.
 */
export function unhex(text, length, what) {
  require(typeof text === "string" && /^0x(?:[0-9a-f]{2})*$/.test(text), `${what} is not lower-case 0x hex`);
  require(length === null || text.length === 2 + 2 * length, `${what} has not ${length} bytes`);
  return Uint8Array.from({ length: text.length / 2 - 1 }, (_, i) => parseInt(text.substr(2 + 2 * i, 2), 16));
}

export function hex(bytes) {
  return "0x" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * An unsigned integer as `size` bytes, little-endian. From 2^53 on it must be a BigInt, because a
 * number may have lost digits.
 */
export function encodeNumber(value, size, what) {
  const isExact = typeof value === "bigint" || (Number.isSafeInteger(value) && !Object.is(value, -0));
  require(isExact && value >= 0 && BigInt(value) < 256n ** BigInt(size), `${what} is not a number in range`);
  return Uint8Array.from({ length: size }, (_, i) => Number((BigInt(value) >> BigInt(8 * i)) & 255n));
}

export function concat(parts) {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (joined.set(part, at), at + part.length), 0);
  return joined;
}

const toNumber = (bytes) => BigInt(hex(bytes)); // big-endian, as in keys and signatures

/**
 * Requires exactly the fields `names`. Unknown fields are refused, because no proof covers them.
 */
function checkFields(object, names, what) {
  require(object !== null && typeof object === "object" && !Array.isArray(object), `${what} is not an object`);
  for (const name of names) require(Object.hasOwn(object, name), `${what} lacks ${name}`);
  for (const name of Object.keys(object)) require(names.includes(name), `${what} has an unknown field ${name}`);
}

/**
 * A copy with JSON values only. A verifier checks and returns the same copy, so that holes in
 * arrays, and getters that return another value later, have no effect.
 */
function copyOf(value) {
  if (Array.isArray(value)) return Array.from(value, copyOf);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.keys(value).map((name) => [name, copyOf(value[name])]));
  }
  return ["string", "number", "bigint", "boolean"].includes(typeof value) ? value : null;
}

function checkList(value, limit, what) {
  require(Array.isArray(value) && value.length <= limit, `${what} is not a list of at most ${limit}`);
}

// --- Hashes: Keccak-256 in its original form, with padding 0x01, not the 0x06 of SHA3-256
// ---------------------------

const ROUND_CONSTANTS = [
  0x1n, 0x8082n, 0x800000000000808an, 0x8000000080008000n, 0x808bn, 0x80000001n, 0x8000000080008081n,
  0x8000000000008009n, 0x8an, 0x88n, 0x80008009n, 0x8000000an, 0x8000808bn, 0x800000000000008bn,
  0x8000000000008089n, 0x8000000000008003n, 0x8000000000008002n, 0x8000000000000080n, 0x800an,
  0x800000008000000an, 0x8000000080008081n, 0x8000000000008080n, 0x80000001n, 0x8000000080008008n,
];
const RATE = 136; // bytes per block: 200 of the state minus twice the 32 of the hash

const rotate = (lane, by) => BigInt.asUintN(64, (lane << BigInt(by)) | (lane >> BigInt(64 - by)));

/** The permutation Keccak-f[1600] of 25 lanes of 64 bits, the lane (x, y) at x + 5 y. */
function permute(lanes) {
  for (const constant of ROUND_CONSTANTS) {
    const column = [0, 1, 2, 3, 4].map((x) => lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20]);
    for (let i = 0; i < 25; i++) lanes[i] ^= column[(i + 4) % 5] ^ rotate(column[(i + 1) % 5], 1); // theta

    for (let t = 0, x = 1, y = 0, moving = lanes[1]; t < 24; t++) { // rho and pi: rotate each lane and move it
      [x, y] = [y, (2 * x + 3 * y) % 5];
      const turned = rotate(moving, (((t + 1) * (t + 2)) / 2) % 64);
      moving = lanes[x + 5 * y];
      lanes[x + 5 * y] = turned;
    }
    for (let y = 0; y < 25; y += 5) { // chi
      const row = lanes.slice(y, y + 5);
      for (let x = 0; x < 5; x++) {
        lanes[y + x] = row[x] ^ (BigInt.asUintN(64, ~row[(x + 1) % 5]) & row[(x + 2) % 5]);
      }
    }
    lanes[0] ^= constant; // iota
  }
}

export function keccak256(message) {
  const padded = new Uint8Array((Math.floor(message.length / RATE) + 1) * RATE);
  padded.set(message);
  padded[message.length] = 0x01;
  padded[padded.length - 1] |= 0x80;
  const lanes = new Array(25).fill(0n), view = new DataView(padded.buffer);
  for (let block = 0; block < padded.length; block += RATE) {
    for (let i = 0; i < RATE / 8; i++) lanes[i] ^= view.getBigUint64(block + 8 * i, true);
    permute(lanes);
  }
  const hash = new DataView(new ArrayBuffer(32));
  for (let i = 0; i < 4; i++) hash.setBigUint64(8 * i, lanes[i], true);
  return new Uint8Array(hash.buffer);
}

const PREFIX = concat([new TextEncoder().encode("quorate"), [1]]);

/** H(domain, parts) of WIRE.md. Every hash has a domain, which states what is hashed. */
export function domainHash(domain, ...parts) {
  return keccak256(concat([PREFIX, [domain], ...parts]));
}

// --- Keys and signatures: ECDSA over secp256k1, y^2 = x^3 + 7 modulo P ----------------------------------------------

const P = 2n ** 256n - 2n ** 32n - 977n;
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const GENERATOR = [
  0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798n,
  0x483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8n,
  1n,
];
const NEUTRAL = [0n, 1n, 0n]; // points are [X, Y, Z], which stands for x = X/Z^2, y = Y/Z^3; here Z is 0

const modulo = (value, modulus) => ((value % modulus) + modulus) % modulus;
const mod = (value) => modulo(value, P);

function power(base, exponent, modulus) {
  let result = 1n;
  for (base %= modulus; exponent > 0n; exponent >>= 1n, base = (base * base) % modulus) {
    if (exponent & 1n) result = (result * base) % modulus;
  }
  return result;
}

const inverse = (value, modulus) => power(value, modulus - 2n, modulus); // both moduli are primes

function double([x, y, z]) {
  const yy = mod(y * y), s = mod(4n * x * yy), m = mod(3n * x * x), x3 = mod(m * m - 2n * s);
  return [x3, mod(m * (s - x3) - 8n * yy * yy), mod(2n * y * z)]; // doubling NEUTRAL gives Z = 0 again
}

function add(a, b) {
  if (a[2] === 0n) return b;
  if (b[2] === 0n) return a;
  const aa = mod(a[2] * a[2]), bb = mod(b[2] * b[2]);
  const u = mod(a[0] * bb), s = mod(a[1] * bb * b[2]);
  const h = mod(b[0] * aa - u), r = mod(b[1] * aa * a[2] - s);
  if (h === 0n) return r === 0n ? double(a) : NEUTRAL; // the same x: the same point, or its opposite
  const hh = mod(h * h), hhh = mod(h * hh), v = mod(u * hh), x = mod(r * r - hhh - 2n * v);
  return [x, mod(r * (v - x) - s * hhh), mod(a[2] * b[2] * h)];
}

/** a·A + b·B in one pass over the bits of both. */
function addMultiples(a, A, b, B) {
  const both = add(A, B);
  let sum = NEUTRAL;
  for (let bit = 255n; bit >= 0n; bit--) {
    sum = double(sum);
    const inA = (a >> bit) & 1n, inB = (b >> bit) & 1n;
    if (inA | inB) sum = add(sum, inA & inB ? both : inA ? A : B);
  }
  return sum;
}

/** The point of a compressed public key of 33 bytes. */
export function decodePoint(key) {
  require(key.length === 33 && (key[0] === 2 || key[0] === 3), "a public key does not begin with 02 or 03");
  const x = toNumber(key.subarray(1)), square = mod(x * x * x + 7n), root = power(square, (P + 1n) / 4n, P);
  require(x < P && mod(root * root) === square, "a public key is not a point of the curve");
  return [x, (root & 1n) === BigInt(key[0] & 1) ? root : P - root, 1n]; // the curve has no point with y = 0
}

/**
 * Throws unless `signature` (r, s of 32 bytes each) is canonical and valid for this key and hash.
 */
export function verifySignature(key, hash, signature) {
  require(signature.length === 64, "a signature has not 64 bytes");
  const r = toNumber(signature.subarray(0, 32)), s = toNumber(signature.subarray(32));
  require(r > 0n && r < ORDER && s > 0n && s <= (ORDER - 1n) / 2n, "a signature is not canonical");
  const w = inverse(s, ORDER), u = (toNumber(hash) * w) % ORDER, v = (r * w) % ORDER;
  const [x, , z] = addMultiples(u, GENERATOR, v, decodePoint(key));
  require(z !== 0n && mod(x * inverse(z * z, P)) % ORDER === r, "a signature is not good");
}

/**
 * The id of an encoded transaction. A caller that has the bytes of a transaction compares this id
 * with that of the receipt.
 */
export function transactionId(transaction) {
  return hex(domainHash(TRANSACTION_ID, unhex(transaction, null, "the transaction")));
}

// --- Committees -----------------------------------------------------------------------------------------------------

/** The quorum of n members. */
export function quorumOf(n) {
  return Math.floor((n + Math.floor((n - 1) / 3)) / 2) + 1;
}

/**
 * A committee with what is known of the blocks of its epoch: its first height, the hash of the last
 * block of the epoch before (null in epoch 0), and height and hash of its last block (null if not
 * known).
 */
function makeCommittee(epoch, members, first, parent) {
  checkList(members, MAX_MEMBERS, `the committee of epoch ${epoch}`);
  const keys = members.map((key) => unhex(key, 33, `a public key of epoch ${epoch}`));
  keys.forEach(decodePoint);
  // The order of the hex texts is the order of the bytes.
  const ascending = members.every((key, i) => i === 0 || members[i - 1] < key);
  require(keys.length > 0 && ascending, `the committee of epoch ${epoch} is empty or not in ascending order`);
  const hash = hex(domainHash(COMMITTEE, encodeNumber(epoch, 8), encodeNumber(keys.length, 4), ...keys));
  return { epoch, keys, quorum: quorumOf(keys.length), hash, first, parent, last: null };
}

/** The chain id, and the committees of the proven epochs by their numbers. */
function readAnchor(anchor, epochs) {
  require(anchor !== null && typeof anchor === "object", "the anchor is not an object");
  unhex(anchor.chain_id, 32, "the anchor's chain_id");
  const first = makeCommittee(0, anchor.committee, 0n, null);
  require(anchor.quorum === undefined || anchor.quorum === first.quorum,
    `${first.keys.length} members have a quorum of ${first.quorum}`);
  const trusted = { chainId: anchor.chain_id, committees: [first] };
  if (epochs === undefined) return trusted;
  checkFields(epochs, ["chain_id", "proofs"], "the list of epoch proofs");
  require(epochs.chain_id === trusted.chainId, "the epoch proofs are of another chain");
  checkList(epochs.proofs, MAX_EPOCH_PROOFS, "the epoch proofs");
  for (const proof of epochs.proofs) extend(trusted, proof);
  return trusted;
}

// --- Epoch proofs ---------------------------------------------------------------------------------------------------

/** Adds the committee after the newest one. */
function extend(trusted, proof) {
  const newest = trusted.committees.at(-1), { epoch } = newest;
  try {
    checkFields(proof, ["last", "next"], "it");
    const { block, height } = verifyFinality(proof.last, trusted), { header } = proof.last;
    require(header.epoch === epoch, `it is about the end of epoch ${header.epoch}`);
    require(header.committee !== header.next_committee, "its block does not end an epoch");
    const next = makeCommittee(epoch + 1, proof.next, BigInt(height) + 1n, block);
    require(next.hash === header.next_committee, "its block names another committee");
    newest.last = { height: BigInt(height), block };
    trusted.committees.push(next);
  } catch (error) {
    throw new Error(`the proof of the end of epoch ${epoch}: ${error.message}`);
  }
}

// --- Headers --------------------------------------------------------------------------------------------------------

const HEADER_FORM = { // bytes of each field
  version: 2, chain_id: 32, epoch: 8, height: 8, parent: 32, transactions_root: 32, transaction_count: 4,
  body_bytes: 4, timestamp_ms: 8, committee: 32, next_committee: 32, proposer: 2,
};

/** The hash of a header. `what` names the header in errors. */
export function blockHash(header, what = "the header") {
  checkFields(header, Object.keys(HEADER_FORM), what);
  return hex(domainHash(HEADER, ...Object.entries(HEADER_FORM).map(([name, size]) =>
    (size === 32 ? unhex : encodeNumber)(header[name], size, `${name} of ${what}`))));
}

// --- Finality proofs ------------------------------------------------------------------------------------------------

/**
 * The committee that certifies a header. Throws unless the header can be one of this chain.
 */
function committeeOf(header, hash, { chainId, committees }, what) {
  require(header.version === VERSION, `${what} has an unknown version`);
  require(header.chain_id === chainId, `${what} belongs to another chain`);
  const { epoch } = header, newest = committees.length - 1, height = BigInt(header.height);
  if (epoch > newest) {
    throw new UnprovenError(`unproven: ${what} belongs to epoch ${epoch}, but the committees are proven only up to epoch `
      + `${newest}; give the epoch proofs up to epoch ${epoch}`);
  }
  const committee = committees[Number(epoch)], { first, parent, last } = committee;
  require(header.committee === committee.hash, `${what} names another committee`);
  require(height >= first && (last === null || height <= last.height), `${what} has a height outside of epoch ${epoch}`);
  require(height > first || parent === null || header.parent === parent, `${what} contradicts the epoch proofs`);
  if (last !== null) {
    const isLast = height === last.height;
    require(isLast || header.next_committee === header.committee, `${what} ends its epoch too early`);
    require(!isLast || hash === last.block, `${what} contradicts the epoch proofs`);
  }
  return committee;
}

/**
 * Verifies a proof of `chain_proof` that the block of `proof.header` is final. Returns the proven
 * facts, or throws an Error with the reason.
 */
export function verifyProof(given, anchor, epochs = undefined) {
  const trusted = readAnchor(copyOf(anchor), epochs === undefined ? undefined : copyOf(epochs));
  return verifyFinality(copyOf(given), trusted);
}

function verifyFinality(proof, trusted) {
  checkFields(proof, ["header", "descendants", "certificate"], "the proof");
  checkList(proof.descendants, MAX_DESCENDANTS, "descendants");
  const headers = [proof.header, ...proof.descendants], hashes = [];
  let committee;
  headers.forEach((header, i) => {
    const what = i === 0 ? "the header" : `descendant ${i - 1}`, below = headers[i - 1];
    hashes.push(blockHash(header, what));
    // A committee certifies nothing beyond its epoch.
    require(i === 0 || (header.epoch === below.epoch && below.next_committee === below.committee),
      `${what} is beyond the end of its epoch`);
    committee = committeeOf(header, hashes[i], trusted, what);
    require(i === 0 || (BigInt(header.height) === BigInt(below.height) + 1n && header.parent === hashes[i - 1]
      && header.timestamp_ms > below.timestamp_ms), `${what} does not follow the header before it`);
  });
  verifyCertificate(proof.certificate, headers.at(-1), hashes.at(-1), trusted.chainId, committee);
  return {
    height: proof.header.height, block: hashes[0], timestamp_ms: proof.header.timestamp_ms,
    transaction_count: proof.header.transaction_count, chain_id: proof.header.chain_id, epoch: proof.header.epoch,
    certified_height: headers.at(-1).height, view: proof.certificate.view, signers: proof.certificate.signers,
  };
}

function verifyCertificate(certificate, header, hash, chainId, { keys, quorum }) {
  checkFields(certificate, ["epoch", "view", "height", "block", "signers", "signatures"], "the certificate");
  const { epoch, view, height, block, signers, signatures } = certificate;
  require(epoch === header.epoch && height === header.height && block === hash, "the certificate is for another block");
  checkList(signers, MAX_MEMBERS, "signers");
  checkList(signatures, MAX_MEMBERS, "signatures");
  require(signers.length === quorum, `the certificate has ${signers.length} signers, a quorum is exactly ${quorum}`);
  require(signatures.length === quorum, `the certificate has ${signatures.length} signatures for ${quorum} signers`);
  signers.forEach((signer, i) => {
    require(Number.isInteger(signer) && signer >= 0 && signer < keys.length, `signer ${i} is no member`);
    require(i === 0 || signers[i - 1] < signer, "signers are not in ascending order");
  });
  const ballot = [encodeNumber(epoch, 8), encodeNumber(view, 8, "view of the certificate"), encodeNumber(height, 8),
    unhex(block, 32, "block of the certificate")];
  const statement = domainHash(COMMIT, unhex(chainId, 32, "the chain id"), ...ballot);
  signers.forEach((signer, i) => {
    try {
      verifySignature(keys[signer], statement, unhex(signatures[i], 64, "it"));
    } catch (error) {
      throw new Error(`signature of member ${signer}: ${error.message}`);
    }
  });
}

// --- Transaction trees and Receipts ---------------------------------------------------------------------------------

/** The root to which a path of siblings leads from the transaction at `index` of `count`. */
export function rootOfPath(id, index, count, path) {
  require(index < count, "the index is not below the number of the block's transactions");
  const siblings = path.map((each, i) => unhex(each, 32, `sibling ${i} of the path`));
  let hash = domainHash(LEAF, id);
  for (let position = index, last = count - 1; last > 0; position >>>= 1, last >>>= 1) {
    if (position % 2 === 0 && position === last) continue; // the unpaired last hash of a level moves up unchanged
    require(siblings.length > 0, "the path is too short");
    const sibling = siblings.shift();
    hash = position % 2 === 1 ? domainHash(NODE, sibling, hash) : domainHash(NODE, hash, sibling);
  }
  require(siblings.length === 0, "the path is too long");
  return hex(hash);
}

/**
 * Verifies a receipt with the anchor and the epoch proofs. Returns the proven facts, or throws an Error with the reason.
 */
export function verifyReceipt(given, anchor, epochs = undefined) {
  const receipt = copyOf(given);
  checkFields(receipt, ["transaction", "index", "path", "proof"], "the receipt");
  const id = unhex(receipt.transaction, 32, "the transaction's id");
  encodeNumber(receipt.index, 4, "the index");
  checkList(receipt.path, MAX_PATH, "the path");
  const facts = verifyProof(receipt.proof, anchor, epochs);
  const root = rootOfPath(id, receipt.index, facts.transaction_count, receipt.path);
  require(root === receipt.proof.header.transactions_root, "the path does not lead from the transaction to the block");
  return { transaction: receipt.transaction, index: receipt.index, ...facts };
}
