/*
** embedjobs: durable jobs that keep vector embeddings in step with documents. The C interface.
**
** A host opens an engine, tells it which documents changed, and starts it. The engine makes each change a durable job,
** splits the document into operations, embeds those whose text is new, persists every chunk as it is done, and survives
** crashes, slow providers and edits in mid-run. A host may bring its own embedder, its own documents, its own place for
** vectors, or its own way from a document to vectors, each alone or together; what it does not bring is built in. The
** guide is docs/c-abi.md; examples/c/host.c is a whole host.
**
** ---- Rules that hold for every declaration below ----
**
** Pointers. A pointer that is not said to be "nullable" must not be NULL: the call then answers
** EMBEDJOBS_INVALID_ARGUMENT and does nothing. What is passed in is read during the call and never kept: the caller may
** free it when the call returns.
**
** Text is UTF-8. Names (const char *, without a size) end with NUL, have no control characters and at most 512 bytes,
** unless it is said. Documents, texts and queries are a pointer and a size in bytes, and the pointer may be NULL when
** the size is 0. Every const char * that the library gives out ends with NUL and is never NULL, unless it is said to be
** nullable.
**
** Numbers. Times are milliseconds since 1970 in UTC, 0 where there is none; spans of time are milliseconds and their
** names end with _ms. Booleans are int32_t, 0 or 1. Enumerations are passed as int32_t; their numbers never change and
** are never reused.
**
** Structs begin with struct_size and grow at their end. The maker of a struct writes its size as it knows it: the host
** with sizeof(the struct) in what it makes, the library in what it makes. Set the whole struct to zero first, then
** struct_size, then what is wanted: zero means "the default" in every member. A struct that is smaller than its first
** published version, or that uses members which this library does not know, is refused with EMBEDJOBS_INVALID_ARGUMENT.
** Before a host reads a member that a later version added, it checks the struct_size that the library wrote.
**
** Errors. A call that can fail returns EMBEDJOBS_OK or another code of embedjobs_code. Its last parameter,
** embedjobs_error **error, is nullable; else *error becomes NULL on success and a new error on failure, to be freed
** with embedjobs_error_destroy(). What *error held before is overwritten and not freed. There is no "last error" of a
** thread. Output parameters are written on success only; pointers among them become NULL on failure.
**
** Ownership. What a function gives out by embedjobs_X **out belongs to the caller, who frees it with
** embedjobs_X_destroy(). It owns all that it points to and does not depend on the engine any more. Destroying NULL does
** nothing. Destroying ends the handle, as free() does.
**
** Threads. Functions may be called from any thread, on one engine from several at once, except where it is said. No
** lock is held while a callback runs, and no callback may keep what it was given, but for user_data, after it has
** returned.
**
** Callbacks. A table of callbacks is copied when the engine is opened. Its destroy(user_data), nullable, is called
** exactly once: when embedjobs_engine_open() fails, before it returns, or when the engine ends, after the last call of
** any callback of the table.
** (A table that was refused for its struct_size, or options that were, are not touched, and nothing in them is
** destroyed.)
** A callback returns EMBEDJOBS_OK or another code of embedjobs_code and says more with embedjobs_call_set_error(). A
** C++ host may throw: the exception ends in the library and the call counts as EMBEDJOBS_INTERNAL. A callback must not
** longjmp() out of itself.
**
** A callback proves its success. A foreign-language callback that dies half-way may well seem to return 0. So each has
** an output, *done, that the library sets to EMBEDJOBS_NOT_DONE first and that the callback sets to the number of
** things it has dealt with, at its very end. EMBEDJOBS_OK with any other number, or a number that is no code, is a
** failed callback: EMBEDJOBS_INTERNAL, tried again later.
**
** Calls from inside callbacks. Allowed: everything that takes the callback's own arguments (embedjobs_call_...,
** embedjobs_compute_..., embedjobs_document_set() and so on), functions without an engine, and of the engine whose
** callback it is: embedjobs_engine_put(), _put_items(), _remove(), _enqueue(), _retry(), _jobs(), _metrics(),
** _request_stop() and _destroy(). All others answer EMBEDJOBS_REFUSED and "recursive call" in the message: they would
** wait for the callback that called them.
**
** fork(). An engine belongs to the process that opened it. In a forked child every call on it answers
** EMBEDJOBS_REFUSED, embedjobs_engine_destroy() does nothing, and no destroy callback is called. The child may open an
** engine of its own, but not on a SQLite file that was open when it was forked: SQLite would lose what it writes. That
** is REFUSED too; fork first, or exec().
**
** The end of the process. Destroy every engine before main() returns or exit() is called: until then its threads call
** the host. A process that ends without it, or dies, loses no more than what was not persisted, and its jobs wait for
** their leases to expire.
**
** Compatibility. The shared library is libembedjobs_c.so.1. Within 1, functions, members and numbers are added, never
** changed or removed.
*/
#ifndef EMBEDJOBS_H
#define EMBEDJOBS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define EMBEDJOBS_API __attribute__((visibility("default")))
#else
#define EMBEDJOBS_API
#endif

/* ================ Codes and errors ================================================================================ */

/*
** What to do about an error. A callback answers with the same codes; what the engine does about each is said here in
** the words of a provider call.
*/
typedef enum embedjobs_code {
  EMBEDJOBS_OK = 0,
  EMBEDJOBS_RETRY = 1,             /* A passing fault. Tried again later with growing delays; costs an attempt when it
                                      ends a pass. */
  EMBEDJOBS_PAUSED = 2,            /* The provider limits, loads or can't be reached. Waits as long as
                                      embedjobs_call_set_retry_after_ms() said, or as the engine chooses; costs no
                                      attempt. */
  EMBEDJOBS_TIMEOUT = 3,           /* It took too long. A provider call is repeated with half the batch. */
  EMBEDJOBS_BATCH_TOO_LARGE = 4,   /* The batch as a whole is too large: it is split, its texts are not cut. */
  EMBEDJOBS_INPUT_TOO_LARGE = 5,   /* One text is too long for the model: it is found and cut between code points. */
  EMBEDJOBS_INPUT_REJECTED = 6,    /* One text can't be embedded: it is found and set aside, the rest goes on. */
  EMBEDJOBS_FAILED = 7,            /* Trying again will not help: the job fails. */
  EMBEDJOBS_LEASE_LOST = 8,        /* The caller holds the lease no more: another pass has it. Nothing was changed. */
  EMBEDJOBS_GONE = 9,              /* The document does not exist any more. */
  EMBEDJOBS_CANCELLED = 10,        /* Ended because somebody asked for it. */
  EMBEDJOBS_INVALID_ARGUMENT = 11, /* The call itself is wrong: NULL, an empty name, an option out of range. */
  EMBEDJOBS_INVALID_DOCUMENT = 12, /* The document can't be read; the message names the place. */
  EMBEDJOBS_NOT_FOUND = 13,        /* What was asked for does not exist. */
  EMBEDJOBS_REFUSED = 14,          /* Not allowed in this state: another target space, a forked process, after stop, a
                                      recursive call. */
  EMBEDJOBS_INCOMPLETE = 15,       /* A manifest names texts whose vectors are not stored. */
  EMBEDJOBS_UNUSABLE = 16,         /* The database can't be used as it is: not ours, newer, damaged, read-only. */
  EMBEDJOBS_INTERNAL = 17          /* A defect, here or in a callback: an exception, a broken promise, no memory. */
} embedjobs_code;

/* The lower-case name of a code, "lease_lost" for example; "unknown" for a number that is no code. Lives for ever. */
EMBEDJOBS_API const char *embedjobs_code_name(int32_t code);

