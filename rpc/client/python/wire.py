"""The formats of Quorate that a client needs, written from ledger/WIRE.md.

The comments name the sections of WIRE.md. Nothing here uses the network: the genesis file is enough
to verify receipts and proofs of any node.
"""
import itertools
import json
import struct
import tomllib
from dataclasses import dataclass

from Crypto.Hash import keccak
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TRANSACTION, COMMIT, GENESIS, HEADER, TRANSACTION_ID, COMMITTEE, LEAF, NODE = 1, 4, 64, 65, 66, 67, 68, 69
ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141  # n of secp256k1
# The message is a hash already. SHA-256 is only for the nonce (RFC 6979).
PREHASHED = utils.Prehashed(SHA256())
MAX_MEMBERS, MAX_PATH, MAX_DESCENDANTS, MAX_FILE, MAX_PROOF = 31, 14, 64, 1 << 16, 1 << 17
NUMBERS = {  # of the genesis, with their defaults, in the order in which they are hashed
    "block": {"max_transactions": 1_000, "max_body_bytes": 1 << 20, "max_transaction_bytes": 1 << 18,
              "max_transaction_lifetime_ms": 120_000, "empty_block_gap_ms": 10_000},
    "consensus": {"window": 8, "checkpoint_interval": 128, "log_window": 512, "request_timeout_ms": 2_000,
                  "new_view_timeout_ms": 2_000, "timeout_cap_ms": 30_000, "status_interval_ms": 1_000,
                  "clock_tolerance_ms": 500, "batch_delay_ms": 10},
    "mempool": {"max_transactions": 50_000, "max_bytes": 64 << 20, "max_transactions_per_sender": 5_000,
                "max_bytes_per_sender": 8 << 20}}


class Refused(Exception):
    """An input is invalid, or no node accepted the transaction; the text says why."""


def require(condition, message):
    if not condition:
        raise Refused(message)


# --- Encoding, Text, Hashes -----------------------------------------------------------------------------------------

def digest(domain: int, *parts: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=b"quorate\x01" + bytes([domain]) + b"".join(parts)).digest()


def unhex(text, length: int | None = None) -> bytes:
    require(type(text) is str and text[:2] == "0x" and len(text) % 2 == 0 and set(text[2:]) <= set("0123456789abcdef"),
            f"not lower-case 0x hex: {text!r:.80}")
    require(length is None or len(text) == 2 + 2 * length, f"not {length} bytes: {text!r:.80}")
    return bytes.fromhex(text[2:])


def number(value, form: str) -> bytes:
    """A little-endian unsigned integer of the width of `form` (of `struct`: H, I or Q)."""
    in_range = type(value) is int and 0 <= value < 256 ** struct.calcsize("<" + form)
    require(in_range, f"not a number in range: {value!r:.80}")
    return struct.pack("<" + form, value)


def fields(value, names: str, what: str) -> list:
    """The values of exactly these fields. A reader must refuse unknown fields, because no proof
    covers them."""
    known = isinstance(value, dict) and value.keys() == set(names.split())
    require(known, f"{what} has not exactly the fields {names}")
    return [value[name] for name in names.split()]


def elements(value, limit: int, what: str) -> list:
    require(isinstance(value, list) and len(value) <= limit, f"{what} is not a list of at most {limit}")
    return value


def read_json(text: str | bytes, **hooks):
    """Parses JSON and refuses a repeated name: readers differ in which of two values they use."""
    def once(pairs):
        require(len(dict(pairs)) == len(pairs), "a name is repeated in a JSON object")
        return dict(pairs)
    return json.loads(text, object_pairs_hook=once, **hooks)


def read_proof(file: bytes):
    """The JSON of a receipt or finality proof, by the section "As JSON": numbers have only
    decimal digits."""
    require(len(file) <= MAX_PROOF, f"the text has more than {MAX_PROOF} bytes")

    def digits(text: str) -> int:
        require(text.isdecimal() and len(text) <= 20, f"not a number in range: {text:.64}")
        return int(text)
    try:
        return read_json(file.decode("utf-8"), parse_int=digits, parse_float=digits, parse_constant=digits)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the text is not JSON: {error}") from error


# --- Genesis, Committees --------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Genesis:
    """All that a verifier must trust. The right genesis file gives the right chain id and
    committee."""
    chain_id: bytes
    members: list[bytes]  # in the order of their indices
    max_lifetime_ms: int

    @property
    def quorum(self) -> int:
        n = len(self.members)
        return (n + (n - 1) // 3) // 2 + 1

    @staticmethod
    def parse(text: str) -> "Genesis":
        """Checks the form, but neither names nor ranges: no network has a genesis that breaks
        those rules."""
        require(len(text.encode()) <= MAX_FILE, "the genesis is too large")
        try:
            file = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise Refused(f"the genesis is not TOML: {error}") from error
        file.setdefault("version", 1)
        tables = {name: file.pop(name, {}) for name in (*NUMBERS, "clients")}
        version, name, time_ms, validators = fields(file, "version name genesis_time_ms validators", "the genesis")
        require(version == 1, f"version {version} of the genesis is unknown")
        validators = elements(validators, MAX_MEMBERS, "validators")
        members = [fields(each, "name public_key", "a validator") for each in validators]
        members = sorted((unhex(key, 33), name) for name, key in members)
        keys = [key for key, _ in members]
        require(keys and len(set(keys)) == len(keys), "no validators, or two with the same key")
        for table, known in (*NUMBERS.items(), ("clients", {"submit": "open"})):
            given = tables[table]
            require(isinstance(given, dict) and given.keys() <= known.keys(), f"unknown fields in [{table}]")
            tables[table] = known | given
        require(tables["clients"]["submit"] == "open", "clients.submit is not \"open\"")
        string = lambda value: number(len(value), "I") + value.encode("ascii")
        chain_id = digest(GENESIS, number(version, "H"), string(name), number(time_ms, "Q"), number(len(members), "I"),
                          *(string(name) + key for key, name in members),
                          *(number(value, "Q") for table in NUMBERS for value in tables[table].values()), b"\0")
        return Genesis(chain_id, keys, tables["block"]["max_transaction_lifetime_ms"])


# --- Keys and signatures --------------------------------------------------------------------------------------------

def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """The same key and message give the same bytes, so that signing again does not make a second
    transaction."""
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(PREHASHED, deterministic_signing=True)))
    return r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")


