#include "simulation/parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace embedjobs::sim {

Result<OperationList> LineSplitter::split(std::string_view content) const {
  if (content.starts_with('!')) {
    return {Code::kInvalidDocument, "the document is broken"};
  }
  OperationList operations;
  while (!content.empty()) {
    const std::size_t end = content.find('\n');
    const std::string_view line = content.substr(0, end);
    content.remove_prefix(end == std::string_view::npos ? content.size() : end + 1);
    const std::size_t tab = line.find('\t');
    operations.add(line.substr(0, tab), line.substr(tab + 1));
  }
  return operations;
}

ProviderOdds provider_odds(double trouble) {
  return {.error = trouble,
          .pause = trouble / 2,
          .timeout = trouble,
          .wrong_count = trouble / 4,
          .bad_vector = trouble / 2,
          .too_large = trouble,
          .refuse = trouble / 20};
}

bool Provider::refuses() {
  if (world_.chance(odds.refuse)) {
    refuses_until_ = world_.elapsed() + world_.between(Duration(0), std::chrono::seconds(30));
  }
  return world_.elapsed() < refuses_until_ && odds.refuse > 0;
}

Result<Embeddings> Provider::embed(std::span<const std::string_view> texts, const Space& space, ProcessRuntime& caller,
                                   const CallContext& context) {
  if (context.stop.stop_requested()) {
    return {Code::kCancelled, "cancelled"};
  }
  if (world_.chance(odds.pause)) {
    const bool says = world_.chance(0.5);
    return Status::paused(says ? world_.between(Duration(0), std::chrono::seconds(20)) : Duration(0), "429");
  }
  if (refuses()) {
    return {Code::kFailed, "the budget is spent"};
  }
  for (const std::string_view text : texts) {
    ++texts_sent;
    world_.trace(fmt::format("  text {}", text.substr(0, 40)));
    if (on_text) {
      on_text(text, space);
    }
    if (killers_kill && text.find("killer") != std::string_view::npos) {
      caller.crash_soon();
      return {Code::kRetry, "dead"};
    }
  }
  for (const std::string_view text : texts) {
    if (text.find("poison") != std::string_view::npos) {
      return {Code::kInputRejected, "can't be embedded"};
    }
    if (text.size() > kLongest) {
      return {Code::kInputTooLarge, "exceeds the context length"};
    }
  }
  if (world_.chance(odds.error)) {
    return {Code::kRetry, "500"};
  }
  if (world_.chance(odds.timeout)) {
    return {Code::kTimeout, "timeout"};
  }
  if (texts.size() > 1 && world_.chance(odds.too_large)) {
    return {Code::kBatchTooLarge, "batch too large"};
  }
  Embeddings answer{
      .vectors = Matrix(world_.chance(odds.wrong_count) ? texts.size() + 1 : texts.size(), space.dimension),
      .prompt_tokens = kTokensAText * texts.size()};
  for (std::size_t row = 0; row < answer.vectors.rows(); ++row) {
    const std::span<float> vector = answer.vectors.row(row);
    const TextHash hash = hash_text(texts[std::min(row, texts.size() - 1)]);
    for (std::size_t i = 0; i < vector.size(); ++i) {
      vector[i] = 1.0F + static_cast<float>(hash[i]);
    }
  }
  if (texts.size() > 1 && world_.chance(odds.bad_vector)) {
    std::span<float> vector = answer.vectors.row(world_.below(answer.vectors.rows()));
    if (world_.chance(0.5)) {
      std::fill(vector.begin(), vector.end(), 0.0F);
    } else {
      vector[0] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  return answer;
}

}  // namespace embedjobs::sim