/* Why a call failed. Immutable, so that threads may share it. */
typedef struct embedjobs_error embedjobs_error;

/* The code that the call returned. EMBEDJOBS_OK for NULL. */
EMBEDJOBS_API int32_t embedjobs_error_code(const embedjobs_error *error);
/* One line for a person, without a newline. Lives as long as the error. "" for NULL. */
EMBEDJOBS_API const char *embedjobs_error_message(const embedjobs_error *error);
/* With EMBEDJOBS_PAUSED: how long the provider asked us to wait; 0 when it did not say, and for every other error and
   NULL. */
EMBEDJOBS_API int64_t embedjobs_error_retry_after_ms(const embedjobs_error *error);
/* Frees the error. NULL: nothing. */
EMBEDJOBS_API void embedjobs_error_destroy(embedjobs_error *error);

/* The version of the library that is loaded, "0.1.0" for example. Lives for ever. */
EMBEDJOBS_API const char *embedjobs_version(void);

/* ================ Values ========================================================================================== */

/* What *done is before a callback has set it. */
#define EMBEDJOBS_NOT_DONE SIZE_MAX

/* Bytes of a text's hash. */
#define EMBEDJOBS_HASH_SIZE 32

/*
** Writes the SHA-256 of a text's UTF-8 bytes: the address of its vector. `text` may be NULL when `size` is 0; `hash`
** has EMBEDJOBS_HASH_SIZE bytes. Cannot fail; a NULL `hash` does nothing.
*/
EMBEDJOBS_API void embedjobs_hash_text(const char *text, size_t size, uint8_t *hash);

/* Why a job exists. */
typedef enum embedjobs_job_kind {
  EMBEDJOBS_JOB_SPEC_WRITE = 0,  /* The document was written. */
  EMBEDJOBS_JOB_RECONCILER = 1,  /* The reconciler found a gap. Yields to the other kinds, and leaves open jobs and
                                    removed keys alone. */
  EMBEDJOBS_JOB_MANUAL_RETRY = 2 /* Somebody asked for everything to be embedded afresh. */
} embedjobs_job_kind;

/* Where a job stands. Pending and running are "open"; a spec has at most one open job. */
typedef enum embedjobs_job_status {
  EMBEDJOBS_JOB_UNKNOWN = -2, /* In a spec's status: the store does not tell about jobs. */
  EMBEDJOBS_JOB_NONE = -1,    /* In a spec's status: it has no job. */
  EMBEDJOBS_JOB_PENDING = 0,
  EMBEDJOBS_JOB_RUNNING = 1,
  EMBEDJOBS_JOB_SUCCEEDED = 2,
  EMBEDJOBS_JOB_FAILED = 3,
  EMBEDJOBS_JOB_CANCELLED = 4
} embedjobs_job_status;

/* What the texts of an embedder call are: some models want another prefix for a query than for a document. */
typedef enum embedjobs_purpose { EMBEDJOBS_PURPOSE_DOCUMENT = 0, EMBEDJOBS_PURPOSE_QUERY = 1 } embedjobs_purpose;

typedef enum embedjobs_log_level {
  EMBEDJOBS_LOG_DEBUG = 0,
  EMBEDJOBS_LOG_INFO = 1,
  EMBEDJOBS_LOG_WARNING = 2,
  EMBEDJOBS_LOG_ERROR = 3
} embedjobs_log_level;

/* The colour of a badge or banner. */
typedef enum embedjobs_tone {
  EMBEDJOBS_TONE_MUTED = 0,
  EMBEDJOBS_TONE_GREEN = 1,
  EMBEDJOBS_TONE_BLUE = 2,
  EMBEDJOBS_TONE_AMBER = 3,
  EMBEDJOBS_TONE_AMBER_STRONG = 4,
  EMBEDJOBS_TONE_RED = 5
} embedjobs_tone;

typedef enum embedjobs_event_kind {
  EMBEDJOBS_EVENT_JOB_CLAIMED = 0,
  EMBEDJOBS_EVENT_JOB_PROGRESS = 1, /* operation_count, reused, embedded and missing are filled. */
  EMBEDJOBS_EVENT_JOB_SUCCEEDED = 2,
  EMBEDJOBS_EVENT_JOB_RETRIED = 3,
  EMBEDJOBS_EVENT_JOB_FAILED = 4,
  EMBEDJOBS_EVENT_JOB_RELEASED = 5,
  EMBEDJOBS_EVENT_LEASE_LOST = 6,
  EMBEDJOBS_EVENT_LEASE_RENEWED = 7,   /* One a tick and lease. */
  EMBEDJOBS_EVENT_PROVIDER_PAUSED = 8, /* delay_ms says for how long. */
  EMBEDJOBS_EVENT_PROVIDER_RESUMED = 9,
  EMBEDJOBS_EVENT_BATCH_RESIZED = 10,   /* `count` is the new batch size. */
  EMBEDJOBS_EVENT_CHUNK_PERSISTED = 11, /* `count` operations are durable. */
  EMBEDJOBS_EVENT_LEASE_EXPIRED = 12,   /* `count` leases of dead workers were put back. */
  EMBEDJOBS_EVENT_STORE_UNUSABLE = 13   /* No job can be claimed, or no outcome recorded; `message` says why. */
} embedjobs_event_kind;

/*
** The right to write for a spec. `counter` is the spec's own, raised by every claim and never reset; `nonce` was drawn
** at random by the claimer and is never 0. A host that persists remembers the last fence that it accepted for each spec
** and asks embedjobs_accepts(). This struct never grows.
*/
typedef struct embedjobs_fence {
  uint64_t counter;
  uint64_t nonce;
} embedjobs_fence;

/*
** The fence check of a host that persists. `stored` is the last fence that the host accepted for the spec; all zero
** where there is none yet. `given` came with the call: embedjobs_pass.fence. 1: the caller may write, and the host
** stores `given` in the same transaction. 0: the holder is stale; the host answers EMBEDJOBS_LEASE_LOST and changes
** nothing. NULL, or a `given` whose nonce is 0: 0. Both are only read. Any thread; takes no lock.
*/
EMBEDJOBS_API int32_t embedjobs_accepts(const embedjobs_fence *stored, const embedjobs_fence *given);

/* ================ The context of a callback ======================================================================= */

/*
** Given to each callback that may fail. It ends when the callback returns. Its functions may be called from any thread
** until then, for a callback that lets others do its work; not from two at once.
*/
typedef struct embedjobs_call embedjobs_call;

/*
** Why the callback is going to fail: one line for a person, `size` bytes (of which 1,000 are kept). It is seen in the
** job's last error and in the log. The last call counts; it has no effect if the callback then succeeds. Invalid UTF-8
** and control characters are replaced.
** NULL `call` or `message`: nothing.
*/
EMBEDJOBS_API void embedjobs_call_set_error(embedjobs_call *call, const char *message, size_t size);
/* With EMBEDJOBS_PAUSED: wait this long before trying again; 0 or less: the engine chooses. At most an hour counts.
   NULL: nothing. */
EMBEDJOBS_API void embedjobs_call_set_retry_after_ms(embedjobs_call *call, int64_t retry_after_ms);
/*
** 1: what this call does is not wanted any more (the lease was lost, the engine is being stopped): return
** EMBEDJOBS_CANCELLED within a second. Persister, resolver and secret source hear of the stop only. A call that
** somebody makes of an engine that was stopped before, by a search for example, is wanted. A callback that takes long
** asks this often; a call costs a few nanoseconds. NULL: 0.
*/
EMBEDJOBS_API int32_t embedjobs_call_is_cancelled(const embedjobs_call *call);
/* Time left until the call should end with EMBEDJOBS_TIMEOUT; 0 when it has passed, -1 when there is no limit, and for
   NULL. */
