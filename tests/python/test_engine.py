"""Documents in, vectors out: the engine, its values and its errors."""
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import threading
import unittest

import embedjobs
from embedjobs import _callbacks
from scene import Log, Words, openapi, vector_of

KEY = ("catalog", "spec")


class EngineTest(unittest.TestCase):
    def setUp(self):
        self.words = Words()

    def engine(self, dsn="memory:", **more):
        more.setdefault("embedder", self.words.embedder())
        more.setdefault("log", Log())
        engine = embedjobs.Engine(dsn, **more)
        self.addCleanup(engine.close)
        return engine

    def test_a_document_becomes_rows_with_the_vectors_of_the_embedder(self):
        with self.engine() as engine:
            put = engine.put(*KEY, openapi(40))
            self.assertTrue(put.created)
            self.assertTrue(engine.wait_idle().idle)
            rows = engine.rows(*KEY)
        self.assertEqual(len(rows), 40)
        self.assertEqual(rows.space_id, "8/words")
        index = rows.ids.index("thing-7")
        text = "Show thing number 7 /thing/7"
        self.assertEqual(rows.hashes[index], embedjobs.hash_text(text))
        self.assertEqual(list(rows.vectors.tolist()[index]), vector_of(text))
        self.assertEqual(len(self.words.texts), 40)

    def test_items_are_put_in_any_shape(self):
        with self.engine() as engine:
            engine.put_items("c", "pairs", [("a", "one"), ("b", 'tw"o\n')])
            engine.put_items("c", "mappings", [{"id": "a", "text": "eins", "url": "x"}])
            engine.put_items("c", "lines", '{"id":"a","text":"h\u00e9llo \U0001f600"}\n')
            engine.wait_idle()
            self.assertEqual(engine.rows("c", "pairs").ids, ["a", "b"])
        self.assertEqual(sorted(self.words.texts), sorted(["one", 'tw"o\n', "eins", "h\u00e9llo \U0001f600"]))
        with self.assertRaisesRegex(embedjobs.InvalidDocument, "line 2: the id 'a' is not unique"):
            self.engine().put_items("c", "twice", [("a", "one"), ("a", "two")])

    def test_status_health_jobs_catalogs_and_metrics_say_what_happened(self):
        with self.engine() as engine:
            engine.put(*KEY, openapi(3))
            engine.wait_idle()
            (status,) = engine.statuses("catalog")
            self.assertEqual((status.badge_label, status.badge_tone), ("3/3 indexed", embedjobs.Tone.GREEN))
            self.assertEqual(status.job_status, embedjobs.JobStatus.SUCCEEDED)
            self.assertEqual(engine.health().indexed, 1)
            (job,) = engine.jobs(status=embedjobs.JobStatus.SUCCEEDED)
            self.assertEqual((job.spec_name, job.embedded_count, job.fence.counter), ("spec", 3, 1))
            self.assertGreater(job.completed_at, 1.6e9)
            self.assertEqual(engine.jobs(kind=embedjobs.JobKind.MANUAL_RETRY), [])
            (catalog,) = engine.catalogs()
            self.assertEqual(catalog.target_space_id, "8/words")
            self.assertEqual(engine.metrics()["operations_embedded"], 3)
            self.assertIn("embedjobs_", engine.prometheus())
            self.assertEqual(engine.reconcile(), 0)
            self.assertTrue(engine.retry(*KEY).created)
            engine.wait_idle()
            self.assertEqual(len(self.words.texts), 6)
            engine.remove(*KEY)
            with self.assertRaises(embedjobs.NotFound):
                engine.remove(*KEY)

    def test_a_search_finds_the_nearest_operation(self):
        with self.engine() as engine:
            engine.put_items("c", "s", [("a", "one"), ("b", "two")])
            engine.wait_idle()
            hits = engine.search("c", "two", k=1)
        self.assertEqual([hit.operation_id for hit in hits], ["b"])
        self.assertAlmostEqual(hits[0].score, 1.0, places=5)

    def test_errors_carry_their_code(self):
        engine = self.engine()
        with self.assertRaises(embedjobs.InvalidDocument) as raised:
            engine.put(*KEY, "{ not json")
        self.assertEqual(raised.exception.code, 12)
        self.assertIn("line 1", str(raised.exception))
        with self.assertRaises(embedjobs.InvalidArgument):
            engine.put("", "spec", openapi(1))
        with self.assertRaisesRegex(embedjobs.InvalidArgument, "NUL"):
            engine.put("a\0b", "spec", openapi(1))
        with self.assertRaises(embedjobs.InvalidArgument):
            embedjobs.Engine("nonsense:")
        with self.assertRaisesRegex(embedjobs.InvalidArgument, "no option slotz; there are slots, "):
            embedjobs.Engine("memory:", slotz=1)
        with self.assertRaises(embedjobs.NotFound):
            engine.search("nosuch", "x")
        engine.close()
        engine.close()
        with self.assertRaisesRegex(embedjobs.Refused, "closed"):
            engine.statuses()

    def test_the_worker_runs_on_the_hosts_own_thread(self):
        engine = self.engine()
        engine.put(*KEY, openapi(70))
        self.assertTrue(engine.worker_run(until_idle=True).idle)
        self.assertEqual(len(self.words.texts), 70)
        self.assertEqual(self.words.threads, {threading.get_ident()})

    def test_an_interruption_in_a_callback_comes_out_of_worker_run(self):
        self.words.errors = [KeyboardInterrupt()]
        engine = self.engine()
        engine.put(*KEY, openapi(1))
        with self.assertRaises(KeyboardInterrupt):
            engine.worker_run()
        (job,) = engine.jobs()
        self.assertEqual(job.status, embedjobs.JobStatus.PENDING)

    def test_a_wait_ends_by_timeout_and_by_cancel(self):
        engine = self.engine()
        engine.put(*KEY, openapi(1))  # nobody works on it
        with self.assertRaises(embedjobs.Timeout):
            engine.wait_idle(timeout=0)
        cancel = embedjobs.Cancel()
        cancel.request()
        with self.assertRaises(embedjobs.Cancelled):
            engine.wait_idle(cancel=cancel)

    def test_close_ends_the_waits_of_other_threads(self):
        entered, release, ended = threading.Event(), threading.Event(), []

        def hold(texts):
            entered.set()
            release.wait()
            return [vector_of(text) for text in texts]

        def wait():
            try:
                engine.wait_idle()
            except (embedjobs.Cancelled, embedjobs.Refused) as error:  # Refused: it came after the close
                ended.append(error)
            release.set()

        engine = self.engine(embedder=embedjobs.Embedder(hold, "slow", 8))
        engine.put_items("c", "s", [("a", "one")])
        engine.start()
        entered.wait()
        waiter = threading.Thread(target=wait)
        waiter.start()
        engine.close()
        waiter.join()
        self.assertEqual(len(ended), 1)
        with self.assertRaises(embedjobs.Refused):
            engine.wait_idle()

    def test_a_callback_on_the_hosts_own_thread_can_ask_for_an_end_and_not_close(self):
        refused = []

        def embed(texts):
            try:
                engine.close()
            except embedjobs.Refused as error:
                refused.append(str(error))
            engine.request_stop()
            return [vector_of(text) for text in texts]

        engine = self.engine(embedder=embedjobs.Embedder(embed, "words", 8))
        engine.put_items("c", "s", [("a", "one")])
        engine.worker_run()
        self.assertIn("request_stop", refused[0])

    def test_what_the_host_brings_is_let_go(self):
        before = _callbacks.alive()
        for _ in range(50):
            with self.engine() as engine:
                engine.put_items("c", "s", [("a", "one")])
                engine.wait_idle()
        with self.assertRaises(embedjobs.InvalidArgument):
            embedjobs.Engine("nonsense:", embedder=self.words.embedder())
        unclosed = embedjobs.Engine("memory:", embedder=self.words.embedder())
        del unclosed
        gc.collect()
        while _callbacks.alive() > before:  # the collector only asks for an end
            pass
        self.assertEqual(_callbacks.alive(), before)

    def test_asyncio_hosts_await(self):
        async def host():
            ticks = 0
            async with embedjobs.AsyncEngine("memory:", embedder=self.words.embedder(), log=Log()) as engine:
                await engine.put_items("c", "s", [("a", "one")])
                self.assertTrue((await engine.wait_idle()).idle)
                self.assertEqual((await engine.search("c", "one"))[0].operation_id, "a")
                # A wait that does not end is cancelled, and meanwhile the loop goes on.
                held, release = threading.Event(), threading.Event()

                def hold(texts):
                    held.set()
                    release.wait()
                    return [vector_of(text) for text in texts]

                slow = embedjobs.AsyncEngine("memory:", embedder=embedjobs.Embedder(hold, "slow", 8), log=Log())
                await slow.start()
                await slow.put_items("c", "s", [("a", "one")])
                wait = asyncio.ensure_future(slow.wait_idle())
                while ticks == 0 or not held.is_set():  # the embedder may have been faster
                    ticks += 1
                    await asyncio.sleep(0.001)
                wait.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await wait
                release.set()
                await slow.close()
            return ticks

        self.assertGreater(asyncio.run(host()), 0)

    def test_a_wait_that_is_cancelled_twice_leaves_no_error_behind(self):
        self.ends("async def host():\n"
                  "    embed, entered, leave = scene.held_embed()\n"
                  "    engine = embedjobs.AsyncEngine('memory:', embedder=embedjobs.Embedder(embed, 'words', 8))\n"
                  "    await engine.put_items('c', 's', [('a', 'one')])\n    await engine.start()\n"
                  "    wait = asyncio.ensure_future(engine.wait_idle())\n"
                  "    while not engine.engine._calls:\n        await asyncio.sleep(0.001)\n"
                  "    wait.cancel()\n    await asyncio.sleep(0)\n    wait.cancel()\n"
                  "    try:\n        await wait\n    except asyncio.CancelledError:\n        pass\n"
                  "    leave.set()\n    await engine.close()\n"
                  "asyncio.run(host())\ngc.collect()\n")

    def test_of_many_waits_each_is_cancelled_at_once(self):
        async def host():
            engine = embedjobs.AsyncEngine("memory:", embedder=self.words.embedder(), log=Log())
            await engine.put_items("c", "s", [("a", "one")])  # nobody works on it
            waits = [asyncio.ensure_future(engine.wait_idle()) for _ in range(100)]
            await asyncio.sleep(0)
            waits[-1].cancel()
            with self.assertRaises(asyncio.CancelledError):
                await waits[-1]
            self.assertFalse(any(wait.done() for wait in waits[:-1]))
            await engine.close()
            for wait in waits[:-1]:
                with self.assertRaises((embedjobs.Cancelled, embedjobs.Refused)):
                    await wait

        asyncio.run(host())

    def test_an_async_engine_that_is_closed_says_so_and_may_be_closed_again(self):
        async def host():
            async with embedjobs.AsyncEngine("memory:", embedder=self.words.embedder(), log=Log()) as engine:
                await engine.close()
                with self.assertRaises(embedjobs.Refused):
                    await engine.statuses()
                with self.assertRaises(embedjobs.Refused):
                    await engine.wait_idle()

        asyncio.run(host())

    def ends(self, program):
        """A program of its own, its imports aside."""
        imports = "import asyncio, embedjobs, gc, os, scene, sys, threading\n"
        ended = subprocess.run([sys.executable, "-c", imports + program], cwd=os.path.dirname(__file__),
                               capture_output=True, text=True, timeout=120)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))

    def test_an_interpreter_ends_while_a_task_waits(self):
        self.ends("async def host():\n"
                  "    global engine, wait\n"
                  "    engine = embedjobs.AsyncEngine('memory:', embedder=scene.Words().embedder())\n"
                  "    await engine.put_items('c', 's', [('a', 'one')])\n"
                  "    wait = asyncio.ensure_future(engine.wait_idle())\n"
                  "    while not engine.engine._calls:\n        await asyncio.sleep(0.001)\n"
                  "loop = asyncio.new_event_loop()\nloop.run_until_complete(host())\n"
                  "wait._log_destroy_pending = False\n")

    def test_a_child_ends_that_was_forked_while_an_engine_ended(self):
        self.ends("embed, entered, leave = scene.held_embed()\n"
                  "engine = embedjobs.Engine('memory:', embedder=embedjobs.Embedder(embed, 'words', 8))\n"
                  "engine.put_items('c', 's', [('a', 'one')])\nengine.start()\nentered.wait()\n"
                  "del engine\ngc.collect()\n"
                  "child = os.fork()\nif child == 0:\n    sys.exit(0)\n"
                  "status = os.waitpid(child, 0)[1]\nleave.set()\nsys.exit(status)\n")

    def test_an_engine_that_can_not_be_closed_at_the_end_leaves_no_other_open(self):
        self.ends(
            "from embedjobs import engine as module\n"
            "closed = []\n"
            "class Stubborn:\n    def close(self):\n        closed.append(self)\n        raise KeyboardInterrupt\n"
            "stubborn = [Stubborn(), Stubborn()]\nmodule._engines.update(stubborn)\n"
            "try:\n    module._close_all()\n"
            "except KeyboardInterrupt:\n    module._engines.clear()\n    sys.exit(len(closed) - 2)\n")

    def test_blank_lines_of_items_take_no_memory(self):
        self.ends("import resource\n"
                  "pages = int(open('/proc/self/statm').read().split()[0])\n"
                  "limit = pages * resource.getpagesize() + (1 << 30)\n"
                  "engine = embedjobs.Engine('memory:', embedder=scene.Words().embedder())\n"
                  "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
                  "engine.put_items('c', 's', b'{\"id\": \"a\", \"text\": \"one\"}' + b'\\n' * 50_000_000)\n")

    def test_a_child_may_not_open_the_file_that_its_parent_had_open(self):
        with tempfile.TemporaryDirectory() as folder:
            engine = self.engine(f"sqlite:{folder}/host.db")
            child = os.fork()
            if child == 0:
                try:
                    embedjobs.Engine(f"sqlite:{folder}/host.db", embedder=self.words.embedder())
                    os._exit(1)
                except embedjobs.Refused:
                    embedjobs.Engine(f"sqlite:{folder}/other.db", embedder=self.words.embedder())
                    os._exit(0)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            engine.close()

    def test_an_interpreter_ends_with_engines_at_work(self):
        self.ends("seen = threading.Event()\n"
                  "def embed(texts):\n    seen.set()\n    return [scene.vector_of(t) for t in texts]\n"
                  "engine = embedjobs.Engine('memory:', embedder=embedjobs.Embedder(embed, 'words', 8))\n"
                  "engine.start()\nengine.put('c', 's', scene.openapi(2000))\nseen.wait()\n")

    def test_a_forked_child_is_refused(self):
        engine = self.engine()
        child = os.fork()
        if child == 0:
            try:
                engine.statuses()
                os._exit(1)
            except embedjobs.Refused:
                engine.close()
                os._exit(0)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(engine.statuses(), [])


if __name__ == "__main__":
    unittest.main()
