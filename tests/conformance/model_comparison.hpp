// What the random sequences of model_test.cpp compare after each step: everything that can be seen of a backend, with
// the model.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "conformance/model.hpp"
#include "conformance/scene.hpp"

namespace embedjobs::test {

// What the sequences are over.
inline const std::vector<SpecKey> kKeys{{"c", "1"}, {"c", "2"}, {"c", "3"}, {"d", "1"}};
inline const std::vector<Space> kSpaces{{"m", 2, ""}, {"n", 3, "v"}, {"o", 1, ""}};
inline const std::vector<std::string> kTexts{"t0", "t1", "t2", "t3", "t4"};
inline const std::vector<std::string> kProviders{"", "p", "q"};
inline const std::vector<std::string> kContents{"content 0", "content 1", "content 2"};

/// The backend and the model differ; the message says in what.
struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <typename T>
std::string shown(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<long long>(value));
  } else if constexpr (std::is_same_v<T, WallTime>) {
    return std::to_string(value.time_since_epoch().count());
  } else if constexpr (std::is_same_v<T, Duration>) {
    return std::to_string(value.count());
  } else if constexpr (std::is_same_v<T, std::optional<Duration>>) {
    return value ? std::to_string(value->count()) : "none";
  } else {
    return fmt::format("{}", value);
  }
}

template <typename T>
void same(std::string_view what, const T& backend, const T& model) {
  if (!(backend == model)) {
    throw Mismatch(fmt::format("{}: the backend says {}, the model {}", what, shown(backend), shown(model)));
  }
}

/// What a sequence calls and looks at.
enum class Extent { kQueue, kEverything };

/// A backend and a model that have seen the same calls.
class Comparison {
 protected:
  Comparison(Extent extent, StoreOptions rules, std::uint64_t first_epoch)
      : queue_only_(extent == Extent::kQueue), scene_(rules), model_(rules, scene_.clock, first_epoch) {}

  static void same_suspects(const std::vector<Suspect>& backend, const std::vector<Suspect>& model) {
    test::same("suspects", backend.size(), model.size());
    for (std::size_t i = 0; i < model.size(); ++i) {
      test::same("suspect: text", to_hex(backend[i].text_hash), to_hex(model[i].text_hash));
      test::same("suspect: alone", backend[i].alone, model[i].alone);
      test::same("suspect: set aside", backend[i].set_aside, model[i].set_aside);
    }
  }

  void compare_providers() {
    const std::vector<ProviderState> states = get(scene_.store.providers());
    test::same("providers", states.size(), model_.providers.size());
    auto model = model_.providers.begin();
    for (const ProviderState& state : states) {
      const ProviderState& expected = (model++)->second;
      const auto field = [&](std::string_view name, const auto& a, const auto& b) {
        test::same(fmt::format("provider {}: {}", expected.provider, name), a, b);
      };
      field("name", state.provider, expected.provider);
      field("space", state.space_id, expected.space_id);
      field("batch_texts", state.batch_texts, expected.batch_texts);
      field("batch_bytes", state.batch_bytes, expected.batch_bytes);
      field("paused_until", state.paused_until, expected.paused_until);
      field("pause_reason", state.pause_reason, expected.pause_reason);
      field("tokens_total", state.tokens_total, expected.tokens_total);
    }
  }

