// Makes the anchor of `verify.js` from a genesis file. The chain id is computed from the content of
// the file. A page that has the chain id from a trusted source may fetch the file from any node
// (`network_genesis`), and compares the chain ids.
//
// Written from the section Genesis of ledger/WIRE.md. It reads the part of TOML that genesis files
// need: comments, tables, and names with a number or a plain string. It refuses everything else.

import { concat, domainHash, encodeNumber, hex, unhex } from "./crypto.js";
import { quorumOf } from "./verify.js";

const GENESIS = 64, MAX_FILE = 65536, MAX_MEMBERS = 31;
const NUMBERS = { // with their defaults, in the order in which they are hashed
  block: {
    max_transactions: 1000, max_body_bytes: 1048576, max_transaction_bytes: 262144,
    max_transaction_lifetime_ms: 120000, empty_block_gap_ms: 10000,
  },
  consensus: {
    window: 8, checkpoint_interval: 128, log_window: 512, request_timeout_ms: 2000, new_view_timeout_ms: 2000,
    timeout_cap_ms: 30000, status_interval_ms: 1000, clock_tolerance_ms: 500, batch_delay_ms: 10,
  },
  mempool: {
    max_transactions: 50000, max_bytes: 67108864, max_transactions_per_sender: 5000, max_bytes_per_sender: 8388608,
  },
  governance: { // functions of the numbers of the table block, where the default depends on them
    max_clients: 100000, proposal_lifetime: 100000,
    max_transactions_per_member: (block) => Math.max(Math.floor(block.max_transactions / 4), 1),
    max_bytes_per_member: (block) => Math.max(Math.floor(block.max_body_bytes / 4), block.max_transaction_bytes),
  },
};
const VERSION = 2, SUBMIT = ["open", "registry"];
// The chain that a network continues: its fields in the order in which they are hashed; true for hashes.
const PREDECESSOR = {
  chain_id: true, height: false, block: true, epoch: false, state_root: true, clients: false, clients_root: true,
};
const KNOWN = {
  "": ["version", "name", "genesis_time_ms"], validators: ["name", "public_key", "governance_key"],
  clients: ["submit"], predecessor: Object.keys(PREDECESSOR),
  ...Object.fromEntries(Object.entries(NUMBERS).map(([table, numbers]) => [table, Object.keys(numbers)])),
};

/** The tables of a genesis file, each a Map; `validators` is a list of them. */
function readToml(text) {
  const top = new Map(), tables = new Map([["", top]]), validators = [];
  let name = "", table = top;
  text.split(/\r?\n/).forEach((line, i) => {
    const fail = (what) => { throw new Error(`line ${i + 1} of the genesis: ${what}`); };
    const heading = /^\s*(?:\[\s*([a-z]+)\s*\]|\[\[\s*(validators)\s*\]\])\s*(?:#.*)?$/.exec(line);
    const field = /^\s*([a-z_]+)\s*=\s*(?:"([^"\\]*)"|(0|[1-9][0-9]*(?:_[0-9]+)*))\s*(?:#.*)?$/.exec(line);
    if (heading) {
      name = heading[1] ?? heading[2];
      const isKnown = Object.hasOwn(KNOWN, name) && (name === "validators") === (heading[1] === undefined);
      if (!isKnown || tables.has(name)) fail("an unknown or repeated table");
      table = new Map();
      if (name === "validators") validators.push(table);
      else tables.set(name, table);
    } else if (field) {
      const [, key, string, digits] = field;
      if (!KNOWN[name].includes(key) || table.has(key)) fail(`unknown or repeated field ${key}`);
      table.set(key, string ?? Number(digits.replaceAll("_", "")));
    } else if (!/^\s*(?:#.*)?$/.test(line)) {
      fail("neither a table nor a name with a number or a plain string");
    }
  });
  return { tables, validators };
}

/** A name as the number of its bytes, then the bytes. */
function encodeName(name, limit, what) {
  const good = typeof name === "string" && /^[a-z0-9-]+$/.test(name) && name.length <= limit;
  if (!good) throw new Error(`${what} is not 1 to ${limit} of a-z, 0-9 and -`);
  return concat([encodeNumber(name.length, 4, what), new TextEncoder().encode(name)]);
}

/**
 * The anchor for `verifyReceipt` from the text of a genesis file:
 * `{ chain_id, committee, quorum, name }`. Checks form and meaning, but neither the ranges of numbers
 * nor whose governance keys are equal: no network has a genesis that breaks these rules.
 */
export function anchorOf(text) {
  if (typeof text !== "string" || new TextEncoder().encode(text).length > MAX_FILE) throw new Error("no genesis file");
  const { tables, validators } = readToml(text), top = tables.get("");
  const members = validators.map((each) => {
    const key = each.get("public_key");
    unhex(key, 33, "public_key of a validator");
    return { key, governanceKey: each.get("governance_key") ?? key, name: each.get("name") };
  }).sort((a, b) => (a.key < b.key ? -1 : 1));
  const committee = members.map(({ key }) => key);
  if (committee.length === 0 || committee.length > MAX_MEMBERS) throw new Error(`not 1 to ${MAX_MEMBERS} validators`);
  if (new Set(committee).size !== committee.length) throw new Error("two validators have the same key");
  if (top.get("version") !== VERSION) throw new Error(`the version of the genesis is not ${VERSION}`);
  const submit = SUBMIT.indexOf(tables.get("clients")?.get("submit") ?? "open");
  if (submit < 0) throw new Error("clients.submit is neither open nor registry");

  const block = { ...NUMBERS.block, ...Object.fromEntries(tables.get("block") ?? []) };
  const numbersOf = (table) => Object.entries(NUMBERS[table]).map(([name, given]) => {
    const value = tables.get(table)?.get(name) ?? (typeof given === "function" ? given(block) : given);
    return encodeNumber(value, 8, `${table}.${name}`);
  });
  const predecessor = tables.get("predecessor");
  const continued = predecessor === undefined ? [] : Object.entries(PREDECESSOR).map(([name, isHash]) => {
    const value = predecessor.get(name), what = `predecessor.${name}`;
    return isHash ? unhex(value, 32, what) : encodeNumber(value, 8, what);
  });
  const content = concat([
    encodeNumber(VERSION, 2, "version"), encodeName(top.get("name"), 64, "name"),
    encodeNumber(top.get("genesis_time_ms"), 8, "genesis_time_ms"), encodeNumber(members.length, 4, "validators"),
    ...members.flatMap(({ key, governanceKey, name }) => [
      encodeName(name, 32, "name of a validator"), unhex(key, 33, "public_key"),
      unhex(governanceKey, 33, "governance_key"),
    ]),
    ...["block", "consensus", "mempool"].flatMap(numbersOf), [submit], ...numbersOf("governance"),
    ...continued,
  ]);
  const chainId = hex(domainHash(GENESIS, content));
  return { chain_id: chainId, committee, quorum: quorumOf(committee.length), name: top.get("name") };
}
