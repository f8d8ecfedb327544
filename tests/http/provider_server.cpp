#include "http/provider_server.hpp"

#include <fcntl.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <limits>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

#include "embedjobs/types.hpp"
#include "http/provider_answers.hpp"
#include "http/server_sockets.hpp"

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

}  // namespace

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
  [[nodiscard]] std::string error_json(std::string_view message, std::string_view code) const {
    return test::error_json(options.play, message, code);
  }

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
  if (options.refuses_format && asked.any_format) {
    return Answer{.status = 422, .body = R"({"detail":"Extra inputs are not permitted"})", .headers = {}};
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
      if (options.too_long_status != 0) {
        return Answer{.status = options.too_long_status, .body = options.too_long_body, .headers = {}};
      }
      return refuse(400, "the input length exceeds the context length", "context_length_exceeded");
    }
  }
  return std::nullopt;
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
    case Trouble::kBackendAway:
      response.set_header("retry-after-ms", "20");
      return reply(424, error_json("the backend is away", "Backend"));
    case Trouble::kErrorInside: return reply(200, error_json("no upstream answered", "404"));
    case Trouble::kBudget: return reply(429, error_json("the budget of this key is spent", "budget_exceeded"));
    case Trouble::kNotImplemented: return reply(501, error_json("embeddings are switched off", "501"));
    case Trouble::kUnauthorised: return reply(401, error_json("Incorrect API key provided", "invalid_api_key"));
    case Trouble::kBrokenJson: {
      const std::string body = vectors_json(options, asked, Trouble::kNone);
      return reply(200, body.substr(0, body.size() / 2));
    }
    default: break;
  }
  const std::string body = vectors_json(options, asked, trouble);
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
  } else if (path == route_of(options) && request.method == "POST") {
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