  static void same_job(const Job& backend, const JobState& state, const Job& model, const JobState& model_state) {
    const auto field = [&](std::string_view name, const auto& a, const auto& b) {
      test::same(fmt::format("job {}: {}", model.id, name), a, b);
    };
    field("id", backend.id, model.id);
    field("spec", backend.key.catalog_id + "/" + backend.key.spec_name,
          model.key.catalog_id + "/" + model.key.spec_name);
    field("kind", backend.kind, model.kind);
    field("status", backend.status, model.status);
    field("priority", backend.priority, model.priority);
    field("attempts", backend.attempts, model.attempts);
    field("last_error", model.last_error == "*" && !backend.last_error.empty() ? "*" : backend.last_error,
          model.last_error);
    field("next_run_at", backend.next_run_at, model.next_run_at);
    field("worker_id", backend.worker_id, model.worker_id);
    field("lease_expires_at", backend.lease_expires_at, model.lease_expires_at);
    field("created_at", backend.created_at, model.created_at);
    field("started_at", backend.started_at, model.started_at);
    field("completed_at", backend.completed_at, model.completed_at);
    field("embedded_so_far", backend.embedded_so_far, model.embedded_so_far);
    field("reused_count", backend.reused_count, model.reused_count);
    field("embedded_count", backend.embedded_count, model.embedded_count);
    field("operation_count", backend.operation_count, model.operation_count);
    field("generation", backend.generation, model.generation);
    field("fence counter", backend.fence.counter, model.fence.counter);
    field("fence nonce", backend.fence.nonce, model.fence.nonce);
    field("settled", state.settled, model_state.settled);
    field("epoch", state.epoch, model_state.epoch);
    field("errors_in_row", backend.errors_in_row, model.errors_in_row);
    field("crashes_in_row", backend.crashes_in_row, model.crashes_in_row);
    field("releases_in_row", state.releases_in_row, model_state.releases_in_row);
    field("crashes", state.crashes, model_state.crashes);
    field("fewest_missing", state.fewest_missing, model_state.fewest_missing);
    field("progressed", state.progressed, model_state.progressed);
    field("records_in_flight", state.records_in_flight, model_state.records_in_flight);
    field("paused_since", backend.paused_since, model.paused_since);
    field("provider", backend.provider, model.provider);
    field("prompt_tokens", backend.prompt_tokens, model.prompt_tokens);
    field("pass_prompt_tokens", state.pass_prompt_tokens, model_state.pass_prompt_tokens);
  }

