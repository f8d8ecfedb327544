#include "core/worker/calls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "core/rules/vectors.hpp"
#include "core/values/utf8.hpp"

namespace embedjobs::core {
namespace {

/// How many bytes of a text are sent.
std::size_t sent_bytes(std::string_view text, const BatchText& sent, std::size_t input_cap) {
  std::size_t most = text.size();
  for (const std::size_t cap : {input_cap, sent.cut}) {
    most = cap == 0 ? most : std::min(most, cap);
  }
  return cut_utf8(text, most).size();
}

Status check_answer(const Embeddings& answer, std::size_t texts, std::size_t dimension) {
  const Matrix& vectors = answer.vectors;
  if (vectors.rows() != texts) {
    return {texts > 1 ? Code::kBatchTooLarge : Code::kRetry,  // some answer one vector, whatever they are sent
            fmt::format("the provider answered {} vectors for {} texts", vectors.rows(), texts)};
  }
  if (vectors.dimension() != dimension) {
    return {Code::kRetry,
            fmt::format("the provider answered {} dimensions, the space has {}", vectors.dimension(), dimension)};
  }
  for (std::size_t row = 0; row < texts; ++row) {
    if (const Status status = check_vector(vectors.row(row), dimension); !status.ok()) {
      return {Code::kInputRejected, "the provider answered a vector that can't be stored: " + status.message()};
    }
  }
  return {};
}

std::optional<std::string> find_duplicate(const Manifest& manifest) {
  const std::vector<std::uint32_t> order = manifest.sorted_by_id();
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (manifest.operation_id(order[i - 1]) == manifest.operation_id(order[i])) {
      return std::string(manifest.operation_id(order[i]));
    }
  }
  return std::nullopt;
}

}  // namespace

Result<Space> ask_space(const WorkerParts& parts, Duration time_limit, const std::stop_token& stop) {
  Result<Space> space =
      parts.computer ? parts.computer->space() : parts.embedder->space({.stop = stop, .time_limit = time_limit});
  if (space.ok()) {
    if (Status status = validate(*space); !status.ok()) {
      return status;
    }
  }
  return space;
}

Result<std::shared_ptr<const Plan>> split(const Splitter& splitter, const Document& document) {
  Result<OperationList> operations = splitter.split(document.content);
  if (!operations.ok()) {
    return operations.status();
  }
  if (const auto id = find_duplicate(operations->manifest())) {
    return {Code::kInvalidDocument, fmt::format("operation id '{}' comes twice", *id)};
  }
  return std::make_shared<const Plan>(std::move(*operations));
}

Result<std::vector<Reservation>> reserve(Persister& persister, const PassContext& context,
                                         const ReserveAction& action) {
  static constexpr std::size_t kMostAtOnce = 1000;
  const auto texts_of = [&](std::span<const std::uint32_t> operations) {
    std::vector<TextHash> texts;
    std::transform(operations.begin(), operations.end(), std::back_inserter(texts),
                   [&](std::uint32_t operation) { return action.plan->operations().text_hash(operation); });
    return texts;
  };
  std::vector<TextHash> given_up = texts_of(action.given_up);
  std::vector<Reservation> answer;
  answer.reserve(action.operations->size());
  for (std::span<const std::uint32_t> left = *action.operations; !left.empty();) {
    const auto part = left.first(std::min(left.size(), kMostAtOnce));
    Result<std::vector<Reservation>> reserved = persister.reserve(context, texts_of(part), given_up);
    if (!reserved.ok()) {
      return reserved;
    }
    answer.insert(answer.end(), reserved->begin(), reserved->end());
    given_up.clear();
    left = left.subspan(part.size());
  }
  return answer;
}

Result<Embeddings> embed(Embedder& embedder, const Plan& plan, const Batch& batch, std::size_t input_cap,
                         std::size_t dimension, const CallContext& context) {
  if (context.stop.stop_requested()) {
    return {Code::kCancelled, "stopped before the call"};
  }
  std::vector<std::string_view> texts;
  texts.reserve(batch.texts.size());
  for (const BatchText& wanted : batch.texts) {
    const std::string_view text = plan.operations().text(wanted.operation);
    texts.push_back(text.substr(0, sent_bytes(text, wanted, input_cap)));
  }
  Result<Embeddings> answer = embedder.embed(texts, context);
  if (answer.ok()) {
    if (Status status = check_answer(*answer, texts.size(), dimension); !status.ok()) {
      return status;
    }
  }
  return answer;
}

Status persist(Persister& persister, const PassContext& context, const Plan& plan,
               const std::vector<EmbeddedBatch>& chunk) {
  std::vector<VectorRow> rows;
  for (const EmbeddedBatch& finished : chunk) {
    for (std::size_t i = 0; i < finished.batch.texts.size(); ++i) {
      const BatchText& embedded = finished.batch.texts[i];
      const std::string_view text = plan.operations().text(embedded.operation);
      const std::size_t sent = sent_bytes(text, embedded, context.input_cap);
      for (std::uint32_t operation = embedded.operation; operation != Plan::kNone;
           operation = plan.next_of_text(operation)) {
        rows.push_back({.operation_id = plan.operations().operation_id(operation),
                        .text_hash = plan.operations().text_hash(operation),
                        .vector = finished.vectors.row(i),
                        .embedded_bytes = sent < text.size() ? sent : 0,
                        .input_cap = sent < text.size() ? context.input_cap : 0});
      }
    }
  }
  return persister.persist_batch(context, rows);
}

Result<Manifest> HostCompute::run() const {
  ComputeRequest request{
      .content = document->content, .key = context.key, .space = context.space, .fence = context.fence};
  request.batch_size = batch_size;
  request.stop = stop;
  request.list_existing = [this](const Manifest& wanted) { return persister->list_existing(context, wanted); };
  request.progress = [this, most = std::size_t{0}](std::size_t done, std::size_t total) mutable {
    most = std::max(most, std::min(done, total));
    on_progress(static_cast<std::int64_t>(most), static_cast<std::int64_t>(total));
  };
  std::atomic<bool> persisting = false;
  request.persist_batch = [this, &persisting](std::span<const VectorRow> rows) -> Status {
    for (const VectorRow& row : rows) {
      if (Status status = check_vector(row.vector, context.space.dimension); !status.ok()) {
        return status.with_context("operation " + std::string(row.operation_id));
      }
    }
    if (persisting.exchange(true)) {
      return {Code::kRefused, "persist_batch was called while another call of it was under way"};
    }
    Status status = persister->persist_batch(context, rows);
    persisting = false;
    if (status.ok()) {
      on_persisted(static_cast<std::int64_t>(rows.size()));
    }
    return status;
  };
  Result<Manifest> manifest = computer->compute(request);
  if (manifest.ok()) {
    if (const auto id = find_duplicate(*manifest)) {
      return {Code::kFailed, fmt::format("the computer's manifest names operation id '{}' twice", *id)};
    }
  }
  return manifest;
}

}  // namespace embedjobs::core
