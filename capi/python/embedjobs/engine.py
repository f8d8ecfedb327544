"""The engine: documents in, searchable vectors out, work in the background."""
import atexit
import ctypes
import json
import logging
import os
import threading
import time
import weakref
import _thread
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Set, Tuple, Type, TypeVar, Union

from . import _abi, _callbacks, _memory
from .errors import InvalidArgument, Refused, Timeout
from .hosts import Computer, Embedder, Persister, Resolver
from .values import (Catalog, Enqueued, Event, Health, Hit, IdleReport, Job, JobKind, JobStatus, Provider, Rows,
                     SpecStatus, Tone, Verification, Worker)

#: How long one wait in C lasts, so that signals of Python are handled in between.
_SLICE_MS = 200
_logger = logging.getLogger("embedjobs")
T = TypeVar("T")
_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()
#: Engines that the garbage collector found, while they end.
_ending: Set[int] = set()

Items = Union[str, bytes, Iterable[Union[Tuple[str, str], Mapping[str, Any]]]]


def _to_logging(level: int, message: str) -> None:
    _logger.log(_LEVELS[level], "%s", message)


def _close_all() -> None:
    """Threads of the library call into Python: they end before the interpreter does. What goes wrong with one engine
    leaves the others."""
    first: Optional[BaseException] = None
    for engine in list(_engines):
        try:
            engine.close()
        except BaseException as error:  # pylint: disable=broad-exception-caught
            first = first or error
    while _ending:
        time.sleep(0.01)
    if first is not None:
        raise first


def _end(handle: int) -> None:
    _abi.function("engine_destroy")(handle)
    _ending.discard(handle)


atexit.register(_close_all)
os.register_at_fork(after_in_child=_ending.clear)  # the threads that end them are the parent's


def items_of(items: Items) -> bytes:
    """Items as JSON Lines: from text that is it already, from (id, text) pairs, or from mappings with "id" and
    "text"."""
    if isinstance(items, str):
        return _memory.utf8(items, "the items")
    if isinstance(items, (bytes, bytearray, memoryview)):
        return _memory.data(items)
    if isinstance(items, Mapping):
        raise InvalidArgument("the items are a mapping: pass its items(), which are pairs")
    rows = [_item(index, item) for index, item in enumerate(items)]
    try:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8")
    except UnicodeEncodeError:  # a surrogate without its pair has an escape in JSON, and counts as U+FFFD
        return "".join(json.dumps(row) + "\n" for row in rows).encode("ascii")


def _item(index: int, item: Any) -> Dict[str, Any]:
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return {"id": item[0], "text": item[1]}
    raise InvalidArgument(
        f'item {index} is {item!r:.80}: it must be a pair (id, text), or a mapping with "id" and "text"')


def _limit(seconds: Optional[float]) -> int:
    """None: without limit."""
    return -1 if seconds is None else max(_memory.ms(seconds), 0)


def _slice(left: int) -> int:
    """How long to wait in C before Python may handle its signals, which is the main thread's work; `left` is negative
    without limit."""
    if threading.current_thread() is not threading.main_thread():
        return left
    return _SLICE_MS if left < 0 else min(left, _SLICE_MS)


