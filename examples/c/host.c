/*
** A C host with an embedder and a place for vectors of its own: host FOLDER DOCUMENT
**
** Indexes an OpenAPI document. Jobs and the document live in FOLDER/jobs.db; vectors in FOLDER/vectors.txt, a line
** each, appended with the fence under which they were written. Kill it at any moment and start it again: it goes on
** after the last chunk that it wrote. Several may share a folder: one works, and one that was taken for dead and comes
** back is refused by its fence.
*/
#include <embedjobs.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIMENSION = 8, MOST = 100000 };

/* One line of vectors.txt, without its floats. Its name is of a text in a space. */
typedef struct stored_vector {
  char name[2 * EMBEDJOBS_HASH_SIZE + 1];
  embedjobs_vector_mark mark;
} stored_vector;

/* What is known of the file: its vectors, and the fence that was accepted last. */
typedef struct host_store {
  FILE *file;
  long end; /* Of what was read of the file. */
  size_t count, embedded;
  embedjobs_fence fence;
  stored_vector vectors[MOST];
} host_store;

/* The hash of the space and the text's hash: another space has other vectors. */
static void to_name(const embedjobs_pass *pass, const uint8_t *text_hash, char *name) {
  uint8_t both[2 * EMBEDJOBS_HASH_SIZE], hash[EMBEDJOBS_HASH_SIZE];
  embedjobs_hash_text(pass->space_id, strlen(pass->space_id), both);
  memcpy(both + EMBEDJOBS_HASH_SIZE, text_hash, EMBEDJOBS_HASH_SIZE);
  embedjobs_hash_text((const char *)both, sizeof both, hash);
  for (int i = 0; i < EMBEDJOBS_HASH_SIZE; ++i) sprintf(name + 2 * i, "%02x", hash[i]);
}

static stored_vector *find(host_store *store, const char *name) {
  for (size_t i = 0; i < store->count; ++i) {
    if (strcmp(store->vectors[i].name, name) == 0) return &store->vectors[i];
  }
  return NULL;
}

/* Is there a vector of this text that the pass may use? */
static int has(host_store *store, const embedjobs_pass *pass, const uint8_t *hash) {
  char name[2 * EMBEDJOBS_HASH_SIZE + 1];
  const stored_vector *vector;
  to_name(pass, hash, name);
  vector = find(store, name);
  return vector != NULL && embedjobs_may_reuse(pass, &vector->mark);
}

/* Adds a vector, or replaces what is known of it. 0: there is no room. */
static int keep(host_store *store, const stored_vector *vector) {
  stored_vector *place = find(store, vector->name);
  if (place == NULL && store->count == MOST) return 0;
  if (place == NULL) place = &store->vectors[store->count++];
  *place = *vector;
  return 1;
}

static int set_lock(const host_store *store, short type) {
  struct flock lock = {0};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return fcntl(fileno(store->file), F_SETLKW, &lock) == 0;
}

/* A line is "fence COUNTER NONCE" or "NAME EPOCH EMBEDDED_BYTES INPUT_CAP FLOAT...". A later line of a name counts. */
static int read_line(host_store *store, const char *line) {
  unsigned long long a, b, c;
  stored_vector vector = {"", {sizeof vector.mark, 0, 0, 0}};
  if (sscanf(line, "fence %llu %llu", &a, &b) == 2) {
    store->fence.counter = a;
    store->fence.nonce = b;
    return 1;
  }
  if (sscanf(line, "%64s %llu %llu %llu", vector.name, &a, &b, &c) != 4) return 0;
  vector.mark.epoch = a;
  vector.mark.embedded_bytes = b;
  vector.mark.input_cap = c;
  return keep(store, &vector);
}

/* Locks the file and reads what is new in it; a last line that was cut by a crash is dropped. */
static int lock_and_read(host_store *store) {
  char line[1024];
  if (!set_lock(store, F_WRLCK) || fseek(store->file, store->end, SEEK_SET) != 0) return 0;
  while (fgets(line, sizeof line, store->file) != NULL && strchr(line, '\n') != NULL) {
    if (!read_line(store, line)) return 0;
    store->end = ftell(store->file);
  }
  return ftruncate(fileno(store->file), store->end) == 0;
}

