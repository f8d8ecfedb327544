// An embedder that a test can turn: down, stuck, broken.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <limits>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "embedjobs/embedder.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs::test {

/// Vectors are made of the text's hash, so that equal texts have equal ones. Thread-safe.
class Provider final : public Embedder {
 public:
  explicit Provider(Space space = {"test-model", 4, ""}, EmbedderLimits limits = {})
      : space_(std::move(space)), limits_(limits) {}

  /// Every call is answered so from now on; success: works again.
  void answer_with(Status status) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(status);
  }
  /// Vectors that break the promise.
  void spoil_with(std::function<void(Matrix&)> spoil) {
    const std::lock_guard lock(mutex_);
    spoil_ = std::move(spoil);
  }
  /// Calls stay under way until release(), whatever they are asked.
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void release() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  /// Returns when so many calls are under way.
  void wait_for_calls(std::size_t calls) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return calls_ >= calls; });
  }

  struct Seen {
    std::size_t calls = 0, texts = 0, queries = 0, at_once = 0;
    std::string last_text;
  };
  [[nodiscard]] Seen seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

  Result<Space> space(const CallContext&) override {
    const std::lock_guard lock(mutex_);
    return answer_.ok() ? Result<Space>(space_) : Result<Space>(answer_);
  }

  Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext& context) override {
    std::unique_lock lock(mutex_);
    ++seen_.calls;
    seen_.texts += texts.size();
    seen_.queries += context.purpose == Purpose::kQuery ? 1 : 0;
    seen_.last_text = texts.back();
    seen_.at_once = std::max(seen_.at_once, ++calls_);
    changed_.notify_all();
    changed_.wait(lock, [&] { return !held_; });
    --calls_;
    if (!answer_.ok()) {
      return answer_;
    }
    Embeddings embeddings{.vectors = vectors_of(texts), .prompt_tokens = 5 * texts.size()};
    if (spoil_) {
      spoil_(embeddings.vectors);
    }
    return embeddings;
  }

  [[nodiscard]] EmbedderLimits limits() const override { return limits_; }
  [[nodiscard]] std::string provider() const override { return "http://test " + space_.model; }

 private:
  Matrix vectors_of(std::span<const std::string_view> texts) const {
    Matrix matrix(texts.size(), space_.dimension);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const TextHash hash = hash_text(texts[i]);
      for (std::size_t j = 0; j < space_.dimension; ++j) {
        matrix.row(i)[j] = static_cast<float>(hash[j % hash.size()]) - 127.5F;
      }
    }
    return matrix;
  }

  const Space space_;
  const EmbedderLimits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Status answer_;
  std::function<void(Matrix&)> spoil_;
  bool held_ = false;
  std::size_t calls_ = 0;
  Seen seen_;
};

}  // namespace embedjobs::test