class Engine:
    """Opened by a DSN and what the host brings. Thread-safe. As a context manager it starts, and is closed at the end.

    embedder: a spec ("hashing", "openai:MODEL", ...) or an `Embedder` of the host's, made by the decorator `embedder`.
    log: called with (level 0..3, line); default: the logger "embedjobs".
    events, reload: called when something happened; quickly, please.
    secret: asked for the key of an HTTP provider before each request.
    options: slots, batch_size, ... as in embedjobs_options of embedjobs.h; spans of time are seconds and have no "_ms":
    lease_duration=60.0.
    """

    def __init__(
        self,
        dsn: str = "sqlite:embedjobs.db",
        *,
        embedder: Union[str, Embedder, None] = None,
        computer: Optional[Computer] = None,
        persister: Optional[Persister] = None,
        resolver: Optional[Resolver] = None,
        log: Callable[[int, str], None] = _to_logging,
        events: Optional[Callable[[Event], None]] = None,
        reload: Optional[Callable[[str, str], None]] = None,
        secret: Optional[Callable[[], str]] = None,
        worker_id: Optional[str] = None,
        **options: float,
    ) -> None:
        self._handle: Optional[int] = None
        self._pid = os.getpid()
        self._host = _callbacks.Host(log)
        self._calls = self._host.calls  # Under way, by thread: close() waits for them.
        self._calls_changed = threading.Condition()
        self._runner: Optional[int] = None  # The thread that is in worker_run().
        tables: Dict[str, Any] = {}
        handle = ctypes.c_void_p()
        try:
            numbers = _numbers(options)
            if embedder is not None and not isinstance(embedder, (str, Embedder)):
                raise InvalidArgument("embedder: give a spec or an Embedder; "
                                      "embedjobs.embedder(model=..., dimension=...) makes one of a function")
            if isinstance(embedder, Embedder):
                tables["host_embedder"] = _callbacks.embedder_table(self._host, embedder)
            if computer is not None and not isinstance(computer, Computer):
                raise InvalidArgument("computer: give a Computer, which names its version and space")
            if computer is not None:
                tables["host_computer"] = _callbacks.computer_table(self._host, computer)
            if persister is not None:
                tables["host_persister"] = _callbacks.persister_table(self._host, persister)
            if resolver is not None:
                tables["host_resolver"] = _callbacks.resolver_table(self._host, resolver)
            if secret is not None:
                tables["secret_source"] = _callbacks.secret_table(self._host, secret)
            tables["observer"] = _callbacks.observer_table(self._host, events, reload)
            spec = embedder if isinstance(embedder, str) else None
            pointers = {name: ctypes.pointer(table) for name, table in tables.items()}
            given = _abi.Options(dsn=_memory.encoded(dsn), embedder=_memory.encoded(spec),
                                 worker_id=_memory.encoded(worker_id), **pointers, **numbers)
            _memory.call("engine_open", ctypes.byref(given), ctypes.byref(handle))
        except BaseException:
            _abi.function("engine_destroy")(handle)  # an interruption came just after it was opened
            for table in tables.values():  # twice is fine: the library destroys most of them
                _callbacks.forget(table)
            raise
        self._handle = handle.value
        _engines.add(self)

    # ---- Life ----

    def __enter__(self) -> "Engine":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        """The garbage collector runs anywhere, also where something is locked that a callback waits for: it only asks
        for an end."""
        handle = getattr(self, "_handle", None)
        if handle is None or os.getpid() != self._pid:  # a forked child leaves everything as it is
            return
        self._handle = None
        _ending.add(handle)
        try:
            _thread.start_new_thread(_end, (handle,))
        except RuntimeError:  # no thread begins any more
            _end(handle)

    def close(self) -> None:
        """Stops, waits for callbacks that are under way, and frees the engine. Waits of other threads end with
        Cancelled. Twice is fine. Refused inside a callback of this engine: request_stop() is what it wants."""
        if self._handle is None or os.getpid() != self._pid:  # a forked child leaves everything as it is
            return
        try:
            self.stop()
        except Refused as error:
            if self._handle is None:  # another thread was faster
                return
            raise Refused("recursive call: close() can't be called from inside a callback of its engine; "
                          "request_stop() can") from error
        with self._calls_changed:
            handle, self._handle = self._handle, None
            if handle is None:
                return
            try:
                self._calls_changed.wait_for(lambda: not self._calls)
            except BaseException:  # interrupted: it may be closed later
                self._handle = handle
                raise
        _abi.function("engine_destroy")(handle)

    def start(self) -> None:
        """Starts to work on threads of the library. Acts once."""
        self._call("engine_start")

    def stop(self, deadline: Optional[float] = None) -> bool:
        """Ends the work within `deadline` seconds (None: however long it takes). False: a callback hangs; ask again, or
        close."""
        try:
            self._in_slices(_limit(deadline), lambda part: self._call("engine_stop", part))
        except Timeout:
            return False
        return True

    def request_stop(self) -> None:
        """Asks for an end and returns at once. Allowed in callbacks."""
        self._call("engine_request_stop")

    def wait_idle(self, max_wait: float = 60.0, *, timeout: Optional[float] = None,
                  cancel: Optional["Cancel"] = None) -> IdleReport:
        """Waits until no job runs or is due within `max_wait` seconds, or the provider could not be reached for that
        long. Timeout: `timeout` seconds passed first. Signals are handled meanwhile. asyncio hosts: AsyncEngine."""
        return self._in_slices(_limit(timeout),
                               lambda part: self._wait("engine_wait_idle", _limit(max_wait), part, cancel))

    def worker_run(self, *, until_idle: bool = False, max_wait: float = 60.0, timeout: Optional[float] = None,
                   cancel: Optional["Cancel"] = None) -> IdleReport:
        """Works on this thread, in place of start(): callbacks come here, which costs Python the least. Until
        request_stop() or stop(), or with `until_idle` until nothing is left. What interrupts a callback,
        KeyboardInterrupt for example, ends the work and is raised here. Signals are handled meanwhile on the main
        thread; one thread at a time."""
        thread = threading.get_ident()
        with self._calls_changed:
            if self._runner is not None:
                recursive = self._runner == thread
                raise Refused("recursive call: worker_run()" if recursive else "another thread is in worker_run()")
            self._runner = thread
        self._host.interrupted = lambda interrupted: self.request_stop() if interrupted == thread else None
        try:
            return self._in_slices(
                _limit(timeout),
                lambda part: self._wait("engine_worker_run", int(until_idle), _limit(max_wait), part, cancel))
        finally:
            self._host.interrupted = lambda interrupted: None
            self._runner = None

    @staticmethod
    def _in_slices(left: int, wait: Callable[[int], T]) -> T:
        """Waits `left` milliseconds, in parts between which Python handles signals. Timeout after the last one."""
        while True:
            part = _slice(left)
            try:
                return wait(part)
            except Timeout:
                if left == part:
                    raise
                left = left - part if left >= 0 else left

    def _wait(self, name: str, *arguments: Any) -> IdleReport:
        report = _abi.IdleReport()
        cancel: Optional[Cancel] = arguments[-1]
        self._call(name, *arguments[:-1], cancel.handle if cancel else None, ctypes.byref(report))
        given: Any = report
        return IdleReport(bool(given.idle), None if given.next_due_ms < 0 else given.next_due_ms / 1000,
                          bool(given.other_space), bool(given.provider_waiting), given.provider_left_ms / 1000)

    # ---- Documents and jobs ----

    def put(self, catalog_id: str, spec_name: str, content: Union[str, bytes]) -> Enqueued:
        """Stores an OpenAPI document, JSON or YAML, and makes its job, in one transaction."""
        return self._put("engine_put", catalog_id, spec_name,
                         _memory.utf8(content, "the document") if isinstance(content, str) else _memory.data(content))

    def put_items(self, catalog_id: str, spec_name: str, items: Items) -> Enqueued:
        """The same for a document that the host cut itself: (id, text) pairs, mappings with "id" and "text", or JSON
        Lines."""
        return self._put("engine_put_items", catalog_id, spec_name, items_of(items))

    def _put(self, name: str, catalog_id: str, spec_name: str, content: bytes) -> Enqueued:
        return self._enqueued(name, catalog_id, spec_name, content, len(content))

    def remove(self, catalog_id: str, spec_name: str) -> None:
        self._call("engine_remove", _memory.encoded(catalog_id), _memory.encoded(spec_name))

    def remove_catalog(self, catalog_id: str) -> None:
        self._call("engine_remove_catalog", _memory.encoded(catalog_id))

    def enqueue(self, catalog_id: str, spec_name: str, kind: JobKind = JobKind.SPEC_WRITE) -> Enqueued:
        """"This document changed", for a host that keeps documents itself."""
        return self._enqueued("engine_enqueue", catalog_id, spec_name, int(kind))

    def retry(self, catalog_id: str, spec_name: str) -> Enqueued:
        """Everything of the spec is embedded afresh."""
        return self._enqueued("engine_retry", catalog_id, spec_name)

    def retry_failed(self) -> int:
        """Retries every spec whose last job failed; how many."""
        return self._counted("engine_retry_failed")

    def reconcile(self) -> int:
        """Enqueues every spec whose vectors are not what its document asks for; how many."""
        return self._counted("engine_reconcile")

    def switch_space(self, catalog_id: str, space_id: str) -> int:
        """Moves a catalog to another space; how many specs were enqueued."""
        return self._counted("engine_switch_space", _memory.encoded(catalog_id), _memory.encoded(space_id))

    def _enqueued(self, name: str, catalog_id: str, spec_name: str, *arguments: Any) -> Enqueued:
        given: Any = _abi.Enqueued()
        self._call(name, _memory.encoded(catalog_id), _memory.encoded(spec_name), *arguments, ctypes.byref(given))
        return Enqueued(given.job_id, given.generation, bool(given.created))

    def _counted(self, name: str, *arguments: Any) -> int:
        count = ctypes.c_size_t()
        self._call(name, *arguments, ctypes.byref(count))
        return count.value

    # ---- Reading ----

    def statuses(self, catalog_id: Optional[str] = None) -> List[SpecStatus]:
        """Every spec of a catalog, or of all."""
        return self._list("statuses", _abi.Statuses, SpecStatus, _memory.encoded(catalog_id))

    def health(self, catalog_id: Optional[str] = None) -> Health:
        return self._read("health", _abi.Health, lambda given: _value(Health, given), _memory.encoded(catalog_id))

    def jobs(self, *, catalog_id: Optional[str] = None, spec_name: Optional[str] = None,
             status: Optional[JobStatus] = None, kind: Optional[JobKind] = None, limit: int = 100) -> List[Job]:
        """Newest first."""
        wanted = _abi.JobFilter(catalog_id=_memory.encoded(catalog_id), spec_name=_memory.encoded(spec_name),
                                limit=_memory.size(limit, "limit"), by_status=int(status is not None),
                                status=status or 0, by_kind=int(kind is not None), kind=kind or 0)
        return self._list("jobs", _abi.Jobs, Job, ctypes.byref(wanted))

    def search(self, catalog_id: str, query: str, k: int = 5) -> List[Hit]:
        """The `k` nearest operations, best first. Embeds the query on this thread; needs no start."""
        data = _memory.utf8(query, "the query")
        return self._list("hits", _abi.Hits, Hit, _memory.encoded(catalog_id), data, len(data), _memory.size(k, "k"),
                          function="engine_search")

    def rows(self, catalog_id: str, spec_name: str, *, with_vectors: bool = True) -> Rows:
        """The visible rows of a spec by id, vectors as a matrix of the caller's own: numpy where the program has
        imported it."""
        return self._read("stored_rows", _abi.StoredRows, _memory.stored_rows, _memory.encoded(catalog_id),
                          _memory.encoded(spec_name), int(with_vectors), function="engine_rows")

    def catalogs(self) -> List[Catalog]:
        return self._list("catalogs", _abi.Catalogs, Catalog)

    def verify(self, catalog_id: str, spec_name: Optional[str] = None) -> List[Verification]:
        """Compares the visible rows with the documents, of all specs of the catalog or of one."""
        return self._list("verifications", _abi.Verifications, Verification, _memory.encoded(catalog_id),
                          _memory.encoded(spec_name), function="engine_verify")

    def providers(self) -> List[Provider]:
        """What the database remembers of providers: batch sizes, pauses, tokens."""
        return self._list("providers", _abi.Providers, Provider)

    def workers(self) -> List[Worker]:
        """Who works: workers of all processes."""
        return self._list("workers", _abi.Workers, Worker)

    def metrics(self) -> Dict[str, Optional[int]]:
        """Counters of this engine and gauges of the store, by name. None: the store does not tell."""
        return self._read("metrics", _abi.Metrics,
                          lambda given: {name: _known(name, getattr(given, name)) for name in _METRICS})

    def prometheus(self) -> str:
        """All of the metrics in Prometheus' text format."""
        return self._read("metrics", _abi.Metrics,
                          lambda given: _memory.bytes_at(given.prometheus, given.prometheus_size).decode("utf-8"))

    def _list(self, name: str, kind: Any, value: Type[T], *arguments: Any, function: Optional[str] = None) -> List[T]:
        def values(given: Any) -> List[T]:
            return [_value(value, given.items[i].contents) for i in range(given.count)]

        return self._read(name, kind, values, *arguments, function=function)

    def _read(self, name: str, kind: Any, convert: Callable[[Any], T], *arguments: Any,
              function: Optional[str] = None) -> T:
        out = ctypes.POINTER(kind)()
        self._call(function or "engine_" + name, *arguments, ctypes.byref(out))
        try:
            return convert(out.contents)
        finally:
            _abi.function(name + "_destroy")(out)

    def _call(self, name: str, *arguments: Any) -> None:
        if os.getpid() != self._pid:
            raise Refused("this engine was opened by another process: open one after fork")
        thread = threading.get_ident()
        with self._calls_changed:
            handle = self._handle
            if handle is None:
                raise Refused("the engine is closed")
            self._calls[thread] = self._calls.get(thread, 0) + 1
        try:
            if thread == threading.main_thread().ident:
                with self._host.catching():
                    _memory.call(name, handle, *arguments)
            else:
                _memory.call(name, handle, *arguments)
        finally:
            interruption = None
            with self._calls_changed:
                self._calls[thread] -= 1
                if self._calls[thread] == 0:
                    del self._calls[thread]
                    interruption = self._host.interruptions.pop(thread, None)
                    self._calls_changed.notify_all()
            if interruption is not None:
                raise interruption


