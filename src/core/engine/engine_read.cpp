// What a person or a page reads: workers, rows, verification. Status and health: engine_status.cpp.
#include <fmt/format.h>

#include <algorithm>

#include "core/engine/engine_impl.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/fleet.hpp"
#include "core/rules/limits.hpp"

namespace embedjobs {
namespace {

/// Walks the rows of a spec along its document, both in order of operation ids, and keeps the first difference.
class RowComparison {
 public:
  explicit RowComparison(const Manifest& manifest) : manifest_(manifest), order_(manifest.sorted_by_id()) {}

  /// False once a difference is known.
  bool visit(const StoredRow& row) {
    if (next_ < order_.size() && manifest_.operation_id(order_[next_]) < row.operation_id) {
      return missing();
    }
    if (next_ == order_.size() || manifest_.operation_id(order_[next_]) != row.operation_id) {
      difference_ = fmt::format("row '{}' is not an operation of the document", row.operation_id);
      return false;
    }
    if (manifest_.text_hash(order_[next_]) != row.text_hash) {
      difference_ = fmt::format("row '{}' is of another text ({}) than the document has ({})", row.operation_id,
                                to_hex(row.text_hash), to_hex(manifest_.text_hash(order_[next_])));
      return false;
    }
    ++next_;
    return true;
  }

  /// After the last row.
  std::string difference() {
    if (difference_.empty() && next_ < order_.size()) {
      (void)missing();
    }
    return difference_;
  }

 private:
  bool missing() {
    difference_ = fmt::format("operation '{}' has no row", manifest_.operation_id(order_[next_]));
    return false;
  }

  const Manifest& manifest_;
  std::vector<std::uint32_t> order_;
  std::size_t next_ = 0;
  std::string difference_;
};

}  // namespace

Status Engine::Impl::require_catalog(const std::string& catalog_id) {
  if (Status status = validate_catalog_id(catalog_id); !status.ok()) {
    return status;
  }
  if (Status status = require_documents("catalogs"); !status.ok()) {
    return status;
  }
  return catalog_->search_space_of(catalog_id).status();
}

Status Engine::Impl::for_each_page(const std::optional<std::string>& catalog_id, const VisitPage& visit) {
  std::optional<SpecKey> after;
  for (;;) {
    const Result<std::vector<SpecInfo>> page = catalog_->specs(catalog_id, after ? &*after : nullptr, core::kPage);
    if (!page.ok()) {
      return page.status();
    }
    std::vector<SpecKey> keys;
    std::transform(page->begin(), page->end(), std::back_inserter(keys), [](const SpecInfo& info) { return info.key; });
    if (Status status = visit(*page, keys); !status.ok() || page->size() < core::kPage) {
      return status;
    }
    after = keys.back();
  }
}

Result<std::vector<WorkerStatus>> Engine::Impl::workers() {
  Result<std::vector<WorkerInfo>> known = store_->workers();
  if (!known.ok()) {
    return known.status();
  }
  Result<std::vector<Job>> running = store_->list({.status = JobStatus::kRunning,
                                                   .kind = std::nullopt,
                                                   .catalog_id = std::nullopt,
                                                   .spec_name = std::nullopt,
                                                   .limit = core::kMaxRunningSeen});
  if (!running.ok()) {
    return running.status();
  }
  return core::fleet_of(*std::move(known), *std::move(running));
}

Result<std::string> Engine::Impl::difference_of(const SpecKey& key) {
  const Result<Document> document = core::guarded("the resolver", [&] { return resolver_->resolve(key); });
  if (!document.ok()) {
    return document.status();
  }
  const Result<OperationList> operations =
      core::guarded("the splitter", [&] { return splitter_->split(document->content); });
  if (!operations.ok()) {
    return "the document can't be split: " + operations.status().message();
  }
  RowComparison comparison(operations->manifest());
  // With vectors, so that a damaged one is found.
  const Result<Space> rows = catalog_->rows(key, true, [&](const StoredRow& row) { return comparison.visit(row); });
  if (rows.status().code() == Code::kUnusable) {
    return rows.status().message();
  }
  if (!rows.ok()) {
    return rows.status();
  }
  return comparison.difference();
}

Result<std::vector<VerifyReport>> Engine::Impl::verify(std::string_view catalog_id,
                                                       const std::optional<std::string>& spec_name) {
  Status status = require_vectors("verify");
  if (status.ok() && !splitter_) {
    status = Status(Code::kRefused, "verify: documents are split by the host's computer");
  }
  const std::string catalog(catalog_id);
  if (status.ok()) {
    status = spec_name ? validate(SpecKey{catalog, *spec_name}) : require_catalog(catalog);
  }
  if (!status.ok()) {
    return status;
  }
  std::vector<VerifyReport> reports;
  const auto check = [&](const SpecKey& key) -> Status {
    Result<std::string> difference = difference_of(key);
    if (difference.ok()) {
      reports.push_back({.key = key, .equal = difference->empty(), .difference = *difference});
    }
    return difference.status();
  };
  if (spec_name) {
    status = check({catalog, *spec_name});
    if (status.code() == Code::kGone) {
      return core::no_such_spec({catalog, *spec_name});
    }
  } else {
    status = for_each_page(catalog, [&](const std::vector<SpecInfo>&, const std::vector<SpecKey>& keys) {
      Status checked;
      for (std::size_t i = 0; i < keys.size() && checked.ok(); ++i) {
        checked = check(keys[i]);
        const bool removed_meanwhile = checked.code() == Code::kGone || checked.code() == Code::kNotFound;
        checked = removed_meanwhile ? Status() : checked;
      }
      return checked;
    });
  }
  if (!status.ok()) {
    return status;
  }
  return reports;
}

Result<std::vector<ProviderState>> Engine::providers() {
  return impl_->call([&] { return impl_->providers(); });
}

Result<std::vector<WorkerStatus>> Engine::workers() {
  return impl_->call([&] { return impl_->workers(); });
}

Result<std::vector<CatalogInfo>> Engine::catalogs() {
  return impl_->call([&] { return impl_->catalogs(); });
}

Result<Space> Engine::rows(const SpecKey& key, bool with_vectors, const std::function<bool(const StoredRow&)>& visit) {
  return impl_->call([&]() -> Result<Space> {
    if (Status status = impl_->require_vectors("rows"); !status.ok()) {
      return status;
    }
    if (Status status = validate(key); !status.ok()) {
      return status;
    }
    return impl_->catalog_->rows(key, with_vectors, visit);
  });
}

Result<std::vector<VerifyReport>> Engine::verify(std::string_view catalog_id, std::optional<std::string> spec_name) {
  return impl_->call([&] { return impl_->verify(catalog_id, spec_name); });
}

}  // namespace embedjobs
