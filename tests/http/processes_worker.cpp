// One worker of processes_test.cpp: works on a file until there is nothing left to do. processes_worker DSN EMBEDDER
#include <cstdio>

#include "embedjobs/engine.hpp"
#include "embedjobs/events.hpp"

int main(int argc, char** argv) {
  if (argc != 3) {
    return 2;
  }
  embedjobs::EngineOptions options;
  options.dsn = argv[1];
  options.embedder = argv[2];
  options.log = [](embedjobs::LogLevel, std::string_view line) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  };
  auto engine = embedjobs::Engine::open(options);
  if (!engine.ok()) {
    std::fprintf(stderr, "%s\n", engine.status().to_string().c_str());
    return 1;
  }
  if (const embedjobs::Status status = (*engine)->start(); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.to_string().c_str());
    return 1;
  }
  const auto report = (*engine)->wait_idle(std::chrono::hours(1));
  return report.ok() && report->idle ? 0 : 1;
}
