"""The formats of Quorate that a client needs, written from ledger/WIRE.md.

The comments name the sections of WIRE.md. Nothing here uses the network: the genesis file, and the
epoch proofs for later epochs, are enough to verify receipts and proofs of any node.
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
VERSION = 2  # of the protocol, in every header
MAX_MEMBERS, MAX_PATH, MAX_DESCENDANTS, MAX_FILE, MAX_PROOF = 31, 14, 64, 1 << 16, 1 << 17
MAX_EPOCH_PROOFS, MAX_EPOCHS_FILE = 4096, 32 << 20
NUMBERS = {  # of the genesis, with their defaults, in the order in which they are hashed
    "block": {"max_transactions": 1_000, "max_body_bytes": 1 << 20, "max_transaction_bytes": 1 << 18,
              "max_transaction_lifetime_ms": 120_000, "empty_block_gap_ms": 10_000},
    "consensus": {"window": 8, "checkpoint_interval": 128, "log_window": 512, "request_timeout_ms": 2_000,
                  "new_view_timeout_ms": 2_000, "timeout_cap_ms": 30_000, "status_interval_ms": 1_000,
                  "clock_tolerance_ms": 500, "batch_delay_ms": 10},
    "mempool": {"max_transactions": 50_000, "max_bytes": 64 << 20, "max_transactions_per_sender": 5_000,
                "max_bytes_per_sender": 8 << 20},
    "governance": {"max_clients": 100_000, "proposal_lifetime": 100_000, "max_transactions_per_member": None,
                   "max_bytes_per_member": None}}  # None: follows from the numbers of [block]
SUBMIT = ["open", "registry"]
GENESIS_VERSION = 2


class Refused(Exception):
    """An input is invalid, or no node accepted the transaction; the text says why."""


class Unproven(Refused):
    """A block belongs to an epoch whose committee is not proven: it is neither valid nor invalid."""


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


def read_proof(file: bytes, limit: int = MAX_PROOF):
    """The JSON of a receipt or finality proof, by the section "As JSON": numbers have only
    decimal digits."""
    require(len(file) <= limit, f"the text has more than {limit} bytes")

    def digits(text: str) -> int:
        require(text.isdecimal() and len(text) <= 20, f"not a number in range: {text:.64}")
        return int(text)
    try:
        return read_json(file.decode("utf-8"), parse_int=digits, parse_float=digits, parse_constant=digits)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the text is not JSON: {error}") from error


def read_epochs(file: bytes) -> dict:
    """The JSON of epoch proofs, by the same rules. `Anchor` verifies them."""
    epochs = read_proof(file, MAX_EPOCHS_FILE)
    fields(epochs, "chain_id proofs", "the list of epoch proofs")
    return epochs


# --- Genesis, Committees --------------------------------------------------------------------------------------------

def quorum_of(n: int) -> int:
    return (n + (n - 1) // 3) // 2 + 1


class Committee:
    """The members of one epoch, in the order of their indices, with what is known of its blocks."""

    def __init__(self, epoch: int, members: list[bytes], first: int = 0, parent: bytes | None = None):
        require(0 < len(members) <= MAX_MEMBERS and all(a < b for a, b in itertools.pairwise(members)),
                "the members of a committee are none, too many or not in ascending order")
        for member in members:
            require(is_point(member), "the key of a member is not a point of the curve")
        self.epoch, self.members = epoch, members
        self.hash = digest(COMMITTEE, number(epoch, "Q"), number(len(members), "I"), *members)
        self.quorum = quorum_of(len(members))
        self.first, self.parent = first, parent  # the first height, and the last block of the epoch before
        self.last: tuple[int, bytes] | None = None  # height and hash of the last block, if known


def predecessor_of(table) -> list[bytes]:
    """The chain that a network continues, as the end of the content of its genesis."""
    chain, height, block, epoch, state_root, clients, clients_root = fields(
        table, "chain_id height block epoch state_root clients clients_root", "[predecessor]")
    return [unhex(chain, 32), number(height, "Q"), unhex(block, 32), number(epoch, "Q"), unhex(state_root, 32),
            number(clients, "Q"), unhex(clients_root, 32)]


@dataclass(frozen=True)
class Genesis:
    """All that a verifier must trust. The right genesis file gives the right chain id and
    committee of epoch 0."""
    chain_id: bytes
    members: list[bytes]  # in the order of their indices
    max_lifetime_ms: int

    @staticmethod
    def parse(text: str) -> "Genesis":
        """Checks the form, but neither names nor ranges, nor whose governance keys are equal: no
        network has a genesis that breaks those rules."""
        require(len(text.encode()) <= MAX_FILE, "the genesis is too large")
        try:
            file = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise Refused(f"the genesis is not TOML: {error}") from error
        tables = {name: file.pop(name, {}) for name in (*NUMBERS, "clients")}
        predecessor = [] if "predecessor" not in file else predecessor_of(file.pop("predecessor"))
        version, name, time_ms, validators = fields(file, "version name genesis_time_ms validators", "the genesis")
        require(version == GENESIS_VERSION, f"version {version} of the genesis is unknown")
        validators = elements(validators, MAX_MEMBERS, "validators")
        for each in validators:
            require(isinstance(each, dict), "a validator is not a table")
            each.setdefault("governance_key", each.get("public_key"))
        members = [fields(each, "name public_key governance_key", "a validator") for each in validators]
        members = sorted((unhex(key, 33), unhex(governance, 33), name) for name, key, governance in members)
        keys = [key for key, _, _ in members]
        require(keys and len(set(keys)) == len(keys), "no validators, or two with the same key")
        for table, known in (*NUMBERS.items(), ("clients", {"submit": "open"})):
            given = tables[table]
            require(isinstance(given, dict) and given.keys() <= known.keys(), f"unknown fields in [{table}]")
            tables[table] = known | given
        submit = tables["clients"]["submit"]
        require(submit in SUBMIT, "clients.submit is neither \"open\" nor \"registry\"")
        block, quotas = tables["block"], tables["governance"]
        for each in block.values():
            number(each, "Q")
        if quotas["max_transactions_per_member"] is None:
            quotas["max_transactions_per_member"] = max(block["max_transactions"] // 4, 1)
        if quotas["max_bytes_per_member"] is None:
            quotas["max_bytes_per_member"] = max(block["max_body_bytes"] // 4, block["max_transaction_bytes"])
        string = lambda value: number(len(value), "I") + value.encode("ascii")
        numbers = {table: b"".join(number(value, "Q") for value in tables[table].values()) for table in NUMBERS}
        governance = numbers.pop("governance")
        chain_id = digest(GENESIS, number(version, "H"), string(name), number(time_ms, "Q"), number(len(members), "I"),
                          *(string(name) + key + governance_key for key, governance_key, name in members),
                          *numbers.values(), bytes([SUBMIT.index(submit)]), governance, *predecessor)
        return Genesis(chain_id, keys, tables["block"]["max_transaction_lifetime_ms"])


# --- Keys and signatures --------------------------------------------------------------------------------------------

def sign(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """The same key and message give the same bytes, so that signing again does not make a second
    transaction."""
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(PREHASHED, deterministic_signing=True)))
    return r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")


def is_point(public_key: bytes) -> bool:
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public_key)
    except ValueError:
        return False
    return len(public_key) == 33


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


class Anchor:
    """The chain and the committees of its proven epochs, from epoch 0 on without a gap. It never loses an
    epoch: a proof that is refused changes nothing, and proofs of earlier epochs are refused."""

    def __init__(self, genesis: Genesis, epochs: dict | None = None):
        """`epochs` is the JSON of epoch proofs. All of them must be valid."""
        self.chain_id, self.committees = genesis.chain_id, [Committee(0, genesis.members)]
        if epochs is not None:
            chain_id, proofs = fields(epochs, "chain_id proofs", "the list of epoch proofs")
            require(unhex(chain_id, 32) == self.chain_id, "the epoch proofs are of another chain")
            for proof in elements(proofs, MAX_EPOCH_PROOFS, "epoch proofs"):
                self.extend(proof)

    def extend(self, proof: dict):
        """Adds the epoch after the newest one."""
        last, members = fields(proof, "last next", "an epoch proof")
        newest = self.committees[-1]
        try:
            header = verify_finality(last, self)
        except Unproven as error:  # proofs that are missing or out of order
            raise Refused(f"an epoch proof is not about the end of epoch {newest.epoch}") from error
        require(header["epoch"] == newest.epoch, f"an epoch proof is not about the end of epoch {newest.epoch}")
        members = elements(members, MAX_MEMBERS, "the members of an epoch")
        require(header["committee"] != header["next_committee"], "the block of an epoch proof does not end its epoch")
        end = header["height"], block_hash(header)
        following = Committee(newest.epoch + 1, [unhex(key, 33) for key in members], end[0] + 1, end[1])
        require(following.hash == unhex(header["next_committee"]), "the block names another committee for the epoch")
        newest.last = end
        self.committees.append(following)

    def check_end(self, proof: dict):
        """Refuses another end of the epoch before the newest one than the known one."""
        last, _ = fields(proof, "last next", "an epoch proof")
        header, _, _ = fields(last, "header descendants certificate", "the proof")
        its_hash, ended = block_hash(header), self.committees[-2]
        require(ended.last == (header["height"], its_hash),
                f"the node has another end of epoch {ended.epoch} than is known here: do not trust it")

    def check_header(self, header: dict, its_hash: bytes) -> Committee:
        """The committee that certifies this header, if the header can be one of this chain."""
        require(header["version"] == VERSION, "a header has an unknown version")
        require(unhex(header["chain_id"]) == self.chain_id, "a header belongs to another chain")
        height, newest = header["height"], self.committees[-1].epoch
        if header["epoch"] > newest:
            raise Unproven(f"unproven: the block belongs to epoch {header['epoch']}, but the committees are proven only "
                           f"up to epoch {newest}; give the epoch proofs up to epoch {header['epoch']}")
        committee = self.committees[header["epoch"]]
        require(unhex(header["committee"]) == committee.hash, "a header has another committee")
        require(height >= committee.first, "a header is below the first height of its epoch")
        if height == committee.first and committee.parent is not None:
            require(unhex(header["parent"]) == committee.parent, "the first block of an epoch contradicts its proof")
        if committee.last is not None:
            require(height <= committee.last[0], "a header is above the last height of its epoch")
            require((height == committee.last[0]) == (header["next_committee"] != header["committee"]),
                    "a header ends its epoch at another height")
            require(height < committee.last[0] or its_hash == committee.last[1],
                    "the last block of an epoch contradicts its proof")
        return committee


def verify_proof(proof: dict, genesis: Genesis, epochs: dict | None = None) -> dict:
    """Verifies a proof of `chain_proof` that a block is final, and returns the header of the
    block. `epochs` is the JSON of epoch proofs; without them, only blocks of epoch 0 are proven."""
    return verify_finality(proof, Anchor(genesis, epochs))


def verify_finality(proof: dict, anchor: Anchor) -> dict:
    """The same with an anchor, which has verified the epoch proofs."""
    header, descendants, certificate = fields(proof, "header descendants certificate", "the proof")
    committee = parent = parent_hash = None
    for each in [header, *elements(descendants, MAX_DESCENDANTS, "descendants")]:
        its_hash = block_hash(each)
        # A committee certifies nothing beyond its epoch.
        require(parent is None or (each["epoch"] == parent["epoch"]
                                   and parent["committee"] == parent["next_committee"]),
                "a descendant is beyond the end of its epoch")
        committee = anchor.check_header(each, its_hash)
        require(parent is None or (each["height"] == parent["height"] + 1 and unhex(each["parent"]) == parent_hash
                                   and each["timestamp_ms"] > parent["timestamp_ms"]), "a descendant does not follow")
        parent, parent_hash = each, its_hash
    verify_certificate(certificate, parent, parent_hash, anchor.chain_id, committee)
    return header


def verify_certificate(certificate: dict, header: dict, its_hash: bytes, chain_id: bytes, committee: Committee):
    epoch, view, height, block, signers, signatures = fields(
        certificate, "epoch view height block signers signatures", "the certificate")
    ballot = number(epoch, "Q") + number(view, "Q") + number(height, "Q") + unhex(block, 32)
    require((epoch, height, unhex(block)) == (header["epoch"], header["height"], its_hash),
            "the certificate is for another block")
    statement, members = digest(COMMIT, chain_id, ballot), committee.members
    require(len(elements(signers, MAX_MEMBERS, "signers")) == len(elements(signatures, MAX_MEMBERS, "signatures"))
            == committee.quorum, f"the certificate has not exactly a quorum of {committee.quorum} signers")
    require(all(type(each) is int and 0 <= each < len(members) for each in signers)
            and all(a < b for a, b in itertools.pairwise(signers)), "signers are not ascending indices of members")
    for signer, signature in zip(signers, signatures):
        verify_signature(members[signer], statement, unhex(signature, 64))


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


def verify_receipt(receipt: dict, genesis: Genesis, epochs: dict | None = None) -> dict:
    """Verifies a receipt of `tx_receipt`, and returns the header of the transaction's block.
    `epochs` is the JSON of epoch proofs; without them, only blocks of epoch 0 are proven."""
    return verify_inclusion(receipt, Anchor(genesis, epochs))


def verify_inclusion(receipt: dict, anchor: Anchor) -> dict:
    """The same with an anchor, which has verified the epoch proofs."""
    transaction, index, path, proof = fields(receipt, "transaction index path proof", "the receipt")
    header = verify_finality(proof, anchor)
    number(index, "I")
    root = root_of_path(unhex(transaction, 32), index, header["transaction_count"], path)
    require(root == unhex(header["transactions_root"]), "the path does not lead to the block's root")
    return header
