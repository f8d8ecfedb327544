// The pictures of docs/job-states.md show the edges that the code has: no edge is missing, and none is invented.
#include <catch2/catch.hpp>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "core/worker/pass.hpp"
#include "embedjobs/sys/store_rules.hpp"

using namespace embedjobs;
using namespace std::chrono_literals;

namespace {

/// From, to, and the label: in the picture of a job the function that leads there.
struct Edge {
  std::string from, to, by;
  friend auto operator<=>(const Edge&, const Edge&) = default;
};
using Edges = std::set<Edge>;

std::ostream& operator<<(std::ostream& out, const Edge& edge) {
  return out << edge.from << " -> " << edge.to << " by '" << edge.by << "'";
}

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(EMBEDJOBS_SOURCE_DIR) + "/" + name);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> split_at(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t end = text.find(separator); end != std::string::npos; end = text.find(separator, begin)) {
    parts.push_back(text.substr(begin, end - begin));
    begin = end + separator.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

/// The edges of the mermaid block of docs/job-states.md that draws `picture`. `[*]` is "none".
Edges edges_of_picture(const std::string& picture) {
  const std::string page = read_file("docs/job-states.md");
  const std::size_t begin = page.find("%% picture: " + picture + "\n");
  REQUIRE(begin != std::string::npos);
  std::istringstream block(page.substr(begin, page.find("```", begin) - begin));
  const std::regex arrow(R"( *(\[\*\]|\w+) --> (\w+)(?:: (.*))?)");
  Edges edges;
  for (std::string line; std::getline(block, line);) {
    std::smatch match;
    if (!std::regex_match(line, match, arrow)) {
      continue;
    }
    const std::string from = match[1] == "[*]" ? "none" : match[1].str();
    for (const std::string& by : split_at(match[3], ", ")) {
      edges.insert({from, match[2], by});
    }
  }
  REQUIRE_FALSE(edges.empty());
  return edges;
}

/// Those of the comment of store_rules.hpp. "open" is pending and running.
Edges edges_of_header() {
  std::istringstream header(read_file("include/embedjobs/sys/store_rules.hpp"));
  const std::regex rule(R"(//   (\w+) +-> (\w+(?: \| \w+)*) +([a-z_]+(?:, [a-z_]+)*)(?: .*)?)");
  Edges edges;
  for (std::string line; std::getline(header, line) && line.rfind("//", 0) == 0;) {
    std::smatch match;
    if (!std::regex_match(line, match, rule)) {
      continue;
    }
    const auto froms =
        match[1] == "open" ? std::vector<std::string>{"pending", "running"} : std::vector{match[1].str()};
    for (const std::string& from : froms) {
      for (const std::string& to : split_at(match[2], " | ")) {
        for (const std::string& by : split_at(match[3], ", ")) {
          edges.insert({from, to, by});
        }
      }
    }
  }
  return edges;
}

// --- the states of a job, as the rules make them

/// A job in a state, with what else decides about the next one.
struct Scene {
  rules::KeyState key;
  rules::StoredJob job;
  StoreOptions options;
  WallTime now{1000h};
  std::vector<rules::InFlight> in_flight;
};

const std::vector<JobStatus> kStatuses = {JobStatus::kPending, JobStatus::kRunning, JobStatus::kSucceeded,
                                          JobStatus::kFailed, JobStatus::kCancelled};

/// The scenes of a status: with budgets that are fresh and used up, of a key that stayed and one that moved on.
std::vector<Scene> scenes_of(JobStatus status) {
  std::vector<Scene> scenes;
  for (const bool used_up : {false, true}) {
    for (const bool moved_on : {false, true}) {
      for (const bool crashed_alone : {false, true}) {
        Scene scene;
        rules::raise_generation(scene.key, JobKind::kSpecWrite, 1);
        scene.job = rules::new_job({"catalog", "spec"}, scene.key, JobKind::kSpecWrite, scene.now);
        if (status != JobStatus::kPending) {
          rules::claim(scene.job, scene.key, {.worker_id = "w", .nonce = 7, .now = scene.now});
        }
        scene.job.status = status;
        if (used_up) {
          scene.job.errors_in_row = scene.job.crashes_in_row = scene.options.max_attempts - 1;
          scene.job.state.releases_in_row = rules::kReleasesPerAttempt - 1;
        }
        if (moved_on) {
          rules::raise_generation(scene.key, JobKind::kSpecWrite, 1);
        }
        if (crashed_alone) {
          scene.in_flight.push_back({.sent = true});
        }
        scenes.push_back(scene);
      }
    }
  }
  return scenes;
}

/// What `function` makes of every scene in which a store may call it.
template <typename May, typename Function>
void observe(Edges& edges, const std::string& name, May may, Function function) {
  for (const JobStatus status : kStatuses) {
    for (Scene scene : scenes_of(status)) {
      if (may(scene)) {
        function(scene);
        edges.insert({std::string(to_string(status)), std::string(to_string(scene.job.status)), name});
      }
    }
  }
}

bool is_pending(const Scene& scene) {
  return scene.job.status == JobStatus::kPending && rules::is_due(scene.job.next_run_at, scene.now);
}
bool is_running(const Scene& scene) {
  return scene.job.status == JobStatus::kRunning;
}
bool is_open_job(const Scene& scene) {
  return is_open(scene.job.status);
}
bool has_holder(const Scene& scene) {
  return rules::holds(scene.job, scene.key, scene.job.fence);
}

Edges edges_of_rules() {
  Edges edges;
  // Whatever became of the last job, the next one is another job.
  for (const JobStatus status : {JobStatus::kSucceeded, JobStatus::kFailed, JobStatus::kCancelled}) {
    for (const Scene& scene : scenes_of(status)) {
      const auto next = rules::new_job(scene.job.key, scene.key, JobKind::kSpecWrite, scene.now);
      edges.insert({"none", std::string(to_string(next.status)), "new_job"});
    }
  }
  observe(edges, "enqueue_open", is_open_job,
          [](Scene& scene) { rules::enqueue_open(scene.job, scene.key, JobKind::kSpecWrite, scene.now); });
  observe(edges, "claim", is_pending,
          [](Scene& scene) { rules::claim(scene.job, scene.key, {.worker_id = "w", .nonce = 9, .now = scene.now}); });
  observe(edges, "apply_progress", has_holder, [](Scene& scene) {
    (void)rules::apply_progress(scene.job, {.operation_count = 2, .missing = 1}, scene.now);
  });
  observe(edges, "record_in_flight", has_holder,
          [](Scene& scene) { rules::record_in_flight(scene.job, scene.in_flight, {}, {}); });
  for (const OutcomeKind kind :
       {OutcomeKind::kComplete, OutcomeKind::kRetry, OutcomeKind::kFail, OutcomeKind::kRelease}) {
    for (const ReleaseReason reason : {ReleaseReason::kStop, ReleaseReason::kYield, ReleaseReason::kPause}) {
      for (const bool at_once : {false, true}) {
        observe(edges, "settle", has_holder, [&](Scene& scene) {
          const Outcome outcome{.kind = kind, .reason = reason, .retry_at_once = at_once};
          (void)rules::settle(scene.job, scene.key, outcome, scene.options, scene.now);
        });
      }
    }
  }
  observe(edges, "expire", is_running,
          [](Scene& scene) { (void)rules::expire(scene.job, scene.key, scene.in_flight, scene.options, scene.now); });
  observe(edges, "cancel", is_open_job, [](Scene& scene) { rules::cancel(&scene.job, scene.key, scene.now); });
  observe(edges, "revoke", is_running, [](Scene& scene) { rules::revoke(scene.job, scene.key, scene.now); });
  return edges;
}

// --- the phases of a pass, as random histories show them

std::string name_of(core::PassPhase phase) {
  static const std::map<core::PassPhase, std::string> names = {
      {core::PassPhase::kResolve, "resolve"},   {core::PassPhase::kSplit, "split"},
      {core::PassPhase::kList, "list"},         {core::PassPhase::kReserve, "reserve"},
      {core::PassPhase::kEmbed, "embed"},       {core::PassPhase::kCompute, "compute"},
      {core::PassPhase::kFinalize, "finalize"}, {core::PassPhase::kResolveAgain, "again"},
      {core::PassPhase::kSettle, "settle"},     {core::PassPhase::kEnded, "ended"}};
  return names.at(phase);
}

/// What was true when a pass went from a phase to the next: what it was told, and what had happened before. In the
/// words of the picture.
using Facts = std::set<std::string>;
/// Each step that was seen, by its phases, with all the sets of facts that it was seen with.
using Steps = std::map<std::pair<std::string, std::string>, std::set<Facts>>;

/// One pass under answers that a seed chooses: good ones, all kinds of errors, and what comes from outside.
class History {
 public:
  History(unsigned seed, Steps& steps) : random_(seed), steps_(steps), pass_(lease(), settings()) {}

  void run() {
    call([&](auto& out) { pass_.start(now_, out); });
    for (int i = 0; i < 200 && pass_.phase() != core::PassPhase::kEnded; ++i) {
      now_ += std::chrono::seconds(draw(30));
      if (draw(60) == 0) {
        from_outside();
      } else if (todo_.empty() || draw(4) == 0) {
        call([&](auto& out) { pass_.on_time(now_, out); });
        call([&](auto& out) { (void)pass_.take_batch(1 + draw(3), 1000, out); });
      } else {
        const std::size_t which = draw(todo_.size());
        const core::PassAction action = todo_[which];
        todo_.erase(todo_.begin() + static_cast<std::ptrdiff_t>(which));
        call([&](auto& out) { std::visit([&](const auto& what) { answer(what, out); }, action); });
      }
    }
  }

 private:
  std::size_t draw(std::size_t below) { return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_); }
  /// How an action is answered. A failure may be final, and may mean that the lease is lost.
  Status status() {
    const Status drawn = draw_status();
    failed_ = failed_ || !drawn.ok();
    if (drawn.code() == Code::kLeaseLost) {
      facts_.insert("lease lost");
    }
    return drawn;
  }
  Status draw_status() {
    static const std::vector<Code> codes = {Code::kRetry,         Code::kTimeout,    Code::kFailed,
                                            Code::kInputRejected, Code::kIncomplete, Code::kLeaseLost,
                                            Code::kUnusable,      Code::kPaused,     Code::kInvalidDocument};
    return draw(4) != 0 ? Status() : Status(codes[draw(codes.size())], "for the test");
  }
  static OperationList operations() {
    OperationList list;
    for (const char* text : {"a", "b", "c"}) {
      list.add(text, text);
    }
    return list;
  }
  Lease lease() {
    Lease lease;
    lease.job.key = {"catalog", "spec"};
    lease.job.fence = {1, 7};
    lease.job.errors_in_row = static_cast<std::int64_t>(draw(5));
    lease.state.crashes = static_cast<std::int64_t>(draw(2));
    if (lease.state.crashes > 0) {
      crashed_ = true;
      lease.suspects.push_back({hash_text("a"), 1, draw(2) == 0});
      failed_ = lease.suspects.front().set_aside;
    }
    return lease;
  }
  core::PassSettings settings() {
    computes_ = draw(3) == 0;
    return {.space = {.model = "m", .dimension = 4}, .splitter_version = "s/1", .host_compute = computes_};
  }

  template <typename Function>
  void call(Function function) {
    const core::PassPhase before = pass_.phase();
    core::PassActions out;
    function(out);
    if (pass_.phase() != before) {
      if (failed_) {
        facts_.insert("a failure that would be final");
      }
      if (before == core::PassPhase::kEmbed && !writes_out()) {
        facts_.insert(elsewhere_ ? "others embed the rest" : "all persisted");
      }
      facts_.insert("how it ended");
      steps_[{name_of(before), name_of(pass_.phase())}].insert(facts_);
    }
    facts_.clear();
    std::move(out.begin(), out.end(), std::back_inserter(todo_));
  }

  /// Vectors are on their way: from the provider, or to the persister.
  bool writes_out() const {
    return std::any_of(todo_.begin(), todo_.end(), [](const core::PassAction& action) {
      return std::holds_alternative<core::EmbedAction>(action) || std::holds_alternative<core::PersistAction>(action);
    });
  }

  void from_outside() {
    switch (draw(6)) {
      case 0: call([&](auto& out) { pass_.on_stop(now_, out); }); return;
      case 1: call([&](auto& out) { pass_.on_yield(now_, out); }); return;
      case 2: call([&](auto& out) { pass_.on_pause(1min, "busy", now_, out); }); return;
      case 3:
        facts_ = {"lease lost"};
        call([&](auto& out) { pass_.on_lease_lost(now_, out); });
        return;
      case 4:
        facts_ = {"lease lost"};
        call([&](auto& out) { pass_.on_lease_expired(now_, out); });
        return;
      default: now_ += 2h; call([&](auto& out) { pass_.on_time(now_, out); });
    }
  }

  void answer(const core::ResolveAction&, core::PassActions& out) {
    const std::size_t kind = draw(6);
    facts_.insert(kind == 0 ? "deleted" : "not deleted");
    if (kind == 0) {
      pass_.on_resolved(Status(Code::kGone, "deleted"), now_, out);
    } else if (kind == 1) {
      pass_.on_resolved(Status(Code::kRetry, "busy"), now_, out);
    } else {
      facts_.insert(computes_ ? "a host's computer" : "document");
      pass_.on_resolved(Document{"content", "v" + std::to_string(draw(2))}, now_, out);
    }
  }
  void answer(const core::SplitAction&, core::PassActions& out) {
    const Status error = status();
    if (error.ok()) {
      facts_.insert("operations");
      pass_.on_split(std::make_shared<const core::Plan>(operations()), now_, out);
    } else {
      pass_.on_split(error, now_, out);
    }
  }
  void answer(const core::ListAction& list, core::PassActions& out) {
    const Status error = status();
    if (!error.ok()) {
      pass_.on_listed(error, now_, out);
      return;
    }
    const bool all = draw(3) == 0;
    std::vector<bool> stored(list.plan->size());
    for (std::size_t i = 0; i < stored.size(); ++i) {
      stored[i] = all || draw(3) == 0;
    }
    if (std::find(stored.begin(), stored.end(), false) != stored.end()) {
      facts_.insert("some are missing");
    } else {
      facts_.insert(crashed_ ? "all stored (a crash before)" : "all stored");
    }
    pass_.on_listed(stored, now_, out);
  }
  void answer(const core::ReserveAction& reserve, core::PassActions& out) {
    const Status error = status();
    if (!error.ok()) {
      pass_.on_reserved(error, now_, out);
      return;
    }
    const bool all_stored = draw(4) == 0;
    std::vector<Reservation> answers;
    for (std::size_t i = 0; i < reserve.operations->size(); ++i) {
      static const std::vector<Reservation> kinds = {Reservation::kMine, Reservation::kMine, Reservation::kStored,
                                                     Reservation::kElsewhere};
      answers.push_back(all_stored ? Reservation::kStored : kinds[draw(kinds.size())]);
    }
    facts_.insert("reserved");
    if (std::all_of(answers.begin(), answers.end(), [](Reservation each) { return each == Reservation::kStored; })) {
      facts_.insert("all stored");
    }
    elsewhere_ = std::find(answers.begin(), answers.end(), Reservation::kElsewhere) != answers.end();
    pass_.on_reserved(answers, now_, out);
  }
  void answer(const core::RecordAction&, core::PassActions& out) { pass_.on_recorded(status(), now_, out); }
  void answer(const core::EmbedAction& embed, core::PassActions& out) {
    const Status error = status();
    if (error.ok()) {
      pass_.on_embedded(embed.batch.id, Embeddings{.vectors = Matrix(embed.batch.texts.size(), 4)}, now_, out);
    } else {
      pass_.on_embedded(embed.batch.id, error, now_, out);
    }
  }
  void answer(const core::PersistAction&, core::PassActions& out) { pass_.on_persisted(status(), now_, out); }
  void answer(const core::ProgressAction&, core::PassActions& out) { pass_.on_progress_written(status(), now_, out); }
  void answer(const core::ComputeAction&, core::PassActions& out) {
    pass_.on_host_progress(1, 3, now_, out);
    const Status error = status();
    if (error.ok()) {
      facts_.insert("manifest");
      pass_.on_computed(operations().manifest(), now_, out);
    } else {
      pass_.on_computed(error, now_, out);
    }
  }
  void answer(const core::FinalizeAction&, core::PassActions& out) {
    const Status answer = status();
    if (answer.code() == Code::kIncomplete) {
      facts_.insert("a vector is missing");
    }
    pass_.on_finalized(answer, now_, out);
  }
  void answer(const core::SettleAction&, core::PassActions& out) {
    const Status error = status();
    facts_.insert("settled");
    if (error.ok()) {
      pass_.on_settled(JobStatus::kPending, now_, out);
    } else {
      pass_.on_settled(error, now_, out);
    }
  }
  void answer(const core::EmitAction&, core::PassActions&) {}

  std::mt19937 random_;
  Steps& steps_;
  MonoTime now_{1h};
  bool crashed_ = false, computes_ = false, failed_ = false, elsewhere_ = false;
  Facts facts_;
  core::Pass pass_;
  core::PassActions todo_;
};