EMBEDJOBS_API int64_t embedjobs_call_remaining_ms(const embedjobs_call *call);

/* ================ What crosses the boundary ======================================================================= */

/*
** Texts to embed. Text i is the bytes [offsets[i], offsets[i + 1]) of `bytes`: non-empty UTF-8, not ended by NUL.
*/
typedef struct embedjobs_texts {
  size_t struct_size;
  size_t count; /* At least 1. */
  const char *bytes;
  const uint64_t *offsets; /* count + 1 of them; offsets[0] is 0. */
  int32_t purpose;         /* embedjobs_purpose */
  int32_t reserved;        /* 0 */
} embedjobs_texts;

/*
** Where an embedder puts its vectors: `values` is the library's, count x dimension floats, vector i from
** values[i * dimension]. What it holds before is undefined. The callback writes the floats, and `prompt_tokens` if it
** knows them.
*/
typedef struct embedjobs_vectors {
  size_t struct_size;
  float *values;
  size_t dimension;
  int64_t prompt_tokens; /* -1 before the call: not known. Tokens of this call, as the provider counted them. */
} embedjobs_vectors;

/*
** Operations by id and hash: what a document consists of. Id i is the bytes [id_offsets[i], id_offsets[i + 1]) of
** `ids`, non-empty UTF-8, unique within a document; hash i is the EMBEDJOBS_HASH_SIZE bytes from
** hashes[i * EMBEDJOBS_HASH_SIZE], always of the full text.
** With count 0 the pointers may be NULL.
*/
typedef struct embedjobs_operations {
  size_t struct_size;
  size_t count;
  const char *ids;
  const uint64_t *id_offsets; /* count + 1 of them; id_offsets[0] is 0. */
  const uint8_t *hashes;
} embedjobs_operations;

/*
** Operations with their vectors, on the way to storage. Ids and hashes as in embedjobs_operations; vector i from
** vectors[i * dimension]. Several operations may share a text, and so a hash and a vector.
*/
typedef struct embedjobs_rows {
  size_t struct_size;
  size_t count;
  size_t dimension;
  const char *ids;
  const uint64_t *id_offsets;
  const uint8_t *hashes;
  const float *vectors; /* Finite, and none all zero: checked by the library, whichever way they go. */
  /* 0, or NULL for all: the whole text was embedded. Else how many of its bytes were. In persist_batch NULL
     only where there are no rows. */
  const uint64_t *embedded_bytes;
  /* Where embedded_bytes is not 0: the limit under which the text was cut. NULL when embedded_bytes is. */
  const uint64_t *input_caps;
} embedjobs_rows;

/* Who writes, and for what. All but the last two are the same for every call of a pass. Views that end with the
   callback. */
typedef struct embedjobs_pass {
  size_t struct_size;
  const char *catalog_id;
  const char *spec_name;
  embedjobs_fence fence;
  int64_t job_id;
  uint64_t generation;  /* Of the spec, raised by every enqueue, edit, manual retry and removal. */
  const char *space_id; /* "768/nomic-embed-text?v1": dimension, model and all else that makes vectors comparable. */
  size_t dimension;
  uint64_t epoch;               /* To be stored with the vectors of this pass: see embedjobs_vector_mark. */
  uint64_t reuse_floor;         /* Vectors of an older epoch may not be reused. See embedjobs_may_reuse(). */
  uint64_t input_cap;           /* The embedder cuts longer texts to this many bytes; 0: it cuts none. */
  const char *splitter_version; /* Another one may cut the same content differently. */
  const char *content_version;  /* Of the document; "" in list_existing, where it may not be known yet. */
  uint64_t prompt_tokens;       /* Of the pass so far. */
} embedjobs_pass;

/* What a host's persister keeps beside a vector, so that it can ask embedjobs_may_reuse(). It keeps vectors by
   embedjobs_pass.space_id, too: a vector of another space is never reused. */
typedef struct embedjobs_vector_mark {
  size_t struct_size;
  uint64_t epoch; /* embedjobs_pass.epoch of the pass that stored the vector: 0 until somebody retries a spec. */
  uint64_t embedded_bytes; /* Of the row, in embedjobs_rows. */
  uint64_t input_cap;      /* Of the row, in embedjobs_rows.input_caps. */
} embedjobs_vector_mark;

/*
** May the pass use this stored vector, and not embed its text again? 1: yes. 0: no. list_existing and finalize ask it.
** 0 when somebody asked for fresh vectors (a manual retry) and this one is older. 0 also when its text was cut, and
** today's limit allows more bytes of it. `pass` is the argument of the callback. A host may also fill one itself: then
** only struct_size, reuse_floor and input_cap count. If an argument is NULL, or a struct_size is too small, the answer
** is 0, and the text is embedded again. Both are only read. Any thread; takes no lock.
*/
EMBEDJOBS_API int32_t embedjobs_may_reuse(const embedjobs_pass *pass, const embedjobs_vector_mark *row);

/* ================ Callbacks: the embedder ========================================================================= */

/*
** Texts to vectors. Threads: never more than `concurrent_calls` at a time, from library threads, or from the thread
** that runs embedjobs_engine_worker_run(), or from one that calls embedjobs_engine_search().
*/
typedef struct embedjobs_embedder {
  size_t struct_size;
  void *user_data;
  void (*destroy)(void *user_data); /* Nullable. */
  /*
  ** Fills `out` with a vector for each text, in their order, then sets *done to texts->count. Errors: RETRY, PAUSED,
  ** TIMEOUT, BATCH_TOO_LARGE, INPUT_TOO_LARGE, INPUT_REJECTED, FAILED and CANCELLED are acted on as their comments say,
  ** any other as RETRY.
  ** A vector that is not finite or all zero counts as INPUT_REJECTED of its text and is never stored.
  */
  int32_t (*embed)(void *user_data, embedjobs_call *call, const embedjobs_texts *texts, embedjobs_vectors *out,
                   size_t *done);
  /* The space: all that makes vectors comparable. An engine refuses to mix spaces, so a change of any of them is a new
     space. */
  const char *model;   /* Non-empty, without '?', at most 256 bytes. */
  const char *variant; /* Nullable. What else matters to the vectors: a prefix, a normalisation, a version. */
  size_t dimension;    /* 1 to 65,536. */
  /* Names the endpoint, the same in every process that calls it: under this name the store remembers batch sizes,
     pauses and tokens. Nullable: the model. Never a key or a password. */
  const char *provider;
  size_t concurrent_calls; /* How many calls it takes at a time; 0: 1. */
  size_t batch_texts;      /* The most texts per call; 0: embedjobs_options.batch_size decides alone. */
  size_t batch_bytes;      /* The most bytes of text a call; 0: no limit of its own. */
  size_t batch_tokens;     /* The most tokens a call, kept by an estimate; 0: no limit. */
  size_t input_bytes;      /* Longer texts are cut to this before the call, and their rows are marked; 0: never. */
} embedjobs_embedder;

/* ================ Callbacks: the computer ========================================================================= */

/* One computation under way. It ends when the callback returns; its functions may be called from any thread until then,
   not from two at once. */
typedef struct embedjobs_compute embedjobs_compute;

