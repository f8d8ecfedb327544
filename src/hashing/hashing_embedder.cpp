#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <system_error>

#include <fmt/format.h>

#include "embedjobs/hashing.hpp"
#include "embedjobs/types.hpp"
#include "hashing/features.hpp"

namespace embedjobs {
namespace {

// A longer text is cut: its features would take about 30 times its bytes.
constexpr std::size_t kInputBytes = std::size_t{1} << 20;

/// The file that counts work over kills: a line is there before its answer is.
class CallLog {
 public:
  CallLog() = default;
  ~CallLog() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  CallLog(const CallLog&) = delete;
  CallLog& operator=(const CallLog&) = delete;

  Status open(const std::string& path) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0) {
      return {Code::kInvalidArgument,
              fmt::format("can't open the embedder's log '{}': {}", path, std::generic_category().message(errno))};
    }
    return {};
  }

  // One write: with O_APPEND, lines of several processes never mix.
  Status append(std::span<const std::string_view> texts) const {
    if (fd_ < 0) {
      return {};
    }
    const auto now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
    std::string line = fmt::format("{} {}", format_rfc3339(now), texts.size());
    for (const std::string_view text : texts) {
      line += ' ';
      line += to_hex(hash_text(text));
    }
    line += '\n';
    ssize_t written = -1;
    do {
      written = ::write(fd_, line.data(), line.size());
    } while (written < 0 && errno == EINTR);
    if (written != static_cast<ssize_t>(line.size())) {
      return {Code::kRetry,
              fmt::format("can't append to the embedder's log: {}",
                          written < 0 ? std::generic_category().message(errno) : "the line was cut short")};
    }
    return {};
  }

 private:
  int fd_ = -1;
};

/// Waits like a slow provider. Ends early on a stop request and at the time limit.
Status wait(Duration delay, const CallContext& context) {
  const bool limited = context.time_limit > Duration(0) && context.time_limit < delay;
  if (delay > Duration(0)) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, context.stop, limited ? context.time_limit : delay, [] { return false; });
  }
  if (context.stop.stop_requested()) {
    return {Code::kCancelled, "the call was cancelled"};
  }
  if (limited) {
    return {Code::kTimeout, "the call outlasted its time limit"};
  }
  return {};
}

class HashingEmbedder final : public Embedder {
 public:
  explicit HashingEmbedder(HashingOptions options) : options_(std::move(options)) {}

  Status open_log() { return options_.log_file.empty() ? Status() : log_.open(options_.log_file); }

  Result<Space> space(const CallContext& /*context*/) override {
    return Space{.model = "hashing", .dimension = options_.dimension, .variant = "v1"};
  }

  Result<Embeddings> embed(std::span<const std::string_view> texts, const CallContext& context) override {
    if (Status status = wait(options_.delay, context); !status.ok()) {
      return status;
    }
    Embeddings answer{.vectors = Matrix(texts.size(), options_.dimension), .prompt_tokens = std::nullopt};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (context.stop.stop_requested()) {
        return {Code::kCancelled, "the call was cancelled"};
      }
      hashing::hash_features(texts[i], answer.vectors.row(i));
    }
    if (Status status = log_.append(texts); !status.ok()) {
      return status;
    }
    return answer;
  }

  [[nodiscard]] EmbedderLimits limits() const override {
    return {
        .concurrent_calls = options_.concurrent_calls, .batch_texts = 0, .batch_bytes = 0, .input_bytes = kInputBytes};
  }

 private:
  const HashingOptions options_;
  CallLog log_;
};

}  // namespace

Result<std::shared_ptr<Embedder>> make_hashing_embedder(const HashingOptions& options) {
  if (Status status = validate(Space{.model = "hashing", .dimension = options.dimension, .variant = "v1"});
      !status.ok()) {
    return status;
  }
  if (options.delay < Duration(0) || options.concurrent_calls == 0) {
    return {Code::kInvalidArgument,
            "the hashing embedder's delay can't be negative, and it makes at least one call at a time"};
  }
  auto embedder = std::make_shared<HashingEmbedder>(options);
  if (Status status = embedder->open_log(); !status.ok()) {
    return status;
  }
  return std::shared_ptr<Embedder>(std::move(embedder));
}

}  // namespace embedjobs