  void compare() {
    if (queue_only_) {
      compare_queue();
      return;
    }
    const std::vector<Job> jobs = get(scene_.store.list({.limit = 10'000}));
    test::same("jobs", jobs.size(), model_.jobs.size());
    auto expected = model_.jobs.rbegin();
    for (const Job& job : jobs) {
      const ModelJob& of_model = (expected++)->second;
      same_job(job, get(scene_.store.job_state(job.id)), of_model, of_model);
    }
    for (const Space& space : kSpaces) {
      compare_peek(space.id());
    }
    compare_specs();
    compare_catalogs();
    compare_failures();
    compare_providers();
  }

  void compare_queue() {
    for (const auto& [id, of_model] : model_.jobs) {
      same_job(get(scene_.store.get(id)), get(scene_.store.job_state(id)), of_model, of_model);
    }
    const auto last = get(scene_.store.last_jobs(kKeys));
    for (std::size_t i = 0; i < kKeys.size(); ++i) {
      const auto spec = model_.specs.find(kKeys[i]);
      test::same("last job", last.at(i) ? last[i]->id : JobId{0},
                 spec == model_.specs.end() ? JobId{0} : spec->second.last);
    }
    for (const Space& space : kSpaces) {
      compare_peek(space.id());
    }
  }

  void compare_peek(const std::string& space) {
    const Peek backend = get(scene_.store.peek(space));
    const Peek model = model_.peek(space);
    const auto field = [&](std::string_view name, const auto& a, const auto& b) {
      test::same(fmt::format("peek {}: {}", space, name), a, b);
    };
    field("next_due", backend.next_due, model.next_due);
    field("next_pending_due", backend.next_pending_due, model.next_pending_due);
    field("running", backend.running, model.running);
    field("urgent_waiting", backend.urgent_waiting, model.urgent_waiting);
    field("other_space", backend.other_space, model.other_space);
    if (enqueues_ && *enqueues_ != std::pair(backend.enqueue_counter, model.enqueue_counter)) {
      field("enqueue_counter moved", enqueues_->first != backend.enqueue_counter,
            enqueues_->second != model.enqueue_counter);
    }
    enqueues_ = {backend.enqueue_counter, model.enqueue_counter};
  }

  void compare_specs() {
    std::map<SpecKey, SpecInfo> infos;
    for (SpecInfo& info : get(scene_.catalog.specs(std::nullopt, nullptr, 100))) {
      infos.emplace(info.key, std::move(info));
    }
    for (const SpecKey& key : kKeys) {
      const ModelSpec none;
      const ModelSpec& spec = model_.specs.contains(key) ? model_.specs.at(key) : none;
      const std::string name = key.catalog_id + "/" + key.spec_name;
      test::same(name + " exists", infos.contains(key), spec.exists);
      compare_document(name, key, spec);
      if (spec.exists) {
        compare_info(name, infos.at(key), spec);
        compare_rows(name, key, spec);
      }
    }
  }

  void compare_document(const std::string& name, const SpecKey& key, const ModelSpec& spec) {
    const Result<Document> document = scene_.catalog.resolve(key);
    test::same(name + " resolve", document.status().code(), spec.content ? Code::kOk : Code::kGone);
    if (spec.content) {
      test::same(name + " content", document->content, *spec.content);
    }
    const SpecState state = get(scene_.catalog.describe(std::vector{key})).at(0);
    test::same(name + " finalized", state.complete, spec.finalized.complete);
    test::same(name + " finalized space", state.space_id, spec.finalized.space_id);
    test::same(name + " finalized version", state.content_version, spec.finalized.content_version);
  }

  void compare_info(const std::string& name, const SpecInfo& info, const ModelSpec& spec) {
    test::same(name + " operation_count", info.operation_count, spec.operation_count);
    test::same(name + " visible space", info.visible_space_id, spec.visible);
    test::same(name + " generation", info.generation, spec.generation);
    test::same(name + " complete", info.complete, model_.complete(spec));
    if (spec.content) {
      test::same(name + " content_version", info.content_version, to_hex(hash_text(*spec.content)));
    }
    const auto rows = spec.rows.find(spec.visible);
    test::same(name + " embedding_count", info.embedding_count,
               rows == spec.rows.end() ? 0 : static_cast<std::int64_t>(rows->second.size()));
  }

  void compare_rows(const std::string& name, const SpecKey& key, const ModelSpec& spec) {
    std::vector<std::string> backend;
    get(scene_.catalog.rows(key, true, [&](const StoredRow& row) {
      backend.push_back(
          fmt::format("{} {} cut {} {}", row.operation_id, to_hex(row.text_hash), row.embedded_bytes, row.vector));
      return true;
    }));
    std::vector<std::string> model;
    const auto rows = spec.rows.find(spec.visible);
    for (const auto& [id, text] : rows == spec.rows.end() ? std::map<std::string, std::string>() : rows->second) {
      const ModelVector& vector = model_.vectors.at({key.catalog_id, spec.visible, text});
      model.push_back(fmt::format("{} {} cut {} {}", id, to_hex(hash_text(text)), vector.embedded_bytes,
                                  vector_of(text, *parse_space(spec.visible), vector.salt)));
    }
    test::same(name + " rows", backend, model);
  }

  void compare_catalogs() {
    const std::vector<CatalogInfo> infos = get(scene_.catalog.catalogs());
    test::same("catalogs", infos.size(), model_.catalogs.size());
    for (const CatalogInfo& info : infos) {
      const ModelCatalog& catalog = model_.catalogs.at(info.catalog_id);
      test::same(info.catalog_id + " target", info.target_space_id, catalog.target);
      test::same(info.catalog_id + " search space", info.search_space_id, catalog.search);
      if (catalog.search.empty()) {
        continue;
      }
      const Space space = *parse_space(catalog.search);
      std::vector<std::string> found;
      for (const SearchHit& hit : get(scene_.catalog.search(info.catalog_id, space, vector_of("query", space), 1000))) {
        found.push_back(hit.key.spec_name + ":" + hit.operation_id);
      }
      std::sort(found.begin(), found.end());
      test::same(info.catalog_id + " search", found, model_.searchable(info.catalog_id));
    }
  }

  void compare_failures() {
    const std::vector<Failure> failures = get(scene_.store.failures_of(kKeys));
    for (std::size_t i = 0; i < kKeys.size(); ++i) {
      const Failure none;
      const Failure& model = model_.specs.contains(kKeys[i]) ? model_.specs.at(kKeys[i]).failure : none;
      const auto field = [&](std::string_view name, const auto& a, const auto& b) {
        test::same(fmt::format("failure {}/{}: {}", kKeys[i].catalog_id, kKeys[i].spec_name, name), a, b);
      };
      field("occurrences", failures[i].occurrences, model.occurrences);
      field("last_success_at", failures[i].last_success_at, model.last_success_at);
      if (model.occurrences > 0) {
        field("first_failed_at", failures[i].first_failed_at, model.first_failed_at);
        field("last_failed_at", failures[i].last_failed_at, model.last_failed_at);
        field("resolved", failures[i].resolved, model.resolved);
      }
    }
  }

  const bool queue_only_;
  Scene scene_;
  Model model_;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> enqueues_;
};

}  // namespace embedjobs::test