/* What a computer gets. Views that end with the callback. */
typedef struct embedjobs_compute_request {
  size_t struct_size;
  const char *catalog_id;
  const char *spec_name;
  const char *content; /* Bytes as they were written: nothing is checked. */
  size_t content_size;
  size_t batch_size;     /* Texts a provider call, at most; at least 1. */
  embedjobs_fence fence; /* For what the host writes elsewhere by itself; embedjobs_compute_persist_batch() shows it by
                            itself. */
} embedjobs_compute_request;

/*
** A host's whole way from a document to persisted chunks: it splits, embeds and names the manifest. It takes the place
** of the built-in splitter and of any embedder (which is still used for searches, if one is given). At most
** embedjobs_options.slots calls at a time.
*/
typedef struct embedjobs_computer {
  size_t struct_size;
  void *user_data;
  void (*destroy)(void *user_data); /* Nullable. */
  /*
  ** Computes the document: asks embedjobs_compute_list_existing(), tells embedjobs_compute_progress() first what is
  ** reused, hands over
  ** each finished chunk with embedjobs_compute_persist_batch(), names all operations with
  ** embedjobs_compute_set_manifest(), and sets *done to their number. Rows that the manifest does not name disappear
  ** when the call has succeeded.
  ** Errors: the code of a failed embedjobs_compute_... call may be returned as it is, its message is known then.
  ** INVALID_DOCUMENT and FAILED fail the job, PAUSED costs no attempt, others are tried again; chunks that were
  ** persisted stay.
  */
  int32_t (*compute)(void *user_data, embedjobs_call *call, embedjobs_compute *compute,
                     const embedjobs_compute_request *request, size_t *done);
  const char *version; /* Non-empty. Changes whenever the same content may give other ids or texts: the reconciler
                          computes anew then. */
  const char *model;   /* Model, variant and dimension of its vectors, as in embedjobs_embedder. */
  const char *variant; /* Nullable. */
  size_t dimension;
} embedjobs_computer;

/*
** Which operations have a vector already: existing[i] becomes 1 or 0 for operation i of `wanted`, `existing` has
** wanted->count bytes. Those need not be computed, only named in the manifest. On a manual retry only what it may reuse
** counts. LEASE_LOST: return it at once.
*/
EMBEDJOBS_API int32_t embedjobs_compute_list_existing(embedjobs_compute *compute, const embedjobs_operations *wanted,
                                                      uint8_t *existing, embedjobs_error **error);
/* So many operations of `total` have a vector. What people see; a smaller number than before changes nothing. NULL:
   nothing. */
EMBEDJOBS_API void embedjobs_compute_progress(embedjobs_compute *compute, size_t operations_done, size_t total);
/*
** Hands over one finished chunk. After EMBEDJOBS_OK it is durable, and not computed again after a crash. LEASE_LOST:
** return it at once. INVALID_ARGUMENT: a vector is not finite or all zero, a dimension or an offset is wrong; nothing
** was stored.
*/
EMBEDJOBS_API int32_t embedjobs_compute_persist_batch(embedjobs_compute *compute, const embedjobs_rows *rows,
                                                      embedjobs_error **error);
/* Names every operation of the document, reused or new, in one call: the proof that the whole document was seen. The
   last call counts. An id that stands twice fails the job. */
EMBEDJOBS_API int32_t embedjobs_compute_set_manifest(embedjobs_compute *compute, const embedjobs_operations *manifest,
                                                     embedjobs_error **error);

/* ================ Callbacks: the persister ======================================================================== */

/* What is finalized of specs: see embedjobs_persister.describe. */
typedef struct embedjobs_spec_states embedjobs_spec_states;

/*
** Where vectors live. Every call carries the fence; a host that commits fence and rows together has each vector exactly
** once, whatever dies. It answers EMBEDJOBS_LEASE_LOST to a stale fence (see embedjobs_accepts()) and changes nothing
** then. The same call may come twice, when its first answer was lost: it must then find its own effect and succeed.
** Threads: library threads, or that of embedjobs_engine_worker_run(); never two persist_batch or finalize calls at once
** for a spec.
** FAILED fails the job. All other errors but LEASE_LOST are tried again: soon and a few times by the same pass, under
** the same fence, then by passes whose distance grows; what was persisted is kept.
*/
typedef struct embedjobs_persister {
  size_t struct_size;
  void *user_data;
  void (*destroy)(void *user_data); /* Nullable. */
  /*
  ** Which operations have a vector that may be reused, in the pass's space and by embedjobs_may_reuse(): existing[i] =
  ** 1 or 0 for operation i of `wanted`. A persister that stores by hash answers for any text it holds;
  ** one that stores by id, for the same id with the same hash. All of `existing` (wanted->count bytes) is 0 before.
  ** *done = wanted->count. The first call of a pass: it accepts the fence.
  */
  int32_t (*list_existing)(void *user_data, embedjobs_call *call, const embedjobs_pass *pass,
                           const embedjobs_operations *wanted, uint8_t *existing, size_t *done);
  /*
  ** Adds or replaces rows; others survive. *done = rows->count. When it has returned EMBEDJOBS_OK the rows are durable.
  ** No rows: only the fence is checked.
  */
  int32_t (*persist_batch)(void *user_data, embedjobs_call *call, const embedjobs_pass *pass,
                           const embedjobs_rows *rows, size_t *done);
  /*
  ** Makes the spec's visible rows exactly those of the manifest; others disappear. *done = manifest->count. INCOMPLETE,
  ** with nothing changed, when a vector is missing: the pass then computes what is missing.
  */
  int32_t (*finalize)(void *user_data, embedjobs_call *call, const embedjobs_pass *pass,
                      const embedjobs_operations *manifest, size_t *done);
  /*
  ** Nullable: then the reconciler leaves this engine's specs alone, and a status knows only what jobs tell. Says for
  ** spec i of `count`, named by catalog_ids[i] and spec_names[i], what finalize() recorded last, with
  ** embedjobs_spec_states_set(); a spec that nothing is said of has nothing. *done = count.
  */
  int32_t (*describe)(void *user_data, embedjobs_call *call, size_t count, const char *const *catalog_ids,
                      const char *const *spec_names, embedjobs_spec_states *states, size_t *done);
} embedjobs_persister;

/*
** In describe: spec `index` was finalized, with these of the pass: space_id, content_version and splitter_version.
** INVALID_ARGUMENT: NULL, or no such index.
*/
EMBEDJOBS_API int32_t embedjobs_spec_states_set(embedjobs_spec_states *states, size_t index, const char *space_id,
                                                const char *content_version, const char *splitter_version);

/* ================ Callbacks: the resolver ========================================================================= */

/* The answer to embedjobs_resolver.resolve. */
typedef struct embedjobs_document embedjobs_document;
/* The answer to embedjobs_resolver.list. */
typedef struct embedjobs_document_list embedjobs_document_list;

/* Where documents live. Needs a persister of the host's beside it. Threads: library threads, or that of worker_run;
   several at once. */
typedef struct embedjobs_resolver {
  size_t struct_size;
  void *user_data;
  void (*destroy)(void *user_data); /* Nullable. */
  /*
  ** Answers the document's current content with embedjobs_document_set(); *done = 1. It must see whatever preceded the
  ** enqueue of the job that asks. EMBEDJOBS_GONE is an answer: the document was deleted, its vectors are cleared and
  ** its job ends. Other errors are passing ones and tried again.
  */
  int32_t (*resolve)(void *user_data, embedjobs_call *call, const char *catalog_id, const char *spec_name,
                     embedjobs_document *document, size_t *done);
  /*
  ** Nullable: then embedjobs_engine_statuses(), _health() and _reconcile() are refused, and the host's enqueue is the
  ** only sign of a change. Adds at most `limit` documents after (after_catalog_id, after_spec_name), which are NULL at
  ** the start, with embedjobs_document_list_add(), in byte order of catalog and then spec; *done = how many. Fewer than
  ** `limit` means that there are no more.
  */
  int32_t (*list)(void *user_data, embedjobs_call *call, const char *after_catalog_id, const char *after_spec_name,
                  size_t limit, embedjobs_document_list *list, size_t *done);
} embedjobs_resolver;

