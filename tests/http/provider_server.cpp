#include "http/provider_server.hpp"

#include <fcntl.h>
#include <httplib.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <simdjson.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <limits>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

#include "embedjobs/types.hpp"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
// The distribution's cpp-httplib is not built with the thread sanitizer, which then sees races in it that it can't
// judge.
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_suppressions() {
  return "race:libcpp-httplib\n";
}
#endif
#endif

namespace embedjobs::test {
namespace {

using std::chrono::seconds;

struct NamedTrouble {
  Trouble trouble;
  std::string_view name;
};
constexpr std::array<NamedTrouble, 22> kTroubles{{{Trouble::kNone, "ok"},
                                                  {Trouble::kRateLimit, "rate_limit"},
                                                  {Trouble::kBusy, "busy"},
                                                  {Trouble::kLoading, "loading"},
                                                  {Trouble::kInternalError, "internal_error"},
                                                  {Trouble::kBadGateway, "bad_gateway"},
                                                  {Trouble::kBrokenJson, "broken_json"},
                                                  {Trouble::kHtml, "html"},
                                                  {Trouble::kWrongCount, "wrong_count"},
                                                  {Trouble::kWrongOrder, "wrong_order"},
                                                  {Trouble::kWrongDimension, "wrong_dimension"},
                                                  {Trouble::kNan, "nan"},
                                                  {Trouble::kZero, "zero"},
                                                  {Trouble::kEmpty, "empty"},
                                                  {Trouble::kTruncated, "truncated"},
                                                  {Trouble::kOversized, "oversized"},
                                                  {Trouble::kTrickle, "trickle"},
                                                  {Trouble::kSilent, "silent"},
                                                  {Trouble::kGarbage, "garbage"},
                                                  {Trouble::kReset, "reset"},
                                                  {Trouble::kQuota, "quota"},
                                                  {Trouble::kUnauthorised, "unauthorised"}}};

struct Asked {
  std::string model;
  std::vector<std::string> texts;
  std::size_t dimensions = 0;
  bool base64 = false;
};

/// What the request says; none for a body that is no question.
std::optional<Asked> read_question(const std::string& body, Play play) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(body).get(object) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  Asked asked;
  std::string_view text;
  if (object["model"].get(text) == simdjson::SUCCESS) {
    asked.model = text;
  }
  if (object["encoding_format"].get(text) == simdjson::SUCCESS) {
    asked.base64 = text == "base64";
  }
  std::uint64_t dimensions = 0;
  if (object["dimensions"].get(dimensions) == simdjson::SUCCESS) {
    asked.dimensions = dimensions;
  }
  const char* const member = play == Play::kOldOllama ? "prompt" : play == Play::kTei ? "inputs" : "input";
  simdjson::dom::element input;
  if (object[member].get(input) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  simdjson::dom::array list;
  if (input.get(list) == simdjson::SUCCESS) {
    for (const auto item : list) {
      if (item.get(text) != simdjson::SUCCESS) {
        return std::nullopt;
      }
      asked.texts.emplace_back(text);
    }
  } else if (input.get(text) == simdjson::SUCCESS) {
    asked.texts.emplace_back(text);
  } else {
    return std::nullopt;
  }
  return asked;
}

std::string json_numbers(const std::vector<float>& vector) {
  std::string json = "[";
  for (const float value : vector) {
    json += json.size() > 1 ? "," : "";
    if (std::isnan(value)) {
      json += "NaN";
    } else {
      fmt::format_to(std::back_inserter(json), "{}", value);
    }
  }
  return json + "]";
}

std::string base64(const std::vector<float>& vector) {
  std::string bytes(vector.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), vector.data(), bytes.size());
  std::string encoded(bytes.size() / 3 * 4 + 8, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  encoded.resize(static_cast<std::size_t>(size));
  return "\"" + encoded + "\"";
}

/// The socket of the connection from `remote_port` to `local_port`: httplib does not give it away.
int socket_of(int local_port, int remote_port) {
  constexpr int kMost = 4096;
  for (int fd = 3; fd < kMost; ++fd) {
    sockaddr_in local{}, remote{};
    socklen_t size = sizeof(local);
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) != 0 || ntohs(local.sin_port) != local_port) {
      continue;
    }
    size = sizeof(remote);
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&remote), &size) == 0 && ntohs(remote.sin_port) == remote_port) {
      return fd;
    }
  }
  return -1;
}

