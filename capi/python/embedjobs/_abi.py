"""embedjobs.h in ctypes: numbers, layouts and prototypes. Made by generate_abi.py; not to be edited.

Pointers that callbacks get are plain addresses: from_address is faster. A callback's first argument is user_data."""
import ctypes
import enum
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from typing import Any, Dict, List, Tuple

from ._library import Struct, load

HASH_SIZE = 32


class Code(enum.IntEnum):
    """What to do about an error."""

    OK = 0
    RETRY = 1
    PAUSED = 2
    TIMEOUT = 3
    BATCH_TOO_LARGE = 4
    INPUT_TOO_LARGE = 5
    INPUT_REJECTED = 6
    FAILED = 7
    LEASE_LOST = 8
    GONE = 9
    CANCELLED = 10
    INVALID_ARGUMENT = 11
    INVALID_DOCUMENT = 12
    NOT_FOUND = 13
    REFUSED = 14
    INCOMPLETE = 15
    UNUSABLE = 16
    INTERNAL = 17


class JobKind(enum.IntEnum):
    """Why a job exists."""

    SPEC_WRITE = 0
    RECONCILER = 1
    MANUAL_RETRY = 2


class JobStatus(enum.IntEnum):
    """Where a job stands."""

    UNKNOWN = -2
    NONE = -1
    PENDING = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4


class Purpose(enum.IntEnum):
    """What the texts of an embedder call are: some models want another prefix for a query than for a document."""

    DOCUMENT = 0
    QUERY = 1


class LogLevel(enum.IntEnum):
    DEBUG = 0
    INFO = 1
    WARNING = 2
    ERROR = 3


class Tone(enum.IntEnum):
    """The colour of a badge or banner."""

    MUTED = 0
    GREEN = 1
    BLUE = 2
    AMBER = 3
    AMBER_STRONG = 4
    RED = 5


class EventKind(enum.IntEnum):
    JOB_CLAIMED = 0
    JOB_PROGRESS = 1
    JOB_SUCCEEDED = 2
    JOB_RETRIED = 3
    JOB_FAILED = 4
    JOB_RELEASED = 5
    LEASE_LOST = 6
    LEASE_RENEWED = 7
    PROVIDER_PAUSED = 8
    PROVIDER_RESUMED = 9
    BATCH_RESIZED = 10
    CHUNK_PERSISTED = 11
    LEASE_EXPIRED = 12
    STORE_UNUSABLE = 13


class RunUntil(enum.IntEnum):
    """When embedjobs_engine_worker_run() returns."""

    STOPPED = 0
    IDLE = 1


class Fence(ctypes.Structure):
    _fields_ = [("counter", c_uint64), ("nonce", c_uint64)]


class Texts(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("count", c_size_t), ("bytes", c_void_p), ("offsets", c_void_p),
        ("purpose", c_int32), ("reserved", c_int32),
    ]


class Vectors(Struct):
    _fields_ = [("struct_size", c_size_t), ("values", c_void_p), ("dimension", c_size_t), ("prompt_tokens", c_int64)]


class Operations(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("count", c_size_t), ("ids", c_void_p), ("id_offsets", c_void_p),
        ("hashes", c_void_p),
    ]


class Rows(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("count", c_size_t), ("dimension", c_size_t), ("ids", c_void_p),
        ("id_offsets", c_void_p), ("hashes", c_void_p), ("vectors", c_void_p), ("embedded_bytes", c_void_p),
        ("input_caps", c_void_p),
    ]


class Pass(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("catalog_id", c_char_p), ("spec_name", c_char_p), ("fence", Fence),
        ("job_id", c_int64), ("generation", c_uint64), ("space_id", c_char_p), ("dimension", c_size_t),
        ("epoch", c_uint64), ("reuse_floor", c_uint64), ("input_cap", c_uint64), ("splitter_version", c_char_p),
        ("content_version", c_char_p), ("prompt_tokens", c_uint64),
    ]


class VectorMark(Struct):
    _fields_ = [("struct_size", c_size_t), ("epoch", c_uint64), ("embedded_bytes", c_uint64), ("input_cap", c_uint64)]