def verify_signature(public_key: bytes, message: bytes, signature: bytes):
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    canonical = len(signature) == 64 and 1 <= r < ORDER and 1 <= s <= ORDER // 2
    require(canonical, "a signature is not in its canonical form")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public_key)
        key.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(PREHASHED))
    except (InvalidSignature, ValueError):
        raise Refused("a signature is invalid") from None


# --- Transactions ---------------------------------------------------------------------------------------------------

def make_transaction(genesis: Genesis, key: ec.EllipticCurvePrivateKey, nonce: int, valid_until_ms: int, data: bytes):
    sender = key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    unsigned = sender + struct.pack("<QQBI", nonce, valid_until_ms, 0, len(data)) + data
    return unsigned + sign(key, digest(TRANSACTION, genesis.chain_id, unsigned))


def transaction_id(transaction: bytes) -> bytes:
    return digest(TRANSACTION_ID, transaction)


# --- Transaction trees, Headers, Finality proofs, Receipts ----------------------------------------------------------

HEADER_FIELDS = {  # each with its form: a hash, or an integer format of `struct`
    "version": "H", "chain_id": "hash", "epoch": "Q", "height": "Q", "parent": "hash", "transactions_root": "hash",
    "transaction_count": "I", "body_bytes": "I", "timestamp_ms": "Q", "committee": "hash", "next_committee": "hash",
    "proposer": "H"}


def block_hash(header: dict) -> bytes:
    values = zip(HEADER_FIELDS.values(), fields(header, " ".join(HEADER_FIELDS), "a header"))
    return digest(HEADER, *(unhex(value, 32) if form == "hash" else number(value, form) for form, value in values))


def verify_proof(proof: dict, genesis: Genesis) -> dict:
    """Verifies a proof of `chain_proof` that a block is final, and returns the header of the
    block."""
    header, descendants, certificate = fields(proof, "header descendants certificate", "the proof")
    committee = digest(COMMITTEE, number(len(genesis.members), "I"), *genesis.members)
    parent = parent_hash = None
    for each in [header, *elements(descendants, MAX_DESCENDANTS, "descendants")]:
        its_hash = block_hash(each)
        require(each["version"] == 1 and each["epoch"] == 0, "a header has an unknown version or epoch")
        require(unhex(each["chain_id"]) == genesis.chain_id, "a header belongs to another chain")
        committees = unhex(each["committee"]), unhex(each["next_committee"])
        require(committees == (committee, committee), "a header has another committee")
        require(parent is None or (each["height"] == parent["height"] + 1 and unhex(each["parent"]) == parent_hash
                                   and each["timestamp_ms"] > parent["timestamp_ms"]), "a descendant does not follow")
        parent, parent_hash = each, its_hash
    epoch, view, height, block, signers, signatures = fields(
        certificate, "epoch view height block signers signatures", "the certificate")
    require((epoch, height, unhex(block)) == (0, parent["height"], parent_hash), "the certificate is for another block")
    ballot = number(epoch, "Q") + number(view, "Q") + number(height, "Q") + parent_hash
    statement = digest(COMMIT, genesis.chain_id, ballot)
    require(len(elements(signers, MAX_MEMBERS, "signers")) == len(elements(signatures, MAX_MEMBERS, "signatures"))
            == genesis.quorum, f"the certificate has not exactly a quorum of {genesis.quorum} signers")
    require(all(type(each) is int and 0 <= each < len(genesis.members) for each in signers)
            and all(a < b for a, b in itertools.pairwise(signers)), "signers are not ascending indices of members")
    for signer, signature in zip(signers, signatures):
        verify_signature(genesis.members[signer], statement, unhex(signature, 64))
    return header


def root_of_path(identity: bytes, index: int, count: int, path: list) -> bytes:
    """The root to which a path of siblings leads from the transaction at `index` of `count`."""
    require(index < count, "the index is not below the number of the block's transactions")
    siblings = [unhex(each, 32) for each in elements(path, MAX_PATH, "path")]
    position, last, at = index, count - 1, digest(LEAF, identity)
    while last > 0:
        if position % 2 or position < last:  # the unpaired last hash of a level moves up unchanged
            require(siblings, "the path is too short")
            sibling = siblings.pop(0)
            at = digest(NODE, sibling, at) if position % 2 else digest(NODE, at, sibling)
        position, last = position // 2, last // 2
    require(not siblings, "the path is too long")
    return at


def verify_receipt(receipt: dict, genesis: Genesis) -> dict:
    """Verifies a receipt of `tx_receipt`, and returns the header of the transaction's block."""
    transaction, index, path, proof = fields(receipt, "transaction index path proof", "the receipt")
    header = verify_proof(proof, genesis)
    number(index, "I")
    root = root_of_path(unhex(transaction, 32), index, header["transaction_count"], path)
    require(root == unhex(header["transactions_root"]), "the path does not lead to the block's root")
    return header
