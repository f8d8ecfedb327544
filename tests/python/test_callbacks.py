"""What a host brings: embedders, persisters, resolvers, computers; and what happens when they fail."""
import array
import hashlib
import threading
import time
import unittest

import embedjobs
from scene import Dictionary, Folder, Log, Words, openapi, vector_of

KEY = ("catalog", "spec")


def numpy_or_skip(test):
    try:
        import numpy  # pylint: disable=import-outside-toplevel
    except ImportError:
        test.skipTest("numpy is not installed")
    return numpy


class CallbackTest(unittest.TestCase):
    def engine(self, **more):
        self.log = Log()
        more.setdefault("log", self.log)
        engine = embedjobs.Engine(more.pop("dsn", "memory:"), **more)
        self.addCleanup(engine.close)
        return engine

    def index(self, embedder, items=(("a", "one"), ("b", "two"))):
        engine = self.engine(embedder=embedder)
        engine.put_items(*KEY, items)
        engine.start()
        engine.wait_idle()
        return engine

    # ---- Embedders ----

    def test_vectors_come_as_any_sequence(self):
        arrays = [array.array("f", [1, 2]), array.array("f", [3, 4])]
        for vectors in ([[1, 2], [3, 4]], ((1.0, 2.0), (3.0, 4.0)), arrays):
            engine = self.index(embedjobs.Embedder(lambda texts, vectors=vectors: vectors, "m", 2))
            self.assertEqual([list(row) for row in engine.rows(*KEY).vectors.tolist()], [[1, 2], [3, 4]])

    def test_vectors_come_as_numpy_arrays(self):
        numpy = numpy_or_skip(self)
        for kind in (numpy.float32, numpy.float64, numpy.int8):
            matrix = numpy.array([[1, 2], [3, 4]], kind)
            engine = self.index(embedjobs.Embedder(lambda texts, matrix=matrix: matrix, "m", 2))
            rows = engine.rows(*KEY)
            self.assertEqual(rows.vectors.dtype, numpy.float32)
            self.assertEqual(rows.vectors.tolist(), [[1, 2], [3, 4]])

    def test_an_array_that_is_not_numbers_is_refused(self):
        numpy = numpy_or_skip(self)
        for vectors in (numpy.ones((2, 2), numpy.complex64), numpy.array([["1", "2"], ["3", "4"]]),
                        numpy.ones((2, 2), "datetime64[s]"), numpy.ma.masked_array(numpy.ones((2, 2)), mask=True)):
            engine = self.engine(embedder=embedjobs.Embedder(lambda texts, vectors=vectors: vectors, "m", 2))
            engine.put_items(*KEY, [("a", "one"), ("b", "two")])
            engine.start()
            self.assertIn("array", self.log.wait_for("TypeError"))
            engine.close()

    def test_an_embedder_may_fill_the_librarys_own_buffer(self):
        numpy = numpy_or_skip(self)
        seen = {}

        @embedjobs.embedder(model="m", dimension=3, variant="v2")
        def embed(texts, call):
            out = call.out
            seen.update(address=out.ctypes.data, shape=out.shape, purpose=call.purpose, cancelled=call.is_cancelled,
                        remaining=call.remaining)
            out[:] = numpy.arange(6).reshape(2, 3) + 1
            call.set_prompt_tokens(17)
            return out

        engine = self.index(embed)
        self.assertEqual(engine.rows(*KEY).vectors.tolist(), [[1, 2, 3], [4, 5, 6]])
        self.assertEqual(engine.rows(*KEY).space_id, "3/m?v2")
        self.assertEqual((seen["shape"], seen["purpose"], seen["cancelled"]),
                         ((2, 3), embedjobs.Purpose.DOCUMENT, False))
        self.assertGreater(seen["remaining"], 0)
        self.assertEqual(engine.metrics()["provider_tokens"], 17)

    def test_an_embedder_that_raises_is_a_clear_error_with_its_traceback_in_the_log(self):
        words = Words()
        words.errors = [ZeroDivisionError("of the host's making")]
        engine = self.engine(embedder=words.embedder())
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        line = self.log.wait_for("Traceback")
        self.assertIn("the embedder raised ZeroDivisionError: of the host's making", line)
        self.assertIn("scene.py", line)
        self.log.wait_for("is made again")
        engine.enqueue(*KEY)  # now, and not after the backoff
        engine.wait_idle()
        self.assertEqual(engine.rows(*KEY).ids, ["a"])
        (job,) = engine.jobs()
        self.assertEqual(job.fence.counter, 2)  # claimed again

    def test_what_breaks_the_promise_is_told_and_never_stored(self):
        wrong = {
            "returned 1 vectors, expected 2": [[1.0, 2.0]],
            "returned 3 vectors, expected 2": [[1.0, 2.0]] * 3,
            "a vector of dimension 3 at 1, expected 2": [[1.0, 2.0], [1.0, 2.0, 3.0]],
            "TypeError": None,
            "must be real number, not str": [["a", "b"], ["c", "d"]],
        }
        for message, vectors in wrong.items():
            with self.subTest(message):
                engine = self.engine(embedder=embedjobs.Embedder(lambda texts, vectors=vectors: vectors, "m", 2))
                engine.put_items(*KEY, [("a", "one"), ("b", "two")])
                engine.start()
                self.assertIn(message, self.log.wait_for("Traceback"))
                engine.stop()
                self.assertEqual(engine.rows(*KEY).ids, [])

    def test_an_embedder_says_what_to_do_about_its_errors(self):
        words = Words()
        words.errors = [embedjobs.Failed("the key was revoked")]
        engine = self.engine(embedder=words.embedder())
        engine.start()
        self.log.wait_for_first_round()
        engine.put_items(*KEY, [("a", "one")])
        engine.wait_idle()
        (job,) = engine.jobs()
        self.assertEqual(job.status, embedjobs.JobStatus.FAILED)
        self.assertIn("the key was revoked", job.last_error)
        self.assertEqual(words.errors, [])

        words.errors = [embedjobs.Paused("try later", retry_after=3600)]
        engine = self.engine(embedder=words.embedder())
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        report = engine.wait_idle(max_wait=1.0)
        self.assertTrue(report.provider_waiting or report.next_due)
        while not engine.statuses()[0].provider_pause:  # the store is told beside the work
            pass
        self.assertIn("try later", engine.statuses()[0].provider_pause)

    def test_a_long_text_is_cut_where_the_embedder_says_so(self):
        lengths = []

        def embed(texts):
            lengths.extend(len(text) for text in texts)
            if any(len(text) > 600 for text in texts):
                raise embedjobs.InputTooLarge("at most 600 characters")
            return [vector_of(text) for text in texts]

        engine = self.index(embedjobs.Embedder(embed, "m", 8), [("long", "x" * 1000)])
        rows = engine.rows(*KEY)
        self.assertEqual(rows.ids, ["long"])
        self.assertTrue(0 < rows.embedded_bytes[0] <= 600)
        self.assertEqual(rows.hashes[0], embedjobs.hash_text("x" * 1000))

    # ---- Events, log, reload ----

    def test_events_and_reload_tell_what_happened_and_may_raise(self):
        events, reloads = [], []

        def reload(*key):
            reloads.append(key)
            raise RuntimeError("of the host's making")

        engine = self.engine(embedder=Words().embedder(), events=events.append, reload=reload)
        engine.put(*KEY, openapi(40))
        engine.start()
        engine.wait_idle()
        self.assertIn("the reload callback raised", self.log.wait_for("RuntimeError"))
        engine.stop()
        self.assertEqual(reloads, [KEY])
        kinds = [event.kind for event in events]
        self.assertLess(kinds.index(embedjobs.EventKind.JOB_CLAIMED), kinds.index(embedjobs.EventKind.JOB_SUCCEEDED))
        self.assertEqual(sum(event.count for event in events if event.kind == embedjobs.EventKind.CHUNK_PERSISTED), 40)

    def test_a_log_that_raises_harms_nothing(self):
        def log(level, line):
            raise RuntimeError("of the host's making")

        words = Words()
        words.errors = [ValueError("once")]
        retried = threading.Event()
        engine = self.engine(embedder=words.embedder(), log=log,
                             events=lambda event: event.kind == embedjobs.EventKind.JOB_RETRIED and retried.set())
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        retried.wait()
        engine.enqueue(*KEY)
        engine.wait_idle()
        self.assertEqual(engine.rows(*KEY).ids, ["a"])

    def test_a_callback_may_enqueue_and_may_not_wait(self):
        refused = []

        def embed(texts):
            if "one" in texts:
                engine.put_items("catalog", "other", [("b", "two")])
                try:
                    engine.wait_idle()
                except embedjobs.Refused as error:
                    refused.append(str(error))
            return [vector_of(text) for text in texts]

        engine = self.engine(embedder=embedjobs.Embedder(embed, "m", 8))
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        engine.wait_idle()
        self.assertIn("recursive call", refused[0])
        self.assertEqual(engine.rows("catalog", "other").ids, ["b"])

    # ---- Persisters and resolvers ----

    def test_vectors_go_to_the_hosts_persister(self):
        persister = Dictionary()
        engine = self.engine(embedder=Words().embedder(), persister=persister)
        engine.put(*KEY, openapi(40))
        engine.start()
        engine.wait_idle()
        self.assertEqual(len(persister.visible[KEY]), 40)
        self.assertEqual(sum(len(ids) for ids in persister.chunks), 40)
        digest = persister.visible[KEY]["thing-3"]
        self.assertEqual(persister.vectors[digest], vector_of("Show thing number 3 /thing/3"))
        current = persister.passes[0]
        self.assertEqual((current.catalog_id, current.spec_name, current.space_id, current.dimension),
                         (*KEY, "8/words", 8))
        self.assertEqual(current.fence.counter, 1)
        self.assertNotEqual(current.fence.nonce, 0)
        with self.assertRaises(embedjobs.Refused):
            engine.rows(*KEY)

    def test_a_persister_that_raises_is_retried_and_nothing_is_lost(self):
        persister, words = Dictionary(), Words()
        persister.errors = [OSError("the disk is full")]
        engine = self.engine(embedder=words.embedder(), persister=persister)
        engine.put(*KEY, openapi(40))
        engine.start()
        line = self.log.wait_for("Traceback")
        self.assertIn("the persister's persist_batch raised OSError: the disk is full", line)
        engine.wait_idle()
        self.assertEqual(len(persister.visible[KEY]), 40)
        self.assertEqual(engine.jobs()[0].status, embedjobs.JobStatus.SUCCEEDED)
        # Only the batch that was refused went through the embedder twice.
        self.assertLessEqual(len(words.texts), 40 + 32)
        self.assertEqual(sum(len(ids) for ids in persister.chunks), 40)

    def test_a_persister_may_refuse_a_stale_fence(self):
        persister = Dictionary()
        persister.fences[KEY] = embedjobs.Fence(7, 1)
        lost = threading.Event()

        def on_event(event):
            if event.kind == embedjobs.EventKind.LEASE_LOST:
                lost.set()

        engine = self.engine(embedder=Words().embedder(), persister=persister, events=on_event)
        engine.put(*KEY, openapi(2))
        engine.start()
        lost.wait()
        engine.stop()
        self.assertEqual((persister.chunks, persister.visible), ([], {}))

    def test_documents_come_from_the_hosts_resolver_and_gone_is_an_answer(self):
        folder, persister = Folder(), Dictionary()
        folder.documents[KEY] = openapi(5)
        engine = self.engine(embedder=Words().embedder(), persister=persister, resolver=folder)
        engine.start()
        engine.enqueue(*KEY)
        engine.wait_idle()
        self.assertEqual(len(persister.visible[KEY]), 5)
        self.assertEqual([status.spec_name for status in engine.statuses()], ["spec"])
        with self.assertRaises(embedjobs.Refused):
            engine.put(*KEY, openapi(1))
        engine.enqueue("catalog", "gone")
        engine.wait_idle()
        (job,) = engine.jobs(spec_name="gone")
        self.assertNotIn(job.status, (embedjobs.JobStatus.PENDING, embedjobs.JobStatus.RUNNING))
        self.assertEqual(job.attempts, 1)

    # ---- Computers ----

    def test_a_computer_does_it_all(self):
        computed = []

        def compute(request):
            lines = request.content.decode().splitlines()
            hashes = [hashlib.sha256(line.encode()).digest() for line in lines]
            existing = request.list_existing(lines, hashes)
            missing = [i for i, there in enumerate(existing) if not there]
            request.progress(len(lines) - len(missing), len(lines))
            for begin in range(0, len(missing), request.batch_size):
                chunk = missing[begin : begin + request.batch_size]
                request.persist_batch([lines[i] for i in chunk], [hashes[i] for i in chunk],
                                      [vector_of(lines[i]) for i in chunk])
                computed.extend(lines[i] for i in chunk)
            request.set_manifest(lines, hashes)

        engine = self.engine(computer=embedjobs.Computer(compute, "lines/1", "words", 8), batch_size=2)
        engine.start()
        engine.put(*KEY, "one\ntwo\nthree")
        engine.wait_idle()
        engine.put(*KEY, "two\nthree\nfour")
        engine.wait_idle()
        self.assertEqual(engine.rows(*KEY).ids, ["four", "three", "two"])
        self.assertEqual(computed, ["one", "two", "three", "four"])

    def test_a_computer_that_names_no_manifest_is_told(self):
        calls = []

        def compute(request):
            calls.append(request)
            if len(calls) > 1:
                raise embedjobs.Failed("seen: " + engine.jobs()[0].last_error)

        engine = self.engine(computer=embedjobs.Computer(compute, "v", "words", 8))
        engine.put(*KEY, "x")
        engine.start()
        self.log.wait_for("is made again")
        while not engine.jobs()[0].last_error:  # the log comes before the store is told
            time.sleep(0.01)
        engine.enqueue(*KEY)
        engine.wait_idle()
        self.assertIn("seen: ", engine.jobs()[0].last_error)
        self.assertIn("without set_manifest()", engine.jobs()[0].last_error)


if __name__ == "__main__":
    unittest.main()
