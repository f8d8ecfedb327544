// A provider on a loopback port that speaks the real APIs and misbehaves on command: what tests of embedders talk to.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace embedjobs::test {

enum class Play { kOllama, kOldOllama, kOpenAi, kAzure, kTei };

/// What may go wrong with one answer.
enum class Trouble {
  kNone,
  kRateLimit,      ///< 429 with retry-after-ms: 20.
  kBusy,           ///< 503, as Ollama says it.
  kLoading,        ///< 503 "Loading model".
  kInternalError,  ///< 500 with a JSON error.
  kBadGateway,     ///< 502 with a page of HTML.
  kBrokenJson,
  kHtml,  ///< 200 with a page of HTML.
  kWrongCount,
  kWrongOrder,  ///< OpenAI: an index twice. Others: one vector less.
  kWrongDimension,
  kNan,
  kZero,
  kEmpty,
  kTruncated,  ///< Half of the body that was announced.
  kOversized,  ///< A body without an end.
  kTrickle,    ///< One byte a second.
  kSilent,     ///< No answer until the server ends.
  kGarbage,    ///< Bytes that are not HTTP.
  kReset,      ///< The connection is reset.
  kQuota,
  kUnauthorised,
  kBackendAway,     ///< 424 with retry-after-ms: 20.
  kErrorInside,     ///< 200 with an error object.
  kBudget,          ///< 429 with budget_exceeded.
  kNotImplemented,  ///< 501.
};
std::string_view to_string(Trouble trouble);
std::optional<Trouble> parse_trouble(std::string_view name);
/// What a healthy network with a bad day shows: the troubles that come and go quickly.
std::vector<Trouble> passing_troubles();

struct Answer {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
};

struct ServerOptions {
  Play play = Play::kOllama;
  std::string model = "test-model";
  std::size_t dimension = 8;
  int port = 0;  ///< 0: a free one.
  std::chrono::nanoseconds delay_per_text{0}, delay_per_call{0};
  std::size_t at_once = 64;  ///< Texts are delayed one after the other within so many calls; more calls wait.
  double faulty = 0;         ///< This part of the answers is faulty, one of `troubles` each.
  std::uint64_t seed = 1;
  std::vector<Trouble> troubles = passing_troubles();
  std::string poison;  ///< A call with a text that contains it is refused.
  int poison_status = 400;
  std::size_t max_batch = 0, max_input_bytes = 0;  ///< More is refused, as the provider words it.
  int too_long_status = 0;                         ///< Another status and body for a text that is too long.
  std::string too_long_body;
  bool one_vector = false;          ///< One vector, however many texts.
  bool omits_zero = false;          ///< OpenAI: leaves an index of 0 out.
  bool same_index = false;          ///< OpenAI: every index is 0.
  bool refuses_format = false;      ///< 422 for encoding_format, whatever it is, without naming it.
  std::size_t reads_bytes = 0;      ///< More of a text is cut, and nobody is told.
  std::string answering_model;      ///< What answers say. Empty: the model.
  std::string base64_of;            ///< "doubles", "big-endian", "halves": what base64 is made of.
  std::string key;                  ///< Calls without it are refused with 401.
  bool arrays_only = false;         ///< Ignores encoding_format.
  bool refuses_base64 = false;      ///< 400 for encoding_format base64.
  bool gzip = false;                ///< Compresses answers (as httplib does for those who accept it).
  std::string log_file;             ///< A line a call: time, texts, their hashes in hex.
  std::string cert_file, key_file;  ///< PEM: speaks TLS.
};

struct Seen {
  std::size_t calls = 0, texts = 0, at_once = 0, connections = 0;
  std::vector<std::size_t> texts_of_calls;  ///< In order.
  std::chrono::nanoseconds own_time{0};     ///< Between request and answer, summed over calls.
  std::map<std::string, std::size_t>
      times;  ///< How often each text was sent, without what came before the model saw it.
  /// The texts by who sent them, as the header Authorization tells.
  std::map<std::string, std::vector<std::string>> texts_of_callers;
  std::string last_body, last_path, last_authorization, last_api_key;
};

/// Vectors that a model would make: deterministic, of length 1 (of length 3 from the old Ollama, as it does not
/// normalise).
std::vector<float> vector_of(std::string_view text, std::size_t dimension);

class ProviderServer {
 public:
  explicit ProviderServer(ServerOptions options = {});
  ~ProviderServer();
  ProviderServer(const ProviderServer&) = delete;
  ProviderServer& operator=(const ProviderServer&) = delete;

  [[nodiscard]] std::string url() const;
  /// The next calls go wrong like this, one after the other; then the options count again.
  void script(std::vector<Trouble> troubles);
  /// Every call from now on.
  void always(std::optional<Trouble> trouble);
  /// Every call is answered so from now on; null: as the API says.
  void answer_with(std::function<Answer(std::string_view path, std::size_t call)> answer);
  void remove_poison();
  /// Returns when so many calls have come.
  void wait_for_calls(std::size_t calls);
  [[nodiscard]] Seen seen() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace embedjobs::test
