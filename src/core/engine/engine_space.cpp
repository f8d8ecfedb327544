// Which embedder works, and in which space.
//
//   an embedder or computer was given    it, and its space
//   none, one space is recorded          the embedder that can be made of that space's name
//   none, spaces differ                  refused: somebody must choose
//   none, nothing is recorded            the try-out embedder
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/engine/engine_impl.hpp"
#include "core/engine/remembered.hpp"

namespace embedjobs {
namespace {

constexpr std::string_view kTryOutEmbedder = "hashing";

/// Fit to be shared.
Result<std::shared_ptr<core::SharedEmbedder>> make_shared_embedder(Result<std::shared_ptr<Embedder>> made) {
  if (!made.ok()) {
    return made.status();
  }
  return std::make_shared<core::SharedEmbedder>(std::move(made).value());
}

}  // namespace

Result<std::vector<CatalogInfo>> Engine::Impl::catalogs() {
  if (Status status = require_documents("catalogs"); !status.ok()) {
    return status;
  }
  return catalog_->catalogs();
}

Result<Engine::Impl::RecordedSpace> Engine::Impl::recorded_space() {
  Result<std::vector<CatalogInfo>> infos = catalogs();
  if (!infos.ok()) {
    return infos.status();
  }
  // A catalog for each space. What an emptied catalog recorded counts only where nothing else does.
  std::map<std::string, std::string> example;
  for (const bool emptied : {false, true}) {
    for (const CatalogInfo& info : *infos) {
      if (!info.target_space_id.empty() && (info.spec_count == 0) == emptied) {
        example.emplace(info.target_space_id, info.catalog_id);
      }
    }
    if (!example.empty()) {
      break;
    }
  }
  if (example.empty()) {
    return RecordedSpace();
  }
  if (example.size() == 1) {
    return RecordedSpace{example.begin()->first, example.begin()->second};
  }
  const auto second = std::next(example.begin());
  return {Code::kRefused,
          fmt::format(
              "catalogs have different target spaces ('{}' has {}, '{}' has {}): open with an embedder to say whose "
              "work to do",
              example.begin()->second, example.begin()->first, second->second, second->first)};
}

Result<std::string> Engine::Impl::undecided_catalog() {
  const Result<std::vector<CatalogInfo>> infos = catalogs();
  if (!infos.ok()) {
    return infos.status();
  }
  for (const CatalogInfo& info : *infos) {
    if (info.target_space_id.empty() && info.spec_count > 0) {
      return info.catalog_id;
    }
  }
  return std::string();
}

Result<Engine::Impl::EmbedderPtr> Engine::Impl::work_embedder() {
  if (given_embedder_ || computer_) {
    return given_embedder_;
  }
  if (!catalog_) {
    return {Code::kRefused,
            "no embedder: documents are the host's own and no space is recorded, open with an embedder"};
  }
  {
    const std::lock_guard lock(space_mutex_);
    if (default_embedder_) {
      return default_embedder_;
    }
  }
  const Result<RecordedSpace> recorded = recorded_space();
  if (!recorded.ok()) {
    return recorded.status();
  }
  if (!recorded->space_id.empty()) {
    return remembered_embedder(recorded->catalog_id, recorded->space_id);
  }
  const Result<std::string> waiting = undecided_catalog();
  if (!waiting.ok()) {
    return waiting.status();
  }
  return waiting->empty() ? make_shared_embedder(make_embedder(kTryOutEmbedder)) : remembered_embedder(*waiting, {});
}

Result<Engine::Impl::EmbedderPtr> Engine::Impl::remembered_embedder(std::string_view catalog_id,
                                                                    const std::string& space_id) {
  const Result<std::string> spec = catalog_->remembered_embedder(catalog_id, space_id);
  if (!spec.ok() && spec.status().code() != Code::kRefused) {
    return spec.status();
  }
  Result<std::shared_ptr<Embedder>> made = make_remembered_embedder(spec.ok() ? *spec : std::string(), space_id);
  if (made.ok() || made.status().code() != Code::kNotFound) {
    return make_shared_embedder(std::move(made));
  }
  return {
      Code::kRefused,
      space_id.empty()
          ? fmt::format("catalog '{}' waits for an embedder, and which one is not recorded: open with it", catalog_id)
          : fmt::format("catalog '{}' has vectors of space {}, and which embedder makes them is not recorded: open "
                        "with it",
                        catalog_id, space_id)};
}

void Engine::Impl::remember_embedder(const std::string& catalog_id) {
  const std::string spec = computer_ || !catalog_ ? std::string() : core::rememberable(options_.embedder);
  if (spec.empty()) {
    return;
  }
  const std::string space_id = known_space_id();
  {
    const std::lock_guard lock(space_mutex_);
    if (!remembered_.emplace(catalog_id, space_id).second) {
      return;
    }
  }
  const Result<std::string> before = catalog_->remembered_embedder(catalog_id, space_id);
  const Status stored =
      before.ok() && *before == spec ? Status() : catalog_->remember_embedder(catalog_id, space_id, spec);
  if (!stored.ok() && stored.code() != Code::kRefused) {
    log(LogLevel::kWarning, "how the embedder was named can't be stored: " + stored.message());
  }
}

Result<Space> Engine::Impl::work_space(Duration time_limit, std::stop_token stop) {
  if (!computer_) {
    const Result<EmbedderPtr> embedder = work_embedder();
    if (!embedder.ok()) {
      return embedder.status();
    }
    adopt_recorded_space();
    CallContext context;
    context.stop = std::move(stop);
    context.time_limit = time_limit;
    return (*embedder)->space(context);
  }
  {
    const std::lock_guard lock(space_mutex_);
    if (computer_space_) {
      return *computer_space_;
    }
  }
  Result<Space> space = core::guarded("the computer", [&] { return computer_->space(); });
  if (space.ok()) {
    if (Status status = validate(*space); !status.ok()) {
      return status.with_context("the computer's space");
    }
    const std::lock_guard lock(space_mutex_);
    computer_space_ = *space;
  }
  return space;
}

std::string Engine::Impl::known_space_id() {
  if (given_embedder_ && !computer_) {
    const std::optional<Space> known = given_embedder_->known_space();
    return known ? known->id() : std::string();
  }
  // A default embedder is made of a space's name, so it knows its space by itself.
  const Result<Space> space = work_space(core::kCheapSpaceTimeout);
  return space.ok() ? space->id() : std::string();
}

void Engine::Impl::adopt_recorded_space() {
  if (!given_embedder_ || given_embedder_->knows_space() || !catalog_) {
    return;
  }
  const Result<std::vector<CatalogInfo>> infos = catalog_->catalogs();
  std::map<std::string, Space> recorded;
  for (std::size_t i = 0; infos.ok() && i < infos->size(); ++i) {
    if (const Result<Space> space = parse_space((*infos)[i].target_space_id); space.ok()) {
      recorded.emplace(space->id(), *space);
    }
  }
  // With two dimensions of one model only the provider knows which one it makes now.
  const auto is_alone = [&](const Space& space) {
    return std::count_if(recorded.begin(), recorded.end(), [&](const auto& other) {
             return other.second.model == space.model && other.second.variant == space.variant;
           }) == 1;
  };
  for (const auto& [id, space] : recorded) {
    if (is_alone(space) && given_embedder_->adopt(space)) {
      return;
    }
  }
}

std::string Engine::Impl::target_for_new_catalog() {
  if (given_embedder_ && !computer_) {
    std::string known = known_space_id();
    if (!known.empty() || !given_embedder_->knows_space()) {
      return known;  // no provider is asked
    }
  }
  {
    const std::lock_guard lock(space_mutex_);
    if (new_catalog_target_) {
      return *new_catalog_target_;
    }
  }
  // Once: a provider that is down must not slow down every write. The first worker chooses then.
  const Result<Space> space = work_space(core::kCheapSpaceTimeout);
  const std::lock_guard lock(space_mutex_);
  new_catalog_target_ = space.ok() ? space->id() : std::string();
  return *new_catalog_target_;
}

Result<Engine::Impl::EmbedderPtr> Engine::Impl::embedder_of(std::string_view catalog_id, const std::string& space_id) {
  Status unknown;  // why the given embedder's space is not known
  if (given_embedder_) {
    if (const Result<Space> wanted = parse_space(space_id); wanted.ok() && !given_embedder_->knows_space()) {
      (void)given_embedder_->adopt(*wanted);
    }
    CallContext context;
    context.time_limit = core::kForegroundTimeout;
    const Result<Space> ours = given_embedder_->space(context);
    if (ours.ok() && ours->id() == space_id) {
      return given_embedder_;
    }
    unknown = ours.status();
  }
  {
    const std::lock_guard lock(space_mutex_);
    if (const auto found = search_embedders_.find(space_id); found != search_embedders_.end()) {
      return found->second;
    }
    const std::optional<Space> chosen = default_embedder_ ? default_embedder_->known_space() : std::nullopt;
    if (chosen && chosen->id() == space_id) {
      return default_embedder_;
    }
  }
  const Result<EmbedderPtr> made = remembered_embedder(catalog_id, space_id);
  if (!made.ok()) {
    return unknown.ok() ? made : Result<EmbedderPtr>(unknown);
  }
  const std::lock_guard lock(space_mutex_);
  return search_embedders_.emplace(space_id, *made).first->second;
}

}  // namespace embedjobs
