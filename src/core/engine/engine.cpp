// Documents and jobs.
#include "embedjobs/engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/engine/engine_impl.hpp"
#include "core/rules/checks.hpp"
#include "embedjobs/items.hpp"

namespace embedjobs {
namespace {

/// Failed keys that one retry_failed looks at where the library does not hold the documents.
constexpr std::size_t kMaxFailed = 10'000;

}  // namespace

Result<EnqueueResult> Engine::Impl::put(const SpecKey& key, std::string_view content) {
  if (Status status = validate(key); !status.ok()) {
    return status;
  }
  if (Status status = require_documents("put"); !status.ok()) {
    return status;
  }
  if (splitter_) {
    if (Status status = check_content(*splitter_, content); !status.ok()) {
      return status;
    }
  }
  Result<EnqueueResult> put = catalog_->put(key, content, target_for_new_catalog());
  if (put.ok()) {
    remember_embedder(key.catalog_id);
  }
  return put;
}

Status Engine::Impl::check_content(const Splitter& splitter, std::string_view content) {
  return core::guarded("the splitter", [&]() -> Status {
    const Result<OperationList> operations = splitter.split(content);
    if (!operations.ok()) {
      return operations.status();
    }
    const Status unique = core::check_manifest(operations->manifest());
    return unique.ok() ? unique : Status(Code::kInvalidDocument, unique.message());
  });
}

Result<EnqueueResult> Engine::Impl::put_items(const SpecKey& key, std::string_view items) {
  if (Status status = validate(key); !status.ok()) {
    return status;
  }
  if (Status status = require_documents("put_items"); !status.ok()) {
    return status;
  }
  if (!own_splitter_) {
    return {Code::kRefused,
            "put_items: this engine was given a splitter or computer, which knows how its documents are cut: use put"};
  }
#ifdef EMBEDJOBS_HAS_OPENAPI
  // As the host wrote them, so that an error names the host's own line.
  if (Status status = check_content(*make_items_splitter(), items); !status.ok()) {
    return status;
  }
  Result<EnqueueResult> put = catalog_->put(key, make_items_document(items), target_for_new_catalog());
  if (put.ok()) {
    remember_embedder(key.catalog_id);
  }
  return put;
#else
  (void)items;
  return {Code::kInvalidArgument, "this build has no splitter for items"};
#endif
}

Result<std::size_t> Engine::Impl::switch_space(std::string_view catalog_id, const Space& target) {
  if (Status status = require_documents("switch_space"); !status.ok()) {
    return status;
  }
  if (Status status = validate_catalog_id(catalog_id); !status.ok()) {
    return status;
  }
  if (Status status = validate(target); !status.ok()) {
    return status;
  }
  Result<std::size_t> enqueued = catalog_->switch_space(catalog_id, target);
  if (enqueued.ok() && given_embedder_) {
    (void)given_embedder_->adopt(target);
    if (known_space_id() == target.id()) {
      remember_embedder(std::string(catalog_id));
    }
  }
  const std::lock_guard lock(space_mutex_);
  new_catalog_target_.reset();  // it may have followed what the catalogs recorded
  return enqueued;
}

Result<EnqueueResult> Engine::Impl::enqueue(const SpecKey& key, JobKind kind) {
  if (Status status = core::check_enqueue(key, kind); !status.ok()) {
    return status;
  }
  return store_->enqueue(key, kind);
}

Result<EnqueueResult> Engine::Impl::retry(const SpecKey& key) {
  if (Status status = validate(key); !status.ok()) {
    return status;
  }
  if (catalog_) {
    const Result<Space> rows = catalog_->rows(key, false, [](const StoredRow&) { return false; });
    if (!rows.ok()) {
      return rows.status();
    }
  }
  return store_->enqueue(key, JobKind::kManualRetry);
}

Result<std::size_t> Engine::Impl::retry_failed() {
  std::set<SpecKey> failed;
  const auto add_failed = [&](const std::vector<SpecKey>& keys) -> Status {
    const Result<std::vector<std::optional<Job>>> jobs = store_->last_jobs(keys);
    if (!jobs.ok()) {
      return jobs.status();
    }
    for (const std::optional<Job>& job : *jobs) {
      if (job && job->status == JobStatus::kFailed) {
        failed.insert(job->key);
      }
    }
    return {};
  };
  Status status;
  if (catalog_) {
    status = for_each_page(
        std::nullopt, [&](const std::vector<SpecInfo>&, const std::vector<SpecKey>& keys) { return add_failed(keys); });
  } else {
    Result<std::vector<Failure>> failures = store_->failures(std::nullopt, kMaxFailed);
    if (!failures.ok()) {
      return failures.status();
    }
    std::vector<SpecKey> keys;
    std::transform(failures->begin(), failures->end(), std::back_inserter(keys),
                   [](const Failure& failure) { return failure.key; });
    status = add_failed(keys);
  }
  if (!status.ok()) {
    return status;
  }
  for (const SpecKey& key : failed) {
    const Result<EnqueueResult> result = store_->enqueue(key, JobKind::kManualRetry);
    if (!result.ok()) {
      return result.status().with_context(fmt::format("{}/{}", key.catalog_id, key.spec_name));
    }
  }
  return failed.size();
}

MaintenanceParts Engine::Impl::maintenance_parts(std::string space_id) {
  MaintenanceParts parts;
  parts.store = store_;
  parts.resolver = resolver_;
  parts.persister = persister_;
  parts.catalog = catalog_;
  parts.space_id = std::move(space_id);
  const Status status = core::guarded(
      "the splitter", [&] { parts.splitter_version = splitter_ ? splitter_->version() : computer_->version(); });
  if (!status.ok()) {
    log(LogLevel::kWarning, status.to_string());
  }
  parts.log = log_;
  return parts;
}

Result<std::size_t> Engine::Impl::reconcile() {
  return embedjobs::reconcile(maintenance_parts(known_space_id()), clock_->wall_now());
}

Result<EnqueueResult> Engine::put(const SpecKey& key, std::string_view content) {
  return impl_->call([&] { return impl_->put(key, content); });
}

Result<EnqueueResult> Engine::put_items(const SpecKey& key, std::string_view items) {
  return impl_->call([&] { return impl_->put_items(key, items); });
}

Status Engine::remove(const SpecKey& key) {
  return impl_->call([&] {
    const Status valid = validate(key);
    return !valid.ok() ? valid : impl_->catalog_ ? impl_->catalog_->remove(key) : impl_->store_->remove_key(key);
  });
}

Status Engine::remove_catalog(std::string_view catalog_id) {
  return impl_->call([&] {
    const Status allowed = impl_->require_documents("remove_catalog");
    const Status valid = validate_catalog_id(catalog_id);
    return !allowed.ok() ? allowed : !valid.ok() ? valid : impl_->catalog_->remove_catalog(catalog_id);
  });
}

Result<std::size_t> Engine::switch_space(std::string_view catalog_id, const Space& target) {
  return impl_->call([&] { return impl_->switch_space(catalog_id, target); });
}

Result<EnqueueResult> Engine::enqueue(const SpecKey& key, JobKind kind) {
  return impl_->call([&] { return impl_->enqueue(key, kind); });
}

Result<EnqueueResult> Engine::retry(const SpecKey& key) {
  return impl_->call([&] { return impl_->retry(key); });
}

Result<std::size_t> Engine::retry_failed() {
  return impl_->call([&] { return impl_->retry_failed(); });
}

Result<std::size_t> Engine::reconcile() {
  return impl_->call([&] { return impl_->reconcile(); });
}

Result<std::vector<Job>> Engine::jobs(const JobFilter& filter) {
  return impl_->call([&] { return impl_->store_->list(filter); });
}

}  // namespace embedjobs
