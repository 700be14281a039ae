"""Tests wire.py with the vectors of ledger/WIRE.md and with altered receipts.

Run with python -m unittest discover rpc/client/python
"""
import copy
import pathlib
import re
import struct
import unittest

from cryptography.hazmat.primitives.asymmetric import ec

import wire

PAGE = (pathlib.Path(__file__).parents[3] / "ledger" / "WIRE.md").read_text(encoding="utf-8")
VECTORS = {name: "".join(value.split()) for block in re.findall(r"^```vectors \w+\n(.*?)^```", PAGE, re.M | re.S)
           for name, value in re.findall(r"^(\w+) = (0x[0-9a-f]*(?:\n  [0-9a-f]+)*)", block, re.M)}


def vector(name: str) -> bytes:
    return wire.unhex(VECTORS[name])


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


def header(encoded: bytes) -> dict:
    values, at = [], 0
    for form in wire.HEADER_FIELDS.values():
        size = 32 if form == "hash" else struct.calcsize("<" + form)
        piece, at = encoded[at:at + size], at + size
        values.append(hexed(piece) if form == "hash" else int.from_bytes(piece, "little"))
    return dict(zip(wire.HEADER_FIELDS, values))


def epoch_proof_of_vectors() -> dict:
    """The epoch proof of WIRE.md as JSON. It has no descendants, three signatures and four members."""
    encoded = vector("epoch_proof")
    ballot, signatures, keys = encoded[200:256], encoded[264:456], encoded[460:]
    certificate = {"epoch": int.from_bytes(ballot[:8], "little"), "view": int.from_bytes(ballot[8:16], "little"),
                   "height": int.from_bytes(ballot[16:24], "little"), "block": hexed(ballot[24:]),
                   "signers": [0, 1, 2], "signatures": [hexed(signatures[i:i + 64]) for i in (0, 64, 128)]}
    last = {"header": header(encoded[:196]), "descendants": [], "certificate": certificate}
    return {"last": last, "next": [hexed(keys[i:i + 33]) for i in range(0, 132, 33)]}


def receipt_of_vectors() -> dict:
    """The receipt of WIRE.md as JSON, as `tx_receipt` returns it."""
    path = vector("receipt")[40:104]
    certificate = {"epoch": 0, "view": 2, "height": 8, "block": VECTORS["next_block_hash"], "signers": [0, 1, 2],
                   "signatures": [VECTORS[f"commit_signature_{i}"] for i in range(3)]}
    proof = {"header": header(vector("header")), "descendants": [header(vector("next_header"))],
             "certificate": certificate}
    return {"transaction": VECTORS["body_id_1"], "index": 1, "proof": proof,
            "path": [hexed(path[:32]), hexed(path[32:])]}


def certified(header: dict, descendants: list, **changes) -> dict:
    """A finality proof that the members 0, 1 and 3 of the vectors sign, with an altered ballot."""
    last = [header, *descendants][-1]
    certificate = {"epoch": 0, "view": 5, "height": last["height"], "block": hexed(wire.block_hash(last))} | changes
    numbers = struct.pack("<QQQ", certificate["epoch"], certificate["view"], certificate["height"])
    statement = wire.digest(4, vector("chain_id"), numbers, wire.unhex(certificate["block"]))
    secrets = (int.from_bytes(vector(f"member_secret_{i}"), "big") for i in (0, 1, 3))
    signatures = [hexed(wire.sign(ec.derive_private_key(each, ec.SECP256K1()), statement)) for each in secrets]
    return {"header": header, "descendants": descendants,
            "certificate": certificate | {"signers": [0, 1, 3], "signatures": signatures}}


def altered(value):
    """Copies of a JSON value in which one digit, number, element or field is changed, removed or
    added."""
    def places(inner, where=()):
        for key in inner if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ():
            yield *where, key
            yield from places(inner[key], (*where, key))
    for *where, last in places(value):
        def change(to):
            other = copy.deepcopy(value)
            inner = other
            for key in where:
                inner = inner[key]
            inner[last] = to(inner[last])
            return other
        leaf = value
        for key in (*where, last):
            leaf = leaf[key]
        if isinstance(leaf, str):
            for i in range(2, len(leaf)):
                digit = "0123456789abcdef"[(int(leaf[i], 16) + 1 + i % 15) % 16]
                yield change(lambda text: text[:i] + digit + text[i + 1:])
            for to in (leaf + "00", leaf[:-2], leaf.upper(), leaf[2:], None, 0):
                yield change(lambda _: to)
        elif isinstance(leaf, int):
            for to in (leaf + 1, leaf - 1, float(leaf), str(leaf), leaf + 256, leaf + 2 ** 32, 2 ** 64, None, not leaf):
                yield change(lambda _: to)
        elif isinstance(leaf, list):
            for to in (leaf + [None], leaf + leaf[-1:], leaf[:-1], leaf[::-1], {}):
                if to != leaf:
                    yield change(lambda _: to)
        else:
            yield change(lambda inner: inner | {"unknown": 1})
            for name in leaf:
                yield change(lambda inner: {key: value for key, value in inner.items() if key != name})


