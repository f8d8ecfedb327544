#include "bridge.h"

#include "_cgo_export.h"

// The tables' functions: they pass on to Go, where a panic is recovered.

static void on_destroy(void *user_data) { goDestroy((uintptr_t)user_data); }

static int32_t on_embed(void *user_data, embedjobs_call *call, const embedjobs_texts *texts, embedjobs_vectors *out,
                        size_t *done) {
  return goEmbed((uintptr_t)user_data, call, (embedjobs_texts *)texts, out, done);
}

static int32_t on_compute(void *user_data, embedjobs_call *call, embedjobs_compute *compute,
                          const embedjobs_compute_request *request, size_t *done) {
  return goCompute((uintptr_t)user_data, call, compute, (embedjobs_compute_request *)request, done);
}

static int32_t on_list_existing(void *user_data, embedjobs_call *call, const embedjobs_pass *pass,
                                const embedjobs_operations *wanted, uint8_t *existing, size_t *done) {
  return goListExisting((uintptr_t)user_data, call, (embedjobs_pass *)pass, (embedjobs_operations *)wanted, existing,
                        done);
}

static int32_t on_persist_batch(void *user_data, embedjobs_call *call, const embedjobs_pass *pass,
                                const embedjobs_rows *rows, size_t *done) {
  return goPersistBatch((uintptr_t)user_data, call, (embedjobs_pass *)pass, (embedjobs_rows *)rows, done);
}

static int32_t on_finalize(void *user_data, embedjobs_call *call, const embedjobs_pass *pass,
                           const embedjobs_operations *manifest, size_t *done) {
  return goFinalize((uintptr_t)user_data, call, (embedjobs_pass *)pass, (embedjobs_operations *)manifest, done);
}

static int32_t on_describe(void *user_data, embedjobs_call *call, size_t count, const char *const *catalog_ids,
                           const char *const *spec_names, embedjobs_spec_states *states, size_t *done) {
  return goDescribe((uintptr_t)user_data, call, count, (char **)catalog_ids, (char **)spec_names, states, done);
}

static int32_t on_resolve(void *user_data, embedjobs_call *call, const char *catalog_id, const char *spec_name,
                          embedjobs_document *document, size_t *done) {
  return goResolve((uintptr_t)user_data, call, (char *)catalog_id, (char *)spec_name, document, done);
}

static int32_t on_list(void *user_data, embedjobs_call *call, const char *after_catalog_id, const char *after_spec_name,
                       size_t limit, embedjobs_document_list *list, size_t *done) {
  return goList((uintptr_t)user_data, call, (char *)after_catalog_id, (char *)after_spec_name, limit, list, done);
}

static void on_log(void *user_data, int32_t level, const char *message, size_t size) {
  goLog((uintptr_t)user_data, level, (char *)message, size);
}
static void on_event(void *user_data, const embedjobs_event *event) {
  goEvent((uintptr_t)user_data, (embedjobs_event *)event);
}
static void on_reload(void *user_data, const char *catalog_id, const char *spec_name) {
  goReload((uintptr_t)user_data, (char *)catalog_id, (char *)spec_name);
}

static int32_t on_secret(void *user_data, embedjobs_call *call, embedjobs_secret *secret, size_t *done) {
  return goSecret((uintptr_t)user_data, call, secret, done);
}

// A table of this type for the handle; every host part has these three members first.
#define NEW_TABLE(type, table, handle)           \
  type *table = (type *)calloc(1, sizeof(type)); \
  if (table == NULL) return NULL;                \
  table->struct_size = sizeof(type);             \
  table->user_data = (void *)(handle);           \
  table->destroy = on_destroy

embedjobs_embedder *bridge_embedder(uintptr_t handle) {
  NEW_TABLE(embedjobs_embedder, table, handle);
  table->embed = on_embed;
  return table;
}

embedjobs_computer *bridge_computer(uintptr_t handle) {
  NEW_TABLE(embedjobs_computer, table, handle);
  table->compute = on_compute;
  return table;
}

embedjobs_persister *bridge_persister(uintptr_t handle, int describes) {
  NEW_TABLE(embedjobs_persister, table, handle);
  table->list_existing = on_list_existing;
  table->persist_batch = on_persist_batch;
  table->finalize = on_finalize;
  table->describe = describes ? on_describe : NULL;
  return table;
}

embedjobs_resolver *bridge_resolver(uintptr_t handle, int lists) {
  NEW_TABLE(embedjobs_resolver, table, handle);
  table->resolve = on_resolve;
  table->list = lists ? on_list : NULL;
  return table;
}

embedjobs_observer *bridge_observer(uintptr_t handle, int events, int reloads) {
  NEW_TABLE(embedjobs_observer, table, handle);
  table->log = on_log;
  table->event = events ? on_event : NULL;
  table->reload = reloads ? on_reload : NULL;
  return table;
}

embedjobs_secret_source *bridge_secret_source(uintptr_t handle) {
  NEW_TABLE(embedjobs_secret_source, table, handle);
  table->get = on_secret;
  return table;
}

embedjobs_options *bridge_options(void) {
  embedjobs_options *options = (embedjobs_options *)calloc(1, sizeof(embedjobs_options));
  if (options != NULL) options->struct_size = sizeof(embedjobs_options);
  return options;
}