EmbedderDestroy = ctypes.CFUNCTYPE(None, c_void_p)
EmbedderEmbed = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)


class Embedder(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("user_data", c_void_p), ("destroy", EmbedderDestroy), ("embed", EmbedderEmbed),
        ("model", c_char_p), ("variant", c_char_p), ("dimension", c_size_t), ("provider", c_char_p),
        ("concurrent_calls", c_size_t), ("batch_texts", c_size_t), ("batch_bytes", c_size_t),
        ("batch_tokens", c_size_t), ("input_bytes", c_size_t),
    ]


class ComputeRequest(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("catalog_id", c_char_p), ("spec_name", c_char_p), ("content", c_void_p),
        ("content_size", c_size_t), ("batch_size", c_size_t), ("fence", Fence),
    ]


ComputerDestroy = ctypes.CFUNCTYPE(None, c_void_p)
ComputerCompute = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)


class Computer(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("user_data", c_void_p), ("destroy", ComputerDestroy), ("compute", ComputerCompute),
        ("version", c_char_p), ("model", c_char_p), ("variant", c_char_p), ("dimension", c_size_t),
    ]


PersisterDestroy = ctypes.CFUNCTYPE(None, c_void_p)
PersisterListExisting = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
PersisterPersistBatch = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
PersisterFinalize = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
PersisterDescribe = ctypes.CFUNCTYPE(
    c_int32, c_void_p, c_void_p, c_size_t, POINTER(c_char_p), POINTER(c_char_p), c_void_p, c_void_p,
)


class Persister(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("user_data", c_void_p), ("destroy", PersisterDestroy),
        ("list_existing", PersisterListExisting), ("persist_batch", PersisterPersistBatch),
        ("finalize", PersisterFinalize), ("describe", PersisterDescribe),
    ]


ResolverDestroy = ctypes.CFUNCTYPE(None, c_void_p)
ResolverResolve = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_char_p, c_char_p, c_void_p, c_void_p)
ResolverList = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_char_p, c_char_p, c_size_t, c_void_p, c_void_p)


class Resolver(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("user_data", c_void_p), ("destroy", ResolverDestroy), ("resolve", ResolverResolve),
        ("list", ResolverList),
    ]


class Event(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("catalog_id", c_char_p), ("spec_name", c_char_p), ("job_id", c_int64),
        ("attempt", c_int64), ("message", c_char_p), ("operation_count", c_int64), ("reused", c_int64),
        ("embedded", c_int64), ("missing", c_int64), ("prompt_tokens", c_uint64), ("delay_ms", c_int64),
        ("count", c_int64), ("kind", c_int32), ("reserved", c_int32),
    ]


ObserverDestroy = ctypes.CFUNCTYPE(None, c_void_p)
ObserverLog = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_void_p, c_size_t)
ObserverEvent = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
ObserverReload = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_char_p)


class Observer(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("user_data", c_void_p), ("destroy", ObserverDestroy), ("log", ObserverLog),
        ("event", ObserverEvent), ("reload", ObserverReload),
    ]


SecretSourceDestroy = ctypes.CFUNCTYPE(None, c_void_p)
SecretSourceGet = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p)


class SecretSource(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("user_data", c_void_p), ("destroy", SecretSourceDestroy), ("get", SecretSourceGet),
    ]


class Options(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("dsn", c_char_p), ("embedder", c_char_p), ("host_embedder", POINTER(Embedder)),
        ("host_computer", POINTER(Computer)), ("host_persister", POINTER(Persister)),
        ("host_resolver", POINTER(Resolver)), ("observer", POINTER(Observer)), ("secret_source", POINTER(SecretSource)),
        ("worker_id", c_char_p), ("slots", c_int64), ("batch_size", c_int64), ("batch_bytes", c_int64),
        ("lease_duration_ms", c_int64), ("embed_timeout_ms", c_int64), ("provider_concurrency", c_int64),
        ("requests_per_minute", c_int64), ("tokens_per_minute", c_int64), ("daily_token_budget", c_int64),
        ("safety_bound_ms", c_int64), ("fallback_poll_ms", c_int64), ("reaper_interval_ms", c_int64),
        ("reconciler_interval_ms", c_int64), ("retention_interval_ms", c_int64), ("job_retention_ms", c_int64),
        ("vector_grace_ms", c_int64),
    ]


