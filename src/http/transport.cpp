#include "http/transport.hpp"

#include "http/why_late.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <utility>

namespace embedjobs::http {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kHeaderBytes = std::size_t{64} << 10;  // of all header lines of an answer
constexpr std::size_t kHeaderValueBytes = 256;
constexpr std::size_t kErrorBodyMost = std::size_t{4} << 20;  // how much of an answer that is not 200 is read past
constexpr long long kLeastBytesASecond = 64;
constexpr Duration kLongestPoll = std::chrono::seconds(1);
constexpr Duration kMuchTooLate = std::chrono::seconds(1);  // of a poll

bool global_ready() {
  static const bool ready =
      curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;  // thread-safe once: a static of a function
  return ready;
}

struct KnownHeader {
  std::string_view name;
  std::string AnswerHeaders::*member;
};
constexpr std::array<KnownHeader, 7> kKnownHeaders{{
    {"retry-after", &AnswerHeaders::retry_after},
    {"retry-after-ms", &AnswerHeaders::retry_after_ms},
    {"x-ratelimit-remaining-requests", &AnswerHeaders::remaining_requests},
    {"x-ratelimit-remaining-tokens", &AnswerHeaders::remaining_tokens},
    {"x-ratelimit-reset-requests", &AnswerHeaders::reset_requests},
    {"x-ratelimit-reset-tokens", &AnswerHeaders::reset_tokens},
    {"x-compute-tokens", &AnswerHeaders::compute_tokens},
}};

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b; });
}

void keep_header(std::string_view line, AnswerHeaders& headers) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) {
    return;
  }
  std::string_view value = line.substr(colon + 1);
  const auto begin = value.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) {
    return;
  }
  value = value.substr(begin, value.find_last_not_of(" \t\r\n") - begin + 1);
  for (const KnownHeader& known : kKnownHeaders) {
    if (equals_ignoring_case(line.substr(0, colon), known.name)) {
      headers.*known.member = value.substr(0, kHeaderValueBytes);
    }
  }
}

}  // namespace

// --- Body

void Body::Free::operator()(char* data) const {
  std::free(data);  // NOLINT(cppcoreguidelines-no-malloc): realloc grows large blocks without copying
}

bool Body::reserve(std::size_t capacity) {
  if (capacity <= capacity_) {
    return true;
  }
  const std::size_t wanted = std::max(capacity, capacity_ * 2);
  char* grown = static_cast<char*>(std::realloc(data_.get(), wanted));  // NOLINT(cppcoreguidelines-no-malloc)
  if (grown == nullptr) {
    return false;
  }
  (void)data_.release();
  data_.reset(grown);
  capacity_ = wanted;
  return true;
}

bool Body::append(const char* data, std::size_t size) {
  if (!reserve(size_ + size + kPadding)) {
    return false;
  }
  std::memcpy(data_.get() + size_, data, size);
  size_ += size;
  std::memset(data_.get() + size_, 0, kPadding);
  return true;
}

void Body::shrink(std::size_t keep) {
  if (capacity_ > keep) {
    data_.reset();
    size_ = capacity_ = 0;
  }
}

// --- Channel

struct Channel::Handles {
  CURLM* multi = nullptr;
  CURL* easy = nullptr;
  Transfer* current = nullptr;  // whose callbacks are called
  std::string url;              // what the easy handle is set to
  std::array<char, CURL_ERROR_SIZE> error{};
  ~Handles() {
    if (easy != nullptr) {
      curl_easy_cleanup(easy);
    }
    if (multi != nullptr) {
      curl_multi_cleanup(multi);
    }
  }
  [[nodiscard]] bool ready() const { return multi != nullptr && easy != nullptr; }
};

/// One exchange under way: the callbacks' state, and the loop that drives it.
class Channel::Transfer {
 public:
  Transfer(Channel& channel, const Request& request) : channel_(channel), request_(request) {}
  ~Transfer() {
    if (added_) {
      curl_multi_remove_handle(channel_.handles_->multi, channel_.handles_->easy);
    }
    curl_slist_free_all(headers_);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  Exchange run(const std::stop_token& stop, std::optional<Steady::time_point> deadline);
  // libcurl's callbacks; `handles` is the channel's Handles.
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* handles);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* handles);

 private:
  bool take_body(const char* data, std::size_t size);
  bool set_up();
  [[nodiscard]] bool stalled();
  [[nodiscard]] bool connected() const;
  [[nodiscard]] std::string why_not_connected(std::string detail) const;
  Exchange end(Fault fault, std::string detail = {});
  Exchange end_of(CURLcode code);
  [[nodiscard]] int status() const;

  Channel& channel_;
  const Request& request_;
  Exchange exchange_;
  curl_slist* headers_ = nullptr;
  bool added_ = false;
  bool oversized_ = false;
  bool no_memory_ = false;
  bool machine_is_busy_ = false;  // this thread got no time when it should have
  std::size_t header_bytes_ = 0;
  std::size_t received_ = 0;
  std::optional<Steady::time_point> window_began_;  // since when the stall is measured
  std::size_t window_bytes_ = 0;
};

