"""embedjobs.h in ctypes: layouts and prototypes, and nothing else. Pointers that callbacks get are plain addresses: from_address is faster."""
import ctypes
import os
import pathlib
from ctypes import POINTER, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from typing import Any, List, Tuple, Type

SONAME = "libembedjobs_c.so.1"


class Struct(ctypes.Structure):
    """Begins with struct_size, and is made with it filled."""

    def __init__(self, **members: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **members)


def _struct(name: str, *fields: Tuple[str, Any], doc: str = "") -> Type[Struct]:
    return type(name, (Struct,), {"_fields_": [("struct_size", c_size_t), *fields], "__doc__": doc})


class Fence(ctypes.Structure):
    _fields_ = [("counter", c_uint64), ("nonce", c_uint64)]


Texts = _struct("Texts", ("count", c_size_t), ("bytes", c_void_p), ("offsets", c_void_p), ("purpose", c_int32), ("reserved", c_int32))
Vectors = _struct("Vectors", ("values", c_void_p), ("dimension", c_size_t), ("prompt_tokens", c_int64))
Operations = _struct("Operations", ("count", c_size_t), ("ids", c_void_p), ("id_offsets", c_void_p), ("hashes", c_void_p))
Rows = _struct("Rows", ("count", c_size_t), ("dimension", c_size_t), ("ids", c_void_p), ("id_offsets", c_void_p), ("hashes", c_void_p),
               ("vectors", c_void_p), ("embedded_bytes", c_void_p), ("input_caps", c_void_p))
Pass = _struct("Pass", ("catalog_id", c_char_p), ("spec_name", c_char_p), ("fence", Fence), ("job_id", c_int64), ("generation", c_uint64),
               ("space_id", c_char_p), ("dimension", c_size_t), ("epoch", c_uint64), ("reuse_floor", c_uint64), ("input_cap", c_uint64),
               ("splitter_version", c_char_p), ("content_version", c_char_p), ("prompt_tokens", c_uint64))
ComputeRequest = _struct("ComputeRequest", ("catalog_id", c_char_p), ("spec_name", c_char_p), ("content", c_void_p),
                         ("content_size", c_size_t), ("batch_size", c_size_t), ("fence", Fence))
Event = _struct("Event", ("catalog_id", c_char_p), ("spec_name", c_char_p), ("job_id", c_int64), ("attempt", c_int64),
                ("message", c_char_p), ("operation_count", c_int64), ("reused", c_int64), ("embedded", c_int64), ("missing", c_int64),
                ("prompt_tokens", c_uint64), ("delay_ms", c_int64), ("count", c_int64), ("kind", c_int32), ("reserved", c_int32))

# Callbacks. The first argument is user_data.
Destroy = ctypes.CFUNCTYPE(None, c_void_p)
Embed = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
Compute = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
ListExisting = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
PersistBatch = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
Finalize = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p)
Describe = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t, POINTER(c_char_p), POINTER(c_char_p), c_void_p, c_void_p)
Resolve = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_char_p, c_char_p, c_void_p, c_void_p)
ListDocuments = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_char_p, c_char_p, c_size_t, c_void_p, c_void_p)
Log = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_void_p, c_size_t)
OnEvent = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
Reload = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_char_p)
GetSecret = ctypes.CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_void_p)

_HOST: List[Tuple[str, Any]] = [("user_data", c_void_p), ("destroy", Destroy)]
Embedder = _struct("Embedder", *_HOST, ("embed", Embed), ("model", c_char_p), ("variant", c_char_p), ("dimension", c_size_t),
                   ("provider", c_char_p), ("concurrent_calls", c_size_t), ("batch_texts", c_size_t), ("batch_bytes", c_size_t),
                   ("batch_tokens", c_size_t), ("input_bytes", c_size_t))
Computer = _struct("Computer", *_HOST, ("compute", Compute), ("version", c_char_p), ("model", c_char_p), ("variant", c_char_p),
                   ("dimension", c_size_t))
Persister = _struct("Persister", *_HOST, ("list_existing", ListExisting), ("persist_batch", PersistBatch), ("finalize", Finalize),
                    ("describe", Describe))