/*
** In resolve: this is the document. Content is copied; it may be any bytes. `version` is non-empty: equal versions mean
** equal content, a hash for example. The last call counts. INVALID_ARGUMENT: NULL, or an empty version.
*/
EMBEDJOBS_API int32_t embedjobs_document_set(embedjobs_document *document, const char *content, size_t size,
                                             const char *version);
/* In list: one document and its version. INVALID_ARGUMENT: NULL or empty, or more than `limit`. */
EMBEDJOBS_API int32_t embedjobs_document_list_add(embedjobs_document_list *list, const char *catalog_id,
                                                  const char *spec_name, const char *version);

/* ================ Callbacks: log, events, secret ================================================================== */

/* What happened. Views that end with the callback. Members that the kind does not speak of are 0 or "". */
typedef struct embedjobs_event {
  size_t struct_size;
  const char *catalog_id;
  const char *spec_name;
  int64_t job_id;
  int64_t attempt;
  const char *message; /* The error, where there is one. */
  int64_t operation_count;
  int64_t reused;
  int64_t embedded;
  int64_t missing;
  uint64_t prompt_tokens;
  int64_t delay_ms;
  int64_t count;
  int32_t kind;     /* embedjobs_event_kind */
  int32_t reserved; /* 0 */
} embedjobs_event;

/*
** Who is told. The functions are all nullable. event and reload run on library threads, also while
** embedjobs_engine_worker_run() does the work on the host's, in order and never two at once; log runs wherever
** something is to be said, also on a thread that is inside of a call of this engine (embedjobs_engine_open() among
** them), one line at a time. They must return quickly: work waits for them.
*/
typedef struct embedjobs_observer {
  size_t struct_size;
  void *user_data;
  void (*destroy)(void *user_data);
  /* A line of `size` bytes, without newline, also ended by NUL. level: embedjobs_log_level. All that goes wrong in the
     background is told here: what a job was tried again for, why it failed, whom it waits for. */
  void (*log)(void *user_data, int32_t level, const char *message, size_t size);
  void (*event)(void *user_data, const embedjobs_event *event);
  /* The spec's new vectors are visible: reload what depends on them. */
  void (*reload)(void *user_data, const char *catalog_id, const char *spec_name);
} embedjobs_observer;

/* The answer to embedjobs_secret_source.get. */
typedef struct embedjobs_secret embedjobs_secret;

/* The key of an HTTP provider (embedjobs_options.embedder "openai:...", "ollama:...", "tei:..."), asked before each
   request: keys that rotate. Threads: as the embedder's. */
typedef struct embedjobs_secret_source {
  size_t struct_size;
  void *user_data;
  void (*destroy)(void *user_data); /* Nullable. */
  /* Answers with embedjobs_secret_set(); *done = 1. On any error the request fails with RETRY; its message is never
     shown. */
  int32_t (*get)(void *user_data, embedjobs_call *call, embedjobs_secret *secret, size_t *done);
} embedjobs_secret_source;

/* In get: this is the key. Copied; white space around it is dropped. INVALID_ARGUMENT: NULL. */
EMBEDJOBS_API int32_t embedjobs_secret_set(embedjobs_secret *secret, const char *value, size_t size);

/* ================ The engine ====================================================================================== */

/* Documents in, searchable vectors out, work in the background. */
typedef struct embedjobs_engine embedjobs_engine;

/* How to open an engine. Zero, negative numbers and NULL mean the default everywhere. */
typedef struct embedjobs_options {
  size_t struct_size;
  /* Where jobs live, and documents and vectors unless the host keeps them: "sqlite:PATH", "postgresql://..." or
     "memory:". Default "sqlite:embedjobs.db". */
  const char *dsn;
  /* A built-in embedder by its spec: "hashing", "ollama:MODEL", "openai:MODEL", "tei" (docs/providers.md). Default: the
     one of the space that the catalogs record, "hashing" where there is none yet. Not together with host_embedder. */
  const char *embedder;
  /* What the host brings. Each is copied. */
  const embedjobs_embedder *host_embedder;
  const embedjobs_computer *host_computer;
  const embedjobs_persister *host_persister;
  const embedjobs_resolver *host_resolver; /* Needs host_persister. */
  const embedjobs_observer *observer;
  const embedjobs_secret_source *secret_source; /* Needs an HTTP `embedder`. */
  /* Shown in job lists. Default: host name and process id. */
  const char *worker_id;
  /* Jobs at a time in this process; default 1. More help only when documents are small or the provider allows many
     calls. */
  int64_t slots;
  /* Texts a provider call, at most; default 32. Larger saves round trips; smaller loses less to a crash. */
  int64_t batch_size;
  /* Bytes of text a provider call, at most; default 1 MiB. One longer text still goes alone. */
  int64_t batch_bytes;
  /* How long a job stays with a worker that has stopped answering; default 10 min. A pass may last any number of
     leases. */
  int64_t lease_duration_ms;
  /* Limit of one provider call; default 5 min. */
  int64_t embed_timeout_ms;
  /* Provider calls in flight over all jobs; default: the embedder's own limit. That limit wins when it is lower. */
  int64_t provider_concurrency;
  /* Calls and tokens a minute of this process; default: no limit. */
  int64_t requests_per_minute;
  int64_t tokens_per_minute;
  /* Prompt tokens of a UTC day, of all processes of this database that use the provider; default: no budget. */
  int64_t daily_token_budget;
  /* A pass without progress for this long ends and is retried; default 1 h. */
  int64_t safety_bound_ms;
  /* A worker that was not notified looks at the queue at least this often; default 30 s. */
  int64_t fallback_poll_ms;
  /* The sweeps; defaults 30 s, 5 min, 1 h. */
  int64_t reaper_interval_ms;
  int64_t reconciler_interval_ms;
  int64_t retention_interval_ms;
  /* How long succeeded and cancelled jobs are kept; default 14 days. */
  int64_t job_retention_ms;
  /* How long vectors that no operation points to are kept for reuse; default 7 days. */
  int64_t vector_grace_ms;
} embedjobs_options;

/*
** Opens an engine; it does not work yet. `options` nullable: all defaults. Warnings (embed_timeout_ms >=
** lease_duration_ms, ...) go to the log. Errors: INVALID_ARGUMENT (an option, a DSN, a table, parts that do not go
** together), UNUSABLE (the database; the message says what to do), RETRY (the database is locked or can't be reached),
** REFUSED (a SQLite file that was open when this process was forked).
*/
EMBEDJOBS_API int32_t embedjobs_engine_open(const embedjobs_options *options, embedjobs_engine **out,
                                            embedjobs_error **error);

/*
** Stops the engine, waits without limit for callbacks that do not return, and frees it. No other call on it may be
** under way or begin.
** From inside one of its own callbacks it returns at once, and the engine ends on a thread of its own after the
** callback has returned: so
** a garbage collector may call it wherever it runs; the tables' destroy tells when it has ended. NULL: nothing. In a
** forked child: nothing.
*/
EMBEDJOBS_API void embedjobs_engine_destroy(embedjobs_engine *engine);

