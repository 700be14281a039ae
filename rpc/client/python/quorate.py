#!/usr/bin/env python3
"""A Python client of Quorate, written from rpc/README.md; wire.py has the formats.

    python quorate.py send --node http://127.0.0.1:8545 --genesis genesis.toml --data hello > receipt.json
    python quorate.py verify receipt.json --genesis genesis.toml

`send` signs a transaction and submits the same bytes to one node after another until the
transaction is final. It prints the receipt only if its proof is valid. `verify` needs no network.
Exit code 0 means proven; otherwise stderr explains why not.

The genesis proves blocks of epoch 0. A block of a later epoch is unproven without the epoch proofs:
neither valid nor invalid. `verify` reads them from a file (`--epochs epochs.json`), and gets those that
it lacks from a node (`--node URL`). With both, it adds them to the file, as `send --epochs` does.

Python 3.11 or newer, with `pip install -r requirements.txt`.
"""
import argparse
import http.client
import itertools
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import wire

MAX_READ = 16 << 20  # bytes of an answer, as a node limits it, or of a file
MAX_MESSAGE = 1024  # characters of a node's error message that are shown
MAX_PAUSE_S = 2  # before another attempt, even if a node requests a longer pause
# Exceptions for no valid answer: network errors, and answers that do not follow rpc/README.md.
NO_ANSWER = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, RecursionError, wire.Refused)


class NodeError(Exception):
    """A node refused a call. `kind` and `retryable` are for programs, the text is for people."""

    def __init__(self, error: dict):
        super().__init__(str(error.get("message"))[:MAX_MESSAGE])
        data = error.get("data") if isinstance(error.get("data"), dict) else {}
        self.kind, self.retryable = data.get("kind"), data.get("retryable") is True
        self.retry_after_s = min((data.get("retry_after_ms") or 0) / 1000, MAX_PAUSE_S)


