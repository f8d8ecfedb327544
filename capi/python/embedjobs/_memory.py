"""Between the library's memory and Python's values: text by blob and offsets, vectors as views, errors."""
import array
import ctypes
import math
import sys
from ctypes import c_float, c_size_t, c_uint64, c_void_p
from typing import Any, List, Optional, Sequence, Tuple

from . import _abi
from ._abi import HASH_SIZE
from .errors import BY_CODE, Internal
from .values import Fence, Operations, Rows

_MOST = 2**63 - 1


def numpy_if_loaded() -> Any:
    """numpy where the program uses it already; None else, and while another thread is importing it. This package does
    not import it on its own."""
    numpy = sys.modules.get("numpy")
    return None if getattr(getattr(numpy, "__spec__", None), "_initializing", False) else numpy


def numbers(address: Optional[int], count: int) -> List[int]:
    return (c_uint64 * count).from_address(address)[:] if address else [0] * count


def texts(blob: Optional[int], offsets_address: int, count: int) -> List[str]:
    """One str for each piece of the blob."""
    if count == 0:
        return []
    offsets = (c_uint64 * (count + 1)).from_address(offsets_address)[:]
    data = ctypes.string_at(blob, offsets[count]) if blob else b""
    text = data.decode("utf-8")
    if len(text) == len(data):  # ASCII: offsets of bytes are those of characters
        return [text[begin:end] for begin, end in zip(offsets, offsets[1:])]
    return [data[begin:end].decode("utf-8") for begin, end in zip(offsets, offsets[1:])]


def hashes(address: Optional[int], count: int) -> List[bytes]:
    data = ctypes.string_at(address, count * HASH_SIZE) if address and count else b""
    return [data[i : i + HASH_SIZE] for i in range(0, count * HASH_SIZE, HASH_SIZE)]


def view(address: Optional[int], count: int, dimension: int, writable: bool, owner: Any = None) -> Any:
    """count x dimension floats at `address`, without a copy. It keeps `owner`, whose memory it is, alive; None: that of
    the library."""
    if not address or count == 0:
        numpy = numpy_if_loaded()
        return numpy.empty((0, dimension), numpy.float32) if numpy else memoryview(b"").cast("f")
    numpy = numpy_if_loaded()
    floats = c_float * (count * dimension)
    buffer = floats.from_address(address) if owner is None else floats.from_buffer(owner)
    if numpy:
        matrix = numpy.frombuffer(buffer, numpy.float32).reshape(count, dimension)
        if not writable:
            matrix.flags.writeable = False
        return matrix
    flat = memoryview(buffer).cast("B")
    return (flat if writable else flat.toreadonly()).cast("f", (count, dimension))


def fill(address: int, count: int, dimension: int, vectors: Any) -> None:
    """Copies an embedder's vectors, whatever holds them, to the library's buffer. Raises what tells the embedder's
    author what is wrong."""
    numpy = numpy_if_loaded()
    if numpy and (isinstance(vectors, numpy.ndarray) or hasattr(vectors, "__array__")):
        if isinstance(vectors, numpy.ma.MaskedArray):
            raise TypeError("the embedder returned a masked array: fill it")
        matrix = numpy.asarray(vectors)
        if matrix.dtype.kind not in "fiubO":
            raise TypeError(f"the embedder returned an array of {matrix.dtype}, expected numbers")
        if matrix.shape != (count, dimension):
            raise ValueError(f"the embedder returned an array of shape {matrix.shape}, expected ({count}, {dimension})")
        place = numpy.frombuffer((c_float * (count * dimension)).from_address(address), numpy.float32)
        place.reshape(count, dimension)[...] = matrix
        return
    if isinstance(vectors, memoryview):  # its rows are no objects of their own
        vectors = vectors.tolist()
    flat = flatten(vectors, count, dimension, "the embedder returned")
    ctypes.memmove(address, flat.buffer_info()[0], count * dimension * 4)


def flatten(vectors: Sequence[Any], count: int, dimension: int, who: str) -> "array.array[float]":
    if len(vectors) != count:
        raise ValueError(f"{who} {len(vectors)} vectors, expected {count}")
    flat = array.array("f")
    for index, vector in enumerate(vectors):
        if len(vector) != dimension:
            raise ValueError(f"{who} a vector of dimension {len(vector)} at {index}, expected {dimension}")
        flat.extend(vector.tolist() if isinstance(vector, array.array) and vector.typecode != "f" else vector)
    return flat


def operations(address: int) -> Operations:
    given = _abi.Operations.from_address(address)
    return Operations(texts(given.ids, given.id_offsets, given.count), hashes(given.hashes, given.count))


