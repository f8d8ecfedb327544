"""Tables of C callbacks over Python objects. Nothing a callback raises leaves it: it becomes a code and a message, its
traceback goes to the log. A table's functions live until the library has called destroy."""
import ctypes
import itertools
import sys
import threading
import traceback
from typing import Any, Callable, Dict, Optional, Sequence

from . import _abi, _memory
from ._abi import Code, LogLevel
from .errors import Error, Gone, InvalidArgument
from .hosts import Call, Computer, ComputeRequest, EmbedCall, Embedder, wants_call
from .values import Event, EventKind, Pass

LogFunction = Callable[[int, str], None]

_alive: Dict[int, Any] = {}
_keys = itertools.count(1)
#: The garbage collector may end an engine, and so a table, while this thread holds it.
_alive_lock = threading.RLock()


def _forget(user_data: Optional[int]) -> None:
    with _alive_lock:
        _alive.pop(user_data or 0, None)


#: Lives for ever: a function must not be freed while it runs.
_destroy = _abi.EmbedderDestroy(_forget)  # every table's destroy has this type


def alive() -> int:
    """How many tables the library holds. For tests."""
    return len(_alive)


class Host:
    """What all tables of an engine share: where errors go, and the interruptions that callbacks met on the host's own
    threads."""

    def __init__(self, log: LogFunction) -> None:
        self._log = log
        #: Threads of the host's that are inside of a call of the engine, which raises what interrupts a callback on
        #: them.
        self.calls: Dict[int, int] = {}
        self.interruptions: Dict[int, BaseException] = {}
        self.interrupted: Callable[[int], None] = lambda thread: None

    def log(self, level: int, message: str) -> None:
        try:
            self._log(level, message)
        except BaseException as error:  # pylint: disable=broad-except
            self.interrupt(error)  # else: nobody is left to tell

    def interrupt(self, error: BaseException) -> bool:
        """KeyboardInterrupt, SystemExit: for whoever called the engine on this thread. False: it is none, or nobody
        called."""
        thread = threading.get_ident()
        if isinstance(error, Exception) or thread not in self.calls:
            return False
        self.interruptions[thread] = error
        self.interrupted(thread)
        return True

    def catching(self) -> "Catching":
        """For a call on the main thread, where Python raises what a signal asks for: also between two lines of a
        callback, where no `try` of it stands yet."""
        return Catching(self)

    def failed(self, call: int, what: str, error: BaseException) -> int:
        """The code for what a callback raised; its message is set."""
        try:
            return self._failed(call, what, error)
        except Exception:  # the error itself raises when it is asked what it is
            return self._failed(call, what, RuntimeError(f"{type(error).__name__}, which can't be printed"))

    def _failed(self, call: int, what: str, error: BaseException) -> int:
        code: int = Code.RETRY
        if isinstance(error, Error):
            code = error.code
            message = str(error) or type(error).__name__
            if error.retry_after > 0:
                _abi.function("call_set_retry_after_ms")(call, _memory.ms(error.retry_after))
        else:
            message = f"{what} raised {type(error).__name__}: {error}"
            trace = "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
            self.log(LogLevel.ERROR, f"{message}\n{trace}")
            if isinstance(error, TimeoutError):
                code = Code.TIMEOUT
            elif self.interrupt(error):
                code = Code.CANCELLED
        data = message.encode("utf-8", "replace")
        _abi.function("call_set_error")(call, data, len(data))
        return code

    def guarded(self, what: str, body: Callable[..., int]) -> Callable[..., int]:
        """`body` gets the callback's arguments without user_data and *done, and returns what *done shall be."""

        def callback(_user_data: Optional[int], address: int, *arguments: Any) -> int:
            try:
                with Call(address) as call:
                    _memory.set_done(arguments[-1], body(call, *arguments[:-1]))
                return Code.OK
            except BaseException as error:  # pylint: disable=broad-except
                return self.failed(address, what, error)

        return callback


class Catching:
    """While it is entered, what leaves a callback of this module on this thread, and is no Exception, is an
    interruption of the call that the thread is in. ctypes would print it and go on."""

    __slots__ = ("_host", "_thread", "_before", "_hook")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._thread = threading.get_ident()

    def __enter__(self) -> None:
        self._before = sys.unraisablehook
        self._hook = self._unraisable
        sys.unraisablehook = self._hook

    def __exit__(self, *_: Any) -> None:
        if sys.unraisablehook == self._hook:  # else somebody else has set it meanwhile
            sys.unraisablehook = self._before

    def _unraisable(self, unraisable: Any) -> None:
        trace = unraisable.exc_traceback
        ours = trace is not None and trace.tb_frame.f_globals is globals() and threading.get_ident() == self._thread
        if not (ours and self._host.interrupt(unraisable.exc_value)):
            self._before(unraisable)


