// docs/write-your-own.md quotes this file: a host's own way from a document to vectors. Each line of a document is an
// operation; what its vector is, the host alone knows.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "embedjobs/embedjobs.hpp"

namespace {

using embedjobs::Code;
using embedjobs::Result;
using embedjobs::Status;

constexpr std::size_t kDimension = 2;

class LineComputer final : public embedjobs::EmbeddingComputer {
 public:
  std::string version() const override { return "lines/1"; }  // another one: documents are computed again
  Result<embedjobs::Space> space() override {
    return embedjobs::Space{.model = "line-shape", .dimension = kDimension, .variant = "v1"};
  }

  Result<embedjobs::Manifest> compute(embedjobs::ComputeRequest& request) override {
    embedjobs::OperationList lines = cut(request.content);
    const auto existing = request.list_existing(lines.manifest());
    if (!existing.ok()) {
      return existing.status();
    }
    std::size_t done = static_cast<std::size_t>(std::count(existing->begin(), existing->end(), true));
    request.progress(done, lines.size());

    std::vector<std::size_t> chunk;
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (request.stop.stop_requested()) {
        return Status(Code::kCancelled, "asked to stop");
      }
      if (!(*existing)[i]) {
        chunk.push_back(i);
      }
      if (chunk.size() == request.batch_size || (i + 1 == lines.size() && !chunk.empty())) {
        if (Status stored = persist(lines, chunk, request); !stored.ok()) {
          return stored;  // kLeaseLost: another worker has the job
        }
        done += chunk.size();
        request.progress(done, lines.size());
        chunk.clear();
      }
    }
    return lines.manifest();  // every operation, reused or new
  }

 private:
  static embedjobs::OperationList cut(std::string_view content) {
    embedjobs::OperationList lines;
    std::size_t number = 0;
    while (!content.empty()) {
      const std::size_t end = std::min(content.find('\n'), content.size());
      ++number;
      if (end > 0) {
        lines.add("line " + std::to_string(number), content.substr(0, end));
      }
      content.remove_prefix(std::min(end + 1, content.size()));
    }
    return lines;
  }

  /// One chunk: durable when this returns success.
  static Status persist(const embedjobs::OperationList& lines, const std::vector<std::size_t>& chunk,
                        const embedjobs::ComputeRequest& request) {
    std::vector<float> values;
    for (const std::size_t line : chunk) {
      const std::string_view text = lines.text(line);
      values.push_back(static_cast<float>(text.size()));
      values.push_back(1.0F + static_cast<float>(std::count(text.begin(), text.end(), ' ')));
    }
    std::vector<embedjobs::VectorRow> rows;
    for (std::size_t i = 0; i < chunk.size(); ++i) {
      rows.push_back({.operation_id = lines.operation_id(chunk[i]),
                      .text_hash = lines.text_hash(chunk[i]),
                      .vector = std::span(values).subspan(i * kDimension, kDimension)});
    }
    return request.persist_batch(rows);
  }
};

}  // namespace

int main() {
  embedjobs::EngineOptions options;
  options.dsn = "memory:";
  options.worker.batch_size = 2;
  embedjobs::EngineParts parts;
  parts.computer = std::make_shared<LineComputer>();
  auto engine = embedjobs::Engine::open(options, parts);
  if (!engine.ok() || !(*engine)->put({"notes", "today"}, "buy bread\nread a book\nsleep\n").ok() ||
      !(*engine)->start().ok() || !(*engine)->wait_idle(std::chrono::minutes(1)).ok()) {
    return 1;
  }
  std::size_t rows = 0;
  const auto space = (*engine)->rows({"notes", "today"}, true, [&rows](const embedjobs::StoredRow& row) {
    std::printf("%s: %g %g\n", row.operation_id.c_str(), static_cast<double>(row.vector[0]),
                static_cast<double>(row.vector[1]));
    ++rows;
    return true;
  });
  return space.ok() && rows == 3 && (*engine)->stop(std::chrono::seconds(30)) ? 0 : 1;
}