/* ---- Work ---- */

/*
** Starts worker and sweeps on threads of the library, with all signals blocked there. Acts once. REFUSED: the
** embedder's space is not the target space of any catalog, no embedder fits, it was stopped, or
** embedjobs_engine_worker_run() was used.
*/
EMBEDJOBS_API int32_t embedjobs_engine_start(embedjobs_engine *engine, embedjobs_error **error);

/*
** Asks for an end and waits for it, `deadline_ms` at most (negative: without limit). EMBEDJOBS_OK: all work has ended,
** no callback is under way but those of calls that other threads are in (a search, for example), and every job is
** released. TIMEOUT, "not stopped": a callback hangs; jobs are released all the same. Idempotent: ask again, or go on
** to embedjobs_engine_destroy(), which waits. The engine can't be started again; reading and enqueueing go on.
*/
EMBEDJOBS_API int32_t embedjobs_engine_stop(embedjobs_engine *engine, int64_t deadline_ms, embedjobs_error **error);

/* Only asks for an end, and returns at once; embedjobs_engine_worker_run() and waits return. Allowed in callbacks. */
EMBEDJOBS_API int32_t embedjobs_engine_request_stop(embedjobs_engine *engine, embedjobs_error **error);

/* A way to end a wait from another thread. It may be destroyed while it is in use: the wait keeps what it needs. */
typedef struct embedjobs_cancel embedjobs_cancel;
/* Makes one. NULL only when there is no memory. */
EMBEDJOBS_API embedjobs_cancel *embedjobs_cancel_create(void);
/* The waits that were given it, now and later, return EMBEDJOBS_CANCELLED. Any thread, any number of times. NULL:
   nothing. */
EMBEDJOBS_API void embedjobs_cancel_request(embedjobs_cancel *cancel);
/* Frees it. NULL: nothing. */
EMBEDJOBS_API void embedjobs_cancel_destroy(embedjobs_cancel *cancel);

/* How the queue stands after a wait. Filled by the library up to the struct_size that the caller wrote. */
typedef struct embedjobs_idle_report {
  size_t struct_size;
  int64_t next_due_ms;      /* A pending job is due later than max_wait_ms, in so long; -1: none. */
  int64_t provider_left_ms; /* With provider_waiting: until the provider is tried again; 0: that is being done. */
  int32_t idle;             /* Nothing is runnable, running anywhere, or due within max_wait_ms. */
  int32_t other_space;      /* Open jobs are left that belong to catalogs of another target space. */
  int32_t provider_waiting; /* Jobs are left that wait for the provider, which has not answered for max_wait_ms or is
                               not to be asked within it. */
  int32_t reserved;         /* 0 */
} embedjobs_idle_report;

/*
** Waits until nothing is left to do: no job runs or is due within max_wait_ms, or the provider could not be reached for
** that long. `time_limit_ms`: EMBEDJOBS_TIMEOUT after this; negative: no limit; 0: only look. `cancel` and `report` are
** nullable.
** CANCELLED: `cancel` was requested, or the engine was stopped while jobs are open. UNUSABLE: the worker can't claim or
** record.
*/
EMBEDJOBS_API int32_t embedjobs_engine_wait_idle(embedjobs_engine *engine, int64_t max_wait_ms, int64_t time_limit_ms,
                                                 embedjobs_cancel *cancel, embedjobs_idle_report *report,
                                                 embedjobs_error **error);

/* When embedjobs_engine_worker_run() returns. */
typedef enum embedjobs_run_until { EMBEDJOBS_RUN_UNTIL_STOPPED = 0, EMBEDJOBS_RUN_UNTIL_IDLE = 1 } embedjobs_run_until;

/*
** Runs the worker on the calling thread, in place of embedjobs_engine_start(): embedder and computer are called on this
** thread, and so are persister and resolver if the host brought either; leases are renewed meanwhile on a thread of the
** library. For hosts whose threads are dear to them (an interpreter's lock, a GPU context). One thread at a time:
** another one is REFUSED; it may call again after it returned, from any thread, and work waits in between.
** Returns EMBEDJOBS_OK when embedjobs_engine_stop() or _request_stop() was called (`until` STOPPED), or when nothing is
** left to do as for embedjobs_engine_wait_idle() (`until` IDLE). Other parameters and errors as there; besides, errors
** as embedjobs_engine_start().
** After a stop request it ends what is under way, releases the jobs, then returns. Where nobody is in this call,
** embedjobs_engine_stop() and _destroy() do that on the thread that calls them.
*/
EMBEDJOBS_API int32_t embedjobs_engine_worker_run(embedjobs_engine *engine, int32_t until, int64_t max_wait_ms,
                                                  int64_t time_limit_ms, embedjobs_cancel *cancel,
                                                  embedjobs_idle_report *report, embedjobs_error **error);

/* ---- Documents and jobs ---- */

/* What an enqueue did. Filled by the library up to the struct_size that the caller wrote. */
typedef struct embedjobs_enqueued {
  size_t struct_size;
  int64_t job_id;
  uint64_t generation;
  int32_t created;  /* 0: a job was open already, and serves the new generation too. */
  int32_t reserved; /* 0 */
} embedjobs_enqueued;

/*
** Stores the document of (catalog_id, spec_name) and makes its job, in one transaction. `content` is an OpenAPI
** document, JSON or YAML; with a host_computer it may be any bytes. Both names are non-empty, without control
** characters, at most 512 bytes. `enqueued` is nullable. INVALID_DOCUMENT: it can't be split, and what was stored
** before stays. REFUSED with a host_resolver: documents are the host's own then.
*/
EMBEDJOBS_API int32_t embedjobs_engine_put(embedjobs_engine *engine, const char *catalog_id, const char *spec_name,
                                           const char *content, size_t size, embedjobs_enqueued *enqueued,
                                           embedjobs_error **error);

/*
** The same for a document that the host has cut by itself: items, one JSON object a line, {"id": "...", "text": "..."},
** blank lines ignored. Ids are non-empty and unique. INVALID_DOCUMENT names the line. REFUSED with a host_computer,
** which cuts documents by itself.
*/
EMBEDJOBS_API int32_t embedjobs_engine_put_items(embedjobs_engine *engine, const char *catalog_id,
                                                 const char *spec_name, const char *items, size_t size,
                                                 embedjobs_enqueued *enqueued, embedjobs_error **error);

/* Removes the spec: revokes the lease, cancels its job, clears its document and rows (a host clears its own).
   NOT_FOUND: no such spec. */
EMBEDJOBS_API int32_t embedjobs_engine_remove(embedjobs_engine *engine, const char *catalog_id, const char *spec_name,
                                              embedjobs_error **error);
/* Removes every spec of the catalog. NOT_FOUND: there is none. REFUSED with a host_resolver. */
EMBEDJOBS_API int32_t embedjobs_engine_remove_catalog(embedjobs_engine *engine, const char *catalog_id,
                                                      embedjobs_error **error);

/* "This document changed", for a host that keeps documents itself. kind: embedjobs_job_kind. `enqueued` is nullable. */
EMBEDJOBS_API int32_t embedjobs_engine_enqueue(embedjobs_engine *engine, const char *catalog_id, const char *spec_name,
                                               int32_t kind, embedjobs_enqueued *enqueued, embedjobs_error **error);
/* Everything of the spec is embedded afresh. `enqueued` is nullable. NOT_FOUND: no such spec. */
EMBEDJOBS_API int32_t embedjobs_engine_retry(embedjobs_engine *engine, const char *catalog_id, const char *spec_name,
                                             embedjobs_enqueued *enqueued, embedjobs_error **error);
