// docs/gateway-tutorial.md quotes this file: an HTTP gateway that finds API operations by meaning.
//
//   gateway [PORT]
//   PUT /specs/NAME     an OpenAPI document; a job embeds it in the background
//   GET /specs          where each document stands
//   GET /search?q=...   the three nearest operations
#include <httplib.h>
#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <embedjobs/embedjobs.hpp>
#include <string>
#include <thread>

namespace {

int http_status(embedjobs::Code code) {
  switch (code) {
    case embedjobs::Code::kInvalidDocument:
    case embedjobs::Code::kInvalidArgument: return 422;
    case embedjobs::Code::kNotFound: return 404;  // nothing was put yet
    default: return 500;
  }
}

void answer_error(const embedjobs::Status& error, httplib::Response& response) {
  response.status = http_status(error.code());
  response.set_content(error.message() + "\n", "text/plain");
}

// --- put
void put(embedjobs::Engine& engine, const httplib::Request& request, httplib::Response& response) {
  const auto stored = engine.put({"gateway", request.matches[1]}, request.body);
  if (!stored.ok()) {
    return answer_error(stored.status(), response);
  }
  response.status = 202;
  response.set_content("stored\n", "text/plain");
}
// --- specs
void specs(embedjobs::Engine& engine, httplib::Response& response) {
  const auto all = engine.status("gateway");
  if (!all.ok()) {
    return answer_error(all.status(), response);
  }
  std::string text;
  for (const embedjobs::SpecStatus& spec : *all) {
    text += spec.key.spec_name + ": " + embedjobs::make_badge(spec).label + "\n";
  }
  response.set_content(text, "text/plain");
}
// --- search
void search(embedjobs::Engine& engine, const httplib::Request& request, httplib::Response& response) {
  const auto hits = engine.search("gateway", request.get_param_value("q"), 3);
  if (!hits.ok()) {
    return answer_error(hits.status(), response);
  }
  std::string text;
  for (const embedjobs::SearchHit& hit : *hits) {
    text += hit.key.spec_name + " " + hit.operation_id + "\n";
  }
  response.set_content(text, "text/plain");
}
// --- end

}  // namespace

int main(int argc, char** argv) {
  // All threads leave these signals to sigwait() below.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);

  embedjobs::EngineOptions options;
  options.dsn = "sqlite:gateway.db";  // documents, jobs and vectors
  options.embedder = "hashing";       // needs no model
  options.log = [](embedjobs::LogLevel, std::string_view line) {
    std::fprintf(stderr, "%s\n", std::string(line).c_str());
  };
  auto opened = embedjobs::Engine::open(options);
  if (!opened.ok() || !(*opened)->start().ok()) {
    std::fprintf(stderr, "%s\n", opened.status().to_string().c_str());
    return 1;
  }
  embedjobs::Engine& engine = **opened;

  httplib::Server server;
  server.Put("/specs/([a-z0-9-]+)", [&](const auto& request, auto& response) { put(engine, request, response); });
  server.Get("/specs", [&](const auto&, auto& response) { specs(engine, response); });
  server.Get("/search", [&](const auto& request, auto& response) { search(engine, request, response); });
  const int port = argc > 1 ? std::atoi(argv[1]) : 8080;
  if (!server.bind_to_port("127.0.0.1", port)) {
    std::fprintf(stderr, "port %d is taken\n", port);
    return 1;
  }
  std::thread listener([&] { server.listen_after_bind(); });

  int signal = 0;
  sigwait(&ends, &signal);
  server.stop();
  listener.join();
  return engine.stop(std::chrono::seconds(30)) ? 0 : 1;
}