/// The picture has two boxes for phases that end in the same ways: "any", and "work", which is any but resolve.
Edges with_every_phase(const Edges& picture) {
  Edges edges;
  for (const Edge& edge : picture) {
    if (edge.from == "any") {
      edges.insert({"resolve", edge.to, edge.by});
    }
    if (edge.from != "any" && edge.from != "work") {
      edges.insert(edge);
      continue;
    }
    for (const char* phase : {"split", "list", "reserve", "embed", "compute", "finalize"}) {
      edges.insert({phase, edge.to, edge.by});
    }
  }
  edges.erase({"none", "resolve", "claimed"});  // where it begins
  return edges;
}

}  // namespace

TEST_CASE("the picture of a job's states, the comment of the rules and the rules have the same edges") {
  const Edges observed = edges_of_rules();
  CHECK(edges_of_header() == observed);
  CHECK(edges_of_picture("job-states.svg") == observed);
}

TEST_CASE("the picture of a pass has the edges that random histories of a pass show, and its labels are true") {
  Steps observed;
  for (unsigned seed = 0; seed < 6000; ++seed) {
    History(seed, observed).run();
  }
  std::map<std::pair<std::string, std::string>, Facts> labels;
  for (const Edge& edge : with_every_phase(edges_of_picture("pass.svg"))) {
    INFO(edge);
    const std::set<Facts>& seen = observed[{edge.from, edge.to}];
    CHECK(std::any_of(seen.begin(), seen.end(), [&](const Facts& facts) { return facts.contains(edge.by); }));
    labels[{edge.from, edge.to}].insert(edge.by);
  }
  for (const auto& [step, seen] : observed) {
    for (const Facts& facts : seen) {
      INFO(step.first << " -> " << step.second << " where " << Catch::Detail::stringify(facts));
      const Facts& drawn = labels[step];
      CHECK(std::any_of(drawn.begin(), drawn.end(), [&](const std::string& label) { return facts.contains(label); }));
    }
  }
}
