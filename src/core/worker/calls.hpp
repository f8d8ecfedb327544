// The blocking calls of a pass to its parts, as they run on a lane: what goes in is prepared, what comes out is
// checked.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include "core/worker/pass.hpp"
#include "embedjobs/splitter.hpp"
#include "embedjobs/worker.hpp"

namespace embedjobs::core {

/// The space of the parts' embedder or computer.
Result<Space> ask_space(const WorkerParts& parts, Duration time_limit, const std::stop_token& stop);

/// Splits and links equal texts. kInvalidDocument also when an operation id comes twice.
Result<std::shared_ptr<const Plan>> split(const Splitter& splitter, const Document& document);

/// The texts of these operations, a bounded number at a time.
Result<std::vector<Reservation>> reserve(Persister& persister, const PassContext& context, const ReserveAction& action);

/// Cuts what is over the cap, calls the embedder, and refuses an answer that breaks the embedder's promise: another
/// number of vectors or another dimension (kRetry), a vector that is zero or not finite (kInputRejected).
Result<Embeddings> embed(Embedder& embedder, const Plan& plan, const Batch& batch, std::size_t input_cap,
                         std::size_t dimension, const CallContext& context);

/// Every operation with a text of the chunk gets its row.
Status persist(Persister& persister, const PassContext& context, const Plan& plan,
               const std::vector<EmbeddedBatch>& chunk);

/// A host's own compute, with what it may call back.
struct HostCompute {
  std::shared_ptr<EmbeddingComputer> computer;
  std::shared_ptr<Persister> persister;
  std::shared_ptr<const Document> document;
  PassContext context;
  std::size_t batch_size = 0;
  std::stop_token stop;
  std::function<void(std::int64_t done, std::int64_t total)> on_progress;
  std::function<void(std::int64_t operations)> on_persisted;

  Result<Manifest> run() const;
};

}  // namespace embedjobs::core
