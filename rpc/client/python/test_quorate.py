"""Tests of the client against the files of ledger/receipts and against nodes that are functions."""
import json
import pathlib
import unittest
from unittest import mock

import quorate
import wire

RECEIPTS = pathlib.Path(__file__).parents[3] / "ledger" / "receipts"
OF_EPOCH_2 = "epochs/good/first-of-epoch-2/"


def read(name: str):
    return json.loads((RECEIPTS / name).read_text())


class EpochsTest(unittest.TestCase):
    def setUp(self):
        self.genesis = wire.Genesis.parse((RECEIPTS / "genesis.toml").read_text())
        self.proofs = read(OF_EPOCH_2 + "epochs.json")["proofs"]
        self.receipt = read(OF_EPOCH_2 + "receipt.json")

    def node(self, proofs):
        """A node with these proofs; it returns one at a time."""
        def call(_node, method, params, _timeout_s):
            self.assertEqual(method, "network_epochs")
            return {"chain_id": "0x" + self.genesis.chain_id.hex(), "proofs": proofs[params["from_epoch"]:][:1]}
        return mock.patch.object(quorate, "call", call)

    def test_a_receipt_of_a_later_epoch_extends_the_known_epochs(self):
        epochs = quorate.Epochs(self.genesis)
        with self.node(self.proofs):
            epochs.verify_receipt("node", self.receipt, 1)
        self.assertEqual(epochs.json["proofs"], self.proofs)
        # Another client begins with them, and needs no node.
        with mock.patch.object(quorate, "call", side_effect=AssertionError):
            quorate.Epochs(self.genesis, epochs.json).verify_receipt("node", self.receipt, 1)

    def test_a_node_with_fewer_epochs_does_not_lead_back(self):
        epochs = quorate.Epochs(self.genesis, read(OF_EPOCH_2 + "epochs.json"))
        with self.node(self.proofs[:1]):
            epochs.extend_from("node", 1)
        self.assertEqual(epochs.json["proofs"], self.proofs)

    def test_a_node_without_the_proofs_leaves_the_receipt_unproven(self):
        epochs = quorate.Epochs(self.genesis)
        with self.node([]), self.assertRaises(wire.Unproven):
            epochs.verify_receipt("node", self.receipt, 1)

    def test_invalid_proofs_are_refused_and_not_kept(self):
        epochs = quorate.Epochs(self.genesis)
        false = json.loads(json.dumps(self.proofs[0]))
        false["next"] = list(reversed(false["next"]))
        with self.node([false]), self.assertRaises(wire.Refused):
            epochs.verify_receipt("node", self.receipt, 1)
        self.assertEqual(epochs.json["proofs"], [])


if __name__ == "__main__":
    unittest.main()
