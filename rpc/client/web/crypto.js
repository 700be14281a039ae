// What `verify.js` computes with: the encoding of bytes and numbers, Keccak-256, and signatures over
// secp256k1. It is standard JavaScript without dependencies.
//
// Written from the sections "Encoding", "Text", "Hashes", and "Keys and signatures" of ledger/WIRE.md.
// All data here is public, so the code does not run in constant time. Never sign with this code.

/** Throws an Error with the message unless the condition holds. */
export function require(condition, message) {
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
