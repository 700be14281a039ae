"""Tests of chains with several epochs, with the files of ledger/receipts.

The tests of the program and of verify.js read the same files.
"""
import copy
import json
import unittest

import test_wire
import wire

FOLDER, GENESIS = test_wire.Files.folder, test_wire.Files.genesis


def flips(value):
    """Copies of a JSON value: in each, one byte of one hash, key, signature or number is another."""
    def places(inner, where=()):
        for key in inner if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ():
            yield *where, key
            yield from places(inner[key], (*where, key))

    for *where, last in places(value):
        other = copy.deepcopy(value)
        inner = other
        for key in where:
            inner = inner[key]
        leaf = inner[last]
        size = 8 if isinstance(leaf, int) else len(leaf) // 2 - 1 if isinstance(leaf, str) else 0
        for i in range(size):
            mask = 1 << (8 * i if isinstance(leaf, int) else 8 * (size - 1 - i) + i % 8)
            inner[last] = leaf ^ mask if isinstance(leaf, int) else f"0x{int(leaf, 16) ^ mask:0{2 * size}x}"
            yield f"byte {i} of {(*where, last)}", other
        inner[last] = leaf


class Cases(unittest.TestCase):
    """A folder for each receipt with its epoch proofs."""
    folder = FOLDER / "epochs"

    def verify(self, case):
        epochs = wire.read_epochs((case / "epochs.json").read_bytes())
        return wire.verify_receipt(wire.read_proof((case / "receipt.json").read_bytes()), GENESIS, epochs)

    def cases(self, kind, least):
        cases = sorted((self.folder / kind).iterdir())
        self.assertGreaterEqual(len(cases), least)
        return cases

    def test_every_good_case_is_proven(self):
        for case in self.cases("good", 10):
            with self.subTest(case.name):
                self.verify(case)

    def test_no_bad_case_is_proven_and_none_is_called_unproven(self):
        for case in self.cases("bad", 40):
            with self.subTest(case.name), self.assertRaises(wire.Refused) as caught:
                self.verify(case)
            self.assertNotIsInstance(caught.exception, wire.Unproven, case.name)

    def test_receipts_of_later_epochs_are_unproven(self):
        for case in self.cases("unproven", 3):
            with self.subTest(case.name), self.assertRaisesRegex(wire.Unproven, "give the epoch proofs"):
                self.verify(case)


class EveryByte(unittest.TestCase):
    """A receipt of each epoch, and the proofs that lead to them."""
    def setUp(self):
        read = lambda name: (FOLDER / "every-byte" / name).read_bytes()
        self.epochs = wire.read_epochs(read("epochs.json"))
        self.receipts = [wire.read_proof(read(f"epoch-{epoch}.json")) for epoch in range(3)]

    def test_a_receipt_of_each_epoch_is_proven_and_with_fewer_proofs_unproven(self):
        proofs = self.epochs["proofs"]
        for epoch, receipt in enumerate(self.receipts):
            self.assertEqual(receipt["proof"]["header"]["epoch"], epoch)
            for known in range(len(proofs) + 1):
                with self.subTest(epoch=epoch, known=known):
                    epochs = self.epochs | {"proofs": proofs[:known]}
                    if known >= epoch:
                        wire.verify_receipt(receipt, GENESIS, epochs)
                    else:
                        with self.assertRaises(wire.Unproven):
                            wire.verify_receipt(receipt, GENESIS, epochs)

    def test_with_any_byte_of_a_receipt_changed_it_is_not_valid(self):
        anchor = wire.Anchor(GENESIS, self.epochs)
        for receipt in self.receipts:
            count = 0
            for what, other in flips(receipt):
                count += 1
                with self.assertRaises(wire.Refused, msg=what):
                    wire.verify_inclusion(other, anchor)
            self.assertGreater(count, 600)

    def test_with_any_byte_of_the_epoch_proofs_changed_no_receipt_is_valid(self):
        count = 0
        for what, other in flips(self.epochs):
            count += 1
            with self.assertRaises(wire.Refused, msg=what) as caught:
                wire.verify_receipt(self.receipts[count % 3], GENESIS, other)
            self.assertNotIsInstance(caught.exception, wire.Unproven, what)
        self.assertGreater(count, 1200)

    def test_every_byte_is_flipped_once(self):
        value = {"a": "0x00ff", "b": [3, "0x"], "c": {"d": "0x80"}}
        found = [json.dumps(other) for _, other in flips(value)]
        self.assertEqual(len(found), 2 + 8 + 1)
        self.assertEqual(len({json.dumps(value), *found}), len(found) + 1)
        self.assertEqual(found[:2], ['{"a": "0x01ff", "b": [3, "0x"], "c": {"d": "0x80"}}',
                                     '{"a": "0x00fd", "b": [3, "0x"], "c": {"d": "0x80"}}'])


if __name__ == "__main__":
    unittest.main()