Resolver = _struct("Resolver", *_HOST, ("resolve", Resolve), ("list", ListDocuments))
Observer = _struct("Observer", *_HOST, ("log", Log), ("event", OnEvent), ("reload", Reload))
SecretSource = _struct("SecretSource", *_HOST, ("get", GetSecret))

NUMBERS = ("slots", "batch_size", "batch_bytes", "lease_duration_ms", "embed_timeout_ms", "provider_concurrency", "requests_per_minute",
           "tokens_per_minute", "daily_token_budget", "safety_bound_ms", "fallback_poll_ms", "reaper_interval_ms",
           "reconciler_interval_ms", "retention_interval_ms", "job_retention_ms", "vector_grace_ms")
Options = _struct("Options", ("dsn", c_char_p), ("embedder", c_char_p), ("host_embedder", POINTER(Embedder)),
                  ("host_computer", POINTER(Computer)), ("host_persister", POINTER(Persister)), ("host_resolver", POINTER(Resolver)),
                  ("observer", POINTER(Observer)), ("secret_source", POINTER(SecretSource)), ("worker_id", c_char_p),
                  *((name, c_int64) for name in NUMBERS))
IdleReport = _struct("IdleReport", ("next_due_ms", c_int64), ("provider_left_ms", c_int64), ("idle", c_int32), ("other_space", c_int32),
                     ("provider_waiting", c_int32), ("reserved", c_int32))
Enqueued = _struct("Enqueued", ("job_id", c_int64), ("generation", c_uint64), ("created", c_int32), ("reserved", c_int32))
SpecStatus = _struct("SpecStatus", ("catalog_id", c_char_p), ("spec_name", c_char_p), ("operation_count", c_int64),
                     ("embedding_count", c_int64), ("embedded_so_far", c_int64), ("job_attempts", c_int64), ("job_last_error", c_char_p),
                     ("job_updated_at", c_int64), ("job_next_run_at", c_int64), ("visible_space_id", c_char_p),
                     ("provider_pause", c_char_p), ("badge_label", c_char_p), ("badge_tooltip", c_char_p), ("badge_tone", c_int32),
                     ("offers_retry", c_int32), ("job_status", c_int32), ("reserved", c_int32), ("worker_id", c_char_p),
                     ("job_started_at", c_int64), ("lease_expires_at", c_int64))
Health = _struct("Health", ("specs", c_int64), ("indexed", c_int64), ("pending", c_int64), ("running", c_int64), ("failed", c_int64),
                 ("degraded_reason", c_char_p), ("banner_text", c_char_p), ("banner_tone", c_int32), ("degraded", c_int32))
Job = _struct("Job", ("id", c_int64), ("catalog_id", c_char_p), ("spec_name", c_char_p), ("attempts", c_int64), ("last_error", c_char_p),
              ("worker_id", c_char_p), ("next_run_at", c_int64), ("lease_expires_at", c_int64), ("created_at", c_int64),
              ("updated_at", c_int64), ("started_at", c_int64), ("completed_at", c_int64), ("embedded_so_far", c_int64),
              ("reused_count", c_int64), ("embedded_count", c_int64), ("operation_count", c_int64), ("generation", c_uint64),
              ("prompt_tokens", c_uint64), ("fence", Fence), ("kind", c_int32), ("status", c_int32))
JobFilter = _struct("JobFilter", ("catalog_id", c_char_p), ("spec_name", c_char_p), ("limit", c_size_t), ("by_status", c_int32),
                    ("status", c_int32), ("by_kind", c_int32), ("kind", c_int32))
Hit = _struct("Hit", ("catalog_id", c_char_p), ("spec_name", c_char_p), ("operation_id", c_void_p), ("operation_id_size", c_size_t),
              ("score", c_double))
StoredRows = _struct("StoredRows", ("space_id", c_char_p), ("count", c_size_t), ("dimension", c_size_t), ("ids", c_void_p),
                     ("id_offsets", c_void_p), ("hashes", c_void_p), ("embedded_bytes", c_void_p), ("vectors", c_void_p))