class IdleReport(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("next_due_ms", c_int64), ("provider_left_ms", c_int64), ("idle", c_int32),
        ("other_space", c_int32), ("provider_waiting", c_int32), ("reserved", c_int32),
    ]


class Enqueued(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("job_id", c_int64), ("generation", c_uint64), ("created", c_int32),
        ("reserved", c_int32),
    ]


class SpecStatus(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("catalog_id", c_char_p), ("spec_name", c_char_p), ("operation_count", c_int64),
        ("embedding_count", c_int64), ("embedded_so_far", c_int64), ("job_attempts", c_int64),
        ("job_last_error", c_char_p), ("job_updated_at", c_int64), ("job_next_run_at", c_int64),
        ("visible_space_id", c_char_p), ("provider_pause", c_char_p), ("badge_label", c_char_p),
        ("badge_tooltip", c_char_p), ("badge_tone", c_int32), ("offers_retry", c_int32), ("job_status", c_int32),
        ("reserved", c_int32), ("worker_id", c_char_p), ("job_started_at", c_int64), ("lease_expires_at", c_int64),
    ]


class Statuses(Struct):
    _fields_ = [("struct_size", c_size_t), ("count", c_size_t), ("items", POINTER(POINTER(SpecStatus)))]


class Health(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("specs", c_int64), ("indexed", c_int64), ("unknown", c_int64), ("pending", c_int64),
        ("running", c_int64), ("failed", c_int64), ("degraded_reason", c_char_p), ("banner_text", c_char_p),
        ("banner_tone", c_int32), ("degraded", c_int32),
    ]


class Job(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("id", c_int64), ("catalog_id", c_char_p), ("spec_name", c_char_p),
        ("attempts", c_int64), ("last_error", c_char_p), ("worker_id", c_char_p), ("next_run_at", c_int64),
        ("lease_expires_at", c_int64), ("created_at", c_int64), ("updated_at", c_int64), ("started_at", c_int64),
        ("completed_at", c_int64), ("embedded_so_far", c_int64), ("reused_count", c_int64), ("embedded_count", c_int64),
        ("operation_count", c_int64), ("generation", c_uint64), ("prompt_tokens", c_uint64), ("fence", Fence),
        ("kind", c_int32), ("status", c_int32),
    ]


class Jobs(Struct):
    _fields_ = [("struct_size", c_size_t), ("count", c_size_t), ("items", POINTER(POINTER(Job)))]


class JobFilter(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("catalog_id", c_char_p), ("spec_name", c_char_p), ("limit", c_size_t),
        ("by_status", c_int32), ("status", c_int32), ("by_kind", c_int32), ("kind", c_int32),
    ]


class Hit(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("catalog_id", c_char_p), ("spec_name", c_char_p), ("operation_id", c_void_p),
        ("operation_id_size", c_size_t), ("score", c_double),
    ]


class Hits(Struct):
    _fields_ = [("struct_size", c_size_t), ("count", c_size_t), ("items", POINTER(POINTER(Hit)))]


class StoredRows(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("space_id", c_char_p), ("count", c_size_t), ("dimension", c_size_t),
        ("ids", c_void_p), ("id_offsets", c_void_p), ("hashes", c_void_p), ("embedded_bytes", c_void_p),
        ("vectors", c_void_p),
    ]


class Catalog(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("catalog_id", c_char_p), ("target_space_id", c_char_p),
        ("search_space_id", c_char_p), ("spec_count", c_int64), ("specs_in_target", c_int64),
    ]


class Catalogs(Struct):
    _fields_ = [("struct_size", c_size_t), ("count", c_size_t), ("items", POINTER(POINTER(Catalog)))]


class Verification(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("catalog_id", c_char_p), ("spec_name", c_char_p), ("difference", c_char_p),
        ("equal", c_int32), ("reserved", c_int32),
    ]


class Verifications(Struct):
    _fields_ = [("struct_size", c_size_t), ("count", c_size_t), ("items", POINTER(POINTER(Verification)))]