std::size_t Channel::Transfer::on_body(char* data, std::size_t size, std::size_t count, void* handles) {
  return static_cast<Handles*>(handles)->current->take_body(data, size * count) ? size * count : 0;
}

std::size_t Channel::Transfer::on_header(char* data, std::size_t size, std::size_t count, void* handles) {
  Transfer& transfer = *static_cast<Handles*>(handles)->current;
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {  // a new answer: what came before was an interim one
    transfer.exchange_.headers = {};
  }
  transfer.header_bytes_ += line.size();
  if (transfer.header_bytes_ > kHeaderBytes) {
    transfer.oversized_ = true;
    return 0;
  }
  keep_header(line, transfer.exchange_.headers);
  return line.size();
}

// The limit counts what was decompressed: a small answer may grow to anything.
bool Channel::Transfer::take_body(const char* data, std::size_t size) {
  received_ += size;
  const bool success = status() == 200;
  if (received_ > (success ? request_.body_limit : kErrorBodyMost)) {
    oversized_ = true;
    return false;
  }
  std::size_t wanted = size;
  if (!success) {
    wanted = std::min(size, kErrorBodyBytes - std::min(kErrorBodyBytes, channel_.body_.view().size()));
  }
  if (!channel_.body_.append(data, wanted)) {
    no_memory_ = true;
    return false;
  }
  return true;
}

int Channel::Transfer::status() const {
  long code = 0;
  curl_easy_getinfo(channel_.handles_->easy, CURLINFO_RESPONSE_CODE, &code);
  return static_cast<int>(code);
}

// What changes from one request to the next.
bool Channel::Transfer::set_up() {
  Handles& handles = *channel_.handles_;
  CURL* const easy = handles.easy;
  bool ok = true;
  handles.error[0] = '\0';
  if (handles.url != request_.url) {
    ok = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, request_.url.substr(0, request_.url.find(':')).c_str()) ==
             CURLE_OK &&
         ok;
    ok = curl_easy_setopt(easy, CURLOPT_URL, request_.url.c_str()) == CURLE_OK && ok;
    handles.url = request_.url;
  }
  std::vector<std::string> lines = request_.headers;
  lines.emplace_back("Accept: application/json");
  if (request_.body.empty()) {
    ok = curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK && ok;
  } else {
    lines.emplace_back("Content-Type: application/json");
    lines.emplace_back("Expect:");  // no second round trip before a large body
    ok = curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK && ok;
    ok = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size())) ==
             CURLE_OK &&
         ok;
    ok = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request_.body.data()) == CURLE_OK && ok;
  }
  for (const std::string& line : lines) {
    curl_slist* const longer = curl_slist_append(headers_, line.c_str());
    ok = longer != nullptr && ok;
    headers_ = longer != nullptr ? longer : headers_;
  }
  handles.current = this;
  return curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_) == CURLE_OK && ok;
}

Channel::Channel(const TransportOptions& options) : options_(options), handles_(std::make_unique<Handles>()) {
  if (global_ready()) {
    handles_->multi = curl_multi_init();
    handles_->easy = curl_easy_init();
  }
  usable_ = handles_->ready() && set_up();
}

Channel::~Channel() = default;

// What stays.
bool Channel::set_up() {
  CURL* const easy = handles_->easy;
  bool ok = true;
  const auto set = [&](CURLoption option, auto value) { ok = curl_easy_setopt(easy, option, value) == CURLE_OK && ok; };
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_PROXY, options_.proxy.c_str());  // empty: none, not even the environment's
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (!options_.ca_file.empty()) {
    set(CURLOPT_CAINFO, options_.ca_file.c_str());
  }
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(std::max<long long>(options_.connect_timeout / std::chrono::milliseconds(1), 1)));
  set(CURLOPT_TCP_KEEPALIVE, 1L);  // a call without a limit of its own still notices a peer that is gone
  set(CURLOPT_TCP_KEEPIDLE, 30L);
  set(CURLOPT_TCP_KEEPINTVL, 10L);
#if LIBCURL_VERSION_NUM >= 0x075700
  set(CURLOPT_QUICK_EXIT, 1L);  // a stop does not wait for a name server
#endif
  set(CURLOPT_ACCEPT_ENCODING, "gzip");
  set(CURLOPT_ERRORBUFFER, handles_->error.data());
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(handles_.get()));
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(handles_.get()));
  return ok;
}

bool Channel::Transfer::connected() const {
  curl_off_t sending = 0;  // when everything before the request was done
  curl_easy_getinfo(channel_.handles_->easy, CURLINFO_PRETRANSFER_TIME_T, &sending);
  return sending > 0;
}

