"""What must not be done in Python, and what happens then: an error that says so, and no harm."""
import asyncio
import gc
import importlib.machinery
import math
import os
import signal
import sys
import threading
import types
import unittest
import unittest.mock

import embedjobs
from embedjobs import _callbacks
from scene import Dictionary, Folder, Log, Words, held_embed, openapi, vector_of

KEY = ("catalog", "spec")


def interrupt_in_call(engine, event):
    """Sends what Ctrl-C sends, once the event has come and the main thread is inside of the engine."""

    def send():
        event.wait()
        while threading.main_thread().ident not in engine._calls:  # pylint: disable=protected-access
            pass
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send, daemon=True).start()


class MisuseTest(unittest.TestCase):
    def setUp(self):
        # A shell that starts something in the background has it ignore SIGINT, and so do all that this starts.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))

    def engine(self, embed=None, **more):
        self.log = Log()
        more.setdefault("log", self.log)
        if embed is not None:
            more["embedder"] = embedjobs.Embedder(embed, "words", 8)
        more.setdefault("embedder", Words().embedder())
        engine = embedjobs.Engine(more.pop("dsn", "memory:"), **more)
        self.addCleanup(engine.close)
        return engine

    # ---- Arguments ----

    def test_items_that_are_no_items_are_refused_and_store_nothing(self):
        engine = self.engine()
        for items in ({"refund": "How to get money"}, ["hello"], [("a",)], [("a", "b", "c")], [b"ab"],
                      [("a", "one"), 7]):
            with self.assertRaises(embedjobs.InvalidArgument, msg=repr(items)):
                engine.put_items(*KEY, items)
        self.assertEqual(engine.jobs(), [])

    def test_a_surrogate_without_its_pair_is_a_clear_error_or_counts_as_ufffd(self):
        engine = self.engine()
        for call in (lambda: engine.put("\ud800", "s", openapi(1)), lambda: engine.put(*KEY, "\ud800"),
                     lambda: engine.put_items(*KEY, "\ud800"), lambda: engine.search("catalog", "\ud800")):
            with self.assertRaisesRegex(embedjobs.InvalidArgument, "surrogate"):
                call()
        engine.put_items(*KEY, [("a", "one \ud800 \u00e9")])
        engine.put_items("catalog", "bytes", bytearray(b'{"id": "a", "text": "one"}'))
        engine.start()
        engine.wait_idle()
        self.assertEqual(engine.rows(*KEY).ids, ["a"])

    def test_numbers_that_c_would_wrap_are_refused(self):
        engine = self.engine()
        for call in (lambda: engine.search("catalog", "one", -1), lambda: engine.search("catalog", "one", 2**70),
                     lambda: engine.jobs(limit=-1), lambda: engine.wait_idle(timeout=math.nan),
                     lambda: self.engine(slots=2**70), lambda: self.engine(lease_duration=math.nan),
                     lambda: self.engine(embedder=Words().embedder(batch_texts=-1)),
                     lambda: self.engine(embedder=embedjobs.Embedder(Words(), "m", 2**64 + 8))):
            with self.assertRaises(embedjobs.InvalidArgument):
                call()

    def test_an_endless_wait_may_be_written_as_one(self):
        engine = self.engine()
        engine.start()
        self.assertTrue(engine.wait_idle(max_wait=math.inf, timeout=math.inf).idle)
        self.assertTrue(engine.stop(math.inf))

    def test_parts_of_the_wrong_kind_are_refused_when_the_engine_is_opened(self):
        for more in ({"embedder": lambda texts: texts}, {"embedder": embedjobs.Embedder(3, "m", 8)},
                     {"persister": object()}, {"persister": Dictionary(), "resolver": object()},
                     {"computer": lambda request: None}):
            with self.assertRaises(embedjobs.InvalidArgument):
                self.engine(**more)
        self.assertEqual(_callbacks.alive(), 0)

    def test_content_is_anything_that_has_bytes(self):
        engine = self.engine()
        for content in (openapi(2), openapi(2).encode(), bytearray(openapi(2).encode()),
                        memoryview(openapi(2).encode())):
            engine.put(*KEY, content)
        with self.assertRaises(TypeError):
            engine.put(*KEY, None)

    # ---- Callbacks ----

    def test_an_error_that_can_not_be_printed_is_one_all_the_same(self):
        class Bad(Exception):
            def __str__(self):
                raise RuntimeError("no words")

        def embed(texts):
            raise Bad()

        engine = self.engine(embed)
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        self.log.wait_for("the embedder raised RuntimeError: Bad, which can't be printed")
        engine.stop()

    def test_a_pause_may_be_endless(self):
        def embed(texts):
            raise embedjobs.Paused("no quota", retry_after=math.inf)

        engine = self.engine(embed)
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        report = engine.wait_idle(max_wait=0.0)
        self.assertTrue(report.provider_waiting)
        self.assertGreater(report.provider_left, 3000)  # an hour at most
        self.assertEqual(engine.jobs()[0].attempts, 0)

    def test_an_exit_in_a_callback_on_a_thread_of_the_library_is_an_error_like_others(self):
        engine = self.engine(lambda texts: sys.exit(3))
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        self.log.wait_for("is made again")
        self.assertIn("the embedder raised SystemExit: 3", engine.jobs()[0].last_error)

    def test_what_a_callback_keeps_of_its_call_says_that_it_has_ended(self):
        kept = []

        def embed(texts, call):
            kept.append(call)
            return [vector_of(text) for text in texts]

        def compute(request):
            kept.append(request)
            raise embedjobs.Failed("enough")

        for more in ({"embedder": embedjobs.Embedder(embed, "words", 8)},
                     {"computer": embedjobs.Computer(compute, "v", "words", 8)}):
            engine = self.engine(**more)
            engine.put(*KEY, openapi(1))
            engine.start()
            engine.wait_idle()
            engine.close()
        call, request = kept[0], kept[-1]  # the reconciler may have tried again
        self.assertEqual((call.is_cancelled, call.remaining, request.call.is_cancelled), (True, 0.0, True))
        for use in (lambda: call.purpose, lambda: call.out, lambda: call.set_prompt_tokens(1),
                    lambda: request.progress(1, 1), lambda: request.list_existing([], []),
                    lambda: request.persist_batch([], [], []), lambda: request.set_manifest([], [])):
            with self.assertRaisesRegex(embedjobs.Refused, "has ended"):
                use()

    def test_a_numpy_that_another_thread_is_importing_is_not_used_yet(self):
        numpy = types.ModuleType("numpy")
        numpy.__spec__ = importlib.machinery.ModuleSpec("numpy", None)
        numpy.__spec__._initializing = True  # as the import system has it until the module is complete
        with unittest.mock.patch.dict(sys.modules, numpy=numpy):
            engine = self.engine()
            engine.put_items(*KEY, [("a", "one")])
            engine.worker_run(until_idle=True)
            self.assertEqual(engine.rows(*KEY).vectors.tolist(), [vector_of("one")])

    def test_what_a_resolver_answers_is_checked(self):
        class Shelf(Folder):
            answer, listed = None, []

            def resolve(self, catalog_id, spec_name):
                return self.answer

            def list(self, after, limit):
                return self.listed

        shelf = Shelf()
        engine = self.engine(persister=Dictionary(), resolver=shelf)
        engine.start()
        for number, (answer, said) in enumerate({
                embedjobs.Document(b"x", ""): "the document's version is empty",
                embedjobs.Document("text", "v"): "a bytes-like object is required",
                embedjobs.Document(b"x", "a\0b"): "a name has a NUL character"
        }.items()):
            shelf.answer = answer
            engine.enqueue("catalog", str(number))
            engine.wait_idle(max_wait=0.0)
            self.assertIn(said, engine.jobs(limit=1)[0].last_error)
        for listed in ([("c", "", "v")], [("c", "s", "")]):
            shelf.listed = listed
            with self.assertRaisesRegex(embedjobs.InvalidArgument, "which is no document"):
                engine.statuses()
        shelf.listed = [("c", f"{i:05}", "v") for i in range(2000)]  # the same page again and again
        with self.assertRaisesRegex(embedjobs.Internal, "not ordered by key"):
            engine.statuses()

    # ---- The end ----

    def test_close_from_inside_a_callback_is_refused(self):
        for on_own_thread in (False, True):
            said = []

            def embed(texts, said=said):
                try:
                    engine.close()
                except embedjobs.Refused as error:
                    said.append(str(error))
                return [vector_of(text) for text in texts]

            engine = self.engine(embed)
            engine.put_items(*KEY, [("a", "one")])
            if on_own_thread:
                engine.worker_run(until_idle=True)
            else:
                engine.start()
                engine.wait_idle()
            self.assertIn("close() can't be called from inside a callback", said[0])

    def test_a_callback_may_call_while_the_engine_is_closed(self):
        entered, closing = threading.Event(), []

        def embed(texts, call):
            entered.set()
            while not call.is_cancelled:
                pass
            closing.append(len(engine.jobs()))
            return [vector_of(text) for text in texts]

        engine = self.engine(embed)
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        entered.wait()
        engine.close()
        self.assertEqual(closing, [1])

    def test_the_collector_does_not_wait_for_callbacks(self):
        lock, entered = threading.Lock(), threading.Event()

        class Locking(Words):
            def __call__(self, texts):
                entered.set()
                with lock:
                    return super().__call__(texts)

        before = _callbacks.alive()
        engine = embedjobs.Engine("memory:", embedder=Locking().embedder(), log=Log())
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        with lock:
            entered.wait()
            ring = [engine]
            ring.append(ring)
            del engine, ring
            gc.collect()  # would wait for the callback, which waits for the lock
        while _callbacks.alive() > before:
            pass

    def test_many_waits_of_an_asyncio_host_hold_up_nothing(self):
        embed, entered, leave = held_embed()

        async def host():
            engine = embedjobs.AsyncEngine("memory:", embedder=embedjobs.Embedder(embed, "words", 8), log=Log())
            await engine.start()
            await engine.put_items(*KEY, [("a", "one")])
            entered.wait()
            waits = [asyncio.ensure_future(engine.wait_idle()) for _ in range(60)]
            await engine.put_items("catalog", "other", [("a", "two")])
            leave.set()
            await engine.close()
            return await asyncio.gather(*waits, return_exceptions=True)

        ended = asyncio.run(host())
        self.assertEqual(len(ended), 60)
        self.assertTrue(
            all(isinstance(end, (embedjobs.Cancelled, embedjobs.Refused, embedjobs.IdleReport)) for end in ended),
            ended)

    # ---- Signals ----

    def test_an_interrupt_ends_waits_and_leaves_the_engine_as_it_was(self):
        embed, entered, leave = held_embed()
        engine = self.engine(embed)
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        for wait in (engine.wait_idle, engine.stop, engine.close):
            interrupt_in_call(engine, entered)
            with self.assertRaises(KeyboardInterrupt):
                wait()
        self.assertEqual(len(engine.jobs()), 1)
        leave.set()

    def test_an_interrupt_ends_a_worker_that_has_nothing_to_do(self):
        idle = threading.Event()
        engine = self.engine()
        engine.put_items(*KEY, [("a", "one")])
        threading.Thread(target=lambda: (engine.wait_idle(), idle.set()), daemon=True).start()
        interrupt_in_call(engine, idle)
        with self.assertRaises(KeyboardInterrupt):
            engine.worker_run()
        self.assertTrue(engine.worker_run(until_idle=True).idle)  # and it may go on

    def test_an_interrupt_in_the_embedder_of_a_search_comes_out_of_it(self):
        words = Words()
        engine = self.engine(embedder=words.embedder())
        engine.put_items(*KEY, [("a", "one")])
        engine.start()
        engine.wait_idle()
        words.errors = [KeyboardInterrupt()]
        with self.assertRaises(KeyboardInterrupt):
            engine.search("catalog", "one")
        self.assertEqual(engine.search("catalog", "one")[0].operation_id, "a")

    def test_an_interrupt_between_the_callbacks_of_a_worker_comes_out_of_it(self):
        def claimed(event):  # on a thread of the library, while the main thread is in C and the embedder is next
            if event.kind == embedjobs.EventKind.JOB_CLAIMED:
                os.kill(os.getpid(), signal.SIGINT)

        words = Words()
        engine = self.engine(embedder=words.embedder(), events=claimed)
        engine.put_items(*KEY, [("a", "one")])
        hook = sys.unraisablehook
        with self.assertRaises(KeyboardInterrupt):
            engine.worker_run(until_idle=True)
        self.assertIs(sys.unraisablehook, hook)

    def test_an_interrupt_in_the_log_comes_out_of_the_call_that_logs(self):
        def log(level, line):
            if "Traceback" in line:
                raise KeyboardInterrupt

        words = Words()
        words.errors = [ValueError("once")]
        engine = self.engine(embedder=words.embedder(), log=log)
        engine.put_items(*KEY, [("a", "one")])
        with self.assertRaises(KeyboardInterrupt):
            engine.worker_run(until_idle=True)
        self.assertEqual(words.errors, [])

    def test_one_thread_at_a_time_runs_the_worker(self):
        embed, entered, leave = held_embed()
        engine = self.engine(embed)
        engine.put_items(*KEY, [("a", "one")])
        runner = threading.Thread(target=engine.worker_run)
        runner.start()
        entered.wait()
        with self.assertRaisesRegex(embedjobs.Refused, "another thread"):
            engine.worker_run()
        leave.set()
        engine.stop()
        runner.join()


if __name__ == "__main__":
    unittest.main()