class Cancel:
    """Ends waits from another thread: give it to them, then request()."""

    def __init__(self) -> None:
        self.handle: Optional[int] = _abi.function("cancel_create")()
        if self.handle is None:
            raise MemoryError("no memory for a cancel")

    def request(self) -> None:
        _abi.function("cancel_request")(self.handle)

    def __del__(self) -> None:
        handle, self.handle = getattr(self, "handle", None), None
        if handle is not None:
            _abi.function("cancel_destroy")(handle)


#: The members of embedjobs_options that are numbers, and of embedjobs_metrics.
_NUMBERS = [field[0] for field in _abi.Options._fields_ if field[1] is ctypes.c_int64]
_METRICS = [field[0] for field in _abi.Metrics._fields_ if field[1] is not ctypes.c_void_p][2:]  # without the sizes


def _numbers(options: Mapping[str, float]) -> Dict[str, int]:
    numbers: Dict[str, int] = {}
    for name, value in options.items():
        if name in _NUMBERS and not name.endswith("_ms"):
            numbers[name] = _memory.size(max(int(value), 0), name)
        elif name + "_ms" in _NUMBERS:
            numbers[name + "_ms"] = _memory.ms(value)
        else:
            known = ", ".join(option[:-3] if option.endswith("_ms") else option for option in _NUMBERS)
            raise InvalidArgument(f"there is no option {name}; there are {known}")
    return numbers


