// Texts to vectors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/space.hpp"
#include "embedjobs/status.hpp"

namespace embedjobs {

/// rows x dimension floats in one block, row by row.
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::size_t rows, std::size_t dimension) : dimension_(dimension), values_(rows * dimension) {}
  [[nodiscard]] std::size_t rows() const noexcept { return dimension_ == 0 ? 0 : values_.size() / dimension_; }
  [[nodiscard]] std::size_t dimension() const noexcept { return dimension_; }
  [[nodiscard]] std::span<float> row(std::size_t index) {
    return std::span(values_).subspan(index * dimension_, dimension_);
  }
  [[nodiscard]] std::span<const float> row(std::size_t index) const {
    return std::span(values_).subspan(index * dimension_, dimension_);
  }
  [[nodiscard]] float* data() noexcept { return values_.data(); }

 private:
  std::size_t dimension_ = 0;
  std::vector<float> values_;
};

/// What the texts are. Some models want another prefix for a query than for a document.
enum class Purpose : std::int32_t { kDocument = 0, kQuery = 1 };

/// The conditions of one call.
struct CallContext {
  std::stop_token stop;    ///< Requested: end within a second with kCancelled.
  Duration time_limit{0};  ///< End with kTimeout when the call takes longer. Zero or less: no limit.
  Purpose purpose = Purpose::kDocument;
};

struct Embeddings {
  Matrix vectors;                              ///< One row a text, in the order of the texts.
  std::optional<std::uint64_t> prompt_tokens;  ///< As the provider counted them, where it does.
};

/// What a provider bears. Zero means "no limit known".
struct EmbedderLimits {
  std::size_t concurrent_calls = 1;  ///< Calls of embed() at the same time, from different threads. At least 1.
  std::size_t batch_texts = 0;
  std::size_t batch_bytes = 0;
  std::size_t batch_tokens = 0;  ///< Kept by an estimate, learned from the prompt tokens of answers.
  std::size_t input_bytes = 0;   ///< A longer text is cut before it is sent, and its row is marked.
};

/// A provider of embeddings. Implement it to bring your own.
///
/// Thread safety: embed() is called from library threads, never by more than limits().concurrent_calls at a time. No
/// library lock is held during a call. An exception that leaves a method is caught and becomes kInternal.
class Embedder {
 public:
  virtual ~Embedder() = default;
  /// The space of this embedder's vectors. May call the provider the first time (to learn the dimension) and then
  /// answers errors as embed() does; once it has succeeded it answers the same for ever, cheaply.
  virtual Result<Space> space(const CallContext& context) = 0;
  /// Vectors for `texts` (1 to batch size, each non-empty UTF-8 that lives until the call returns). Errors: the codes
  /// of Status say what to do; kRetry, kPaused, kTimeout, kBatchTooLarge, kInputTooLarge, kInputRejected, kFailed and
  /// kCancelled are acted on as their comments say, any other ends the pass like kRetry. The library checks count,
  /// dimension, finiteness and non-zero length itself and refuses what breaks the promise.
  virtual Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext& context) = 0;
  /// Read once when the worker starts.
  [[nodiscard]] virtual EmbedderLimits limits() const { return {}; }
  /// Names the endpoint with the model, the same in every process that calls it: under this name the store remembers
  /// the batch size that it bears, its pauses and its tokens. At most 512 bytes of UTF-8, and never a key or a
  /// password. Empty: the model of space(). Read once.
  [[nodiscard]] virtual std::string provider() const { return {}; }
};

}  // namespace embedjobs
