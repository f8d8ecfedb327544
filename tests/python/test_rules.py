"""The two rules that a host's persister asks, and a persister that asks them."""
import os
import tempfile
import unittest

import embedjobs
import stall_host
from embedjobs import Fence, VectorMark
from scene import Dictionary, Words, openapi

KEY = ("catalog", "spec")


def pass_of(fence=Fence(1, 1), **members):
    texts = dict.fromkeys(("space_id", "splitter_version", "content_version"), "x")
    numbers = dict.fromkeys(("job_id", "generation", "dimension", "epoch", "reuse_floor", "input_cap",
                             "prompt_tokens"), 0)
    return embedjobs.Pass(*KEY, fence, **{**texts, **numbers, **members})


def one_row(text):
    return embedjobs.Rows(["op"], [embedjobs.hash_text(text)], memoryview(bytes(4)).cast("f", (1, 1)), [0], [0])


class RulesTest(unittest.TestCase):
    def test_a_higher_counter_is_accepted_and_the_same_holder_again_and_nobody_else(self):
        for stored, given in ((None, Fence(1, 7)), (Fence(0, 0), Fence(1, 7)), (Fence(1, 7), Fence(2, 3)),
                              (Fence(2, 3), Fence(2, 3)), (Fence(2, 3), Fence(2**64 - 1, 2**64 - 1))):
            self.assertTrue(embedjobs.accepts(stored, given), (stored, given))
        for stored, given in ((Fence(2, 3), Fence(1, 7)), (Fence(2, 3), Fence(2, 4)), (Fence(2, 3), Fence(3, 0)),
                              (None, Fence(0, 0))):
            self.assertFalse(embedjobs.accepts(stored, given), (stored, given))

    def test_a_vector_is_reused_unless_it_is_too_old_or_its_text_may_be_longer_now(self):
        for current, row in ((pass_of(), VectorMark()), (pass_of(input_cap=100), VectorMark()),
                             (pass_of(reuse_floor=3), VectorMark(epoch=3)),
                             (pass_of(input_cap=100), VectorMark(0, 99, 100)),
                             (pass_of(input_cap=50), VectorMark(0, 99, 100))):
            self.assertTrue(embedjobs.may_reuse(current, row), (current, row))
        for current, row in ((pass_of(reuse_floor=3), VectorMark(epoch=2)),
                             (pass_of(input_cap=200), VectorMark(0, 99, 100)), (pass_of(), VectorMark(0, 99, 100))):
            self.assertFalse(embedjobs.may_reuse(current, row), (current, row))

    def refuses(self, persister):
        """A stale fence, in every call."""
        persister.persist_batch(pass_of(Fence(2, 5)), one_row("kept"))
        for fence in (Fence(1, 9), Fence(2, 6)):
            none = embedjobs.Operations([], [])
            for call, given in ((persister.list_existing, none), (persister.persist_batch, one_row("other")),
                                (persister.finalize, none)):
                with self.assertRaises(embedjobs.LeaseLost):
                    call(pass_of(fence), given)
        asked = embedjobs.Operations(["a", "b"], [embedjobs.hash_text("kept"), embedjobs.hash_text("other")])
        self.assertEqual(persister.list_existing(pass_of(Fence(2, 5)), asked), [True, False])

    def test_a_persister_refuses_a_stale_fence_and_changes_nothing(self):
        self.refuses(Dictionary())

    def test_a_persister_in_sqlite_refuses_a_stale_fence_and_changes_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            self.refuses(stall_host.SqliteVectors(os.path.join(folder, "vectors.db")))

    def test_a_manual_retry_raises_the_epoch_and_everything_is_embedded_afresh_once(self):
        persister, words = Dictionary(), Words()
        engine = embedjobs.Engine("memory:", embedder=words.embedder(), persister=persister)
        self.addCleanup(engine.close)
        engine.put(*KEY, openapi(3))
        engine.worker_run(until_idle=True)
        self.assertEqual({mark.epoch for mark in persister.marks.values()}, {0})
        engine.retry(*KEY)
        engine.worker_run(until_idle=True)
        self.assertEqual(({mark.epoch for mark in persister.marks.values()}, len(words.texts)), ({1}, 6))
        engine.put(*KEY, openapi(4))
        engine.worker_run(until_idle=True)
        self.assertEqual(len(words.texts), 7)


if __name__ == "__main__":
    unittest.main()
