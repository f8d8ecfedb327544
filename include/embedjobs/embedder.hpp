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
  std::vector<std::string> warnings;           ///< For the log, one line each. Say each of them once.
};

/// What a provider can take. Zero means "no limit known".
struct EmbedderLimits {
  std::size_t concurrent_calls = 1;  ///< Calls of embed() at the same time, from different threads. At least 1.
  std::size_t batch_texts = 0;
  std::size_t batch_bytes = 0;
  std::size_t batch_tokens = 0;  ///< Tokens are estimated. The prompt tokens of answers correct the estimate.
  std::size_t input_bytes = 0;   ///< A longer text is cut before it is sent, and its row is marked.
};

/// A provider of embeddings. Implement it to bring your own.
///
/// Thread safety: embed() is called from library threads, never by more than limits().concurrent_calls at a time. No
/// library lock is held during a call. An exception that leaves a method is caught and becomes kInternal.
class Embedder {
 public:
  virtual ~Embedder() = default;
  /// The space of this embedder's vectors. The first call may ask the provider (to learn the dimension), and may then
  /// answer errors as embed() does. After the first success every call gives the same answer, cheaply.
  virtual Result<Space> space(const CallContext& context) = 0;
  /// Does space() answer without asking the provider? While it does not, the library asks only when there is work. The
  /// default is true: override it if the first call of space() asks a provider.
  [[nodiscard]] virtual bool knows_space() const { return true; }
  /// A catalog records the space `recorded`. If nothing but this space can be meant (the same model and options, and
  /// only the dimension has to be asked for), the embedder takes it: space() then answers it without a call, and
  /// embed() refuses vectors of another dimension. False: it is another space, or that can't be told. The default is
  /// false.
  virtual bool adopt(const Space& recorded);
  /// Vectors for `texts`: one text at least and a batch at most, each non-empty UTF-8 that lives until the call
  /// returns. The code of an error decides what follows. For kRetry, kPaused, kTimeout, kBatchTooLarge, kInputTooLarge,
  /// kInputRejected, kFailed and kCancelled see their comments. kFailed says that every text is refused until somebody
  /// does something: one job fails, and the others wait until a call succeeds. Any other code ends the pass like
  /// kRetry. The library itself checks count, dimension, finiteness and non-zero length of the vectors. It refuses a
  /// wrong answer.
  virtual Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext& context) = 0;
  /// Read once when the worker starts.
  [[nodiscard]] virtual EmbedderLimits limits() const { return {}; }
  /// Names the endpoint with the model. The name is the same in every process that calls the endpoint. Under this name
  /// the store remembers the endpoint's batch size, pauses and tokens. At most 512 bytes of UTF-8, and never a key or a
  /// password. Empty: the model of space(). Read once.
  [[nodiscard]] virtual std::string provider() const { return {}; }
};

}  // namespace embedjobs
