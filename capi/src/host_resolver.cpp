// A host's documents.
#include <fmt/format.h>

#include "core/values/utf8.hpp"
#include "error.hpp"
#include "hosts.hpp"

struct embedjobs_document {
  std::optional<embedjobs::Document> document;
};

struct embedjobs_document_list {
  std::vector<embedjobs::SpecVersion> documents;
  std::size_t limit = 0;
};

namespace embedjobs::capi {
namespace {

constexpr std::string_view kWho = "the host's resolver";

class HostResolver final : public SpecResolver {
 public:
  explicit HostResolver(TablePtr<embedjobs_resolver> table) : table_(std::move(table)) {}

  Result<Document> resolve(const SpecKey& key) override {
    embedjobs_document answer;
    embedjobs_call call(table_->state(), Caller::kWorker);
    const auto ask = [&](embedjobs_call* c, std::size_t* done) {
      return (*table_)->resolve((*table_)->user_data, c, key.catalog_id.c_str(), key.spec_name.c_str(), &answer, done);
    };
    const Status status = call_host(kWho, call, 1, ask);
    if (!status.ok()) {
      return status;
    }
    if (!answer.document) {
      return {Code::kInternal, fmt::format("{} answered ok without embedjobs_document_set()", kWho)};
    }
    return *std::move(answer.document);
  }

  Result<std::vector<SpecVersion>> list(const SpecKey* after, std::size_t limit) override {
    if ((*table_)->list == nullptr) {
      return SpecResolver::list(after, limit);
    }
    embedjobs_document_list answer{.limit = limit};
    embedjobs_call call(table_->state(), Caller::kAnybody);
    const auto call_list = [&]() -> Status {
      std::size_t done = EMBEDJOBS_NOT_DONE;
      std::int32_t code = EMBEDJOBS_INTERNAL;
      {
        const Frame frame(call.state);
        code = (*table_)->list((*table_)->user_data, &call, after == nullptr ? nullptr : after->catalog_id.c_str(),
                               after == nullptr ? nullptr : after->spec_name.c_str(), limit, &answer, &done);
      }
      return outcome(kWho, code, done, answer.documents.size(), call);
    };
    const Status status = core::guarded(kWho, call_list);
    if (!status.ok()) {
      return status;
    }
    return std::move(answer.documents);
  }

 private:
  const TablePtr<embedjobs_resolver> table_;
};

}  // namespace

Result<std::shared_ptr<SpecResolver>> make_host_resolver(TablePtr<embedjobs_resolver> table) {
  if ((*table)->resolve == nullptr) {
    return {Code::kInvalidArgument, "embedjobs_resolver.resolve is NULL"};
  }
  return std::shared_ptr<SpecResolver>(std::make_shared<HostResolver>(std::move(table)));
}

}  // namespace embedjobs::capi

using embedjobs::Code;
using embedjobs::Status;

extern "C" {

std::int32_t embedjobs_document_set(embedjobs_document* document, const char* content, std::size_t size,
                                    const char* version) {
  const auto set = [&]() -> Status {
    if (document == nullptr || (content == nullptr && size > 0) || version == nullptr || *version == '\0') {
      return {Code::kInvalidArgument, "NULL, or an empty version"};
    }
    document->document = embedjobs::Document{std::string(content == nullptr ? "" : content, size), version};
    return {};
  };
  return embedjobs::capi::boundary(nullptr, set);
}

std::int32_t embedjobs_document_list_add(embedjobs_document_list* list, const char* catalog_id, const char* spec_name,
                                         const char* version) {
  const auto add = [&]() -> Status {
    if (list == nullptr || catalog_id == nullptr || spec_name == nullptr || version == nullptr || *version == '\0') {
      return {Code::kInvalidArgument, "NULL, or an empty version"};
    }
    if (list->documents.size() >= list->limit) {
      return {Code::kInvalidArgument, "more documents than the limit"};
    }
    const embedjobs::SpecKey key{catalog_id, spec_name};
    if (Status status = validate(key); !status.ok()) {
      return status;
    }
    list->documents.push_back({key, version});
    return {};
  };
  return embedjobs::capi::boundary(nullptr, add);
}

}  // extern "C"