def call(node: str, method: str, params: dict, timeout_s: float):
    """One JSON-RPC call. Raises NodeError for a refusal, and one of NO_ANSWER if there is no
    valid answer."""
    def read_all(stream):
        text, end = b"", time.monotonic() + timeout_s
        while piece := stream.read1(1 << 16):
            text += piece
            wire.require(len(text) <= MAX_READ and time.monotonic() < end, "the answer is too large or too slow")
        return text
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(node, body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            text = read_all(answer)
    except urllib.error.HTTPError as refusal:
        # The node refused before the method ran. The body is a JSON-RPC error too.
        text = read_all(refusal)
    answer = wire.read_json(text)
    if not isinstance(answer, dict) or "result" not in answer and not isinstance(answer.get("error"), dict):
        raise ValueError("not a JSON-RPC answer")
    if "result" not in answer:
        raise NodeError(answer["error"])
    return answer["result"]


class Epochs:
    """The epoch proofs that are known. They are only ever extended: a node that proves fewer epochs
    than others changes nothing."""

    def __init__(self, genesis: wire.Genesis, known: dict | None = None):
        """`known` is the JSON of epoch proofs. All of them must be valid."""
        self.genesis, self.json = genesis, known or {"chain_id": "0x" + genesis.chain_id.hex(), "proofs": []}
        self.anchor = wire.Anchor(genesis, self.json)

    def extend_from(self, node: str, timeout_s: float):
        """Adds all valid proofs of a node, up to the limit of WIRE.md. Refuses a node that leads back: one that
        proves fewer epochs than are known, or another end of the newest one that has ended."""
        def get(from_epoch: int) -> list:
            more = call(node, "network_epochs", {"from_epoch": from_epoch}, timeout_s)["proofs"]
            wire.require(isinstance(more, list), "the epoch proofs are not a list")
            return more
        known = self.json["proofs"]
        if known:
            last = get(len(known) - 1)
            wire.require(last, f"{node} does not prove the end of epoch {len(known) - 1}, which is known here: it is "
                         "behind, or not correct")
            self.anchor.check_end(last[0])
        while len(known) < wire.MAX_EPOCH_PROOFS and (more := get(len(known))):
            for proof in more[:wire.MAX_EPOCH_PROOFS - len(known)]:
                self.anchor.extend(proof)
                known.append(proof)

    def verify_receipt(self, node: str, receipt: dict, timeout_s: float) -> dict:
        """Verifies a receipt of a node. If its block is of a later epoch than those that are proven, the
        node must prove that epoch, too."""
        try:
            return wire.verify_inclusion(receipt, self.anchor)
        except wire.Unproven:
            self.extend_from(node, timeout_s)
            return wire.verify_inclusion(receipt, self.anchor)


def submit(nodes: list[str], epochs: Epochs, transaction: bytes, timeout_s: float) -> dict:
    """Submits the same bytes until a node answers with a valid receipt, and returns the receipt.

    A node that is slow, down, busy or faulty costs only time, because the client tries the other
    nodes too. The client stops only when all nodes have refused with an error that is not
    retryable, or after `timeout_s`.
    """
    wanted, end = "0x" + wire.transaction_id(transaction).hex(), time.monotonic() + timeout_s
    said, refused = {}, set()  # the last answer of each node; the nodes that refused for good
    for node in itertools.cycle(nodes):
        left, pause_s = end - time.monotonic(), 0.2
        if left <= 0 or refused.issuperset(nodes):
            raise wire.Refused(f"{wanted} is not known to be final. " + " ".join(f"{who}: {what}." for who, what in
                               said.items()) + ("" if left > 0 else " The same bytes may be sent again."))
        if node in refused:
            continue
        wait_s = min(left, 5)
        params = {"transaction": "0x" + transaction.hex(), "wait": "committed", "timeout_ms": int(wait_s * 1000)}
        try:
            result = call(node, "tx_submit", params, wait_s + 2)
            if result["status"] == "committed":
                receipt = result["receipt"]
                epochs.verify_receipt(node, receipt, wait_s + 2)
                wire.require(receipt["transaction"] == wanted, "the receipt is of another transaction")
                return receipt
            said[node] = result["status"]
            if result["status"] in ("expired", "rejected"):
                refused.add(node)
        except NodeError as error:
            said[node], pause_s = f"{error} ({error.kind})", max(pause_s, error.retry_after_s)
            if not error.retryable:
                refused.add(node)
        except NO_ANSWER as error:
            said[node] = f"no valid answer: {error!r}"
        time.sleep(max(0, min(pause_s, end - time.monotonic())))


def load_key(path: str | None) -> ec.EllipticCurvePrivateKey:
    """The key in a PEM file of `quorate key new`, or a new key: an open network accepts
    transactions of every key."""
    if path is None:
        return ec.generate_private_key(ec.SECP256K1())
    with open(path, "rb") as file:
        wire.require(os.fstat(file.fileno()).st_mode & 0o077 == 0,
                     f"other users can access {path}: run chmod 600 on it")
        passphrase = os.environ.get("QUORATE_PASSPHRASE")
        key = load_pem_private_key(file.read(MAX_READ), passphrase.encode() if passphrase else None)
    wire.require(isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256K1),
                 f"{path} is not a key of secp256k1")
    return key


def read(path: str, limit: int = MAX_READ) -> bytes:
    with sys.stdin.buffer if path == "-" else open(path, "rb") as file:
        return file.read(limit + 1)


class EpochsFile:
    """The epoch proofs in a file, which are only ever extended. Without a file, they begin with the genesis."""

    def __init__(self, path: str | None, genesis: wire.Genesis, must_exist: bool):
        self.path = path
        self.exists = path is not None and (must_exist or os.path.exists(path))
        self.epochs = Epochs(genesis, wire.read_epochs(read(path, wire.MAX_EPOCHS_FILE)) if self.exists else None)
        self.count = len(self.epochs.json["proofs"])

    def save(self):
        """Writes the proofs if there are new ones, or if there is no file yet."""
        if self.path is not None and (not self.exists or len(self.epochs.json["proofs"]) > self.count):
            # Replace the file as a whole, so that an interruption does not lose the proofs.
            with open(self.path + ".new", "w", encoding="ascii") as file:
                json.dump(self.epochs.json, file)
            os.replace(self.path + ".new", self.path)


