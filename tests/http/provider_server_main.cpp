// provider_server: the tests' provider as a program. Prints its URL, then serves until SIGTERM or the end of standard
// input.
//   provider_server [--kind ollama|old-ollama|openai|azure|tei] [--port N] [--model NAME] [--dimension N]
//   [--delay-per-text MS]
//     [--delay-per-call MS] [--script TROUBLE,...] [--always TROUBLE] [--faulty FRACTION] [--seed N] [--poison TEXT]
//     [--key KEY] [--log
//     FILE]
//     [--max-batch N] [--max-input-bytes N] [--reads-bytes N] [--answering-model NAME]
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include <unistd.h>

#include "http/provider_server.hpp"

namespace {

using namespace embedjobs::test;

const std::map<std::string, Play> kKinds{{"ollama", Play::kOllama},
                                         {"old-ollama", Play::kOldOllama},
                                         {"openai", Play::kOpenAi},
                                         {"azure", Play::kAzure},
                                         {"tei", Play::kTei}};

[[noreturn]] void usage(const std::string& why) {
  std::fprintf(stderr, "provider_server: %s\n", why.c_str());
  std::exit(2);
}

Trouble trouble_named(const std::string& name) {
  const auto trouble = parse_trouble(name);
  if (!trouble) {
    usage("there is no trouble '" + name + "'");
  }
  return *trouble;
}

std::vector<Trouble> troubles_named(const std::string& names) {
  std::vector<Trouble> troubles;
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = std::min(names.find(',', begin), names.size());
    troubles.push_back(trouble_named(names.substr(begin, end - begin)));
    begin = end + 1;
  }
  return troubles;
}

}  // namespace

int main(int argc, char** argv) {
  ServerOptions options;
  std::vector<Trouble> script;
  std::optional<Trouble> always;
  const auto number = [](const std::string& value) {
    return static_cast<std::size_t>(std::strtoull(value.c_str(), nullptr, 10));
  };
  const auto milliseconds = [&](const std::string& value) { return std::chrono::milliseconds(number(value)); };
  const std::map<std::string, std::function<void(const std::string&)>> flags{
      {"--kind",
       [&](const std::string& value) {
         options.play = kKinds.count(value) != 0 ? kKinds.at(value) : (usage("unknown kind"), Play{});
       }},
      {"--port", [&](const std::string& value) { options.port = static_cast<int>(number(value)); }},
      {"--model", [&](const std::string& value) { options.model = value; }},
      {"--dimension", [&](const std::string& value) { options.dimension = number(value); }},
      {"--delay-per-text", [&](const std::string& value) { options.delay_per_text = milliseconds(value); }},
      {"--delay-per-call", [&](const std::string& value) { options.delay_per_call = milliseconds(value); }},
      {"--script", [&](const std::string& value) { script = troubles_named(value); }},
      {"--always", [&](const std::string& value) { always = trouble_named(value); }},
      {"--faulty", [&](const std::string& value) { options.faulty = std::strtod(value.c_str(), nullptr); }},
      {"--seed", [&](const std::string& value) { options.seed = number(value); }},
      {"--poison", [&](const std::string& value) { options.poison = value; }},
      {"--key", [&](const std::string& value) { options.key = value; }},
      {"--log", [&](const std::string& value) { options.log_file = value; }},
      {"--max-batch", [&](const std::string& value) { options.max_batch = number(value); }},
      {"--max-input-bytes", [&](const std::string& value) { options.max_input_bytes = number(value); }},
      {"--reads-bytes", [&](const std::string& value) { options.reads_bytes = number(value); }},
      {"--answering-model", [&](const std::string& value) { options.answering_model = value; }},
  };
  for (int i = 1; i + 1 < argc + 1; i += 2) {
    const auto flag = flags.find(argv[i]);
    if (flag == flags.end() || i + 1 >= argc) {
      usage(std::string("see the head of its source for its flags; not one: ") + argv[i]);
    }
    flag->second(argv[i + 1]);
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  ProviderServer server(options);
  server.script(script);
  server.always(always);
  std::printf("%s\n", server.url().c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  return 0;
}