// httplib lets five connections wait; a sixth would try again after a second.
void widen_backlog(int port) {
  constexpr int kMost = 4096;
  for (int fd = 3; fd < kMost; ++fd) {
    sockaddr_in local{};
    socklen_t size = sizeof(local);
    int listens = 0;
    socklen_t flag_size = sizeof(listens);
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) == 0 && ntohs(local.sin_port) == port &&
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &flag_size) == 0 && listens != 0) {
      listen(fd, 256);
    }
  }
}

// A socket without a peer takes the place of the connection: what httplib writes then goes nowhere.
void drop_connection(int fd, bool reset) {
  if (reset) {
    const linger at_once{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  }
  const int nobody = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  dup2(nobody, fd);
  close(nobody);
}

}  // namespace

std::string_view to_string(Trouble trouble) {
  for (const NamedTrouble& named : kTroubles) {
    if (named.trouble == trouble) {
      return named.name;
    }
  }
  return "unknown";
}

std::optional<Trouble> parse_trouble(std::string_view name) {
  for (const NamedTrouble& named : kTroubles) {
    if (named.name == name) {
      return named.trouble;
    }
  }
  return std::nullopt;
}

std::vector<Trouble> passing_troubles() {
  return {Trouble::kRateLimit, Trouble::kBusy,  Trouble::kInternalError, Trouble::kBadGateway, Trouble::kBrokenJson,
          Trouble::kHtml,      Trouble::kZero,  Trouble::kWrongCount,    Trouble::kWrongOrder, Trouble::kWrongDimension,
          Trouble::kNan,       Trouble::kEmpty, Trouble::kTruncated,     Trouble::kGarbage,    Trouble::kReset};
}

std::vector<float> vector_of(std::string_view text, std::size_t dimension) {
  const TextHash hash = hash_text(text);
  std::uint64_t state = 0;
  std::memcpy(&state, hash.data(), sizeof(state));
  std::vector<float> vector(dimension);
  double square = 0;
  for (float& value : vector) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    value = static_cast<float>(static_cast<double>(state >> 40) / static_cast<double>(1 << 24) - 0.5);
    square += static_cast<double>(value) * value;
  }
  for (float& value : vector) {
    value = static_cast<float>(value / std::sqrt(square));
  }
  return vector;
}

struct ProviderServer::Impl {
  explicit Impl(ServerOptions with) : options(std::move(with)), random(options.seed) {}

  void open();
  void close();
  void handle(const httplib::Request& request, httplib::Response& response);
  void handle_question(const httplib::Request& request, httplib::Response& response);
  void answer(const httplib::Request& request, httplib::Response& response, Trouble trouble, const Asked& asked);
  bool misbehave(const httplib::Request& request, httplib::Response& response, Trouble trouble,
                 const std::string& body);
  Trouble next_trouble();
  void note(const httplib::Request& request, const Asked& asked);
  void log_call(const Asked& asked) const;
  bool wait(std::chrono::nanoseconds time);
  void work(const Asked& asked);
  std::optional<Answer> refusal(const Asked& asked, const httplib::Request& request);
  std::string vectors_json(const Asked& asked, Trouble trouble) const;
  std::string error_json(std::string_view message, std::string_view code) const;
  [[nodiscard]] std::string route() const;

  ServerOptions options;
  std::unique_ptr<httplib::Server> server;
  std::thread thread;
  int port = 0;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::mt19937_64 random;
  std::deque<Trouble> scripted;
  std::optional<Trouble> constant;
  std::function<Answer(std::string_view, std::size_t)> custom;
  Seen seen;
  std::set<int> ports;
  std::size_t under_way = 0, working = 0;
  bool ending = false;
};

