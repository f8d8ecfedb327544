// A host's embedder.
#include <algorithm>
#include <mutex>
#include <vector>

#include "blocks.hpp"
#include "hosts.hpp"

namespace embedjobs::capi {
namespace {

class HostEmbedder final : public Embedder {
 public:
  HostEmbedder(TablePtr<embedjobs_embedder> table, Space space) : table_(std::move(table)), space_(std::move(space)) {
    limits_.concurrent_calls = std::max<std::size_t>((*table_)->concurrent_calls, 1);
    limits_.batch_texts = (*table_)->batch_texts;
    limits_.batch_bytes = (*table_)->batch_bytes;
    limits_.batch_tokens = (*table_)->batch_tokens;
    limits_.input_bytes = (*table_)->input_bytes;
    provider_ = (*table_)->provider == nullptr ? "" : (*table_)->provider;
  }

  Result<Space> space(const CallContext&) override { return space_; }
  [[nodiscard]] EmbedderLimits limits() const override { return limits_; }
  [[nodiscard]] std::string provider() const override { return provider_; }

  Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext& context) override {
    Embeddings answer{.vectors = Matrix(texts.size(), space_.dimension)};
    const Packed packed(*this);
    packed.strings->assign(texts);
    const embedjobs_texts batch{sizeof(batch),
                                texts.size(),
                                packed.strings->bytes(),
                                packed.strings->offsets(),
                                static_cast<std::int32_t>(context.purpose),
                                0};
    embedjobs_vectors out{sizeof(out), answer.vectors.data(), space_.dimension, -1};
    embedjobs_call call(table_->state(), Caller::kAnybody);
    call.stop = context.stop;
    if (context.time_limit > Duration(0)) {
      call.deadline = std::chrono::steady_clock::now() + context.time_limit;
    }
    const auto embed_batch = [&](embedjobs_call* c, std::size_t* done) {
      return (*table_)->embed((*table_)->user_data, c, &batch, &out, done);
    };
    Status status = call_host("the host's embedder", call, texts.size(), embed_batch);
    if (!status.ok()) {
      return status;
    }
    if (out.prompt_tokens >= 0) {
      answer.prompt_tokens = static_cast<std::uint64_t>(out.prompt_tokens);
    }
    return answer;
  }

 private:
  /// Memory for the texts of one call, from those that earlier calls left.
  struct Packed {
    explicit Packed(HostEmbedder& from) : embedder(from) {
      const std::lock_guard lock(embedder.mutex_);
      if (embedder.spare_.empty()) {
        strings = std::make_unique<PackedStrings>();
      } else {
        strings = std::move(embedder.spare_.back());
        embedder.spare_.pop_back();
      }
    }
    ~Packed() {
      const std::lock_guard lock(embedder.mutex_);
      if (embedder.spare_.size() < embedder.spare_.capacity()) {
        embedder.spare_.push_back(std::move(strings));
      }
    }
    Packed(const Packed&) = delete;
    Packed& operator=(const Packed&) = delete;
    HostEmbedder& embedder;
    std::unique_ptr<PackedStrings> strings;
  };
  static constexpr std::size_t kSpare = 8;
  static std::vector<std::unique_ptr<PackedStrings>> with_room() {
    std::vector<std::unique_ptr<PackedStrings>> spare;
    spare.reserve(kSpare);
    return spare;
  }

  const TablePtr<embedjobs_embedder> table_;
  const Space space_;
  EmbedderLimits limits_;
  std::string provider_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<PackedStrings>> spare_ = with_room();
};

}  // namespace

Result<Space> read_space(const char* model, const char* variant, std::size_t dimension) {
  Space space{
      .model = model == nullptr ? "" : model, .dimension = dimension, .variant = variant == nullptr ? "" : variant};
  if (Status status = validate(space); !status.ok()) {
    return status;
  }
  return space;
}

Result<std::shared_ptr<Embedder>> make_host_embedder(TablePtr<embedjobs_embedder> table) {
  if ((*table)->embed == nullptr) {
    return {Code::kInvalidArgument, "embedjobs_embedder.embed is NULL"};
  }
  Result<Space> space = read_space((*table)->model, (*table)->variant, (*table)->dimension);
  if (!space.ok()) {
    return space.status().with_context("embedjobs_embedder");
  }
  return std::shared_ptr<Embedder>(std::make_shared<HostEmbedder>(std::move(table), *std::move(space)));
}

}  // namespace embedjobs::capi
