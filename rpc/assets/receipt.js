// Verifies the receipt of the transaction on a page, and shows each check.
//
// It trusts nothing on the page: it requests receipt, transaction, genesis and epoch proofs by
// JSON-RPC and checks them with verify.js, the verifier of rpc/client/web. The genesis comes from the
// node unless the user chooses a file. The browser keeps the epochs that it has seen proven, and
// never goes back to an earlier one.

import { concat, encodeNumber, hex, unhex } from "./crypto.js";
import { anchorOf } from "./genesis.js";
import { Epochs, UnprovenError, blockHash, rootOfPath, transactionId } from "./verify.js";

/** Larger payloads are not hashed here, because that would take seconds. */
const MAX_PAYLOAD_DIGITS = 2 * 65536;

/**
 * Calls a method of the node.
 * @param {string} method
 * @param {object} params
 * @returns {Promise<any>} its result
 */
async function call(method, params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const response = await fetch("/", { method: "POST", headers: { "content-type": "application/json" }, body });
  const { result, error } = await response.json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}

/**
 * Names of the validators by their public keys.
 * @param {string} toml a genesis that `anchorOf` has read, which keeps names and keys to plain forms
 * @returns {Map<string, string>}
 */
function namesOf(toml) {
  const tables = toml.split(/^\s*\[\[\s*validators\s*\]\]/m).slice(1);
  const field = (table, name) => new RegExp(`^\\s*${name}\\s*=\\s*"([^"]*)"`, "m").exec(table)?.[1];
  return new Map(tables.map((table) => [field(table, "public_key"), field(table, "name")]));
}

/**
 * Reads the anchor for verification from a file: a genesis in TOML, a result of `network_genesis`, or
 * `{ chain_id, committee }`.
 * @param {string} text
 */
function readAnchor(text) {
  if (!text.trimStart().startsWith("{")) return { ...anchorOf(text), names: namesOf(text) };
  const given = JSON.parse(text), answer = given.result ?? given;
  if (Array.isArray(answer.committee)) {
    return { chain_id: answer.chain_id, committee: answer.committee, names: new Map() };
  }
  const anchor = { ...anchorOf(answer.toml), names: namesOf(answer.toml) };
  if (answer.chain_id !== anchor.chain_id) throw new Error("the file's chain_id is not that of its toml");
  return anchor;
}

/**
 * The epochs of a chain that this browser has seen proven, if it can keep them.
 * @param {object} anchor of the chain
 */
function recall(anchor) {
  try {
    const saved = localStorage.getItem(placeOf(anchor));
    if (saved !== null) return new Epochs(anchor, JSON.parse(saved));
  } catch {
    // The browser keeps nothing for this page, or another program has changed it.
  }
  return new Epochs(anchor);
}

/** Keeps the proofs. The proofs of one chain take about 2 KiB for each epoch with four validators. */
function keep(anchor, epochs) {
  try {
    localStorage.setItem(placeOf(anchor), JSON.stringify(epochs));
  } catch {
    // No room, or not permitted: then the next page begins with the genesis again.
  }
}

const placeOf = (anchor) => `quorate-epochs-${anchor.chain_id}`;

/**
 * All epochs that the node proves, in addition to those that this browser knows.
 * @param {object} anchor of the chain of this node
 */
async function epochsOf(anchor) {
  const epochs = recall(anchor), known = epochs.newest;
  await epochs.extendFrom(call);
  if (epochs.newest > known) keep(anchor, epochs);
  return epochs;
}

/**
 * The id of a transaction as in the result of `tx_get`, by section Transactions of ledger/WIRE.md.
 * @returns {string | null} null if it cannot be computed here
 */
function idOf({ sender, nonce, valid_until_ms: until, payload, signature }) {
  if (!Number.isSafeInteger(nonce) || payload.data.length > MAX_PAYLOAD_DIGITS) return null;
  const data = unhex(payload.data, null, "the payload");
  return transactionId(hex(concat([
    unhex(sender, 33, "the sender"), encodeNumber(nonce, 8, "the nonce"), encodeNumber(until, 8, "valid_until_ms"),
    [payload.kind === "governance" ? 1 : 0], encodeNumber(data.length, 4, "the payload's length"), data,
    unhex(signature, 64, "the signature"),
  ])));
}

/** @typedef {{ name: string, check: () => string }} Step a check; `check` throws, or returns its result as a sentence */

/**
 * The steps from the content of a transaction to the genesis.
 * @returns {Step[]}
 */