void ProviderServer::Impl::open() {
  if (options.cert_file.empty()) {
    server = std::make_unique<httplib::Server>();
  } else {
    server = std::make_unique<httplib::SSLServer>(options.cert_file.c_str(), options.key_file.c_str());
  }
  constexpr std::size_t kThreads = 64;
  server->new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server->set_tcp_nodelay(true);
  server->set_keep_alive_max_count(std::numeric_limits<int>::max());
  const auto handler = [this](const httplib::Request& request, httplib::Response& response) {
    handle(request, response);
  };
  server->Post(".*", handler);
  server->Get(".*", handler);
  if (options.port != 0) {
    port = server->bind_to_port("127.0.0.1", options.port) ? options.port : -1;
  } else {
    port = server->bind_to_any_port("127.0.0.1");
  }
  if (port <= 0) {
    throw std::runtime_error("the test's provider can't listen");
  }
  thread = std::thread([this] { server->listen_after_bind(); });
  while (!server->is_running()) {
    std::this_thread::yield();
  }
  widen_backlog(port);
}

void ProviderServer::Impl::close() {
  {
    const std::lock_guard lock(mutex);
    ending = true;
    changed.notify_all();
  }
  server->stop();
  // Kept connections hold httplib's threads until they time out.
  for (const int remote_port : ports) {
    if (const int fd = socket_of(port, remote_port); fd >= 0) {
      shutdown(fd, SHUT_RDWR);
    }
  }
  thread.join();
}

/// False: the server ends.
bool ProviderServer::Impl::wait(std::chrono::nanoseconds time) {
  std::unique_lock lock(mutex);
  return !changed.wait_for(lock, time, [&] { return ending; });
}

std::string ProviderServer::Impl::route() const {
  switch (options.play) {
    case Play::kOllama: return "/api/embed";
    case Play::kOldOllama: return "/api/embeddings";
    case Play::kOpenAi: return "/v1/embeddings";
    case Play::kAzure: return "/openai/deployments/" + options.model + "/embeddings";
    case Play::kTei: return "/embed";
  }
  return "/";
}

Trouble ProviderServer::Impl::next_trouble() {
  const std::lock_guard lock(mutex);
  if (constant) {
    return *constant;
  }
  if (!scripted.empty()) {
    const Trouble trouble = scripted.front();
    scripted.pop_front();
    return trouble;
  }
  if (options.faulty > 0 && std::uniform_real_distribution<double>(0, 1)(random) < options.faulty) {
    return options.troubles[random() % options.troubles.size()];
  }
  return Trouble::kNone;
}

void ProviderServer::Impl::note(const httplib::Request& request, const Asked& asked) {
  const std::lock_guard lock(mutex);
  ++seen.calls;
  seen.texts_of_calls.push_back(asked.texts.size());
  seen.texts += asked.texts.size();
  std::vector<std::string>& of_caller = seen.texts_of_callers[request.get_header_value("Authorization")];
  for (const std::string& text : asked.texts) {
    ++seen.times[text];
    of_caller.push_back(text);
  }
  seen.last_body = request.body;
  seen.last_path = request.path;
  seen.last_authorization = request.get_header_value("Authorization");
  seen.last_api_key = request.get_header_value("api-key");
  changed.notify_all();
}

void ProviderServer::Impl::log_call(const Asked& asked) const {
  if (options.log_file.empty()) {
    return;
  }
  const auto now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  std::string line = fmt::format("{} {}", format_rfc3339(now), asked.texts.size());
  for (const std::string& text : asked.texts) {
    line += " " + to_hex(hash_text(text));
  }
  line += '\n';
  const int fd = ::open(options.log_file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd >= 0) {
    [[maybe_unused]] const auto written = ::write(fd, line.data(), line.size());
    ::close(fd);
  }
}

