// docs/embedding-guide.md quotes this file: log lines, events, and an embedder of one's own.
#include <atomic>
#include <cstdio>
#include <string>

#include "embedjobs/embedjobs.hpp"

namespace {

/// How often each letter occurs: 26 floats a text. A real one calls a model.
class LetterEmbedder final : public embedjobs::Embedder {
 public:
  embedjobs::Result<embedjobs::Space> space(const embedjobs::CallContext&) override {
    return embedjobs::Space{.model = "letters", .dimension = 26, .variant = "v1"};  // all that makes vectors comparable
  }

  embedjobs::Result<embedjobs::Embeddings> embed(std::span<const std::string_view> texts,
                                                 const embedjobs::CallContext& context) override {
    embedjobs::Embeddings answer{.vectors = embedjobs::Matrix(texts.size(), 26)};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (context.stop.stop_requested()) {
        return {embedjobs::Code::kCancelled, "asked to stop"};  // within a second, whatever is under way
      }
      bool empty = true;
      for (const char c : texts[i]) {
        if (c >= 'a' && c <= 'z') {
          answer.vectors.row(i)[static_cast<std::size_t>(c - 'a')] += 1;
          empty = false;
        }
      }
      if (empty) {
        return {embedjobs::Code::kInputRejected, "a text without letters"};  // that text is set aside, the others go on
      }
    }
    return answer;
  }

  embedjobs::EmbedderLimits limits() const override { return {.concurrent_calls = 4}; }
};

}  // namespace

int main() {
  std::atomic<int> reloads = 0;
  embedjobs::EngineOptions options;
  options.dsn = "memory:";
  options.worker.batch_size = 16;
  options.log = [](embedjobs::LogLevel level, std::string_view line) {
    std::fprintf(stderr, "%s: %s\n", std::string(embedjobs::to_string(level)).c_str(), std::string(line).c_str());
  };
  options.events = [&reloads](const embedjobs::Event& event) {
    if (event.kind == embedjobs::EventKind::kJobSucceeded) {
      ++reloads;  // the new vectors are visible: reload what depends on them
    }
  };

  embedjobs::EngineParts parts;
  parts.embedder = std::make_shared<LetterEmbedder>();

  auto engine = embedjobs::Engine::open(options, parts);
  const std::string document =
      R"({"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {"/a": {"get": {"summary": "first"}}}})";
  if (!engine.ok() || !(*engine)->put({"shop", "api"}, document).ok() || !(*engine)->start().ok() ||
      !(*engine)->wait_idle(std::chrono::minutes(1)).ok() || !(*engine)->stop(std::chrono::seconds(30))) {
    return 1;
  }
  std::printf("%d reload\n", reloads.load());
  return reloads == 1 ? 0 : 1;
}