function stepsOf({ id, height, index }, receipt, located, anchor, epochs) {
  const { header, certificate } = receipt.proof;
  const must = (holds, message) => { if (!holds) throw new Error(message); };
  return [
    { name: "Content", check: () => {
      const found = idOf(located.transaction);
      if (found === null) return "Not checked here: the payload or nonce is too large. The other checks only use the id.";
      must(found === id, `the content hashes to another id, ${found}`);
      return `Sender, nonce, payload and signature hash to the id ${found}.`;
    } },
    { name: "Merkle tree", check: () => {
      must(receipt.transaction === id, "the receipt is for another transaction");
      must(header.height === height && receipt.index === index, "the receipt is for another place than the page says");
      const root = rootOfPath(unhex(id, 32, "the id"), receipt.index, header.transaction_count, receipt.path);
      must(root === header.transactions_root, "the path does not lead from the transaction to the header");
      return `From the id at position ${index} of ${header.transaction_count}, ${receipt.path.length} siblings lead to `
        + "the transactions root of the header.";
    } },
    { name: "Header", check: () => {
      return `The header of block ${height} hashes to ${blockHash(header)}.`;
    } },
    { name: "Certificate", check: () => {
      const { signers, epoch, certified_height: certified } = epochs.verifyProof(receipt.proof);
      const keys = epochs.members(epoch);
      // The genesis has no names for keys that came later.
      const names = signers.map((signer) => anchor.names.get(keys[signer]) ?? `the key ${short(keys[signer])}`);
      const what = certified === height ? "this hash" : `block ${certified}, which follows this one by its headers`;
      return `${signers.length} signatures of ${what} are good: those of ${names.join(", ")} in view `
        + `${certificate.view}. A quorum of ${keys.length} is ${signers.length}.`;
    } },
    { name: "Committee", check: () => {
      const { epoch } = epochs.verifyReceipt(receipt); // the complete verification once more
      const genesis = `the genesis of chain ${anchor.chain_id}`;
      const proofs = epoch === 1 ? "one epoch proof" : `${epoch} epoch proofs`;
      return epoch === 0 ? `The keys are those of ${genesis}, and the block is of that chain.`
        : `The keys are those of epoch ${epoch}. They follow from ${genesis} by ${proofs}, signed by a quorum each, and `
          + "the block is of that chain.";
    } },
  ];
}

const short = (key) => `${key.slice(0, 10)}…${key.slice(-8)}`;

/** Adds a step to the list. */
function tell(list, sign, name, text) {
  const [item, head, words] = ["li", "strong", "span"].map((name) => document.createElement(name));
  head.textContent = `${sign} ${name}`;
  head.className = sign === "✓" ? "good" : "bad";
  words.textContent = text;
  item.append(head, words);
  list.append(item);
}

/** @param {HTMLElement} verdict @param {"" | "good" | "warn" | "bad"} state */
function judge(verdict, state, strong, text) {
  const head = document.createElement("strong");
  head.textContent = strong;
  verdict.className = `state ${state}`;
  verdict.replaceChildren(head, ` ${text}`);
}

/** Shows why the receipt is not verified. An unproven one is neither valid nor invalid. */
function refuse(verdict, error) {
  if (!(error instanceof UnprovenError)) {
    judge(verdict, "bad", "✗ not verified:", `${error.message}.`);
    return;
  }
  const reason = error.message.replace(/^unproven: /, "");
  judge(verdict, "warn", "? unproven:", `${reason}. This node does not have them: open the page at another node.`);
}

/** The last run of each section. Results of earlier runs are discarded. @type {WeakMap<Element, symbol>} */
const runs = new WeakMap();

/**
 * Verifies and shows the results.
 * @param {HTMLElement} section
 * @param {() => Promise<{ anchor: object, source: string }>} trust loads the anchor to verify with
 */
async function verify(section, trust) {
  const run = Symbol("run");
  runs.set(section, run);
  const [verdict, list, source] = ["verdict", "steps", "anchor"].map((name) => section.querySelector(`#${name}`));
  const { id, height, index } = section.dataset;
  const page = { id, height: Number(height), index: Number(index) };
  judge(verdict, "", "… verifying", "");
  list.replaceChildren();
  source.textContent = "";
  let trusted, receipt, located, epochs;
  try {
    [trusted, receipt, located] = await Promise.all([trust(), call("tx_receipt", { id }), call("tx_get", { id })]);
    if (!receipt || !located) throw new Error("the node has no receipt of it");
    // The epoch proofs of another chain would say less than its header.
    const isOfChain = receipt.proof?.header?.chain_id === trusted.anchor.chain_id;
    epochs = isOfChain ? await epochsOf(trusted.anchor) : new Epochs(trusted.anchor);
  } catch (error) {
    if (runs.get(section) === run) refuse(verdict, error);
    return;
  }
  if (runs.get(section) !== run) return;
  source.textContent = trusted.source;
  for (const { name, check } of stepsOf(page, receipt, located, trusted.anchor, epochs)) {
    try {
      tell(list, "✓", name, check());
    } catch (error) {
      tell(list, "✗", name, error.message);
      refuse(verdict, error);
      return;
    }
  }
  const place = `position ${page.index} of block ${page.height} of chain ${trusted.anchor.chain_id}`;
  judge(verdict, "good", "✓ verified:", `committed at ${place}.`);
}

const FROM_NODE = "The genesis came from this same node, so this only shows that the node does not contradict itself. "
  + "Choose your own genesis file to verify that your network ordered the transaction.";

/** Verifies the receipt on the page, if there is one. */
export function checkReceipt() {
  const section = document.querySelector("#receipt");
  if (!section) return;
  section.querySelector("#check").hidden = false;
  const input = section.querySelector("#genesis");
  const ofNode = async () => {
    const told = await call("network_genesis", {});
    return { anchor: readAnchor(JSON.stringify(told)), source: FROM_NODE };
  };
  const ofFile = async (file) => {
    const source = `Verified with your file ${file.name}, not with the genesis of this node.`;
    return { anchor: readAnchor(await file.text()), source };
  };
  input.addEventListener("change", () => {
    const [file] = input.files;
    verify(section, file ? () => ofFile(file) : ofNode);
  });
  verify(section, ofNode);
}