def _made(kind: Any, functions: Dict[str, Any], **members: Any) -> Any:
    """A table, whose functions are kept until its destroy."""
    key = next(_keys)
    table = kind(user_data=key, destroy=_destroy, **functions, **members)
    with _alive_lock:
        _alive[key] = (table, functions)
    return table


def forget(table: Any) -> None:
    """For a table that the library never took."""
    _forget(table.user_data)


def _callable(what: str, function: Any) -> Any:
    if not callable(function):
        raise InvalidArgument(f"{what} is not callable: {function!r}")
    return function


def _methods(what: str, host: Any, *names: str) -> None:
    for name in names:
        _callable(f"{what}.{name}", getattr(host, name, None))


def _with_call(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """A method that gets the call as its last argument if it takes more than `count` of them."""
    if wants_call(function, count):
        return lambda call, *arguments: function(*arguments, call)
    return lambda call, *arguments: function(*arguments)


def _accepted(code: int, what: str) -> None:
    if code != Code.OK:
        raise InvalidArgument(what)


_LIMITS = ("dimension", "concurrent_calls", "batch_texts", "batch_bytes", "batch_tokens", "input_bytes")


def embedder_table(host: Host, embedder: Embedder) -> Any:
    function: Callable[..., Any] = _callable("the embedder", embedder.function)
    with_call = wants_call(function)
    get_texts, fill, set_done = _memory.texts, _memory.fill, _memory.set_done
    texts_at, vectors_at = _abi.Texts.from_address, _abi.Vectors.from_address

    def embed(_user_data: Optional[int], call: int, texts_address: int, vectors_address: int, done: int) -> int:
        try:
            given: Any = texts_at(texts_address)
            vectors: Any = vectors_at(vectors_address)
            count = given.count
            texts = get_texts(given.bytes, given.offsets, count)
            if with_call:
                with EmbedCall(call, given, vectors) as embed_call:
                    result = function(texts, embed_call)
                    if not embed_call.filled(result):
                        fill(vectors.values, count, vectors.dimension, result)
            else:
                fill(vectors.values, count, vectors.dimension, function(texts))
            set_done(done, count)
            return Code.OK
        except BaseException as error:  # pylint: disable=broad-except
            return host.failed(call, "the embedder", error)

    return _made(_abi.Embedder, {"embed": _abi.EmbedderEmbed(embed)}, model=_memory.encoded(embedder.model),
                 variant=_memory.encoded(embedder.variant), provider=_memory.encoded(embedder.provider),
                 **{name: _memory.size(getattr(embedder, name), name) for name in _LIMITS})


def computer_table(host: Host, computer: Computer) -> Any:
    _callable("the computer", computer.function)

    def compute(call: Call, compute_address: int, request_address: int) -> int:
        with ComputeRequest(call, compute_address, _abi.ComputeRequest.from_address(request_address)) as request:
            computer.function(request)
        return request.manifest_size()

    return _made(_abi.Computer, {"compute": _abi.ComputerCompute(host.guarded("the computer", compute))},
                 version=_memory.encoded(computer.version), model=_memory.encoded(computer.model),
                 variant=_memory.encoded(computer.variant), dimension=_memory.size(computer.dimension, "dimension"))


_PASS_TEXTS = ("catalog_id", "spec_name", "space_id", "splitter_version", "content_version")
_PASS_NUMBERS = ("job_id", "generation", "dimension", "epoch", "reuse_floor", "input_cap", "prompt_tokens")


def _pass(address: int) -> Pass:
    given: Any = _abi.Pass.from_address(address)
    members: Dict[str, Any] = {name: _memory.text(getattr(given, name)) for name in _PASS_TEXTS}
    members.update((name, getattr(given, name)) for name in _PASS_NUMBERS)
    return Pass(fence=_memory.fence(given.fence), **members)


def _expect(what: str, answers: Sequence[Any], count: int) -> None:
    if len(answers) != count:
        raise ValueError(f"{what} returned {len(answers)} answers, expected {count}")


def persister_table(host: Host, persister: Any) -> Any:
    _methods("persister", persister, "list_existing", "persist_batch", "finalize")
    listing, persisting = _with_call(persister.list_existing, 2), _with_call(persister.persist_batch, 2)
    finalizing = _with_call(persister.finalize, 2)
    describing = _with_call(getattr(persister, "describe", lambda keys: []), 1)

    def list_existing(call: Call, current: int, wanted: int, existing: int) -> int:
        operations = _memory.operations(wanted)
        answers = listing(call, _pass(current), operations)
        _expect("list_existing", answers, len(operations))
        if operations:
            ctypes.memmove(existing, bytes(1 if answer else 0 for answer in answers), len(operations))
        return len(operations)

    def persist_batch(call: Call, current: int, rows_address: int) -> int:
        rows = _memory.rows(_abi.Rows.from_address(rows_address))
        persisting(call, _pass(current), rows)
        return len(rows)

    def finalize(call: Call, current: int, manifest: int) -> int:
        operations = _memory.operations(manifest)
        finalizing(call, _pass(current), operations)
        return len(operations)

    def describe(call: Call, count: int, catalogs: Any, specs: Any, states: int) -> int:
        keys = [(_memory.text(catalogs[i]), _memory.text(specs[i])) for i in range(count)]
        answers = describing(call, keys)
        _expect("describe", answers, count)
        for index, state in enumerate(answers):
            if state is not None:
                _abi.function("spec_states_set")(states, index, _memory.encoded(state.space_id),
                                                 _memory.encoded(state.content_version),
                                                 _memory.encoded(state.splitter_version))
        return count

    functions = {
        "list_existing": _abi.PersisterListExisting(host.guarded("the persister's list_existing", list_existing)),
        "persist_batch": _abi.PersisterPersistBatch(host.guarded("the persister's persist_batch", persist_batch)),
        "finalize": _abi.PersisterFinalize(host.guarded("the persister's finalize", finalize)),
    }
    if hasattr(persister, "describe"):
        functions["describe"] = _abi.PersisterDescribe(host.guarded("the persister's describe", describe))
    return _made(_abi.Persister, functions)


def resolver_table(host: Host, resolver: Any) -> Any:
    _methods("resolver", resolver, "resolve")
    resolving = _with_call(resolver.resolve, 2)
    listing = _with_call(getattr(resolver, "list", lambda after, limit: []), 2)

    def resolve(call: Call, catalog: bytes, spec: bytes, answer: int) -> int:
        document = resolving(call, _memory.text(catalog), _memory.text(spec))
        if document is None:
            raise Gone("the document is gone")
        content = _memory.data(document.content)
        _accepted(_abi.function("document_set")(answer, content, len(content), _memory.encoded(document.version)),
                  "the document's version is empty")
        return 1

    def list_documents(call: Call, catalog: Optional[bytes], spec: Optional[bytes], limit: int, answer: int) -> int:
        after = None if catalog is None else (_memory.text(catalog), _memory.text(spec))
        count = 0
        for catalog_id, spec_name, version in itertools.islice(listing(call, after, limit), limit):
            _accepted(
                _abi.function("document_list_add")(answer, _memory.encoded(catalog_id), _memory.encoded(spec_name),
                                                   _memory.encoded(version)),
                f"list gave {(catalog_id, spec_name, version)}, which is no document")
            count += 1
        return count

    functions = {"resolve": _abi.ResolverResolve(host.guarded("the resolver", resolve))}
    if hasattr(resolver, "list"):
        functions["list"] = _abi.ResolverList(host.guarded("the resolver's list", list_documents))
    return _made(_abi.Resolver, functions)


def event_of(given: Any) -> Event:
    numbers = ("job_id", "attempt", "operation_count", "reused", "embedded", "missing", "prompt_tokens", "count")
    members: Dict[str, Any] = {name: getattr(given, name) for name in numbers}
    for name in ("catalog_id", "spec_name", "message"):
        members[name] = _memory.text(getattr(given, name))
    return Event(kind=EventKind(given.kind), delay=given.delay_ms / 1000, **members)


def observer_table(host: Host, events: Optional[Callable[[Event], None]],
                   reload: Optional[Callable[[str, str], None]]) -> Any:
    def log(_user_data: Optional[int], level: int, message: int, size: int) -> None:
        host.log(level, ctypes.string_at(message, size).decode("utf-8", "replace"))

    def told(what: str, body: Callable[..., None]) -> Callable[..., None]:
        def callback(_user_data: Optional[int], *arguments: Any) -> None:
            try:
                body(*arguments)
            except BaseException:  # pylint: disable=broad-except
                host.log(LogLevel.ERROR, f"the {what} callback raised\n{traceback.format_exc().rstrip()}")

        return callback

    functions: Dict[str, Any] = {"log": _abi.ObserverLog(log)}
    if events is not None:
        on_event = events
        functions["event"] = _abi.ObserverEvent(
            told("events", lambda address: on_event(event_of(_abi.Event.from_address(address)))))
    if reload is not None:
        on_reload = reload
        functions["reload"] = _abi.ObserverReload(
            told("reload", lambda catalog, spec: on_reload(_memory.text(catalog), _memory.text(spec))))
    return _made(_abi.Observer, functions)


def secret_table(host: Host, secret: Callable[[], str]) -> Any:
    def get(_call: Call, answer: int) -> int:
        value = secret().encode("utf-8")
        _abi.function("secret_set")(answer, value, len(value))
        return 1

    return _made(_abi.SecretSource, {"get": _abi.SecretSourceGet(host.guarded("the secret source", get))})
