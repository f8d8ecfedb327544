"""embedjobs keeps vector embeddings in step with documents: durable jobs, over the C interface of the library.
See docs/python.md."""
import ctypes

from . import _abi
from .aio import AsyncEngine
from .engine import Cancel, Engine
from .errors import (BatchTooLarge, Cancelled, Error, Failed, Gone, Incomplete, InputRejected, InputTooLarge, Internal,
                     InvalidArgument, InvalidDocument, LeaseLost, NotFound, Paused, Refused, Retry, Timeout, Unusable)
from .hosts import Call, Computer, ComputeRequest, EmbedCall, Embedder, Persister, Resolver, embedder
from .rules import accepts, may_reuse
from .values import (Catalog, Document, Enqueued, Event, EventKind, Fence, Health, Hit, IdleReport, Job, JobKind,
                     JobStatus, Operations, Pass, Provider, Purpose, Rows, SpecState, SpecStatus, Tone, VectorMark,
                     Verification, Worker)


def hash_text(text: str) -> bytes:
    """The SHA-256 of a text's UTF-8 bytes: the address of its vector."""
    data = text.encode("utf-8")
    digest = ctypes.create_string_buffer(_abi.HASH_SIZE)
    _abi.function("hash_text")(data, len(data), digest)
    return digest.raw


def library_version() -> str:
    """Of the library that is loaded, "0.1.0" for example."""
    version: bytes = _abi.function("version")()
    return version.decode()


__all__ = [
    "AsyncEngine", "BatchTooLarge", "Call", "Cancel", "Cancelled", "Catalog", "ComputeRequest", "Computer", "Document",
    "EmbedCall", "Embedder", "Engine", "Enqueued", "Error", "Event", "EventKind", "Failed", "Fence", "Gone", "Health",
    "Hit", "IdleReport", "Incomplete", "InputRejected", "InputTooLarge", "Internal", "InvalidArgument",
    "InvalidDocument", "Job", "JobKind", "JobStatus", "LeaseLost", "NotFound", "Operations", "Pass", "Paused",
    "Persister", "Provider", "Purpose", "Refused", "Resolver", "Retry", "Rows", "SpecState", "SpecStatus", "Timeout",
    "Tone", "Unusable", "VectorMark", "Verification", "Worker", "accepts", "embedder", "hash_text", "library_version",
    "may_reuse",
]
