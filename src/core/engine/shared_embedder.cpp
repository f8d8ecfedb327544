#include "core/engine/shared_embedder.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/values/guard.hpp"

namespace embedjobs::core {

SharedEmbedder::SharedEmbedder(std::shared_ptr<Embedder> inner) : inner_(std::move(inner)) {
  const Status status = guarded("the embedder", [&] { limits_ = inner_->limits(); });
  if (!status.ok()) {
    limits_ = {};
  }
  (void)guarded("the embedder", [&] { provider_ = inner_->provider(); });
  limits_.concurrent_calls = std::max<std::size_t>(1, limits_.concurrent_calls);
}

Result<Space> SharedEmbedder::space(const CallContext& context) {
  if (auto known = known_space()) {
    return *std::move(known);
  }
  Result<Space> space = guarded("the embedder", [&] { return inner_->space(context); });
  if (!space.ok()) {
    return space;
  }
  if (Status status = validate(*space); !status.ok()) {
    return status.with_context("the embedder's space");
  }
  if (space->model == "none" || space->model == "noop") {
    return {Code::kInvalidArgument,
            fmt::format("the embedder is off ('{}'): it has no vectors to store", space->model)};
  }
  const std::lock_guard lock(mutex_);
  space_ = *space;
  return space;
}

std::optional<Space> SharedEmbedder::known_space() {
  const std::lock_guard lock(mutex_);
  return space_;
}

bool SharedEmbedder::knows_space() const {
  {
    const std::lock_guard lock(mutex_);
    if (space_) {
      return true;
    }
  }
  bool knows = false;
  (void)guarded("the embedder", [&] { knows = inner_->knows_space(); });
  return knows;
}

bool SharedEmbedder::adopt(const Space& recorded) {
  bool adopted = false;
  (void)guarded("the embedder", [&] { adopted = inner_->adopt(recorded); });
  if (adopted) {
    const std::lock_guard lock(mutex_);
    space_ = recorded;
  }
  return adopted;
}

Result<Embeddings> SharedEmbedder::embed(std::span<const std::string_view> texts, const CallContext& context) {
  if (Status status = enter(context); !status.ok()) {
    return status;
  }
  struct Leave {
    SharedEmbedder& self;
    ~Leave() { self.leave(); }
  } const leave_at_end{*this};
  return guarded("the embedder", [&] { return inner_->embed(texts, context); });
}

Status SharedEmbedder::enter(const CallContext& context) {
  std::unique_lock lock(mutex_);
  const std::uint64_t ticket = next_ticket_++;
  waiting_.push_back(ticket);
  const auto my_turn = [&] { return waiting_.front() == ticket && calls_ < limits_.concurrent_calls; };
  const bool bounded = context.purpose == Purpose::kQuery && context.time_limit > Duration(0);
  const bool turn = bounded ? changed_.wait_for(lock, context.stop,
                                                std::min<Duration>(context.time_limit, std::chrono::hours(1)), my_turn)
                            : changed_.wait(lock, context.stop, my_turn);
  std::erase(waiting_, ticket);
  if (turn) {
    ++calls_;
  }
  changed_.notify_all();
  if (turn) {
    return {};
  }
  return context.stop.stop_requested() ? Status(Code::kCancelled, "cancelled while the embedder was busy")
                                       : Status(Code::kTimeout, "the embedder is busy with other calls");
}

void SharedEmbedder::leave() {
  const std::lock_guard lock(mutex_);
  --calls_;
  changed_.notify_all();
}

}  // namespace embedjobs::core
