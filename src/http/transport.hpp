// One HTTP exchange at a time on a connection that stays: requests out, bounded answers in. libcurl stays behind this.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/embedder.hpp"

namespace embedjobs::http {

/// What is kept of an answer that is not 200; the rest is read past.
constexpr std::size_t kErrorBodyBytes = std::size_t{64} << 10;

/// How an exchange ended, apart from what the answer says; and how an answer of 200 broke its promise.
enum class Fault {
  kNone,         ///< There is an answer with a status.
  kCancelled,    ///< The caller's stop request.
  kTimeout,      ///< The caller's time limit, or sooner than it when nothing was sent yet and connecting took too long:
                 ///< kUnreachable.
  kUnreachable,  ///< No such host, refused, no route, no connection within its limit.
  kTls,          ///< No handshake, or a certificate that is not trusted.
  kStalled,      ///< The answer began and came too slowly.
  kConnectionLost,  ///< The connection broke before the answer was there.
  kTruncated,       ///< The answer ended early.
  kOversized,       ///< Body or headers above their limits.
  kNotHttp,         ///< What answers does not speak HTTP.
  kLocal,           ///< Something here: memory, a CA file that can't be read, a key callback that failed.
  // Of answers of 200, found by the parser.
  kBrokenJson,
  kWrongShape,
  kErrorInside,  ///< An error, whose status is not known, where vectors should be.
  kWebPage,
  kForeignBase64,  ///< Not of little-endian 32-bit floats.
  kEmptyAnswer,
  kWrongCount,
  kWrongOrder,
  kWrongDimension,
  kNotFinite,
  kZeroVector,
};

/// What is kept of an answer's headers; each at most 256 bytes.
struct AnswerHeaders {
  std::string retry_after, retry_after_ms;
  std::string remaining_requests, remaining_tokens, reset_requests, reset_tokens;  ///< x-ratelimit-...
  std::string compute_tokens;                                                      ///< TEI's x-compute-tokens.
};

/// Bytes with room behind them for a parser that reads ahead. Grows by doubling, keeps its memory.
class Body {
 public:
  static constexpr std::size_t kPadding = 64;
  void clear() { size_ = 0; }
  /// False when there is no memory.
  bool append(const char* data, std::size_t size);
  void assign(std::string_view text) {
    clear();
    (void)append(text.data(), text.size());
  }
  /// Gives memory back above `keep` bytes.
  void shrink(std::size_t keep);
  [[nodiscard]] std::string_view view() const { return {data_.get(), size_}; }
  [[nodiscard]] std::size_t capacity() const {
    return capacity_;
  }  ///< Readable bytes from view().data() on: size + kPadding or more.

 private:
  bool reserve(std::size_t capacity);
  struct Free {
    void operator()(char* data) const;
  };
  std::unique_ptr<char[], Free> data_;
  std::size_t size_ = 0, capacity_ = 0;
};

struct Request {
  std::string url;
  std::string body;                  ///< JSON; empty: GET.
  std::vector<std::string> headers;  ///< "Name: value", no control characters.
  std::size_t body_limit = 0;        ///< Of the answer's bytes.
};

struct Exchange {
  Fault fault = Fault::kNone;
  int status = 0;  ///< When fault is kNone, kTruncated, kStalled or kOversized: what the answer began with. 0: none.
  std::string detail;  ///< Of a fault, in libcurl's words: one line.
  AnswerHeaders headers;
};

struct TransportOptions {
  Duration connect_timeout{0};
  Duration stall_timeout{0};
  std::string ca_file, proxy;
};

/// A connection and its buffers: for one thread at a time.
class Channel {
 public:
  explicit Channel(const TransportOptions& options);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  /// Sends and waits. The answer's body is in body() until the next call. `deadline` none: no limit.
  Exchange send(const Request& request, const std::stop_token& stop,
                std::optional<std::chrono::steady_clock::time_point> deadline);
  Body& body() { return body_; }

 private:
  struct Handles;
  class Transfer;
  bool set_up();

  const TransportOptions options_;
  std::unique_ptr<Handles> handles_;
  bool usable_ = false;
  Body body_;
};

}  // namespace embedjobs::http
