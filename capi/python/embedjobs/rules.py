"""The two rules that a host's persister asks. They stand in the library."""
import ctypes
from typing import Optional

from . import _abi
from .values import Fence, Pass, VectorMark


def accepts(stored: Optional[Fence], given: Fence) -> bool:
    """The fence check. `stored` is the last fence that the host accepted for the spec; None where there is none yet.
    True: the caller may write, and the host stores `given` in the same transaction. False: raise LeaseLost."""
    before = _abi.Fence(stored.counter, stored.nonce) if stored else _abi.Fence()
    return bool(_abi.function("accepts")(ctypes.byref(before), ctypes.byref(_abi.Fence(given.counter, given.nonce))))


def may_reuse(current: Pass, row: VectorMark) -> bool:
    """May the pass use this stored vector, and not embed its text again? The rule for list_existing and finalize."""
    asks = _abi.Pass(reuse_floor=current.reuse_floor, input_cap=current.input_cap)
    mark = _abi.VectorMark(epoch=row.epoch, embedded_bytes=row.embedded_bytes, input_cap=row.input_cap)
    return bool(_abi.function("may_reuse")(ctypes.byref(asks), ctypes.byref(mark)))