Catalog = _struct("Catalog", ("catalog_id", c_char_p), ("target_space_id", c_char_p), ("search_space_id", c_char_p),
                  ("spec_count", c_int64), ("specs_in_target", c_int64))
Verification = _struct("Verification", ("catalog_id", c_char_p), ("spec_name", c_char_p), ("difference", c_char_p), ("equal", c_int32),
                       ("reserved", c_int32))
Provider = _struct("Provider", ("provider", c_char_p), ("space_id", c_char_p), ("pause_reason", c_char_p), ("batch_texts", c_int64),
                   ("batch_bytes", c_int64), ("paused_until", c_int64), ("tokens_total", c_uint64), ("tokens_today", c_uint64),
                   ("updated_at", c_int64), ("read_at", c_int64))
Worker = _struct("Worker", ("worker_id", c_char_p), ("host", c_char_p), ("version", c_char_p), ("provider", c_char_p),
                 ("space_id", c_char_p), ("process_id", c_int64), ("slots", c_int64), ("lease_duration_ms", c_int64),
                 ("started_at", c_int64), ("last_seen_at", c_int64), ("read_at", c_int64), ("running_jobs", c_int64), ("live", c_int32),
                 ("reserved", c_int32))
COUNTERS = ("jobs_claimed", "jobs_succeeded", "jobs_retried", "jobs_failed", "jobs_released", "leases_renewed", "leases_lost",
            "operations_reused", "operations_embedded", "provider_calls", "provider_errors", "provider_texts", "provider_tokens",
            "chunks_persisted", "persist_errors")
GAUGES = ("running", "calls_in_flight", "batch_size", "store_pending", "store_running", "store_succeeded", "store_failed",
          "store_cancelled")
Metrics = _struct("Metrics", ("prometheus", c_void_p), ("prometheus_size", c_size_t), *((name, c_uint64) for name in COUNTERS),
                  *((name, c_int64) for name in GAUGES))


def list_of(element: Type[Struct]) -> Type[Struct]:
    """An array of pointers: items[i].contents."""
    return _struct(element.__name__ + "List", ("count", c_size_t), ("items", POINTER(POINTER(element))))


Statuses, Jobs, Hits, Catalogs = list_of(SpecStatus), list_of(Job), list_of(Hit), list_of(Catalog)
Verifications, Providers, Workers = list_of(Verification), list_of(Provider), list_of(Worker)