static int open_store(host_store *store, const char *path) {
  store->file = fopen(path, "a+");
  return store->file != NULL && lock_and_read(store) && set_lock(store, F_UNLCK);
}

/* What was appended counts when it is in the file. Else the file is read again from its beginning. */
static int flush(host_store *store, int durable) {
  if (fflush(store->file) == 0 && (!durable || fsync(fileno(store->file)) == 0)) {
    store->end = ftell(store->file);
    return 1;
  }
  clearerr(store->file);
  store->count = 0;
  store->end = 0;
  return 0;
}

/* Begins a callback: locks the store and accepts the fence of the pass, for all processes. */
static int32_t begin(host_store *store, embedjobs_call *call, const embedjobs_pass *pass) {
  const embedjobs_fence *fence = &pass->fence;
  if (lock_and_read(store)) {
    if (!embedjobs_accepts(&store->fence, fence)) {
      set_lock(store, F_UNLCK);
      return EMBEDJOBS_LEASE_LOST;
    }
    if (fence->counter == store->fence.counter) return EMBEDJOBS_OK;
    fprintf(store->file, "fence %llu %llu\n", (unsigned long long)fence->counter, (unsigned long long)fence->nonce);
    if (flush(store, 0)) {
      store->fence = *fence;
      return EMBEDJOBS_OK;
    }
  }
  set_lock(store, F_UNLCK);
  embedjobs_call_set_error(call, "vectors.txt can't be read or written", 36);
  return EMBEDJOBS_RETRY;
}

/* Ends it; with EMBEDJOBS_OK, `count` things were dealt with. */
static int32_t end(host_store *store, int32_t code, size_t count, size_t *done) {
  set_lock(store, F_UNLCK);
  if (code == EMBEDJOBS_OK) *done = count;
  return code;
}

/* The embedder: a stand-in for a model of the host's. */
static int32_t embed(void *user_data, embedjobs_call *call, const embedjobs_texts *texts, embedjobs_vectors *out,
                     size_t *done) {
  host_store *store = user_data;
  for (size_t i = 0; i < texts->count; ++i) {
    uint8_t hash[EMBEDJOBS_HASH_SIZE];
    if (embedjobs_call_is_cancelled(call)) return EMBEDJOBS_CANCELLED;
    embedjobs_hash_text(texts->bytes + texts->offsets[i], (size_t)(texts->offsets[i + 1] - texts->offsets[i]), hash);
    for (size_t j = 0; j < out->dimension; ++j) out->values[i * out->dimension + j] = (float)hash[j] - 127.5f;
  }
  store->embedded += texts->count;
  *done = texts->count;
  return EMBEDJOBS_OK;
}

static int32_t list_existing(void *user_data, embedjobs_call *call, const embedjobs_pass *pass,
                             const embedjobs_operations *wanted, uint8_t *existing, size_t *done) {
  host_store *store = user_data;
  const int32_t begun = begin(store, call, pass);
  if (begun != EMBEDJOBS_OK) return begun;
  for (size_t i = 0; i < wanted->count; ++i) {
    existing[i] = has(store, pass, wanted->hashes + i * EMBEDJOBS_HASH_SIZE) ? 1 : 0;
  }
  return end(store, EMBEDJOBS_OK, wanted->count, done);
}

/* Appends one row's line. 0: there is no room for it. */
static int append(host_store *store, const embedjobs_pass *pass, const embedjobs_rows *rows, size_t i) {
  stored_vector vector = {"", {sizeof vector.mark, pass->epoch, rows->embedded_bytes[i], rows->input_caps[i]}};
  to_name(pass, rows->hashes + i * EMBEDJOBS_HASH_SIZE, vector.name);
  if (!keep(store, &vector)) return 0;
  fprintf(store->file, "%s %llu %llu %llu", vector.name, (unsigned long long)vector.mark.epoch,
          (unsigned long long)vector.mark.embedded_bytes, (unsigned long long)vector.mark.input_cap);
  for (size_t j = 0; j < rows->dimension; ++j)
    fprintf(store->file, " %g", (double)rows->vectors[i * rows->dimension + j]);
  fprintf(store->file, "\n");
  return 1;
}