_ENUMS = {"badge_tone": Tone, "banner_tone": Tone, "job_status": JobStatus, "status": JobStatus, "kind": JobKind}
_BOOLS = ("offers_retry", "degraded", "equal", "live")
#: What may be -1 in C: not known.
_MAY_BE_UNKNOWN = ("operation_count", "embedding_count", "embedded_so_far", "pending", "running", "failed", "degraded",
                   "store_pending", "store_running", "store_succeeded", "store_failed", "store_cancelled")


#: None where it is not known. Other texts that are NULL are "".
_NULLABLE = (*_MAY_BE_UNKNOWN, "provider_pause", "visible_space_id")


def _known(name: str, value: Any) -> Any:
    return None if name in _MAY_BE_UNKNOWN and value == -1 else value


def _value(kind: Type[T], given: Any) -> T:
    """A dataclass of `kind` from a C struct with members of the same names. Those that an older library does not have
    are 0 or ""."""
    given = _memory.whole(given)
    members = {}
    for name in kind.__dataclass_fields__:  # type: ignore[attr-defined]
        value = given.lease_duration_ms / 1000 if name == "lease_duration" else _known(name, getattr(given, name))
        if value is None and name in _NULLABLE:
            pass
        elif name == "operation_id":
            value = _memory.bytes_at(value, given.operation_id_size).decode("utf-8", "replace")
        elif value is None or isinstance(value, bytes):
            value = _memory.text(value)
        elif name in _ENUMS:
            value = _ENUMS[name](value)
        elif name in _BOOLS:
            value = bool(value)
        elif name.endswith("_at") or name == "paused_until":
            value = value / 1000
        elif name == "fence":
            value = _memory.fence(value)
        members[name] = value
    return kind(**members)