def send(args) -> dict:
    genesis = wire.Genesis.parse(read(args.genesis).decode())
    file = EpochsFile(args.epochs, genesis, must_exist=False)
    receipt = sign_and_submit(args, genesis, file.epochs)
    file.save()
    return receipt


def sign_and_submit(args, genesis: wire.Genesis, epochs: Epochs) -> dict:
    if args.transaction is not None:
        return submit(args.node, epochs, wire.unhex(args.transaction), args.timeout)
    # Use half of the maximum lifetime. With the whole, a node whose clock is behind ours refuses
    # the transaction.
    valid_until_ms = time.time_ns() // 1_000_000 + genesis.max_lifetime_ms // 2
    # Any number that makes the transaction unique; below 2^53, so that every JSON reader shows it
    # exactly.
    nonce = secrets.randbits(53)
    transaction = wire.make_transaction(genesis, load_key(args.key), nonce, valid_until_ms, args.data.encode())
    # It is always safe to submit these bytes again.
    print(f"transaction 0x{transaction.hex()}", file=sys.stderr)
    return submit(args.node, epochs, transaction, args.timeout)


def verify(args) -> dict:
    genesis, claim = wire.Genesis.parse(read(args.genesis).decode()), wire.read_proof(read(args.file))
    is_receipt = isinstance(claim, dict) and "path" in claim
    if args.transaction is not None:
        wanted = "0x" + wire.transaction_id(wire.unhex(args.transaction)).hex()
        wire.require(is_receipt and claim.get("transaction") == wanted, f"this is not a receipt of {wanted}")
    file = EpochsFile(args.epochs, genesis, must_exist=args.node is None)
    if args.node is not None:
        file.epochs.extend_from(args.node, args.timeout)
        file.save()
    check = wire.verify_inclusion if is_receipt else wire.verify_finality
    header = check(claim, file.epochs.anchor)
    facts = {"transaction": claim["transaction"], "index": claim["index"]} if is_receipt else {}
    return {"proven": True, **facts, "height": header["height"], "block": "0x" + wire.block_hash(header).hex(),
            "timestamp_ms": header["timestamp_ms"], "chain_id": header["chain_id"], "epoch": header["epoch"]}


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Send a transaction and store its receipt; verify receipts and proofs offline.")
    commands = parser.add_subparsers(required=True)
    sending = commands.add_parser("send", help="sign and send data; print the receipt once the transaction is final")
    sending.add_argument("--node", action="append", required=True,
                         help="the address of a node, e.g. http://127.0.0.1:8545; "
                         "repeat the option to try several nodes one after the other")
    content = sending.add_mutually_exclusive_group(required=True)
    content.add_argument("--data", help="text, sent as UTF-8")
    content.add_argument("--transaction", help="hex of a signed transaction, to submit the same bytes again")
    sending.add_argument("--key", help="PEM file of `quorate key new`; without it a new key signs")
    sending.add_argument("--epochs", help="JSON file of epoch proofs to begin with; proofs of later epochs are added "
                         "to it, or written to it if it does not exist")
    sending.set_defaults(run=send)
    verifying = commands.add_parser("verify", help="verify a receipt, or a proof of chain_proof")
    verifying.add_argument("file", help="JSON file, or - for stdin")
    verifying.add_argument("--transaction", help="hex of the whole transaction that the receipt must be of")
    verifying.add_argument("--epochs", help="JSON file of the epoch proofs, for blocks of later epochs than 0; with "
                           "--node, further proofs are added to it")
    verifying.add_argument("--node", help="the address of a node to get epoch proofs from. The node need not be "
                           "trusted, because each proof is verified. Without this option, verify needs no network")
    verifying.set_defaults(run=verify)
    for command in (sending, verifying):
        command.add_argument("--genesis", required=True,
                             help="the genesis file of the network, from a source that you trust")
        command.add_argument("--timeout", type=float, default=30, help="seconds after which to stop")
    args = parser.parse_args()
    try:
        print(json.dumps(args.run(args)))
        return 0
    except NO_ANSWER as error:
        print(f"quorate.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
