"""What goes in and comes out, as plain values. Times are seconds since 1970, spans of time are seconds; 0 where there
is none."""
import dataclasses
from typing import Any, List, Optional

from ._abi import EventKind as EventKind
from ._abi import JobKind as JobKind
from ._abi import JobStatus as JobStatus
from ._abi import Purpose as Purpose
from ._abi import Tone as Tone


@dataclasses.dataclass(frozen=True)
class Fence:
    """The right to write for a spec: see `accepts`."""

    counter: int
    nonce: int


@dataclasses.dataclass(frozen=True)
class Enqueued:
    job_id: int
    generation: int
    created: bool  #: False: a job was open already, and serves the new generation too.


@dataclasses.dataclass(frozen=True)
class IdleReport:
    idle: bool
    next_due: Optional[float]  #: A pending job is due later than max_wait, in so many seconds.
    other_space: bool
    provider_waiting: bool
    provider_left: float


@dataclasses.dataclass(frozen=True)
class SpecStatus:
    """One spec, as a person sees it. A count is None where nobody tells it: of vectors that the host keeps only the
    last job has counts."""

    catalog_id: str
    spec_name: str
    operation_count: Optional[int]
    embedding_count: Optional[int]
    embedded_so_far: Optional[int]
    job_attempts: int
    job_last_error: str
    job_updated_at: float
    job_next_run_at: float
    visible_space_id: Optional[str]  #: "": nothing is visible; None: nobody tells.
    provider_pause: Optional[str]  #: "": it does not wait; None: the store does not tell.
    badge_label: str
    badge_tooltip: str
    badge_tone: Tone
    offers_retry: bool
    job_status: JobStatus
    worker_id: str  #: While it runs: who holds the job, since when, and until when unless the lease is renewed.
    job_started_at: float
    lease_expires_at: float


@dataclasses.dataclass(frozen=True)
class Health:
    """One line above a list of specs. None: the store does not tell."""

    specs: int
    indexed: int
    unknown: int  #: Specs of which nobody tells how they stand. They are in no other count but `specs`.
    pending: Optional[int]
    running: Optional[int]
    failed: Optional[int]
    degraded_reason: str
    banner_text: str
    banner_tone: Tone
    degraded: Optional[bool]


@dataclasses.dataclass(frozen=True)
class Job:
    id: int
    catalog_id: str
    spec_name: str
    attempts: int
    last_error: str
    worker_id: str
    next_run_at: float
    lease_expires_at: float
    created_at: float
    updated_at: float
    started_at: float
    completed_at: float
    embedded_so_far: int
    reused_count: int
    embedded_count: int
    operation_count: int
    generation: int
    prompt_tokens: int
    fence: Fence
    kind: JobKind
    status: JobStatus


@dataclasses.dataclass(frozen=True)
class Hit:
    catalog_id: str
    spec_name: str
    operation_id: str
    score: float  #: Cosine of the angle between query and operation.


@dataclasses.dataclass(frozen=True)
class Catalog:
    catalog_id: str
    target_space_id: str
    search_space_id: str
    spec_count: int
    specs_in_target: int


@dataclasses.dataclass(frozen=True)
class Verification:
    """One spec's rows against its document."""

    catalog_id: str
    spec_name: str
    equal: bool
    difference: str  #: The first one; "" when equal.


@dataclasses.dataclass(frozen=True)
class Provider:
    """What the database remembers of a provider. 0: no limit was met, or no time."""

    provider: str
    space_id: str
    pause_reason: str
    batch_texts: int
    batch_bytes: int
    paused_until: float
    tokens_total: int
    tokens_today: int
    updated_at: float
    read_at: float


@dataclasses.dataclass(frozen=True)
class Worker:
    """A worker of any process, as it presents itself."""

    worker_id: str
    host: str
    version: str
    provider: str
    space_id: str
    process_id: int
    slots: int
    lease_duration: float
    started_at: float
    last_seen_at: float
    read_at: float
    running_jobs: int
    live: bool


@dataclasses.dataclass(frozen=True)
class Event:
    kind: EventKind
    catalog_id: str
    spec_name: str
    job_id: int
    attempt: int
    message: str
    operation_count: int
    reused: int
    embedded: int
    missing: int
    prompt_tokens: int
    delay: float
    count: int


@dataclasses.dataclass(frozen=True)
class Pass:
    """Who writes, for what. A persister commits `fence` with its rows."""

    catalog_id: str
    spec_name: str
    fence: Fence
    job_id: int
    generation: int
    space_id: str
    dimension: int
    epoch: int
    reuse_floor: int
    input_cap: int
    splitter_version: str
    content_version: str
    prompt_tokens: int


@dataclasses.dataclass(frozen=True)
class Operations:
    """What a document consists of: ids, and the SHA-256 of the full texts."""

    ids: List[str]
    hashes: List[bytes]

    def __len__(self) -> int:
        return len(self.ids)


@dataclasses.dataclass(frozen=True)
class Rows(Operations):
    """Operations with their vectors."""

    #: n x dimension float32: a numpy array where numpy is there, else a two-dimensional memoryview. What a persister
    #: gets is a view of the library's memory, which ends with the callback: copy what is kept.
    vectors: Any = None
    #: How many bytes of each text were embedded; 0: all.
    embedded_bytes: List[int] = dataclasses.field(default_factory=list)
    #: Where embedded_bytes is not 0: the limit under which the text was cut.
    input_caps: List[int] = dataclasses.field(default_factory=list)
    space_id: str = ""  #: Of rows that the engine stored.

    def mark(self, current: Pass, index: int) -> "VectorMark":
        """What to keep beside the vector of row `index`, which this pass stores."""
        return VectorMark(current.epoch, self.embedded_bytes[index], self.input_caps[index])


@dataclasses.dataclass(frozen=True)
class VectorMark:
    """What a persister keeps beside a vector, so that it can ask `may_reuse`. It keeps vectors by `Pass.space_id`, too:
    a vector of another space is never reused."""

    epoch: int = 0  #: `Pass.epoch` of the pass that stored the vector.
    embedded_bytes: int = 0  #: Of its row.
    input_cap: int = 0  #: Of its row.


@dataclasses.dataclass(frozen=True)
class Document:
    """A resolver's answer. Equal versions mean equal content; a hash for example."""

    content: bytes
    version: str


@dataclasses.dataclass(frozen=True)
class SpecState:
    """What a persister's finalize recorded last, with these of the pass."""

    space_id: str
    content_version: str
    splitter_version: str