def rows(given: Any, writable: bool = False) -> Rows:
    """Of embedjobs_rows."""
    return Rows(
        texts(given.ids, given.id_offsets, given.count),
        hashes(given.hashes, given.count),
        view(given.vectors, given.count, given.dimension, writable),
        numbers(given.embedded_bytes, given.count),
        numbers(given.input_caps, given.count),
    )


def stored_rows(given: Any) -> Rows:
    """Of embedjobs_stored_rows, whose memory ends: a copy."""
    count, dimension = given.count, given.dimension
    vectors = None
    if given.vectors or count == 0:
        size_in_bytes = count * dimension * 4
        copied = ctypes.create_string_buffer(bytes_at(given.vectors, size_in_bytes), max(size_in_bytes, 1))
        vectors = view(ctypes.addressof(copied), count, dimension, True, copied)
    return Rows(texts(given.ids, given.id_offsets, count), hashes(given.hashes, count), vectors,
                numbers(given.embedded_bytes, count), [0] * count, text(given.space_id))


def fence(given: Any) -> Fence:
    return Fence(given.counter, given.nonce)


def packed_operations(ids: Sequence[str], hash_list: Sequence[bytes]) -> Tuple[Any, Any]:
    """embedjobs_operations, and what must stay alive with it."""
    if len(ids) != len(hash_list) or any(len(value) != HASH_SIZE for value in hash_list):
        raise ValueError(f"each id needs its hash of {HASH_SIZE} bytes")
    encoded = [value.encode("utf-8") for value in ids]
    blob = b"".join(encoded)
    offsets = (c_uint64 * (len(ids) + 1))()
    end = 0
    for index, value in enumerate(encoded):
        end += len(value)
        offsets[index + 1] = end
    ids_kept = ctypes.create_string_buffer(blob, len(blob) + 1)
    hashes_kept = ctypes.create_string_buffer(b"".join(hash_list), 1 + HASH_SIZE * len(ids))
    made = _abi.Operations(count=len(ids), ids=ctypes.addressof(ids_kept), id_offsets=ctypes.addressof(offsets),
                           hashes=ctypes.addressof(hashes_kept))
    return made, (ids_kept, offsets, hashes_kept)


def text(value: Optional[bytes]) -> str:
    return (value or b"").decode("utf-8", "replace")


def data(content: Any) -> bytes:
    """Of anything that has bytes; a str has none."""
    return content if isinstance(content, bytes) else bytes(memoryview(content))


def encoded(value: Optional[str]) -> Optional[bytes]:
    """A name for C. A NUL in it would cut it off, and is refused."""
    if value is None:
        return None
    if "\0" in value:
        raise BY_CODE[11]("a name has a NUL character")
    return utf8(value, "a name")


def utf8(value: str, what: str) -> bytes:
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BY_CODE[11](f"{what} has a surrogate without its pair at {error.start}") from None


def whole(given: Any) -> Any:
    """A struct that the library made, as this package knows it: the library may be older, and the struct shorter."""
    if given.struct_size >= ctypes.sizeof(given):
        return given
    full = type(given)()
    ctypes.memmove(ctypes.addressof(full), ctypes.addressof(given), given.struct_size)
    return full


def size(value: int, what: str) -> int:
    """A number of things for C. ctypes would wrap what does not fit."""
    if not 0 <= value <= _MOST:
        raise BY_CODE[11](f"{what} is {value}: it must be 0 to {_MOST}")
    return value


def ms(seconds: float) -> int:
    """Rounded up: no span becomes 0, which means the default, without being it. Endless, or longer than C can say: the
    longest."""
    if math.isnan(seconds):
        raise BY_CODE[11]("a span of time is not a number")
    return max(-_MOST, math.ceil(seconds * 1000)) if seconds < _MOST / 1000 else _MOST


def check(code: int, error: c_void_p) -> None:
    """Raises what a call answered."""
    if code == 0:
        return
    message = _abi.function("error_message")(error).decode("utf-8", "replace")
    retry_after = _abi.function("error_retry_after_ms")(error) / 1000
    _abi.function("error_destroy")(error)
    raise BY_CODE.get(code, Internal)(message, retry_after=retry_after)


def call(name: str, *arguments: Any) -> None:
    """embedjobs_<name>(arguments..., &error); raises on failure."""
    error = c_void_p()
    check(_abi.function(name)(*arguments, ctypes.byref(error)), error)


def set_done(address: int, count: int) -> None:
    c_size_t.from_address(address).value = count


def bytes_at(address: Optional[int], size: int) -> bytes:
    return ctypes.string_at(address, size) if address and size else b""