class Files(unittest.TestCase):
    """The files on which every verifier must agree. The tests of the program and of verify.js
    read them too."""
    folder = pathlib.Path(__file__).parents[3] / "ledger" / "receipts"
    genesis = wire.Genesis.parse((folder / "genesis.toml").read_text(encoding="utf-8"))

    def test_every_good_file_is_proven(self):
        files = sorted((self.folder / "good").iterdir())
        self.assertGreater(len(files), 10)
        for file in files:
            with self.subTest(file.name):
                wire.verify_receipt(wire.read_proof(file.read_bytes()), self.genesis)

    def test_no_bad_file_is_proven(self):
        files = sorted((self.folder / "bad").iterdir())
        self.assertGreater(len(files), 80)
        for file in files:
            with self.subTest(file.name), self.assertRaises(wire.Refused):
                wire.verify_receipt(wire.read_proof(file.read_bytes()), self.genesis)


class Wire(unittest.TestCase):
    genesis = wire.Genesis(vector("chain_id"), [vector(f"member_{i}") for i in range(4)], 120_000)

    def test_hashes_and_quorums_are_those_of_the_vectors(self):
        self.assertEqual(wire.digest(66, b"abc"), vector("hash"))
        for n, quorum in enumerate(vector("quorums"), 1):
            self.assertEqual(wire.quorum_of(n), quorum)

    def test_the_genesis_file_has_the_chain_id_of_the_vectors(self):
        text = re.search(r"```toml\n(.*?)```", PAGE, re.S)[1]
        self.assertEqual(wire.Genesis.parse(text).chain_id, vector("genesis_chain_id"))
        for more in ("[block]\nwindow = 8", "[block]\nmax_transactions = true", "[clients]\nsubmit = \"all\"",
                     "[clients]\nsubmit = 1", "[governance]\nmax_clients = true", "[governance]\nmax_client = 1",
                     "governance_key = \"0x02\"", "x = 1"):
            with self.assertRaises(wire.Refused, msg=more):
                wire.Genesis.parse(more + "\n" + text if more[0] == "x" else text + more)
        for version in ("", "version = 1\n", "version = 3\n"):
            with self.assertRaises(wire.Refused, msg=version):
                wire.Genesis.parse(text.replace("version = 2\n", version))

    def test_a_genesis_that_continues_a_chain_has_the_chain_id_of_the_vectors(self):
        text, table = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
        self.assertEqual(wire.Genesis.parse(text + table).chain_id, vector("genesis_continued_chain_id"))
        for wrong in (table.replace("height = 149\n", ""), table + "hight = 1\n", table.replace("149", "true"),
                      table.replace("\"0x1111", "\"0x11"), "predecessor = 1\n"):
            with self.assertRaises(wire.Refused, msg=wrong):
                wire.Genesis.parse(wrong + text if "[" not in wrong else text + wrong)

    def test_omitted_quotas_follow_the_blocks(self):
        text = re.search(r"```toml\n(.*?)```", PAGE, re.S)[1]
        chain_id = lambda more: wire.Genesis.parse(text + more).chain_id
        quotas = "[governance]\nmax_transactions_per_member = {}\nmax_bytes_per_member = {}"
        self.assertEqual(chain_id(quotas.format(250, 262_144)), chain_id(""))
        blocks = "[block]\nmax_transactions = 3\nmax_transaction_bytes = 1_000_000\n"
        self.assertEqual(chain_id(blocks + quotas.format(1, 1_000_000)), chain_id(blocks))
        ids = {chain_id(more) for more in ("", blocks, quotas.format(1, 2), "[clients]\nsubmit = \"registry\"")}
        self.assertEqual(len(ids), 4)

    def test_a_transaction_is_signed_as_in_the_vectors(self):
        key = ec.derive_private_key(int.from_bytes(vector("secret_key"), "big"), ec.SECP256K1())
        transaction = wire.make_transaction(self.genesis, key, 7, 1_700_000_060_000, b"hello")
        self.assertEqual(transaction, vector("transaction"))
        self.assertEqual(wire.transaction_id(transaction), vector("transaction_id"))
        sender, message = transaction[:33], vector("transaction_signing_hash")
        wire.verify_signature(sender, message, transaction[-64:])
        with self.assertRaises(wire.Refused):
            wire.verify_signature(sender, message, vector("transaction_high_s")[-64:])

    def test_the_receipt_of_the_vectors_is_good_and_no_alteration_of_it_is(self):
        receipt = receipt_of_vectors()
        self.assertEqual(wire.block_hash(wire.verify_receipt(receipt, self.genesis)), vector("block_hash"))
        count = 0
        for other in altered(receipt):
            count += 1
            with self.assertRaises(wire.Refused, msg=str(other)):
                wire.verify_receipt(other, self.genesis)
        self.assertGreater(count, 1_000)

    def test_what_a_quorum_signs_does_not_hold_if_the_headers_break_a_rule(self):
        proof, other = receipt_of_vectors()["proof"], VECTORS["hash"]
        header, after = proof["header"], proof["descendants"][0]
        later = after["timestamp_ms"] + 1
        third = after | {"height": 9, "parent": hexed(wire.block_hash(after)), "timestamp_ms": later}
        for descendants in ([], [after], [after, third]):
            wire.verify_proof(certified(header, descendants), self.genesis)
        rules = [{"version": 1}, {"version": 3}, {"epoch": 1}, {"chain_id": other}, {"committee": other}]
        links = [{"height": 9}, {"height": 7}, {"parent": other}, {"timestamp_ms": header["timestamp_ms"]}]
        bad = [certified(header | rule, []) for rule in rules]
        bad += [certified(header, [after | change]) for change in rules + links]
        bad += [certified(header, [], **change) for change in ({"epoch": 1}, {"height": 8}, {"block": other})]
        bad += [certified(header, [third]), certified(header, [after] * 65)]
        ends = header | {"next_committee": other}
        wire.verify_proof(certified(ends, []), self.genesis)
        bad += [certified(ends, [after | {"parent": hexed(wire.block_hash(ends))}])]
        for each in bad:
            with self.assertRaises(wire.Refused, msg=str(each)):
                wire.verify_proof(each, self.genesis)

    def test_the_epoch_proof_of_the_vectors_is_good_and_no_alteration_of_it_is(self):
        proof = epoch_proof_of_vectors()
        epochs = {"chain_id": VECTORS["chain_id"], "proofs": [proof]}
        anchor = wire.Anchor(self.genesis, epochs)
        self.assertEqual(anchor.committees[0].hash, vector("committee_hash"))
        self.assertEqual(anchor.committees[1].hash, vector("next_committee_hash"))
        self.assertEqual(anchor.committees[1].first, 10)
        wire.verify_receipt(receipt_of_vectors(), self.genesis, epochs)
        for other in altered(proof):
            with self.assertRaises(wire.Refused, msg=str(other)):
                wire.Anchor(self.genesis, epochs | {"proofs": [other]})
        for other in ([], "", 0, {}, [epochs], epochs | {"unknown": 1}, epochs | {"chain_id": VECTORS["hash"]}):
            with self.assertRaises(wire.Refused, msg=str(other)):
                wire.Anchor(self.genesis, other)
        for text in (b"null", b"[]", b"{}"):
            with self.assertRaises(wire.Refused, msg=str(text)):
                wire.read_epochs(text)

    def test_paths_lead_to_the_roots_of_the_vectors(self):
        ids = [bytes([i]) * 32 for i in range(5)]
        leaf, root_2 = hexed(wire.digest(wire.LEAF, ids[0])), VECTORS["tree_root_2"]
        of_5 = {i: ["0x" + each for each in re.findall(".{64}", VECTORS[f"tree_path_{i}_of_5"][10:])] for i in (3, 4)}
        for index, count, path in ((0, 1, []), (1, 2, [leaf]), (2, 3, [root_2]), (3, 5, of_5[3]), (4, 5, of_5[4])):
            self.assertEqual(wire.root_of_path(ids[index], index, count, path), vector(f"tree_root_{count}"))
            for wrong in (path + [leaf], path[:-1] if path else [root_2]):
                with self.assertRaises(wire.Refused):
                    wire.root_of_path(ids[index], index, count, wrong)
        with self.assertRaises(wire.Refused):
            wire.root_of_path(ids[3], 3, 3, [leaf, root_2])

    def test_a_quorum_is_exact(self):
        for signers in ([0, 1], [0, 1, 2, 3], [0, 1, 1], [1, 0, 2]):
            receipt = receipt_of_vectors()
            receipt["proof"]["certificate"] |= {
                "signers": signers, "signatures": [VECTORS[f"commit_signature_{i}"] for i in signers]}
            with self.assertRaises(wire.Refused):
                wire.verify_receipt(receipt, self.genesis)


if __name__ == "__main__":
    unittest.main()
