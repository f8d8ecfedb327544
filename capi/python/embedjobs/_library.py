"""The shared library, and what every struct of its interface has. _abi.py says which structs and functions there
are."""
import ctypes
import os
import pathlib
from typing import Any, Callable, Dict, List, Tuple

SONAME = "libembedjobs_c.so.1"


class Struct(ctypes.Structure):
    """Begins with struct_size, and is made with it filled."""

    def __init__(self, **members: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **members)


def load(prototypes: Dict[str, Tuple[Any, List[Any]]]) -> Callable[[str], Any]:
    """Loads the library and gives its functions by name: "put" for embedjobs_put. The library is the one that
    EMBEDJOBS_LIBRARY names, else the one that lies beside this file, else the system's."""
    bundled = pathlib.Path(__file__).with_name(SONAME)
    library = ctypes.CDLL(os.environ.get("EMBEDJOBS_LIBRARY") or (str(bundled) if bundled.exists() else SONAME))
    for name, (result, arguments) in prototypes.items():
        prototype = getattr(library, "embedjobs_" + name)
        prototype.restype = result
        prototype.argtypes = arguments
    return lambda name: getattr(library, "embedjobs_" + name)
