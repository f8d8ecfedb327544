#include "embedjobs/metrics.hpp"
#include "embedjobs/provider.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <regex>
#include <sstream>

using namespace embedjobs;

namespace {

struct Family {
  std::string type;
  std::string help;
  std::map<std::string, double> samples;  ///< By name and labels.
};

/// Text exposition format 0.0.4, as far as it is used here; REQUIREs its rules.
std::map<std::string, Family> parse(const std::string& text) {
  static const std::regex kHelp(R"(# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+))");
  static const std::regex kType(R"(# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge))");
  static const std::regex kSample(
      R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*"\})? (-?[0-9]+))re");
  REQUIRE(text.ends_with('\n'));
  std::map<std::string, Family> families;
  std::istringstream lines(text);
  std::string line, current;
  while (std::getline(lines, line)) {
    INFO(line);
    std::smatch match;
    if (std::regex_match(line, match, kHelp)) {
      current = match[1];
      REQUIRE(families.count(current) == 0);
      families[current].help = match[2];
    } else if (std::regex_match(line, match, kType)) {
      REQUIRE(match[1] == current);
      REQUIRE(families[current].type.empty());
      families[current].type = match[2];
    } else {
      REQUIRE(std::regex_match(line, match, kSample));
      REQUIRE(match[1] == current);
      REQUIRE_FALSE(families[current].type.empty());
      REQUIRE(families[current].samples.emplace(match[1].str() + match[2].str(), std::stod(match[3])).second);
    }
  }
  return families;
}

}  // namespace

TEST_CASE("metrics are valid text exposition: one HELP and TYPE a family, counters end in _total") {
  MetricsSnapshot snapshot;
  snapshot.jobs.emplace();
  snapshot.workers_live = 0;
  MetricsSnapshot with_providers = snapshot;
  with_providers.providers = {ProviderState{.provider = "http://a nomic"}, ProviderState{.provider = "b"}};
  CHECK(parse(render_prometheus(with_providers)).size() == 28);
  const auto families = parse(render_prometheus(snapshot));
  CHECK(families.size() == 24);
  for (const auto& [name, family] : families) {
    INFO(name);
    CHECK(name.starts_with("embedjobs_"));
    CHECK(name.ends_with("_total") == (family.type == "counter"));
    CHECK_FALSE(family.help.empty());
    CHECK_FALSE(family.samples.empty());
  }
}

TEST_CASE("what the store does not tell has no family, and is never shown as zero") {
  const auto families = parse(render_prometheus({}));
  CHECK(families.size() == 22);
  CHECK_FALSE(families.contains("embedjobs_jobs"));
  CHECK_FALSE(families.contains("embedjobs_workers_live"));
}

TEST_CASE("every counter and gauge is shown under its own name") {
  MetricsSnapshot snapshot;
  snapshot.jobs.emplace();
  snapshot.workers_live = 0;
  WorkerMetrics& w = snapshot.worker;
  double next = 1;
  std::map<std::string, double> expected;
  const auto set = [&](auto& value, const char* name) {
    value = static_cast<std::remove_reference_t<decltype(value)>>(next);
    expected[name] = next++;
  };
  set(w.jobs_claimed, "embedjobs_jobs_claimed_total");
  set(w.jobs_succeeded, "embedjobs_jobs_succeeded_total");
  set(w.jobs_retried, "embedjobs_jobs_retried_total");
  set(w.jobs_failed, "embedjobs_jobs_failed_total");
  set(w.jobs_released, "embedjobs_jobs_released_total");
  set(w.leases_renewed, "embedjobs_leases_renewed_total");
  set(w.leases_lost, "embedjobs_leases_lost_total");
  set(w.renewals_failed, "embedjobs_renewals_failed_total");
  set(w.leases_expired, "embedjobs_leases_expired_total");
  set(w.operations_reused, "embedjobs_operations_reused_total");
  set(w.operations_embedded, "embedjobs_operations_embedded_total");
  set(w.provider_calls, "embedjobs_provider_calls_total");
  set(w.provider_errors, "embedjobs_provider_errors_total");
  set(w.provider_texts, "embedjobs_provider_texts_total");
  set(w.provider_tokens, "embedjobs_provider_tokens_total");
  set(w.provider_pauses, "embedjobs_provider_pauses_total");
  set(w.chunks_persisted, "embedjobs_chunks_persisted_total");
  set(w.persist_errors, "embedjobs_persist_errors_total");
  set(w.running, "embedjobs_passes_running");
  set(w.calls_in_flight, "embedjobs_provider_calls_in_flight");
  set(w.provider_waiting, "embedjobs_provider_waiting");
  set(w.batch_size, "embedjobs_batch_size");
  set(snapshot.jobs->pending, "embedjobs_jobs{status=\"pending\"}");
  set(*snapshot.workers_live, "embedjobs_workers_live");
  set(snapshot.jobs->running, "embedjobs_jobs{status=\"running\"}");
  set(snapshot.jobs->succeeded, "embedjobs_jobs{status=\"succeeded\"}");
  set(snapshot.jobs->failed, "embedjobs_jobs{status=\"failed\"}");
  set(snapshot.jobs->cancelled, "embedjobs_jobs{status=\"cancelled\"}");
  ProviderState& provider = snapshot.providers.emplace().emplace_back();
  provider.provider = "http://a nomic";
  set(provider.tokens_total, "embedjobs_ledger_tokens_total{provider=\"http://a nomic\"}");
  set(provider.tokens_today, "embedjobs_ledger_tokens_today{provider=\"http://a nomic\"}");
  set(provider.batch_texts, "embedjobs_provider_batch_texts{provider=\"http://a nomic\"}");
  provider.read_at = WallTime(std::chrono::hours(1));
  provider.paused_until = WallTime(std::chrono::hours(2));
  expected["embedjobs_provider_paused{provider=\"http://a nomic\"}"] = 1;

  std::map<std::string, double> shown;
  for (const auto& [name, family] : parse(render_prometheus(snapshot))) {
    shown.insert(family.samples.begin(), family.samples.end());
  }
  CHECK(shown == expected);
}

TEST_CASE("a provider's name can't break the exposition") {
  MetricsSnapshot snapshot;
  snapshot.providers = {ProviderState{.provider = "a \"quoted\" \\ name"}};
  CHECK(render_prometheus(snapshot).find("{provider=\"a \\\"quoted\\\" \\\\ name\"}") != std::string::npos);
}
