// Verifies the receipt of the transaction on a page, and shows each check.
//
// It trusts nothing on the page: it requests receipt, transaction and genesis by JSON-RPC and
// checks them with verify.js, the verifier of rpc/client/web. The genesis comes from the node
// unless the user chooses a file.

import { anchorOf } from "./genesis.js";
import {
  blockHash, concat, encodeNumber, rootOfPath, transactionId, hex, unhex, verifyProof, verifyReceipt,
} from "./verify.js";

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
 * Names of the validators in the order of the committee.
 * @param {string} toml a genesis that `anchorOf` has read, which keeps names and keys to plain forms
 */
function namesOf(toml) {
  const tables = toml.split(/^\s*\[\[\s*validators\s*\]\]/m).slice(1);
  const field = (table, name) => new RegExp(`^\\s*${name}\\s*=\\s*"([^"]*)"`, "m").exec(table)?.[1];
  const members = tables.map((table) => ({ key: field(table, "public_key"), name: field(table, "name") }));
  return members.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ name }) => name);
}

/**
 * Reads the anchor for verification from a file: a genesis in TOML, a result of `network_genesis`, or
 * `{ chain_id, committee }`.
 * @param {string} text
 */
function readAnchor(text) {
  if (!text.trimStart().startsWith("{")) return { ...anchorOf(text), names: namesOf(text) };
  const given = JSON.parse(text), answer = given.result ?? given;
  if (Array.isArray(answer.committee)) return { chain_id: answer.chain_id, committee: answer.committee, names: [] };
  const anchor = { ...anchorOf(answer.toml), names: namesOf(answer.toml) };
  if (answer.chain_id !== anchor.chain_id) throw new Error("the file's chain_id is not that of its toml");
  return anchor;
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
function stepsOf({ id, height, index }, receipt, located, anchor) {
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
      const { signers, certified_height: certified } = verifyProof(receipt.proof, anchor);
      const names = signers.map((signer) => anchor.names[signer] ?? `member ${signer}`);
      const what = certified === height ? "this hash" : `block ${certified}, which follows this one by its headers`;
      return `${signers.length} signatures of ${what} are good: those of ${names.join(", ")} in view `
        + `${certificate.view}. A quorum of ${anchor.committee.length} is ${signers.length}.`;
    } },
    { name: "Committee", check: () => {
      verifyReceipt(receipt, anchor); // the complete verification once more
      return `The keys are those of the genesis of chain ${anchor.chain_id}, and the block is of that chain.`;
    } },
  ];
}

/** Adds a step to the list. */
function tell(list, sign, name, text) {
  const [item, head, words] = ["li", "strong", "span"].map((name) => document.createElement(name));
  head.textContent = `${sign} ${name}`;
  head.className = sign === "✓" ? "good" : "bad";
  words.textContent = text;
  item.append(head, words);
  list.append(item);
}

/** @param {HTMLElement} verdict @param {"" | "good" | "bad"} state */
function judge(verdict, state, strong, text) {
  const head = document.createElement("strong");
  head.textContent = strong;
  verdict.className = `state ${state}`;
  verdict.replaceChildren(head, ` ${text}`);
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
  let trusted, receipt, located;
  try {
    [trusted, receipt, located] = await Promise.all([trust(), call("tx_receipt", { id }), call("tx_get", { id })]);
    if (!receipt || !located) throw new Error("the node has no receipt of it");
  } catch (error) {
    if (runs.get(section) === run) judge(verdict, "bad", "✗ not verified:", `${error.message}.`);
    return;
  }
  if (runs.get(section) !== run) return;
  source.textContent = trusted.source;
  for (const { name, check } of stepsOf(page, receipt, located, trusted.anchor)) {
    try {
      tell(list, "✓", name, check());
    } catch (error) {
      tell(list, "✗", name, error.message);
      judge(verdict, "bad", "✗ not verified:", `${error.message}.`);
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
