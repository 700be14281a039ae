// Reads the text of a receipt, finality proof or list of epoch proofs, by section "As JSON" of
// ledger/WIRE.md. It has no dependencies.
//
//     import { readProof } from "./json.js";
//     const facts = verifyReceipt(readProof(text), anchor);
//
// JSON.parse is not strict enough: it uses the last of two fields with the same name, rounds
// integers from 2^53 on, and does not distinguish 3.0 from 3. If the text is refused, `readProof`
// throws an Error with the reason.

export const MAX_PROOF_BYTES = 131072, MAX_EPOCH_PROOFS_BYTES = 33554432;

/** A receipt needs a depth of five, a list of epoch proofs one of seven. The limit protects the stack. */
const MAX_DEPTH = 16;

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\.)*"/ysu;
const INTEGER = /(?:0|[1-9][0-9]*)(?![0-9.eE])/y;
const WORD = /true|false|null/y;

/**
 * The value of a JSON text. Integers from 2^53 on are BigInts, all others are numbers.
 * @param {string | Uint8Array} file the text, or the bytes of the file
 */
export function readProof(file) {
  return readJson(file, MAX_PROOF_BYTES);
}

/**
 * The value of the JSON text of epoch proofs, by the same rules. It is the third argument of
 * `verifyReceipt`.
 * @param {string | Uint8Array} file the text, or the bytes of the file
 */
export function readEpochProofs(file) {
  return readJson(file, MAX_EPOCH_PROOFS_BYTES);
}

function readJson(file, limit) {
  const text = typeof file === "string" ? file : decode(file, limit);
  if (text.length > limit || new TextEncoder().encode(text).length > limit) {
    throw new Error(`the text has more than ${limit} bytes`);
  }
  const reader = { text, at: 0 };
  const value = readValue(reader, 0);
  take(reader, SPACE);
  if (reader.at < text.length) throw unexpected(reader);
  return value;
}

function decode(bytes, limit) {
  if (bytes.length > limit) throw new Error(`the text has more than ${limit} bytes`);
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

const unexpected = ({ at }) => new Error(`the text is not JSON of a proof at character ${at}`);

/** The match of a pattern at the reader's position, or null. Moves the reader behind the match. */
function take(reader, pattern) {
  pattern.lastIndex = reader.at;
  const [found] = pattern.exec(reader.text) ?? [null];
  if (found !== null) reader.at += found.length;
  return found;
}

/** Skips white space, then `sign` if it comes next, then white space. Returns whether it came. */
function skip(reader, sign) {
  take(reader, SPACE);
  if (reader.text[reader.at] !== sign) return false;
  reader.at += 1;
  take(reader, SPACE);
  return true;
}

function expect(reader, sign) {
  if (!skip(reader, sign)) throw unexpected(reader);
}

function readString(reader) {
  const quoted = take(reader, STRING);
  if (quoted === null) throw unexpected(reader);
  return JSON.parse(quoted); // resolves the escapes
}

function readValue(reader, depth) {
  if (depth > MAX_DEPTH) throw new Error("the text is nested too deeply");
  if (skip(reader, "{")) return readObject(reader, depth);
  if (skip(reader, "[")) return readList(reader, depth);
  if (reader.text[reader.at] === '"') return readString(reader);
  const word = take(reader, WORD);
  if (word !== null) return JSON.parse(word);
  const digits = take(reader, INTEGER);
  if (digits === null || digits.length > 20) throw unexpected(reader);
  const exact = BigInt(digits);
  return exact <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(exact) : exact;
}

function readObject(reader, depth) {
  const object = Object.create(null);
  if (skip(reader, "}")) return object;
  do {
    const name = readString(reader);
    if (Object.hasOwn(object, name)) throw new Error("a name is repeated in an object");
    expect(reader, ":");
    object[name] = readValue(reader, depth + 1);
  } while (skip(reader, ","));
  expect(reader, "}");
  return object;
}

function readList(reader, depth) {
  const list = [];
  if (skip(reader, "]")) return list;
  do list.push(readValue(reader, depth + 1)); while (skip(reader, ","));
  expect(reader, "]");
  return list;
}