// The model's own time. No more than at_once calls have it at the same time.
void ProviderServer::Impl::work(const Asked& asked) {
  const auto time = options.delay_per_call + options.delay_per_text * static_cast<long>(asked.texts.size());
  if (time.count() == 0) {
    return;
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return ending || working < options.at_once; });
  ++working;
  changed.wait_for(lock, time, [&] { return ending; });
  --working;
  changed.notify_all();
}

std::string ProviderServer::Impl::error_json(std::string_view message, std::string_view code) const {
  switch (options.play) {
    case Play::kOllama:
    case Play::kOldOllama: return fmt::format(R"({{"error":"{}"}})", message);
    case Play::kTei: return fmt::format(R"({{"error":"{}","error_type":"{}"}})", message, code);
    case Play::kOpenAi:
    case Play::kAzure: break;
  }
  return fmt::format(R"({{"error":{{"message":"{}","type":"invalid_request_error","param":null,"code":"{}"}}}})",
                     message, code);
}

std::optional<Answer> ProviderServer::Impl::refusal(const Asked& asked, const httplib::Request& request) {
  const std::lock_guard lock(mutex);
  const auto refuse = [&](int status, std::string_view message, std::string_view code) {
    return Answer{.status = status, .body = error_json(message, code), .headers = {}};
  };
  if (!options.key.empty() && request.get_header_value("Authorization") != "Bearer " + options.key &&
      request.get_header_value("api-key") != options.key) {
    // What servers do: they repeat what they were given.
    return refuse(401, "Incorrect API key provided: " + request.get_header_value("Authorization"), "invalid_api_key");
  }
  if (options.play != Play::kTei && asked.model != options.model) {
    return refuse(404, "model '" + asked.model + "' not found, try pulling it first", "model_not_found");
  }
  if (options.refuses_base64 && asked.base64) {
    return refuse(400, "encoding_format base64 is not supported", "invalid_value");
  }
  if (options.max_batch != 0 && asked.texts.size() > options.max_batch) {
    return refuse(422,
                  fmt::format("batch size {} > maximum allowed batch size {}", asked.texts.size(), options.max_batch),
                  "Validation");
  }
  for (const std::string& text : asked.texts) {
    if (!options.poison.empty() && text.find(options.poison) != std::string::npos) {
      return refuse(options.poison_status, "this text can't be embedded", "bad_input");
    }
    if (options.max_input_bytes != 0 && text.size() > options.max_input_bytes) {
      return refuse(400, "the input length exceeds the context length", "context_length_exceeded");
    }
  }
  return std::nullopt;
}

std::string ProviderServer::Impl::vectors_json(const Asked& asked, Trouble trouble) const {
  std::size_t dimension = asked.dimensions != 0 ? asked.dimensions : options.dimension;
  dimension += trouble == Trouble::kWrongDimension ? 1 : 0;
  std::vector<std::string> vectors;
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < asked.texts.size(); ++i) {
    std::vector<float> vector = vector_of(asked.texts[i], dimension);
    tokens += asked.texts[i].size() / 4 + 1;
    const bool last = i + 1 == asked.texts.size();
    if (trouble == Trouble::kNan && last) {
      vector.back() = std::nanf("");
    }
    if (trouble == Trouble::kZero && last) {
      std::fill(vector.begin(), vector.end(), 0.0F);
    }
    if (options.play == Play::kOldOllama) {
      std::transform(vector.begin(), vector.end(), vector.begin(), [](float value) { return value * 3; });
    }
    vectors.push_back(asked.base64 && !options.arrays_only ? base64(vector) : json_numbers(vector));
  }
  const bool open_ai = options.play == Play::kOpenAi || options.play == Play::kAzure;
  if (trouble == Trouble::kWrongCount || (trouble == Trouble::kWrongOrder && !open_ai)) {
    vectors.pop_back();
  }
  if (trouble == Trouble::kEmpty) {
    vectors.clear();
  }
  if (options.play == Play::kOldOllama) {
    return fmt::format(R"({{"embedding":{}}})", vectors.empty() ? "[]" : vectors[0]);
  }
  if (!open_ai) {
    const std::string list = fmt::format("[{}]", fmt::join(vectors, ","));
    return options.play == Play::kTei
               ? list
               : fmt::format(R"({{"model":"{}","embeddings":{},"total_duration":1,"prompt_eval_count":{}}})",
                             options.model, list, tokens);
  }
  // Last first: the order is the index's, not the position's.
  std::string list;
  for (std::size_t i = vectors.size(); i-- > 0;) {
    const std::size_t index = trouble == Trouble::kWrongOrder ? 0 : i;
    list += fmt::format(R"({}{{"object":"embedding","embedding":{},"index":{}}})", list.empty() ? "" : ",", vectors[i],
                        index);
  }
  if (trouble == Trouble::kWrongOrder && vectors.size() == 1) {
    list = fmt::format(R"({{"object":"embedding","embedding":{},"index":7}})", vectors[0]);
  }
  return fmt::format(R"({{"object":"list","data":[{}],"model":"{}","usage":{{"prompt_tokens":{},"total_tokens":{}}}}})",
                     list, options.model, tokens, tokens);
}