class Provider(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("provider", c_char_p), ("space_id", c_char_p), ("pause_reason", c_char_p),
        ("batch_texts", c_int64), ("batch_bytes", c_int64), ("paused_until", c_int64), ("tokens_total", c_uint64),
        ("tokens_today", c_uint64), ("updated_at", c_int64), ("read_at", c_int64),
    ]


class Providers(Struct):
    _fields_ = [("struct_size", c_size_t), ("count", c_size_t), ("items", POINTER(POINTER(Provider)))]


class Worker(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("worker_id", c_char_p), ("host", c_char_p), ("version", c_char_p),
        ("provider", c_char_p), ("space_id", c_char_p), ("process_id", c_int64), ("slots", c_int64),
        ("lease_duration_ms", c_int64), ("started_at", c_int64), ("last_seen_at", c_int64), ("read_at", c_int64),
        ("running_jobs", c_int64), ("live", c_int32), ("reserved", c_int32),
    ]


class Workers(Struct):
    _fields_ = [("struct_size", c_size_t), ("count", c_size_t), ("items", POINTER(POINTER(Worker)))]


class Metrics(Struct):
    _fields_ = [
        ("struct_size", c_size_t), ("prometheus", c_void_p), ("prometheus_size", c_size_t), ("jobs_claimed", c_uint64),
        ("jobs_succeeded", c_uint64), ("jobs_retried", c_uint64), ("jobs_failed", c_uint64),
        ("jobs_released", c_uint64), ("leases_renewed", c_uint64), ("leases_lost", c_uint64),
        ("operations_reused", c_uint64), ("operations_embedded", c_uint64), ("provider_calls", c_uint64),
        ("provider_errors", c_uint64), ("provider_texts", c_uint64), ("provider_tokens", c_uint64),
        ("chunks_persisted", c_uint64), ("persist_errors", c_uint64), ("running", c_int64),
        ("calls_in_flight", c_int64), ("batch_size", c_int64), ("store_pending", c_int64), ("store_running", c_int64),
        ("store_succeeded", c_int64), ("store_failed", c_int64), ("store_cancelled", c_int64),
    ]