/* Retries every spec whose last job failed. `count`, nullable: how many. */
EMBEDJOBS_API int32_t embedjobs_engine_retry_failed(embedjobs_engine *engine, size_t *count, embedjobs_error **error);
/*
** One round of the reconciler, now: a job for every spec whose vectors are missing or of another content, space or
** splitter version. `count`, nullable: how many. REFUSED: the host's resolver can't list, or its persister can't
** describe.
*/
EMBEDJOBS_API int32_t embedjobs_engine_reconcile(embedjobs_engine *engine, size_t *count, embedjobs_error **error);
/*
** Changes the target space of a catalog, "768/nomic-embed-text?prefix=search" for example, and enqueues all of its
** specs; searches read the old space until the new one is complete. `count`, nullable: how many. NOT_FOUND: no such
** catalog. REFUSED with a host_resolver.
*/
EMBEDJOBS_API int32_t embedjobs_engine_switch_space(embedjobs_engine *engine, const char *catalog_id,
                                                    const char *space_id, size_t *count, embedjobs_error **error);

/* ================ Reading ========================================================================================= */

/*
** Lists are an array of pointers, so that their elements may grow: list->items[i]->member, i below list->count.
*/

/*
** One spec, as a person sees it. A count is -1 where it is not known: of vectors that the host keeps only the last job
** has counts.
*/
typedef struct embedjobs_spec_status {
  size_t struct_size;
  const char *catalog_id;
  const char *spec_name;
  int64_t operation_count; /* Of the last document that was split. */
  int64_t embedding_count; /* Visible rows. */
  int64_t embedded_so_far; /* Of the pass that runs. */
  int64_t job_attempts;
  const char *job_last_error;
  int64_t job_updated_at;
  int64_t job_next_run_at;      /* While pending. */
  const char *visible_space_id; /* "": nothing is visible; NULL: not known. */
  const char *provider_pause;   /* "waiting for provider until ...: why"; "": it does not wait; NULL: not known. */
  const char *badge_label;      /* "12/40 indexed" for example. */
  const char *badge_tooltip;
  int32_t badge_tone;   /* embedjobs_tone */
  int32_t offers_retry; /* Only a failed spec has a Retry button. */
  int32_t job_status;   /* embedjobs_job_status; EMBEDJOBS_JOB_NONE: there is no job; _UNKNOWN: not known. */
  int32_t reserved;     /* 0 */
  /* While it runs: who holds the job, since when, and until when unless the lease is renewed. Otherwise "" and 0. */
  const char *worker_id;
  int64_t job_started_at;
  int64_t lease_expires_at;
} embedjobs_spec_status;

typedef struct embedjobs_statuses {
  size_t struct_size;
  size_t count;
  const embedjobs_spec_status *const *items;
} embedjobs_statuses;

/*
** Every spec of a catalog, or of all (`catalog_id` is nullable), ordered by key. NOT_FOUND: no such catalog. With a
** host_resolver the specs are those that it lists; REFUSED when it can't.
*/
EMBEDJOBS_API int32_t embedjobs_engine_statuses(embedjobs_engine *engine, const char *catalog_id,
                                                embedjobs_statuses **out, embedjobs_error **error);
/* Frees the list. NULL: nothing. */
EMBEDJOBS_API void embedjobs_statuses_destroy(embedjobs_statuses *statuses);

/* One line above a list of specs. */
typedef struct embedjobs_health {
  size_t struct_size;
  int64_t specs;
  int64_t indexed;
  int64_t unknown; /* Specs of which nobody tells how they stand. They are in no other count but `specs`. */
  int64_t pending; /* This and the next two: -1 where the store does not tell about jobs. */
  int64_t running;
  int64_t failed;
  const char *degraded_reason; /* "" when not degraded. */
  const char *banner_text;
  int32_t banner_tone; /* embedjobs_tone */
  int32_t degraded;    /* A key fails, retries are queued after errors, or a pause has lasted a day. -1: not known. */
} embedjobs_health;

/* Of a catalog, or of all (`catalog_id` is nullable). Errors as embedjobs_engine_statuses(). */
EMBEDJOBS_API int32_t embedjobs_engine_health(embedjobs_engine *engine, const char *catalog_id, embedjobs_health **out,
                                              embedjobs_error **error);
/* Frees it. NULL: nothing. */
EMBEDJOBS_API void embedjobs_health_destroy(embedjobs_health *health);

/* One pass over a spec for a generation. */
typedef struct embedjobs_job {
  size_t struct_size;
  int64_t id;
  const char *catalog_id;
  const char *spec_name;
  int64_t attempts; /* Claims of this generation that count. */
  const char *last_error;
  const char *worker_id; /* Running: who holds it. */
  int64_t next_run_at;
  int64_t lease_expires_at; /* Running: for people. */
  int64_t created_at;
  int64_t updated_at;
  int64_t started_at;   /* The last claim. */
  int64_t completed_at; /* 0 while open. */
  int64_t embedded_so_far;
  int64_t reused_count;
  int64_t embedded_count;
  int64_t operation_count;
  uint64_t generation;
  uint64_t prompt_tokens;
  embedjobs_fence fence; /* Of the last claim; nonce 0 when it was never claimed. */
  int32_t kind;          /* embedjobs_job_kind */
  int32_t status;        /* embedjobs_job_status */
} embedjobs_job;

typedef struct embedjobs_jobs {
  size_t struct_size;
  size_t count;
  const embedjobs_job *const *items;
} embedjobs_jobs;

/* Which jobs to list: those that match every member that is set. */
typedef struct embedjobs_job_filter {
  size_t struct_size;
  const char *catalog_id; /* Nullable: any. */
  const char *spec_name;  /* Nullable: any. */
  size_t limit;           /* 0: 100. */
  int32_t by_status;      /* 1: only those of `status`. */
  int32_t status;         /* embedjobs_job_status */
  int32_t by_kind;        /* 1: only those of `kind`. */
  int32_t kind;           /* embedjobs_job_kind */
} embedjobs_job_filter;

/* Newest first. `filter` is nullable: the last 100. */
EMBEDJOBS_API int32_t embedjobs_engine_jobs(embedjobs_engine *engine, const embedjobs_job_filter *filter,
                                            embedjobs_jobs **out, embedjobs_error **error);
/* Frees the list. NULL: nothing. */
EMBEDJOBS_API void embedjobs_jobs_destroy(embedjobs_jobs *jobs);

/* One operation that a search found. */
typedef struct embedjobs_hit {
  size_t struct_size;
  const char *catalog_id;
  const char *spec_name;
  const char *operation_id; /* Ended by NUL; operation_id_size tells if it contains one. */
  size_t operation_id_size;
  double score; /* Cosine of the angle between query and operation, -1 to 1. */
} embedjobs_hit;

typedef struct embedjobs_hits {
  size_t struct_size;
  size_t count;
  const embedjobs_hit *const *items;
} embedjobs_hits;

/*
** Embeds the query (UTF-8, not blank, at most 64 KiB) and finds the `k` nearest operations, best first. Calls the
** host's embedder on this thread; needs no start. NOT_FOUND: no such catalog. REFUSED: vectors are the host's own, or
** the catalog's space is another one.
*/
EMBEDJOBS_API int32_t embedjobs_engine_search(embedjobs_engine *engine, const char *catalog_id, const char *query,
                                              size_t size, size_t k, embedjobs_hits **out, embedjobs_error **error);