static int32_t persist_batch(void *user_data, embedjobs_call *call, const embedjobs_pass *pass,
                             const embedjobs_rows *rows, size_t *done) {
  host_store *store = user_data;
  int room = 1;
  const int32_t begun = begin(store, call, pass);
  if (begun != EMBEDJOBS_OK) return begun;
  for (size_t i = 0; i < rows->count && room; ++i) {
    if (has(store, pass, rows->hashes + i * EMBEDJOBS_HASH_SIZE)) continue; /* operations may share a text */
    room = append(store, pass, rows, i);
  }
  if (!flush(store, 1)) {
    embedjobs_call_set_error(call, "vectors.txt can't be written", 28);
    return end(store, EMBEDJOBS_RETRY, 0, done);
  }
  if (room) return end(store, EMBEDJOBS_OK, rows->count, done);
  embedjobs_call_set_error(call, "there is no room for more vectors", 33);
  return end(store, EMBEDJOBS_FAILED, 0, done);
}

static int32_t finalize(void *user_data, embedjobs_call *call, const embedjobs_pass *pass,
                        const embedjobs_operations *manifest, size_t *done) {
  host_store *store = user_data;
  const int32_t begun = begin(store, call, pass);
  if (begun != EMBEDJOBS_OK) return begun;
  for (size_t i = 0; i < manifest->count; ++i) {
    if (!has(store, pass, manifest->hashes + i * EMBEDJOBS_HASH_SIZE)) return end(store, EMBEDJOBS_INCOMPLETE, 0, done);
  }
  printf("%s: %zu operations, %zu vectors, %zu texts embedded now\n", pass->spec_name, manifest->count, store->count,
         store->embedded);
  return end(store, EMBEDJOBS_OK, manifest->count, done);
}

static char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  char *content = NULL;
  if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
    *size = (size_t)ftell(file);
    rewind(file);
    content = malloc(*size + 1);
    if (content != NULL && fread(content, 1, *size, file) != *size) *size = 0;
  }
  if (file != NULL) fclose(file);
  return content;
}

int main(int argc, char **argv) {
  static host_store store;
  embedjobs_options options = {0};
  embedjobs_embedder embedder = {0};
  embedjobs_persister persister = {0};
  embedjobs_engine *engine = NULL;
  embedjobs_error *error = NULL;
  char dsn[4096], vectors[4096];
  size_t size = 0;
  int32_t code;
  char *content = argc == 3 ? read_file(argv[2], &size) : NULL;
  if (content == NULL) {
    fprintf(stderr, "usage: host FOLDER DOCUMENT\n");
    return 2;
  }
  snprintf(dsn, sizeof dsn, "sqlite:%s/jobs.db", argv[1]);
  snprintf(vectors, sizeof vectors, "%s/vectors.txt", argv[1]);
  if (!open_store(&store, vectors)) {
    perror(vectors);
    return 1;
  }

  embedder.struct_size = sizeof embedder;
  embedder.user_data = &store;
  embedder.embed = embed;
  embedder.model = "bytes-of-a-hash";
  embedder.dimension = DIMENSION;
  persister.struct_size = sizeof persister;
  persister.user_data = &store;
  persister.list_existing = list_existing;
  persister.persist_batch = persist_batch;
  persister.finalize = finalize;
  options.struct_size = sizeof options;
  options.dsn = dsn;
  options.host_embedder = &embedder;
  options.host_persister = &persister;

  code = embedjobs_engine_open(&options, &engine, &error);
  if (code == EMBEDJOBS_OK) code = embedjobs_engine_put(engine, "examples", "document", content, size, NULL, &error);
  /* On this thread, so that the callbacks need no lock; embedjobs_engine_start() would use threads of the library. */
  if (code == EMBEDJOBS_OK)
    code = embedjobs_engine_worker_run(engine, EMBEDJOBS_RUN_UNTIL_IDLE, 60000, -1, NULL, NULL, &error);
  if (code != EMBEDJOBS_OK)
    fprintf(stderr, "host: %s: %s\n", embedjobs_code_name(code), embedjobs_error_message(error));
  embedjobs_error_destroy(error);
  embedjobs_engine_destroy(engine);
  fclose(store.file);
  free(content);
  return code == EMBEDJOBS_OK ? 0 : 1;
}