PROTOTYPES: Dict[str, Tuple[Any, List[Any]]] = {
    "code_name": (c_char_p, [c_int32]),
    "error_code": (c_int32, [c_void_p]),
    "error_message": (c_char_p, [c_void_p]),
    "error_retry_after_ms": (c_int64, [c_void_p]),
    "error_destroy": (None, [c_void_p]),
    "version": (c_char_p, []),
    "hash_text": (None, [c_char_p, c_size_t, c_void_p]),
    "accepts": (c_int32, [POINTER(Fence), POINTER(Fence)]),
    "call_set_error": (None, [c_void_p, c_char_p, c_size_t]),
    "call_set_retry_after_ms": (None, [c_void_p, c_int64]),
    "call_is_cancelled": (c_int32, [c_void_p]),
    "call_remaining_ms": (c_int64, [c_void_p]),
    "may_reuse": (c_int32, [POINTER(Pass), POINTER(VectorMark)]),
    "compute_list_existing": (c_int32, [c_void_p, POINTER(Operations), c_void_p, POINTER(c_void_p)]),
    "compute_progress": (None, [c_void_p, c_size_t, c_size_t]),
    "compute_persist_batch": (c_int32, [c_void_p, POINTER(Rows), POINTER(c_void_p)]),
    "compute_set_manifest": (c_int32, [c_void_p, POINTER(Operations), POINTER(c_void_p)]),
    "spec_states_set": (c_int32, [c_void_p, c_size_t, c_char_p, c_char_p, c_char_p]),
    "document_set": (c_int32, [c_void_p, c_char_p, c_size_t, c_char_p]),
    "document_list_add": (c_int32, [c_void_p, c_char_p, c_char_p, c_char_p]),
    "secret_set": (c_int32, [c_void_p, c_char_p, c_size_t]),
    "engine_open": (c_int32, [POINTER(Options), POINTER(c_void_p), POINTER(c_void_p)]),
    "engine_destroy": (None, [c_void_p]),
    "engine_start": (c_int32, [c_void_p, POINTER(c_void_p)]),
    "engine_stop": (c_int32, [c_void_p, c_int64, POINTER(c_void_p)]),
    "engine_request_stop": (c_int32, [c_void_p, POINTER(c_void_p)]),
    "cancel_create": (c_void_p, []),
    "cancel_request": (None, [c_void_p]),
    "cancel_destroy": (None, [c_void_p]),
    "engine_wait_idle": (c_int32, [c_void_p, c_int64, c_int64, c_void_p, POINTER(IdleReport), POINTER(c_void_p)]),
    "engine_worker_run": (c_int32, [
        c_void_p, c_int32, c_int64, c_int64, c_void_p, POINTER(IdleReport), POINTER(c_void_p),
    ]),
    "engine_put": (c_int32, [c_void_p, c_char_p, c_char_p, c_char_p, c_size_t, POINTER(Enqueued), POINTER(c_void_p)]),
    "engine_put_items": (c_int32, [
        c_void_p, c_char_p, c_char_p, c_char_p, c_size_t, POINTER(Enqueued), POINTER(c_void_p),
    ]),
    "engine_remove": (c_int32, [c_void_p, c_char_p, c_char_p, POINTER(c_void_p)]),
    "engine_remove_catalog": (c_int32, [c_void_p, c_char_p, POINTER(c_void_p)]),
    "engine_enqueue": (c_int32, [c_void_p, c_char_p, c_char_p, c_int32, POINTER(Enqueued), POINTER(c_void_p)]),
    "engine_retry": (c_int32, [c_void_p, c_char_p, c_char_p, POINTER(Enqueued), POINTER(c_void_p)]),
    "engine_retry_failed": (c_int32, [c_void_p, POINTER(c_size_t), POINTER(c_void_p)]),
    "engine_reconcile": (c_int32, [c_void_p, POINTER(c_size_t), POINTER(c_void_p)]),
    "engine_switch_space": (c_int32, [c_void_p, c_char_p, c_char_p, POINTER(c_size_t), POINTER(c_void_p)]),
    "engine_statuses": (c_int32, [c_void_p, c_char_p, POINTER(POINTER(Statuses)), POINTER(c_void_p)]),
    "statuses_destroy": (None, [POINTER(Statuses)]),
    "engine_health": (c_int32, [c_void_p, c_char_p, POINTER(POINTER(Health)), POINTER(c_void_p)]),
    "health_destroy": (None, [POINTER(Health)]),
    "engine_jobs": (c_int32, [c_void_p, POINTER(JobFilter), POINTER(POINTER(Jobs)), POINTER(c_void_p)]),
    "jobs_destroy": (None, [POINTER(Jobs)]),
    "engine_search": (c_int32, [
        c_void_p, c_char_p, c_char_p, c_size_t, c_size_t, POINTER(POINTER(Hits)), POINTER(c_void_p),
    ]),
    "hits_destroy": (None, [POINTER(Hits)]),
    "engine_rows": (c_int32, [c_void_p, c_char_p, c_char_p, c_int32, POINTER(POINTER(StoredRows)), POINTER(c_void_p)]),
    "stored_rows_destroy": (None, [POINTER(StoredRows)]),
    "engine_catalogs": (c_int32, [c_void_p, POINTER(POINTER(Catalogs)), POINTER(c_void_p)]),
    "catalogs_destroy": (None, [POINTER(Catalogs)]),
    "engine_verify": (c_int32, [c_void_p, c_char_p, c_char_p, POINTER(POINTER(Verifications)), POINTER(c_void_p)]),
    "verifications_destroy": (None, [POINTER(Verifications)]),
    "engine_providers": (c_int32, [c_void_p, POINTER(POINTER(Providers)), POINTER(c_void_p)]),
    "providers_destroy": (None, [POINTER(Providers)]),
    "engine_workers": (c_int32, [c_void_p, POINTER(POINTER(Workers)), POINTER(c_void_p)]),
    "workers_destroy": (None, [POINTER(Workers)]),
    "engine_metrics": (c_int32, [c_void_p, POINTER(POINTER(Metrics)), POINTER(c_void_p)]),
    "metrics_destroy": (None, [POINTER(Metrics)]),
}
function = load(PROTOTYPES)