/* Frees the list. NULL: nothing. */
EMBEDJOBS_API void embedjobs_hits_destroy(embedjobs_hits *hits);

/* The visible rows of a spec, by operation id in byte order. Arrays as in embedjobs_rows. */
typedef struct embedjobs_stored_rows {
  size_t struct_size;
  const char *space_id; /* "": nothing is visible. */
  size_t count;
  size_t dimension;
  const char *ids;
  const uint64_t *id_offsets;
  const uint8_t *hashes;
  const uint64_t *embedded_bytes; /* 0: the whole text was embedded. */
  const float *vectors;           /* NULL where vectors were not asked for. */
} embedjobs_stored_rows;

/* with_vectors: 0 or 1. NOT_FOUND: no such spec. REFUSED: vectors are the host's own. */
EMBEDJOBS_API int32_t embedjobs_engine_rows(embedjobs_engine *engine, const char *catalog_id, const char *spec_name,
                                            int32_t with_vectors, embedjobs_stored_rows **out, embedjobs_error **error);
/* Frees them. NULL: nothing. */
EMBEDJOBS_API void embedjobs_stored_rows_destroy(embedjobs_stored_rows *rows);

/* One catalog: a group of specs in one space. */
typedef struct embedjobs_catalog {
  size_t struct_size;
  const char *catalog_id;
  const char *target_space_id; /* What passes write; "": not chosen yet. */
  const char *search_space_id; /* What searches read; differs from the target while a switch is under way. */
  int64_t spec_count;
  int64_t specs_in_target; /* Specs whose visible rows are in the target space. */
} embedjobs_catalog;

typedef struct embedjobs_catalogs {
  size_t struct_size;
  size_t count;
  const embedjobs_catalog *const *items;
} embedjobs_catalogs;

/* All catalogs. REFUSED with a host_resolver. */
EMBEDJOBS_API int32_t embedjobs_engine_catalogs(embedjobs_engine *engine, embedjobs_catalogs **out,
                                                embedjobs_error **error);
/* Frees the list. NULL: nothing. */
EMBEDJOBS_API void embedjobs_catalogs_destroy(embedjobs_catalogs *catalogs);

/* One spec's rows against its document. */
typedef struct embedjobs_verification {
  size_t struct_size;
  const char *catalog_id;
  const char *spec_name;
  const char *difference; /* The first one, for people; "" when equal. */
  int32_t equal;          /* Every operation has its row with the text's hash, and nothing else has one. */
  int32_t reserved;       /* 0 */
} embedjobs_verification;

typedef struct embedjobs_verifications {
  size_t struct_size;
  size_t count;
  const embedjobs_verification *const *items;
} embedjobs_verifications;

/*
** Splits the stored documents again and compares their operations with the visible rows; embeds nothing. `spec_name` is
** nullable: all of the catalog. NOT_FOUND: no such catalog or spec. REFUSED: documents or vectors are the host's own,
** or its computer cuts them.
*/
EMBEDJOBS_API int32_t embedjobs_engine_verify(embedjobs_engine *engine, const char *catalog_id, const char *spec_name,
                                              embedjobs_verifications **out, embedjobs_error **error);
/* Frees the list. NULL: nothing. */
EMBEDJOBS_API void embedjobs_verifications_destroy(embedjobs_verifications *verifications);

/* What the database remembers of a provider, for all processes that use it. */
typedef struct embedjobs_provider {
  size_t struct_size;
  const char *provider;     /* embedjobs_embedder.provider, or what a built-in embedder calls its endpoint. */
  const char *space_id;     /* Of the worker that noted something last; "": not known. */
  const char *pause_reason; /* "": it was never paused, or has answered since. */
  int64_t batch_texts;      /* Texts a call that it was found to take; 0: no limit was met. */
  int64_t batch_bytes;      /* The same in bytes of text. */
  int64_t paused_until;     /* Later than read_at: nobody asks it before. */
  uint64_t tokens_total;    /* Prompt tokens, as the provider counted them. */
  uint64_t tokens_today;    /* Those of the UTC day of read_at. */
  int64_t updated_at;
  int64_t read_at; /* The database's time of this answer. */
} embedjobs_provider;

typedef struct embedjobs_providers {
  size_t struct_size;
  size_t count;
  const embedjobs_provider *const *items;
} embedjobs_providers;

/* All of them, by name. */
EMBEDJOBS_API int32_t embedjobs_engine_providers(embedjobs_engine *engine, embedjobs_providers **out,
                                                 embedjobs_error **error);
/* Frees the list. NULL: nothing. */
EMBEDJOBS_API void embedjobs_providers_destroy(embedjobs_providers *providers);

/* Who works: one worker of any process, as it presents itself. */
typedef struct embedjobs_worker {
  size_t struct_size;
  const char *worker_id; /* As in embedjobs_job.worker_id. */
  const char *host;      /* The machine's name. */
  const char *version;   /* Of the library. */
  const char *provider;  /* Whom it asks for vectors; "": not known yet, or a host's computer. */
  const char *space_id;  /* What it writes; "": not known yet. */
  int64_t process_id;
  int64_t slots; /* Jobs at a time. */
  int64_t lease_duration_ms;
  int64_t started_at; /* 0, as the members above are 0 or "": only a running job names it. */
  int64_t last_seen_at;
  int64_t read_at;      /* The database's time of this answer. */
  int64_t running_jobs; /* What it holds; embedjobs_engine_jobs() names them. */
  int32_t live;         /* It was heard of within one of its leases. */
  int32_t reserved;     /* 0 */
} embedjobs_worker;

typedef struct embedjobs_workers {
  size_t struct_size;
  size_t count;
  const embedjobs_worker *const *items;
} embedjobs_workers;

/* Those that were heard of within a day, by id. */
EMBEDJOBS_API int32_t embedjobs_engine_workers(embedjobs_engine *engine, embedjobs_workers **out,
                                               embedjobs_error **error);
/* Frees the list. NULL: nothing. */
EMBEDJOBS_API void embedjobs_workers_destroy(embedjobs_workers *workers);

/* Counters of this engine since it was opened, and gauges of the whole store. */
typedef struct embedjobs_metrics {
  size_t struct_size;
  const char *prometheus; /* All of it and more, in Prometheus' text format 0.0.4. */
  size_t prometheus_size;
  uint64_t jobs_claimed;
  uint64_t jobs_succeeded;
  uint64_t jobs_retried;
  uint64_t jobs_failed;
  uint64_t jobs_released;
  uint64_t leases_renewed;
  uint64_t leases_lost;
  uint64_t operations_reused;
  uint64_t operations_embedded;
  uint64_t provider_calls;
  uint64_t provider_errors;
  uint64_t provider_texts;
  uint64_t provider_tokens;
  uint64_t chunks_persisted;
  uint64_t persist_errors;
  int64_t running;         /* Passes now. */
  int64_t calls_in_flight; /* Provider calls now. */
  int64_t batch_size;      /* Texts a call, as adapted. */
  int64_t store_pending;   /* Jobs of the whole store by status; -1: the store does not tell. */
  int64_t store_running;
  int64_t store_succeeded;
  int64_t store_failed;
  int64_t store_cancelled;
} embedjobs_metrics;

/* A snapshot. */
EMBEDJOBS_API int32_t embedjobs_engine_metrics(embedjobs_engine *engine, embedjobs_metrics **out,
                                               embedjobs_error **error);
/* Frees it. NULL: nothing. */
EMBEDJOBS_API void embedjobs_metrics_destroy(embedjobs_metrics *metrics);

#ifdef __cplusplus
}
#endif

#endif /* EMBEDJOBS_H */