_E = c_void_p  # embedjobs_engine *
_ERR = POINTER(c_void_p)  # embedjobs_error **
_KEY = [_E, c_char_p, c_char_p]
_ENQUEUED = POINTER(Enqueued)
_PROTOTYPES = {
    "code_name": (c_char_p, [c_int32]),
    "error_code": (c_int32, [c_void_p]),
    "error_message": (c_char_p, [c_void_p]),
    "error_retry_after_ms": (c_int64, [c_void_p]),
    "error_destroy": (None, [c_void_p]),
    "version": (c_char_p, []),
    "hash_text": (None, [c_char_p, c_size_t, c_void_p]),
    "call_set_error": (None, [c_void_p, c_char_p, c_size_t]),
    "call_set_retry_after_ms": (None, [c_void_p, c_int64]),
    "call_is_cancelled": (c_int32, [c_void_p]),
    "call_remaining_ms": (c_int64, [c_void_p]),
    "compute_list_existing": (c_int32, [c_void_p, POINTER(Operations), POINTER(c_uint8), _ERR]),
    "compute_progress": (None, [c_void_p, c_size_t, c_size_t]),
    "compute_persist_batch": (c_int32, [c_void_p, POINTER(Rows), _ERR]),
    "compute_set_manifest": (c_int32, [c_void_p, POINTER(Operations), _ERR]),
    "spec_states_set": (c_int32, [c_void_p, c_size_t, c_char_p, c_char_p, c_char_p]),
    "document_set": (c_int32, [c_void_p, c_char_p, c_size_t, c_char_p]),
    "document_list_add": (c_int32, [c_void_p, c_char_p, c_char_p, c_char_p]),
    "secret_set": (c_int32, [c_void_p, c_char_p, c_size_t]),
    "engine_open": (c_int32, [POINTER(Options), POINTER(c_void_p), _ERR]),
    "engine_destroy": (None, [_E]),
    "engine_start": (c_int32, [_E, _ERR]),
    "engine_stop": (c_int32, [_E, c_int64, _ERR]),
    "engine_request_stop": (c_int32, [_E, _ERR]),
    "cancel_create": (c_void_p, []),
    "cancel_request": (None, [c_void_p]),
    "cancel_destroy": (None, [c_void_p]),
    "engine_wait_idle": (c_int32, [_E, c_int64, c_int64, c_void_p, POINTER(IdleReport), _ERR]),
    "engine_worker_run": (c_int32, [_E, c_int32, c_int64, c_int64, c_void_p, POINTER(IdleReport), _ERR]),
    "engine_put": (c_int32, [*_KEY, c_char_p, c_size_t, _ENQUEUED, _ERR]),
    "engine_put_items": (c_int32, [*_KEY, c_char_p, c_size_t, _ENQUEUED, _ERR]),
    "engine_remove": (c_int32, [*_KEY, _ERR]),
    "engine_remove_catalog": (c_int32, [_E, c_char_p, _ERR]),
    "engine_enqueue": (c_int32, [*_KEY, c_int32, _ENQUEUED, _ERR]),
    "engine_retry": (c_int32, [*_KEY, _ENQUEUED, _ERR]),
    "engine_retry_failed": (c_int32, [_E, POINTER(c_size_t), _ERR]),
    "engine_reconcile": (c_int32, [_E, POINTER(c_size_t), _ERR]),
    "engine_switch_space": (c_int32, [_E, c_char_p, c_char_p, POINTER(c_size_t), _ERR]),
    "engine_statuses": (c_int32, [_E, c_char_p, POINTER(POINTER(Statuses)), _ERR]),
    "statuses_destroy": (None, [POINTER(Statuses)]),
    "engine_health": (c_int32, [_E, c_char_p, POINTER(POINTER(Health)), _ERR]),
    "health_destroy": (None, [POINTER(Health)]),
    "engine_jobs": (c_int32, [_E, POINTER(JobFilter), POINTER(POINTER(Jobs)), _ERR]),
    "jobs_destroy": (None, [POINTER(Jobs)]),
    "engine_search": (c_int32, [_E, c_char_p, c_char_p, c_size_t, c_size_t, POINTER(POINTER(Hits)), _ERR]),
    "hits_destroy": (None, [POINTER(Hits)]),
    "engine_rows": (c_int32, [*_KEY, c_int32, POINTER(POINTER(StoredRows)), _ERR]),
    "stored_rows_destroy": (None, [POINTER(StoredRows)]),
    "engine_catalogs": (c_int32, [_E, POINTER(POINTER(Catalogs)), _ERR]),
    "catalogs_destroy": (None, [POINTER(Catalogs)]),
    "engine_verify": (c_int32, [_E, c_char_p, c_char_p, POINTER(POINTER(Verifications)), _ERR]),
    "verifications_destroy": (None, [POINTER(Verifications)]),
    "engine_providers": (c_int32, [_E, POINTER(POINTER(Providers)), _ERR]),
    "providers_destroy": (None, [POINTER(Providers)]),
    "engine_workers": (c_int32, [_E, POINTER(POINTER(Workers)), _ERR]),
    "workers_destroy": (None, [POINTER(Workers)]),
    "engine_metrics": (c_int32, [_E, POINTER(POINTER(Metrics)), _ERR]),
    "metrics_destroy": (None, [POINTER(Metrics)]),
}


def _load() -> ctypes.CDLL:
    """The library that EMBEDJOBS_LIBRARY names, else the one that lies beside this file, else the system's."""
    bundled = pathlib.Path(__file__).with_name(SONAME)
    library = ctypes.CDLL(os.environ.get("EMBEDJOBS_LIBRARY") or (str(bundled) if bundled.exists() else SONAME))
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, "embedjobs_" + name)
        function.restype = result
        function.argtypes = arguments
    return library


_library = _load()


def function(name: str) -> Any:
    """embedjobs_<name>."""
    return getattr(_library, "embedjobs_" + name)
