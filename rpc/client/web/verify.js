// Verification of receipts in a browser or in node 20. It is standard JavaScript without other
// dependencies than `crypto.js`, and does not use the network by itself.
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
// A program that verifies more than one receipt keeps an `Epochs`. It verifies each epoch proof once,
// gets further ones from a node, and never goes back to an earlier epoch:
//
//     const epochs = new Epochs(anchor, savedProofs);
//     await epochs.extendFrom(call);
//     const facts = epochs.verifyReceipt(receipt);
//     save(JSON.stringify(epochs));
//
// `call(method, params)` calls a JSON-RPC method of a node. The saved text is a file of epoch proofs
// for `readEpochProofs` and for `quorate verify --epochs`.
//
// Written from ledger/WIRE.md. The comments name its sections.

import { concat, decodePoint, domainHash, encodeNumber, hex, require, unhex, verifySignature } from "./crypto.js";

const VERSION = 2; // of the protocol, in every header
const MAX_MEMBERS = 31, MAX_PATH = 14, MAX_DESCENDANTS = 64, MAX_EPOCH_PROOFS = 4096;
const COMMIT = 4, HEADER = 65, TRANSACTION_ID = 66, COMMITTEE = 67, LEAF = 68, NODE = 69;

/** The committee of the block's epoch is not proven: the block is neither valid nor invalid. */
export class UnprovenError extends Error {}

// --- JSON values ----------------------------------------------------------------------------------------------------

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

/** The chain id, and the committees of the proven epochs by their numbers: at first that of epoch 0. */
function readAnchor(anchor) {
  require(anchor !== null && typeof anchor === "object", "the anchor is not an object");
  unhex(anchor.chain_id, 32, "the anchor's chain_id");
  const first = makeCommittee(0, anchor.committee, 0n, null);
  require(anchor.quorum === undefined || anchor.quorum === first.quorum,
    `${first.keys.length} members have a quorum of ${first.quorum}`);
  return { chainId: anchor.chain_id, committees: [first] };
}

// --- Epoch proofs ---------------------------------------------------------------------------------------------------

/** How many proofs to get from a node at a time. A browser verifies them in a fraction of a second. */
const PROOFS_AT_A_TIME = 8;

/**
 * The proven epochs of a chain, from epoch 0 on without a gap. Each epoch proof adds one. None is
 * ever removed or replaced: a proof that is refused changes nothing, and proofs of earlier epochs are
 * refused.
 */
export class Epochs {
  #trusted;
  #proofs = [];

  /**
   * @param {object} anchor the data that the caller trusts, which determines epoch 0
   * @param {object} known the list of epoch proofs to begin with, from epoch 0 on. All must be valid
   */
  constructor(anchor, known = undefined) {
    this.#trusted = readAnchor(copyOf(anchor));
    if (known !== undefined) this.extend(known);
  }

  /** The number of the newest proven epoch. */
  get newest() {
    return this.#trusted.committees.length - 1;
  }

  /** The public keys of the members of an epoch in order, or null if the epoch is not proven. */
  members(epoch) {
    return this.#trusted.committees[Number(epoch)]?.keys.map(hex) ?? null;
  }

  /** The list of all proofs, as a file of epoch proofs contains it. */
  toJSON() {
    return { chain_id: this.#trusted.chainId, proofs: copyOf(this.#proofs) };
  }

  /**
   * Adds the proofs of a list. The first one must be about the end of the newest proven epoch, as in
   * the response of `network_epochs` with `from_epoch` = `newest`. Throws at the first proof that is
   * not valid; those before it stay.
   */
  extend(list) {
    for (const proof of this.#read(list, MAX_EPOCH_PROOFS - this.newest)) {
      addEpoch(this.#trusted, proof);
      this.#proofs.push(proof);
    }
  }

  /**
   * Adds all epochs that a node proves. The node need not be trusted. Throws if it proves fewer
   * epochs than are known, or another end of the newest one that has ended: such a node leads back.
   * @param {(method: string, params: object) => Promise<object>} call calls a method of the node
   */
  async extendFrom(call) {
    const get = (from, limit) => call("network_epochs", { from_epoch: from, limit });
    if (this.newest > 0) this.#checkEnd(await get(this.newest - 1, 1));
    while (this.newest < MAX_EPOCH_PROOFS) {
      const from = this.newest;
      this.extend(await get(from, PROOFS_AT_A_TIME));
      if (this.newest === from) return;
    }
  }

  /** Throws unless the list has the known end of the epoch before the newest. */
  #checkEnd(list) {
    const epoch = this.newest - 1, [proof] = this.#read(list, 1);
    require(proof !== undefined,
      `the node does not prove the end of epoch ${epoch}, which is known here: it is behind, or not correct`);
    const end = blockHash(proof?.last?.header ?? null, `the last header of epoch ${epoch}`);
    require(end === this.#trusted.committees[epoch].last.block,
      `the node has another end of epoch ${epoch} than is known here: do not trust it`);
  }

  /** A copy of the proofs in a list of this chain. */
  #read(list, limit) {
    const copy = copyOf(list);
    checkFields(copy, ["chain_id", "proofs"], "the list of epoch proofs");
    require(copy.chain_id === this.#trusted.chainId, "the epoch proofs are of another chain");
    checkList(copy.proofs, limit, "the epoch proofs");
    return copy.proofs;
  }

  /**
   * Verifies a proof of `chain_proof` that the block of `proof.header` is final. Returns the proven
   * facts, or throws an Error with the reason.
   */
  verifyProof(given) {
    return verifyFinality(copyOf(given), this.#trusted);
  }

  /** Verifies a receipt. Returns the proven facts, or throws an Error with the reason. */
  verifyReceipt(given) {
    const receipt = copyOf(given);
    checkFields(receipt, ["transaction", "index", "path", "proof"], "the receipt");
    const id = unhex(receipt.transaction, 32, "the transaction's id");
    encodeNumber(receipt.index, 4, "the index");
    checkList(receipt.path, MAX_PATH, "the path");
    const facts = verifyFinality(receipt.proof, this.#trusted);
    const root = rootOfPath(id, receipt.index, facts.transaction_count, receipt.path);
    require(root === receipt.proof.header.transactions_root,
      "the path does not lead from the transaction to the block");
    return { transaction: receipt.transaction, index: receipt.index, ...facts };
  }
}

/** As the method of `Epochs`, with an anchor and a list of epoch proofs. */
export function verifyProof(given, anchor, known = undefined) {
  return new Epochs(anchor, known).verifyProof(given);
}

/** As the method of `Epochs`, with an anchor and a list of epoch proofs. */
export function verifyReceipt(given, anchor, known = undefined) {
  return new Epochs(anchor, known).verifyReceipt(given);
}

/** Adds the committee after the newest one. */
function addEpoch(trusted, proof) {
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

// --- Transaction trees ----------------------------------------------------------------------------------------------

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
