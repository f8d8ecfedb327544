"""The smaller parts that a host may bring, or turn: keys, describe, another space, what stalls."""
import http.server
import json
import threading
import unittest

import embedjobs
from scene import Dictionary, Folder, Log, Words, held_embed, openapi, vector_of

KEY = ("catalog", "spec")


class OpenAi(http.server.ThreadingHTTPServer):
    """A server of embeddings that notes the keys it was shown."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), OpenAiHandler)
        self.keys = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class OpenAiHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):  # pylint: disable=invalid-name
        self.server.keys.append(self.headers["Authorization"])
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        texts = [texts] if isinstance(texts, str) else texts
        answer = json.dumps({"data": [{"index": i, "embedding": vector_of(text)} for i, text in enumerate(texts)],
                             "usage": {"prompt_tokens": len(texts)}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


class HostsTest(unittest.TestCase):
    def engine(self, **more):
        self.log = Log()
        more.setdefault("log", self.log)
        engine = embedjobs.Engine(more.pop("dsn", "memory:"), **more)
        self.addCleanup(engine.close)
        return engine

    def test_the_key_of_a_provider_is_asked_before_each_request_and_never_shown(self):
        server = OpenAi()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        keys = iter(f"sk-secret-{i}" for i in range(1000))
        engine = self.engine(embedder=f"openai:m@http://127.0.0.1:{server.server_port}", secret=lambda: next(keys))
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        engine.wait_idle()
        self.assertEqual(engine.rows(*KEY).ids, ["a"])
        self.assertEqual(server.keys, [f"Bearer sk-secret-{i}" for i in range(len(server.keys))])
        self.assertGreater(len(server.keys), 0)
        self.assertFalse([line for line in self.log.lines if "sk-secret" in line])

    def test_a_secret_that_raises_is_told_and_waited_for(self):
        def secret():
            raise KeyError("the vault is sealed")

        engine = self.engine(embedder="openai:m@http://127.0.0.1:1", secret=secret)
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        self.assertIn("the secret source raised KeyError", self.log.wait_for("Traceback"))
        self.log.wait_for("the callback that should give the key failed")
        with self.assertRaisesRegex(embedjobs.InvalidArgument, "secret_source needs an embedder over HTTP"):
            self.engine(embedder="hashing", secret=lambda: "x")

    def test_describe_lets_the_reconciler_see_what_is_missing(self):
        class Describing(Dictionary):
            def finalize(self, current, manifest):
                super().finalize(current, manifest)
                self.states[(current.catalog_id, current.spec_name)] = embedjobs.SpecState(
                    current.space_id, current.content_version, current.splitter_version)

            def describe(self, keys):
                return [self.states.get(key) for key in keys]

        persister, folder = Describing(), Folder()
        persister.states = {}
        folder.documents[KEY] = openapi(3)
        engine = self.engine(embedder=Words().embedder(), persister=persister, resolver=folder)
        (status,) = engine.statuses()
        self.assertEqual((status.operation_count, status.embedding_count, status.embedded_so_far), (None, None, 0))
        self.assertEqual((status.provider_pause, status.visible_space_id, status.job_status, status.badge_label),
                         ("", "", embedjobs.JobStatus.NONE, "not indexed"))
        health = engine.health()
        self.assertEqual((health.unknown, health.pending, health.degraded), (0, 0, False))
        self.assertEqual(engine.reconcile(), 1)
        engine.start()
        self.log.wait_for_first_round()  # which would find the next gap, too
        engine.wait_idle()
        self.assertEqual((len(persister.visible[KEY]), engine.reconcile()), (3, 0))
        folder.documents[KEY] = openapi(4)
        self.assertEqual(engine.reconcile(), 1)
        engine.wait_idle()
        self.assertEqual(len(persister.visible[KEY]), 4)

    def test_a_describe_that_answers_too_little_is_told(self):
        class Describing(Dictionary):
            def describe(self, keys):
                return []

        folder = Folder()
        folder.documents[KEY] = openapi(1)
        engine = self.engine(embedder=Words().embedder(), persister=Describing(), resolver=folder)
        with self.assertRaisesRegex(embedjobs.Error, "describe returned 0 answers, expected 1"):
            engine.reconcile()

    def test_a_catalog_moves_to_another_space(self):
        import tempfile  # pylint: disable=import-outside-toplevel

        with tempfile.TemporaryDirectory() as folder:
            dsn = f"sqlite:{folder}/host.db"
            with self.engine(dsn=dsn, embedder=Words().embedder()) as engine:
                engine.put_items(*KEY, [("a", "one")])
                engine.wait_idle()
                self.assertEqual(engine.switch_space("catalog", "8/words?v2"), 1)
                self.assertTrue(engine.wait_idle(max_wait=0.0).other_space)
                self.assertEqual(engine.search("catalog", "one")[0].operation_id, "a")
            with self.engine(dsn=dsn, embedder=Words().embedder(variant="v2")) as engine:
                engine.wait_idle()
                self.assertEqual(engine.rows(*KEY).space_id, "8/words?v2")
                (catalog,) = engine.catalogs()
                self.assertEqual((catalog.search_space_id, catalog.specs_in_target), ("8/words?v2", 1))
                with self.assertRaises(embedjobs.NotFound):
                    engine.switch_space("none", "8/words")

    def test_a_persister_that_stalls_is_told_to_end_and_keeps_what_it_has(self):
        entered, leave, told = threading.Event(), threading.Event(), []

        class Stalling(Dictionary):
            def persist_batch(self, current, rows, call):  # pylint: disable=arguments-differ
                told.append(call.is_cancelled)
                entered.set()
                leave.wait()
                told.append(call.is_cancelled)
                super().persist_batch(current, rows)

        persister = Stalling()
        engine = self.engine(embedder=Words().embedder(), persister=persister)
        engine.put(*KEY, openapi(3))
        engine.start()
        entered.wait()
        self.assertFalse(engine.stop(0.01))
        leave.set()
        self.assertTrue(engine.stop())
        self.assertEqual((told, sum(len(ids) for ids in persister.chunks)), ([False, True], 3))

    def test_one_failed_write_is_repeated_in_the_same_pass(self):
        persister, words = Dictionary(), Words()
        persister.errors = [OSError("once")]
        engine = self.engine(embedder=words.embedder(), persister=persister)
        engine.put(*KEY, openapi(3))
        self.assertIsNone(engine.statuses()[0].visible_space_id)  # who can tell what this persister shows?
        engine.start()
        engine.wait_idle()
        (job,) = engine.jobs()
        # No other attempt and no other claim: the fence is still the first one, and nothing was embedded twice.
        self.assertEqual((job.attempts, job.fence.counter, len(words.texts)), (1, 1, 3))

    def test_a_status_says_who_holds_the_job(self):
        embed, entered, leave = held_embed()
        engine = self.engine(embedder=embedjobs.Embedder(embed, "words", 8), worker_id="the-worker")
        engine.put(*KEY, openapi(3))
        engine.start()
        entered.wait()
        (running,) = engine.statuses()
        leave.set()
        engine.wait_idle()
        (ended,) = engine.statuses()
        self.assertEqual((running.worker_id, running.job_status), ("the-worker", embedjobs.JobStatus.RUNNING))
        self.assertLess(running.job_started_at, running.lease_expires_at)
        self.assertEqual((ended.worker_id, ended.job_started_at, ended.lease_expires_at), ("", 0, 0))

    def test_verify_providers_and_workers_are_read(self):
        engine = self.engine(embedder=Words().embedder(provider="words@here"),
                             worker_id="the-worker",
                             lease_duration=60.0)
        engine.put(*KEY, openapi(3))
        self.assertIn("has no row", engine.verify("catalog")[0].difference)
        engine.start()
        engine.wait_idle()
        self.assertEqual(engine.verify("catalog", "spec"), [embedjobs.Verification(*KEY, True, "")])
        while not engine.workers() or not engine.workers()[0].space_id:  # it presents itself beside its work
            pass
        (worker,) = engine.workers()
        self.assertEqual((worker.worker_id, worker.provider, worker.lease_duration, worker.live),
                         ("the-worker", "words@here", 60.0, True))
        for provider in engine.providers():
            self.assertEqual((provider.provider, provider.pause_reason), ("words@here", ""))


if __name__ == "__main__":
    unittest.main()
