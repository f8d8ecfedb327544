// Documents and jobs.
#include "engine_handle.hpp"

namespace embedjobs::capi {
namespace {

Status write_enqueued(embedjobs_enqueued* out, const Result<EnqueueResult>& result) {
  if (result.ok()) {
    embedjobs_enqueued view{};
    view.job_id = result->job_id;
    view.generation = result->generation;
    view.created = result->created ? 1 : 0;
    write_struct(out, view);
  }
  return result.status();
}

/// A call on a spec that makes a job: `f(Engine&, key)` answers a Result<EnqueueResult>.
template <typename F>
std::int32_t enqueue_call(embedjobs_engine* engine, const char* function, const char* catalog_id, const char* spec_name,
                          embedjobs_enqueued* enqueued, embedjobs_error** error, F&& f) {
  const auto enqueue = [&](Engine& core) -> Status {
    const Result<SpecKey> key = read_key(catalog_id, spec_name);
    if (!key.ok()) {
      return key.status();
    }
    if (Status status = check_output(enqueued); !status.ok()) {
      return status;
    }
    return write_enqueued(enqueued, f(core, *key));
  };
  return engine_call(engine, FromCallback::kAllowed, function, error, enqueue);
}

/// A call that answers how many.
template <typename F>
std::int32_t counting_call(embedjobs_engine* engine, const char* function, std::size_t* count, embedjobs_error** error,
                           F&& f) {
  const auto count_them = [&](Engine& core) -> Status {
    const Result<std::size_t> counted = f(core);
    if (counted.ok() && count != nullptr) {
      *count = *counted;
    }
    return counted.status();
  };
  return engine_call(engine, FromCallback::kRefused, function, error, count_them);
}

}  // namespace
}  // namespace embedjobs::capi

using namespace embedjobs;  // NOLINT(google-build-using-namespace)

extern "C" {

std::int32_t embedjobs_engine_put(embedjobs_engine* engine, const char* catalog_id, const char* spec_name,
                                  const char* content, std::size_t size, embedjobs_enqueued* enqueued,
                                  embedjobs_error** error) {
  const auto put = [&](Engine& core, const SpecKey& key) -> Result<EnqueueResult> {
    const Result<std::string_view> block = capi::read_block(content, size, "content");
    return block.ok() ? core.put(key, *block) : block.status();
  };
  return capi::enqueue_call(engine, __func__, catalog_id, spec_name, enqueued, error, put);
}

std::int32_t embedjobs_engine_put_items(embedjobs_engine* engine, const char* catalog_id, const char* spec_name,
                                        const char* items, std::size_t size, embedjobs_enqueued* enqueued,
                                        embedjobs_error** error) {
  const auto put_items = [&](Engine& core, const SpecKey& key) -> Result<EnqueueResult> {
    const Result<std::string_view> block = capi::read_block(items, size, "items");
    return block.ok() ? core.put_items(key, *block) : block.status();
  };
  return capi::enqueue_call(engine, __func__, catalog_id, spec_name, enqueued, error, put_items);
}

std::int32_t embedjobs_engine_remove(embedjobs_engine* engine, const char* catalog_id, const char* spec_name,
                                     embedjobs_error** error) {
  const auto remove = [&](Engine& core) {
    const Result<SpecKey> key = capi::read_key(catalog_id, spec_name);
    return key.ok() ? core.remove(*key) : key.status();
  };
  return capi::engine_call(engine, capi::FromCallback::kAllowed, __func__, error, remove);
}

std::int32_t embedjobs_engine_remove_catalog(embedjobs_engine* engine, const char* catalog_id,
                                             embedjobs_error** error) {
  const auto remove_catalog = [&](Engine& core) {
    const Status named = capi::check_name(catalog_id, "catalog_id");
    return named.ok() ? core.remove_catalog(catalog_id) : named;
  };
  return capi::engine_call(engine, capi::FromCallback::kRefused, __func__, error, remove_catalog);
}

std::int32_t embedjobs_engine_enqueue(embedjobs_engine* engine, const char* catalog_id, const char* spec_name,
                                      std::int32_t kind, embedjobs_enqueued* enqueued, embedjobs_error** error) {
  const auto enqueue = [&](Engine& core, const SpecKey& key) { return core.enqueue(key, static_cast<JobKind>(kind)); };
  return capi::enqueue_call(engine, __func__, catalog_id, spec_name, enqueued, error, enqueue);
}

std::int32_t embedjobs_engine_retry(embedjobs_engine* engine, const char* catalog_id, const char* spec_name,
                                    embedjobs_enqueued* enqueued, embedjobs_error** error) {
  return capi::enqueue_call(engine, __func__, catalog_id, spec_name, enqueued, error,
                            [&](Engine& core, const SpecKey& key) { return core.retry(key); });
}

std::int32_t embedjobs_engine_retry_failed(embedjobs_engine* engine, std::size_t* count, embedjobs_error** error) {
  return capi::counting_call(engine, __func__, count, error, [](Engine& core) { return core.retry_failed(); });
}

std::int32_t embedjobs_engine_reconcile(embedjobs_engine* engine, std::size_t* count, embedjobs_error** error) {
  return capi::counting_call(engine, __func__, count, error, [](Engine& core) { return core.reconcile(); });
}

std::int32_t embedjobs_engine_switch_space(embedjobs_engine* engine, const char* catalog_id, const char* space_id,
                                           std::size_t* count, embedjobs_error** error) {
  const auto switch_space = [&](Engine& core) -> Result<std::size_t> {
    Status status = capi::check_name(catalog_id, "catalog_id");
    if (status.ok()) {
      status = capi::check_name(space_id, "space_id");
    }
    if (!status.ok()) {
      return status;
    }
    const Result<Space> space = parse_space(space_id);
    return space.ok() ? core.switch_space(catalog_id, *space) : space.status();
  };
  return capi::counting_call(engine, __func__, count, error, switch_space);
}

}  // extern "C"