// What is not simply another status or body. True: done.
bool ProviderServer::Impl::misbehave(const httplib::Request& request, httplib::Response& response, Trouble trouble,
                                     const std::string& body) {
  const int fd = socket_of(port, request.remote_port);
  switch (trouble) {
    case Trouble::kSilent:
      (void)wait(std::chrono::hours(1));
      drop_connection(fd, false);
      return true;
    case Trouble::kReset: drop_connection(fd, true); return true;
    case Trouble::kGarbage: {
      constexpr std::string_view kGarbage = "\x01\x02 this is not HTTP\r\n\r\n";
      [[maybe_unused]] const auto sent = ::send(fd, kGarbage.data(), kGarbage.size(), MSG_NOSIGNAL);
      drop_connection(fd, false);
      return true;
    }
    case Trouble::kTruncated:
      response.set_content_provider(body.size(), "application/json",
                                    [body](std::size_t offset, std::size_t, httplib::DataSink& sink) {
                                      return offset == 0 && sink.write(body.data(), body.size() / 2);
                                    });
      return true;
    case Trouble::kTrickle:
      response.set_content_provider(body.size(), "application/json",
                                    [this, body](std::size_t offset, std::size_t, httplib::DataSink& sink) {
                                      return sink.write(body.data() + offset, 1) && wait(seconds(1));
                                    });
      return true;
    case Trouble::kOversized:
      response.set_chunked_content_provider("application/json", [this](std::size_t, httplib::DataSink& sink) {
        const std::string spaces(std::size_t{1} << 20, ' ');
        return sink.write(spaces.data(), spaces.size()) && wait(std::chrono::nanoseconds(1));
      });
      return true;
    default: return false;
  }
}

void ProviderServer::Impl::answer(const httplib::Request& request, httplib::Response& response, Trouble trouble,
                                  const Asked& asked) {
  const auto reply = [&](int status, const std::string& body, const char* type = "application/json") {
    response.status = status;
    response.set_content(body, type);
  };
  switch (trouble) {
    case Trouble::kRateLimit:
      response.set_header("retry-after-ms", "20");
      return reply(429, error_json("Rate limit reached", "rate_limit_exceeded"));
    case Trouble::kBusy:
      return reply(503, error_json("server busy, please try again.  maximum pending requests exceeded", "overloaded"));
    case Trouble::kLoading: return reply(503, error_json("Loading model", "unavailable_error"));
    case Trouble::kInternalError: return reply(500, error_json("something broke", "internal_error"));
    case Trouble::kBadGateway: return reply(502, "<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html");
    case Trouble::kHtml: return reply(200, "<html><body>Please log in</body></html>", "text/html");
    case Trouble::kQuota:
      return reply(429, error_json("You exceeded your current quota, please check your plan", "insufficient_quota"));
    case Trouble::kUnauthorised: return reply(401, error_json("Incorrect API key provided", "invalid_api_key"));
    case Trouble::kBrokenJson: {
      const std::string body = vectors_json(asked, Trouble::kNone);
      return reply(200, body.substr(0, body.size() / 2));
    }
    default: break;
  }
  const std::string body = vectors_json(asked, trouble);
  if (!misbehave(request, response, trouble, body)) {
    if (options.play == Play::kTei) {
      response.set_header("x-compute-tokens", std::to_string(asked.texts.size() * 3));
    }
    reply(200, body,
          options.gzip ? "application/json" : "application/octet-stream");  // httplib compresses what it knows as text
  }
}

