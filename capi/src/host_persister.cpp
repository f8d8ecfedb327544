// A host's place for vectors.
#include <fmt/format.h>

#include <optional>

#include "blocks.hpp"
#include "error.hpp"
#include "hosts.hpp"

struct embedjobs_spec_states {
  std::vector<embedjobs::SpecState>& states;
};

namespace embedjobs::capi {
namespace {

constexpr std::string_view kWho = "the host's persister";

/// The pass as a callback sees it, as long as this and the context live.
class PassView {
 public:
  explicit PassView(const PassContext& context) : space_id_(context.space.id()) {
    view_ = {sizeof(view_),
             context.key.catalog_id.c_str(),
             context.key.spec_name.c_str(),
             {context.fence.counter, context.fence.nonce},
             context.job_id,
             context.generation,
             space_id_.c_str(),
             context.space.dimension,
             context.epoch,
             context.reuse_floor,
             context.input_cap,
             context.splitter_version.c_str(),
             context.content_version.c_str(),
             context.prompt_tokens};
  }
  PassView(const PassView&) = delete;
  PassView& operator=(const PassView&) = delete;
  [[nodiscard]] const embedjobs_pass* get() const noexcept { return &view_; }

 private:
  std::string space_id_;
  embedjobs_pass view_{};
};

class HostPersister final : public Persister {
 public:
  explicit HostPersister(TablePtr<embedjobs_persister> table) : table_(std::move(table)) {}

  Result<std::vector<bool>> list_existing(const PassContext& context, const Manifest& wanted) override {
    const PackedOperations packed(wanted);
    const embedjobs_operations view = packed.view();
    std::vector<std::uint8_t> existing(wanted.size() + 1, 0);  // never NULL
    const auto ask = [&](const embedjobs_persister& t, embedjobs_call* c, std::size_t* done) {
      return t.list_existing(t.user_data, c, PassView(context).get(), &view, existing.data(), done);
    };
    const Status status = call(Caller::kWorker, wanted.size(), ask);
    if (!status.ok()) {
      return status;
    }
    std::vector<bool> answer(wanted.size());
    for (std::size_t i = 0; i < answer.size(); ++i) {
      if (existing[i] > 1) {
        return {Code::kInternal,
                fmt::format("{} answered {} for an operation that exists or does not", kWho, existing[i])};
      }
      answer[i] = existing[i] == 1;
    }
    return answer;
  }

  Status persist_batch(const PassContext& context, std::span<const VectorRow> rows) override {
    const PackedRows packed(rows, context.space.dimension);
    const embedjobs_rows view = packed.view();
    const auto persist = [&](const embedjobs_persister& t, embedjobs_call* c, std::size_t* done) {
      return t.persist_batch(t.user_data, c, PassView(context).get(), &view, done);
    };
    return call(Caller::kWorker, rows.size(), persist);
  }

  Status finalize(const PassContext& context, const Manifest& manifest) override {
    const PackedOperations packed(manifest);
    const embedjobs_operations view = packed.view();
    const auto end = [&](const embedjobs_persister& t, embedjobs_call* c, std::size_t* done) {
      return t.finalize(t.user_data, c, PassView(context).get(), &view, done);
    };
    return call(Caller::kWorker, manifest.size(), end);
  }

  Result<std::vector<SpecState>> describe(std::span<const SpecKey> keys) override {
    if ((*table_)->describe == nullptr) {
      return Persister::describe(keys);
    }
    std::vector<SpecState> states;
    std::vector<const char*> catalogs;
    std::vector<const char*> specs;
    for (const SpecKey& key : keys) {
      states.push_back({.key = key});
      catalogs.push_back(key.catalog_id.c_str());
      specs.push_back(key.spec_name.c_str());
    }
    embedjobs_spec_states sink{states};
    const auto ask = [&](const embedjobs_persister& t, embedjobs_call* c, std::size_t* done) {
      return t.describe(t.user_data, c, keys.size(), catalogs.data(), specs.data(), &sink, done);
    };
    const Status status = call(Caller::kAnybody, keys.size(), ask);
    if (!status.ok()) {
      return status;
    }
    return states;
  }

 private:
  template <typename F>
  Status call(Caller caller, std::size_t expected, F&& f) {
    embedjobs_call call(table_->state(), caller);
    return call_host(kWho, call, expected,
                     [&](embedjobs_call* c, std::size_t* done) { return f(*table_->operator->(), c, done); });
  }

  const TablePtr<embedjobs_persister> table_;
};

}  // namespace

Result<std::shared_ptr<Persister>> make_host_persister(TablePtr<embedjobs_persister> table) {
  if ((*table)->list_existing == nullptr || (*table)->persist_batch == nullptr || (*table)->finalize == nullptr) {
    return {Code::kInvalidArgument, "embedjobs_persister.list_existing, .persist_batch or .finalize is NULL"};
  }
  return std::shared_ptr<Persister>(std::make_shared<HostPersister>(std::move(table)));
}

}  // namespace embedjobs::capi

extern "C" std::int32_t embedjobs_spec_states_set(embedjobs_spec_states* states, std::size_t index,
                                                  const char* space_id, const char* content_version,
                                                  const char* splitter_version) {
  const auto set = [&]() -> embedjobs::Status {
    if (states == nullptr || index >= states->states.size() || space_id == nullptr || content_version == nullptr ||
        splitter_version == nullptr) {
      return {embedjobs::Code::kInvalidArgument, "NULL, or no such index"};
    }
    embedjobs::SpecState& state = states->states[index];
    state.complete = true;
    state.space_id = space_id;
    state.content_version = content_version;
    state.splitter_version = splitter_version;
    return {};
  };
  return embedjobs::capi::boundary(nullptr, set);
}
