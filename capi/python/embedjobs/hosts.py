"""What a host may bring: an embedder, a computer, a persister, a resolver, a source of secrets. Plain callables and
protocols."""
import ctypes
import dataclasses
import inspect
from typing import Any, Callable, Iterable, List, Optional, Protocol, Sequence, Tuple, TypeVar, Union

from . import _abi, _memory
from .errors import Incomplete, Refused
from .values import Document, Fence, Operations, Pass, Purpose, Rows, SpecState

C = TypeVar("C", bound="Call")


class Call:
    """What a callback may ask while it runs. It ends with the callback: who still holds it then is told that nothing is
    wanted any more."""

    __slots__ = ("_address",)

    def __init__(self, address: int) -> None:
        self._address: Optional[int] = address

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *_: Any) -> None:
        self._address = None

    @property
    def is_cancelled(self) -> bool:
        """The result is not wanted any more: raise Cancelled within a second."""
        address = self._address
        return address is None or bool(_abi.function("call_is_cancelled")(address))

    @property
    def remaining(self) -> Optional[float]:
        """Seconds until the call should end with Timeout; None: no limit."""
        address = self._address
        left: int = 0 if address is None else _abi.function("call_remaining_ms")(address)
        return None if left < 0 else left / 1000


class EmbedCall(Call):
    """For an embedder that wants more than the texts."""

    __slots__ = ("_out", "_texts", "_vectors")

    def __init__(self, address: int, given: Any, vectors: Any) -> None:
        super().__init__(address)
        self._texts = given
        self._vectors = vectors
        self._out: Any = None

    def __exit__(self, *_: Any) -> None:
        super().__exit__()
        self._texts = self._vectors = self._out = None

    @staticmethod
    def _during(given: Any) -> Any:
        if given is None:
            raise Refused("the call of the embedder has ended")
        return given

    @property
    def purpose(self) -> Purpose:
        """Some models want another prefix for a query than for a document."""
        return Purpose(self._during(self._texts).purpose)

    @property
    def out(self) -> Any:
        """The library's own n x dimension float32 buffer, to be filled without a copy: numpy where the program has
        imported it, else a memoryview. An embedder that filled it returns it. Not to be kept: it ends with the call."""
        if self._out is None:
            texts, vectors = self._during(self._texts), self._during(self._vectors)
            self._out = _memory.view(vectors.values, texts.count, vectors.dimension, True)
        return self._out

    def filled(self, result: Any) -> bool:
        """The embedder returned the buffer itself: nothing is to be copied."""
        return result is not None and result is self._out

    def set_prompt_tokens(self, tokens: int) -> None:
        """What the provider counted for this call."""
        self._during(self._vectors).prompt_tokens = tokens


#: Texts to vectors, in their order: any nested sequence of numbers, or a numpy array of n x dimension.
EmbedFunction = Union[Callable[[List[str]], Any], Callable[[List[str], EmbedCall], Any]]


