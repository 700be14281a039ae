"""Tests of the client against the files of ledger/receipts and against nodes that are functions."""
import contextlib
import io
import json
import pathlib
import tempfile
import unittest
from unittest import mock

import quorate
import test_wire
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
            return {"chain_id": "unread", "proofs": proofs[params["from_epoch"]:][:1]}
        return mock.patch.object(quorate, "call", call)

    def test_a_receipt_of_a_later_epoch_extends_the_known_epochs(self):
        epochs = quorate.Epochs(self.genesis)
        with self.node(self.proofs):
            epochs.verify_receipt("node", self.receipt, 1)
        self.assertEqual(epochs.json["proofs"], self.proofs)
        # Another client begins with them, and needs no node.
        with mock.patch.object(quorate, "call", side_effect=AssertionError):
            quorate.Epochs(self.genesis, epochs.json).verify_receipt("node", self.receipt, 1)

    def test_a_node_with_an_older_proof_chain_does_not_lead_back(self):
        epochs = quorate.Epochs(self.genesis, read(OF_EPOCH_2 + "epochs.json"))
        for older in ([], self.proofs[:1]):
            with self.node(older), self.assertRaisesRegex(wire.Refused, "does not prove the end of epoch 1"):
                epochs.extend_from("node", 1)
        self.assertEqual(epochs.json["proofs"], self.proofs)
        epochs.verify_receipt("node", self.receipt, 1)
        with self.node(self.proofs):
            epochs.extend_from("node", 1)

    def test_a_node_with_another_end_of_a_known_epoch_is_not_trusted(self):
        genesis = test_wire.Wire.genesis
        proof = test_wire.epoch_proof_of_vectors()
        chain_id = test_wire.VECTORS["chain_id"]
        epochs = quorate.Epochs(genesis, {"chain_id": chain_id, "proofs": [proof]})
        # The members of epoch 0 sign another end of it, when they have left.
        header = proof["last"]["header"]
        header = header | {"timestamp_ms": header["timestamp_ms"] + 1}
        other = proof | {"last": test_wire.certified(header, [])}
        self.assertEqual(len(wire.Anchor(genesis, {"chain_id": chain_id, "proofs": [other]}).committees), 2)
        with self.node([other]), self.assertRaisesRegex(wire.Refused, "another end of epoch 0"):
            epochs.extend_from("node", 1)
        for malformed in (None, {}, {"last": None, "next": []}, {"last": {}, "next": []}):
            with self.node([malformed]), self.assertRaises(wire.Refused):
                epochs.extend_from("node", 1)
        self.assertEqual(epochs.json["proofs"], [proof])

    def test_a_file_of_epoch_proofs_is_extended_and_never_shortened(self):
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "epochs.json")
            for proofs in (self.proofs[:1], self.proofs):
                file = quorate.EpochsFile(path, self.genesis, must_exist=False)
                with self.node(proofs):
                    file.epochs.extend_from("node", 1)
                file.save()
                self.assertEqual(json.loads(pathlib.Path(path).read_text())["proofs"], proofs)
            file = quorate.EpochsFile(path, self.genesis, must_exist=True)
            with self.node(self.proofs[:1]), self.assertRaises(wire.Refused):
                file.epochs.extend_from("node", 1)
            self.assertEqual(json.loads(pathlib.Path(path).read_text())["proofs"], self.proofs)
            with self.assertRaises(OSError):
                quorate.EpochsFile(path + ".absent", self.genesis, must_exist=True)

    def verify(self, *options: str):
        """Runs the command `verify` for a receipt of epoch 2."""
        arguments = ["quorate.py", "verify", str(RECEIPTS / OF_EPOCH_2 / "receipt.json"), "--genesis",
                     str(RECEIPTS / "genesis.toml"), *options]
        output = io.StringIO()
        with mock.patch("sys.argv", arguments), contextlib.redirect_stdout(output), \
                contextlib.redirect_stderr(output):
            return quorate.main(), output.getvalue()

    def test_the_command_takes_the_proofs_from_a_file_and_from_a_node(self):
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "epochs.json")
            code, text = self.verify()
            self.assertTrue(code == 1 and "unproven" in text, text)
            with self.node(self.proofs):
                code, text = self.verify("--node", "node", "--epochs", path)
            self.assertTrue(code == 0 and json.loads(text)["epoch"] == 2, text)
            code, text = self.verify("--epochs", path)
            self.assertEqual(code, 0, text)
            with self.node(self.proofs[:1]):
                code, text = self.verify("--node", "node", "--epochs", path)
            self.assertTrue(code == 1 and "is behind" in text, text)
            with self.node(self.proofs):
                code, text = self.verify("--node", "node")
            self.assertEqual(code, 0, text)

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