// "Connection refused" says more than that there is none.
std::string Channel::Transfer::why_not_connected(std::string detail) const {
  long number = 0;
  curl_easy_getinfo(channel_.handles_->easy, CURLINFO_OS_ERRNO, &number);
  return number != 0 ? std::generic_category().message(static_cast<int>(number)) : std::move(detail);
}

// libcurl's own low-speed limit would also count the time that a provider thinks before its first byte.
bool Channel::Transfer::stalled() {
  const std::size_t bytes = header_bytes_ + received_;
  const Duration window = channel_.options_.stall_timeout;
  if (bytes == 0 || window <= Duration(0)) {
    return false;
  }
  const auto now = Steady::now();
  if (!window_began_) {
    window_began_ = now;
    window_bytes_ = bytes;
    return false;
  }
  if (now - *window_began_ < window) {
    return false;
  }
  const auto least = static_cast<std::size_t>(
      std::max<long long>(kLeastBytesASecond * (window / std::chrono::milliseconds(1)) / 1000, 1));
  const bool slow = bytes - window_bytes_ < least;
  window_began_ = now;
  window_bytes_ = bytes;
  return slow;
}

Exchange Channel::Transfer::end(Fault fault, std::string detail) {
  exchange_.fault = fault;
  exchange_.detail = std::move(detail);
  exchange_.status = status();
  return std::move(exchange_);
}

Exchange Channel::Transfer::end_of(CURLcode code) {
  if (oversized_) {
    return end(Fault::kOversized);
  }
  if (no_memory_) {
    return end(Fault::kLocal, "no memory for the answer");
  }
  const std::array<char, CURL_ERROR_SIZE>& words = channel_.handles_->error;
  std::string detail = words[0] != '\0' ? words.data() : curl_easy_strerror(code);
  switch (code) {
    case CURLE_OK: return end(Fault::kNone);
    case CURLE_COULDNT_CONNECT: return end(Fault::kUnreachable, why_not_connected(std::move(detail)));
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_PROXY: return end(Fault::kUnreachable, std::move(detail));
    case CURLE_OPERATION_TIMEDOUT:
      return connected() ? end(Fault::kTimeout, std::move(detail))
                         : end(Fault::kUnreachable, why_late(detail, request_.url, machine_is_busy_));
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS: return end(Fault::kTls, std::move(detail));
    case CURLE_PARTIAL_FILE:
    case CURLE_BAD_CONTENT_ENCODING: return end(Fault::kTruncated, std::move(detail));
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING: return end(Fault::kConnectionLost, std::move(detail));
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2: return end(Fault::kNotHttp, std::move(detail));
    default: return end(Fault::kLocal, std::move(detail));
  }
}

Exchange Channel::Transfer::run(const std::stop_token& stop, std::optional<Steady::time_point> deadline) {
  CURLM* const multi = channel_.handles_->multi;
  if (!set_up() || curl_multi_add_handle(multi, channel_.handles_->easy) != CURLM_OK) {
    return end(Fault::kLocal, "the request can't be set up");
  }
  added_ = true;
  const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
  for (;;) {
    if (stop.stop_requested()) {
      return end(Fault::kCancelled);
    }
    int running = 0;
    CURLMcode code = curl_multi_perform(multi, &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg == CURLMSG_DONE) {
        return end_of(message->data.result);
      }
    }
    const auto now = Steady::now();
    if (deadline && now >= *deadline) {
      return connected() ? end(Fault::kTimeout)
                         : end(Fault::kUnreachable,
                               why_late("no connection within the time limit", request_.url, machine_is_busy_));
    }
    if (stalled()) {
      return end(Fault::kStalled);
    }
    Duration longest = kLongestPoll;
    if (deadline) {
      longest = std::min<Duration>(longest, *deadline - now + std::chrono::milliseconds(1));
    }
    if (channel_.options_.stall_timeout > Duration(0)) {
      longest = std::min(longest, channel_.options_.stall_timeout);
    }
    if (code == CURLM_OK) {
      code = curl_multi_poll(multi, nullptr, 0, static_cast<int>(longest / std::chrono::milliseconds(1)), nullptr);
    }
    if (Steady::now() - now > longest + kMuchTooLate) {
      machine_is_busy_ = true;
    }
    if (code != CURLM_OK) {
      return end(Fault::kLocal, curl_multi_strerror(code));
    }
  }
}

Exchange Channel::send(const Request& request, const std::stop_token& stop,
                       std::optional<Steady::time_point> deadline) {
  body_.clear();
  if (!usable_) {
    Exchange failed;
    failed.fault = Fault::kLocal;
    failed.detail = "libcurl can't be initialised";
    return failed;
  }
  return Transfer(*this, request).run(stop, deadline);
}

}  // namespace embedjobs::http