def wants_call(function: Callable[..., Any], count: int = 1) -> bool:
    """True for a function that takes more than `count` arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    return len(positional) > count


@dataclasses.dataclass(frozen=True)
class Embedder:
    """A function with the space that its vectors belong to, and what it allows. 0: the engine decides."""

    function: EmbedFunction
    model: str  #: Names the space, with dimension and variant. An engine refuses to mix spaces.
    dimension: int
    variant: Optional[str] = None  #: What else matters to the vectors: a prefix, a version.
    provider: Optional[str] = None  #: The same in every process that calls the same endpoint. Default: the model.
    concurrent_calls: int = 0
    batch_texts: int = 0
    batch_bytes: int = 0
    batch_tokens: int = 0
    input_bytes: int = 0

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def embedder(model: str, dimension: int, **more: Any) -> Callable[[EmbedFunction], Embedder]:
    """A decorator: the function becomes an `Embedder`, whose further members may be named here."""
    return lambda function: Embedder(function, model, dimension, **more)


class ComputeRequest:
    """What a computer gets, and what it does with it. It ends with the callback."""

    def __init__(self, call: Call, address: int, request: Any) -> None:
        self.call = call
        self._open: Optional[int] = address
        self.catalog_id = _memory.text(request.catalog_id)
        self.spec_name = _memory.text(request.spec_name)
        self.content: bytes = _memory.bytes_at(request.content, request.content_size)
        self.batch_size: int = request.batch_size
        self.fence: Fence = _memory.fence(request.fence)
        self._manifest_size: Optional[int] = None

    def __enter__(self) -> "ComputeRequest":
        return self

    def __exit__(self, *_: Any) -> None:
        self._open = None

    @property
    def _address(self) -> int:
        if self._open is None:
            raise Refused("the computation has ended")
        return self._open

    def list_existing(self, ids: Sequence[str], hashes: Sequence[bytes]) -> List[bool]:
        """Which operations have a vector already and need only be named in the manifest."""
        wanted, keep = _memory.packed_operations(ids, hashes)
        existing = (ctypes.c_uint8 * max(len(ids), 1))()
        _memory.call("compute_list_existing", self._address, wanted, existing)
        del keep
        return [bool(value) for value in existing[: len(ids)]]

    def progress(self, done: int, total: int) -> None:
        """So many operations have a vector. What people see."""
        _abi.function("compute_progress")(self._address, done, total)

    def persist_batch(self, ids: Sequence[str], hashes: Sequence[bytes], vectors: Any) -> None:
        """Hands over one finished chunk; durable when it returns. LeaseLost: let it out at once."""
        wanted, keep = _memory.packed_operations(ids, hashes)
        flat, dimension = _flat(vectors, len(ids))
        _memory.call("compute_persist_batch", self._address,
                     _abi.Rows(count=wanted.count, dimension=dimension, ids=wanted.ids, id_offsets=wanted.id_offsets,
                               hashes=wanted.hashes, vectors=flat.buffer_info()[0]))
        del keep

    def set_manifest(self, ids: Sequence[str], hashes: Sequence[bytes]) -> None:
        """Names every operation of the document, reused or new: the proof that all of it was seen."""
        manifest, keep = _memory.packed_operations(ids, hashes)
        _memory.call("compute_set_manifest", self._address, manifest)
        del keep
        self._manifest_size = len(ids)

    def manifest_size(self) -> int:
        if self._manifest_size is None:
            raise Incomplete("the computer returned without set_manifest()")
        return self._manifest_size


def _flat(vectors: Any, count: int) -> Tuple[Any, int]:
    if hasattr(vectors, "tolist"):
        vectors = vectors.tolist()
    dimension = len(vectors[0]) if count else 0
    return _memory.flatten(vectors, count, dimension, "persist_batch() got"), dimension


@dataclasses.dataclass(frozen=True)
class Computer:
    """A host's whole way from a document to persisted chunks. It replaces splitter and embedder of a pass."""

    function: Callable[[ComputeRequest], None]
    version: str  #: Changes whenever the same content may give other ids or texts.
    model: str
    dimension: int
    variant: Optional[str] = None


class Persister(Protocol):
    """Where vectors live. A persister asks `accepts` first, in the transaction that writes; False: it raises LeaseLost
    and changes nothing. The same call may come twice. A method with one parameter more gets the `Call`: what takes long
    asks it whether the engine is being stopped. So do those of a resolver."""

    def list_existing(self, current: Pass, wanted: Operations) -> Sequence[bool]:
        """Which operations have a vector that `may_reuse` allows. The first call of a pass: it accepts the fence."""

    def persist_batch(self, current: Pass, rows: Rows) -> None:
        """Adds or replaces rows; others survive. Durable when it returns."""

    def finalize(self, current: Pass, manifest: Operations) -> None:
        """Makes the spec's visible rows exactly those of the manifest. Incomplete: a vector is missing, and nothing was
        changed."""


class DescribingPersister(Persister, Protocol):
    """A persister that also lets the reconciler and a status look."""

    def describe(self, keys: Sequence[Tuple[str, str]]) -> Sequence[Optional[SpecState]]:
        """What finalize recorded last, for each key; None: nothing."""


class Resolver(Protocol):
    """Where documents live. Needs a persister beside it."""

    def resolve(self, catalog_id: str, spec_name: str) -> Optional[Document]:
        """The current document, which is at least as new as the enqueue; None: it is gone, and its vectors are
        cleared."""


class ListingResolver(Resolver, Protocol):
    """A resolver that can also list: statuses, health and reconcile work then."""

    def list(self, after: Optional[Tuple[str, str]], limit: int) -> Iterable[Tuple[str, str, str]]:
        """At most `limit` (catalog, spec, version) after a key, in byte order."""
