// A host's own way from a document to vectors.
#include <fmt/format.h>

#include "blocks.hpp"
#include "error.hpp"
#include "hosts.hpp"

struct embedjobs_compute {
  embedjobs::ComputeRequest& request;
  std::optional<embedjobs::Manifest> manifest;
  embedjobs::Status last;  ///< Of the last call that failed: the callback may return its code as it is.
};

namespace embedjobs::capi {
namespace {

class HostComputer final : public EmbeddingComputer {
 public:
  HostComputer(TablePtr<embedjobs_computer> table, Space space)
      : table_(std::move(table)), space_(std::move(space)), version_((*table_)->version) {}

  Result<Space> space() override { return space_; }
  [[nodiscard]] std::string version() const override { return version_; }

  Result<Manifest> compute(ComputeRequest& request) override {
    embedjobs_compute compute{.request = request};
    const std::string content(request.content);  // ends with NUL
    const embedjobs_compute_request asked{sizeof(asked),
                                          request.key.catalog_id.c_str(),
                                          request.key.spec_name.c_str(),
                                          content.c_str(),
                                          content.size(),
                                          request.batch_size,
                                          {request.fence.counter, request.fence.nonce}};
    embedjobs_call call(table_->state(), Caller::kWorker);
    call.stop = request.stop;
    std::int32_t code = EMBEDJOBS_OK;
    std::size_t counted = 0;
    const auto call_computer = [&]() -> Status {
      std::size_t done = EMBEDJOBS_NOT_DONE;
      {
        const Frame frame(call.state);
        code = (*table_)->compute((*table_)->user_data, &call, &compute, &asked, &done);
      }
      counted = compute.manifest ? compute.manifest->size() : 0;
      return outcome("the host's computer", code, done, counted, call);
    };
    Status status = core::guarded("the host's computer", call_computer);
    if (!status.ok()) {
      const bool known =
          call.message.empty() && !compute.last.ok() && code == static_cast<std::int32_t>(compute.last.code());
      return known ? compute.last : status;
    }
    if (!compute.manifest) {
      return {Code::kInternal, "the host's computer answered ok without embedjobs_compute_set_manifest()"};
    }
    return *std::move(compute.manifest);
  }

 private:
  const TablePtr<embedjobs_computer> table_;
  const Space space_;
  const std::string version_;
};

/// A call of a computer's function: what it answers is also remembered.
template <typename F>
std::int32_t compute_call(embedjobs_compute* compute, embedjobs_error** error, F&& f) {
  const auto remember = [&]() -> Status {
    if (compute == nullptr) {
      return {Code::kInvalidArgument, "compute is NULL"};
    }
    Status status = f();
    if (!status.ok()) {
      compute->last = status;
    }
    return status;
  };
  return boundary(error, remember);
}

}  // namespace

Result<std::shared_ptr<EmbeddingComputer>> make_host_computer(TablePtr<embedjobs_computer> table) {
  if ((*table)->compute == nullptr || (*table)->version == nullptr || *(*table)->version == '\0') {
    return {Code::kInvalidArgument, "embedjobs_computer.compute or .version is NULL or empty"};
  }
  Result<Space> space = read_space((*table)->model, (*table)->variant, (*table)->dimension);
  if (!space.ok()) {
    return space.status().with_context("embedjobs_computer");
  }
  return std::shared_ptr<EmbeddingComputer>(std::make_shared<HostComputer>(std::move(table), *std::move(space)));
}

}  // namespace embedjobs::capi

using embedjobs::Code;
using embedjobs::Status;

extern "C" {

std::int32_t embedjobs_compute_list_existing(embedjobs_compute* compute, const embedjobs_operations* wanted,
                                             std::uint8_t* existing, embedjobs_error** error) {
  const auto list_existing = [&]() -> Status {
    const auto manifest = embedjobs::capi::read_operations(wanted);
    if (!manifest.ok()) {
      return manifest.status();
    }
    if (existing == nullptr && !manifest->empty()) {
      return {Code::kInvalidArgument, "existing is NULL"};
    }
    const auto answer = compute->request.list_existing(*manifest);
    if (!answer.ok()) {
      return answer.status();
    }
    for (std::size_t i = 0; i < answer->size(); ++i) {
      existing[i] = (*answer)[i] ? 1 : 0;
    }
    return {};
  };
  return embedjobs::capi::compute_call(compute, error, list_existing);
}

void embedjobs_compute_progress(embedjobs_compute* compute, std::size_t operations_done, std::size_t total) {
  if (compute != nullptr) {
    embedjobs::capi::quiet_boundary([&] { compute->request.progress(operations_done, total); });
  }
}

std::int32_t embedjobs_compute_persist_batch(embedjobs_compute* compute, const embedjobs_rows* rows,
                                             embedjobs_error** error) {
  const auto persist = [&]() -> Status {
    const auto read = embedjobs::capi::read_rows(rows, compute->request.space.dimension);
    return read.ok() ? compute->request.persist_batch(*read) : read.status();
  };
  return embedjobs::capi::compute_call(compute, error, persist);
}

std::int32_t embedjobs_compute_set_manifest(embedjobs_compute* compute, const embedjobs_operations* manifest,
                                            embedjobs_error** error) {
  const auto set = [&]() -> Status {
    auto read = embedjobs::capi::read_operations(manifest);
    if (!read.ok()) {
      return read.status();
    }
    compute->manifest = *std::move(read);
    return {};
  };
  return embedjobs::capi::compute_call(compute, error, set);
}

}  // extern "C"