void ProviderServer::Impl::handle_question(const httplib::Request& request, httplib::Response& response) {
  const std::optional<Asked> asked = read_question(request.body, options.play);
  if (!asked) {
    response.status = 400;
    response.set_content(error_json("the request can't be read", "bad_request"), "application/json");
    return;
  }
  log_call(*asked);
  note(request, *asked);
  const std::optional<Answer> refused = refusal(*asked, request);
  work(*asked);
  if (refused) {
    response.status = refused->status;
    response.set_content(refused->body, refused->content_type);
    return;
  }
  answer(request, response, next_trouble(), *asked);
}

void ProviderServer::Impl::handle(const httplib::Request& request, httplib::Response& response) {
  const auto began = std::chrono::steady_clock::now();
  std::function<Answer(std::string_view, std::size_t)> chosen;
  std::size_t call = 0;
  std::string path = request.path;
  if (path.starts_with("http://")) {  // as a proxy is asked
    path.erase(0, path.find('/', 7));
  }
  {
    const std::lock_guard lock(mutex);
    if (ports.insert(request.remote_port).second) {
      ++seen.connections;
    }
    seen.at_once = std::max(seen.at_once, ++under_way);
    chosen = custom;
    call = seen.calls;
  }
  if (chosen) {
    note(request, {});
    const Answer given = chosen(path, call);
    response.status = given.status;
    for (const auto& [name, value] : given.headers) {
      response.set_header(name, value);
    }
    response.set_content(given.body, given.content_type);
  } else if (path == "/info" && options.play == Play::kTei) {
    response.set_content(fmt::format(R"({{"model_id":"{}","max_client_batch_size":32}})", options.model),
                         "application/json");
  } else if (path == route() && request.method == "POST") {
    handle_question(request, response);
  } else {
    response.status = 404;
    response.set_content("404 page not found", "text/plain");
  }
  const std::lock_guard lock(mutex);
  --under_way;
  seen.own_time += std::chrono::steady_clock::now() - began;
  changed.notify_all();
}

ProviderServer::ProviderServer(ServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  impl_->open();
}

ProviderServer::~ProviderServer() {
  impl_->close();
}

std::string ProviderServer::url() const {
  return fmt::format("{}://127.0.0.1:{}", impl_->options.cert_file.empty() ? "http" : "https", impl_->port);
}

void ProviderServer::script(std::vector<Trouble> troubles) {
  const std::lock_guard lock(impl_->mutex);
  impl_->scripted.assign(troubles.begin(), troubles.end());
}

void ProviderServer::always(std::optional<Trouble> trouble) {
  const std::lock_guard lock(impl_->mutex);
  impl_->constant = trouble;
}

void ProviderServer::answer_with(std::function<Answer(std::string_view, std::size_t)> answer) {
  const std::lock_guard lock(impl_->mutex);
  impl_->custom = std::move(answer);
}

void ProviderServer::remove_poison() {
  const std::lock_guard lock(impl_->mutex);
  impl_->options.poison.clear();
}

void ProviderServer::wait_for_calls(std::size_t calls) {
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock, [&] { return impl_->seen.calls >= calls; });
}

Seen ProviderServer::seen() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->seen;
}

}  // namespace embedjobs::test
