#include "embedjobs/badge.hpp"

#include <catch2/catch.hpp>

using namespace embedjobs;

namespace {

struct Line {
  const char* what;
  std::optional<SpecStatus> status;
  const char* label;
  Tone tone;
  const char* tooltip;
};

SpecStatus spec(std::int64_t operations, std::int64_t embeddings, std::optional<JobStatus> job,
                std::int64_t attempts = 0, std::string error = {}, std::int64_t so_far = 0) {
  SpecStatus status;
  status.key = {"catalog", "spec"};
  status.operation_count = operations;
  status.embedding_count = embeddings;
  status.embedded_so_far = so_far;
  status.job_status = job;
  status.job_attempts = attempts;
  status.job_last_error = std::move(error);
  return status;
}

constexpr auto kPending = JobStatus::kPending;
constexpr auto kRunning = JobStatus::kRunning;
constexpr auto kSucceeded = JobStatus::kSucceeded;
constexpr auto kFailed = JobStatus::kFailed;

const char* const kIndexedTip = "5/5 operations indexed; semantic ranking active";
const char* const kNotIndexedTip = "No embedding job has run for this spec yet; reconciler will pick it up";
const char* const kEmptyTip = "Spec has zero operations; nothing to embed";

// clang-format off
const Line kTable[] = {
  {"0: no status", std::nullopt, "loading\xE2\x80\xA6", Tone::kMuted, "Embedding status not yet loaded"},
  {"1: last job succeeded", spec(5, 5, kSucceeded, 1), "5/5 indexed", Tone::kGreen, kIndexedTip},
  {"1: no job", spec(5, 5, std::nullopt), "5/5 indexed", Tone::kGreen, kIndexedTip},
  {"2 before 1: running over complete rows", spec(5, 5, kRunning, 1, "", 5), "indexing 5/5", Tone::kBlue,
    "Worker is embedding this spec (attempt 1)"},
  {"2: running, with an old error", spec(150, 32, kRunning, 3, "boom", 64), "indexing 64/150", Tone::kBlue,
    "Worker is embedding this spec (attempt 3)"},
  {"2: running, not split yet", spec(0, 0, kRunning, 1), "indexing 0/0", Tone::kBlue,
    "Worker is embedding this spec (attempt 1)"},
  {"3: one try", spec(5, 0, kPending, 1, "boom"), "retrying (1 try)", Tone::kAmberStrong,
    "Retrying after failure. 1 try so far. Last error: boom"},
  {"3: more tries", spec(5, 2, kPending, 3, "a: b"), "retrying (3 tries)", Tone::kAmberStrong,
    "Retrying after failure. 3 tries so far. Last error: a: b"},
  {"3: no message", spec(5, 5, kPending, 2), "retrying (2 tries)", Tone::kAmberStrong,
    "Retrying after failure. 2 tries so far. Last error: no error message recorded"},
  {"4: pending", spec(5, 0, kPending), "queued", Tone::kAmber, "Queued for embedding"},
  {"4 before 6: pending, no operations known", spec(0, 0, kPending), "queued", Tone::kAmber, "Queued for embedding"},
  {"4 before 1: an edit of an indexed spec", spec(5, 5, kPending), "queued", Tone::kAmber, "Queued for embedding"},
  {"5: failed", spec(5, 2, kFailed, 5, "boom"), "failed", Tone::kRed, "boom"},
  {"5: failed, no message", spec(5, 2, kFailed, 5), "failed", Tone::kRed, "embedding failed"},
  {"5 before 1 and 6: failed over complete rows", spec(5, 5, kFailed, 5, "boom"), "failed", Tone::kRed, "boom"},
  {"5 before 6: failed with nothing split", spec(0, 0, kFailed, 5, "boom"), "failed", Tone::kRed, "boom"},
  {"6: empty, succeeded", spec(0, 0, kSucceeded, 1), "empty", Tone::kMuted, kEmptyTip},
  {"6: empty, no job", spec(0, 0, std::nullopt), "empty", Tone::kMuted, kEmptyTip},
  {"7: no job", spec(5, 0, std::nullopt), "not indexed", Tone::kAmber, kNotIndexedTip},
  {"7: succeeded, rows are missing", spec(5, 4, kSucceeded, 1), "not indexed", Tone::kAmber, kNotIndexedTip},
  {"7: cancelled", spec(5, 5, JobStatus::kCancelled), "not indexed", Tone::kAmber, kNotIndexedTip},
};
// clang-format on

}  // namespace

TEST_CASE("every line of the badge table") {
  for (const Line& line : kTable) {
    INFO(line.what);
    const Badge badge = make_badge(line.status);
    CHECK(badge.label == line.label);
    CHECK(badge.tone == line.tone);
    CHECK(badge.tooltip == line.tooltip);
  }
}

TEST_CASE("what nobody tells is unknown, and a persister that knows its rows to be complete tells it") {
  SpecStatus status;
  CHECK(make_badge(status).label == "unknown");  // no job, no count, no word of the persister
  CHECK(make_badge(status).tone == Tone::kMuted);
  status.complete = false;
  CHECK(make_badge(status).label == "not indexed");
  status.complete = true;
  CHECK(make_badge(status).label == "indexed");
  CHECK(make_badge(status).tooltip == "All operations indexed; semantic ranking active");
  status.job_status = kRunning;
  CHECK(make_badge(status).label == "indexing");
  status.job_known = false;  // then the job's members mean nothing
  CHECK(make_badge(status).label == "indexed");
  status.operation_count = 0;
  CHECK(make_badge(status).label == "empty");
  status.operation_count = 5;
  status.embedding_count = 5;
  CHECK(make_badge(status).label == "5/5 indexed");
  status.complete = false;  // the rows are those of an older document
  CHECK(make_badge(status).label == "unknown");
  CHECK(make_badge(status).tooltip == "Neither the store nor the persister tells how this spec stands");
}

TEST_CASE("a Retry button stands only at failed specs") {
  for (const Line& line : kTable) {
    INFO(line.what);
    CHECK(make_badge(line.status).offers_retry == (std::string_view(line.label) == "failed"));
  }
}

TEST_CASE("every form of the banner leaves its zero parts out") {
  struct Form {
    CatalogHealth health;
    const char* text;
    Tone tone;
  };
  const Form forms[] = {
      {{.specs = 3, .indexed = 3},
       "All 3 specs indexed. Semantic ranking is active across this catalog.",
       Tone::kGreen},
      {{.specs = 3, .indexed = 2}, "2/3 specs indexed", Tone::kAmber},
      {{.specs = 3, .indexed = 2, .running = 1}, "2/3 specs indexed (1 running)", Tone::kAmber},
      {{.specs = 3, .indexed = 2, .pending = 1}, "2/3 specs indexed (1 queued)", Tone::kAmber},
      {{.specs = 3, .indexed = 2, .failed = 1}, "2/3 specs indexed (1 failed)", Tone::kRed},
      {{.specs = 9, .indexed = 4, .pending = 3, .running = 2}, "4/9 specs indexed (2 running, 3 queued)", Tone::kAmber},
      {{.specs = 9, .indexed = 4, .running = 2, .failed = 3}, "4/9 specs indexed (2 running, 3 failed)", Tone::kRed},
      {{.specs = 9, .indexed = 4, .pending = 2, .failed = 3}, "4/9 specs indexed (2 queued, 3 failed)", Tone::kRed},
      {{.specs = 9, .indexed = 3, .pending = 2, .running = 1, .failed = 3},
       "3/9 specs indexed (1 running, 2 queued, 3 failed)",
       Tone::kRed},
      {{}, "0/0 specs indexed", Tone::kAmber},
      {{.specs = 3, .unknown = 3}, "0/0 specs indexed (3 unknown)", Tone::kMuted},
      {{.specs = 3, .indexed = 2, .unknown = 1}, "2/2 specs indexed (1 unknown)", Tone::kMuted},
      {{.specs = 4, .indexed = 2, .pending = 1, .unknown = 1}, "2/3 specs indexed (1 queued, 1 unknown)", Tone::kAmber},
      {{.specs = 4, .indexed = 2, .failed = 1, .unknown = 1}, "2/3 specs indexed (1 failed, 1 unknown)", Tone::kRed},
  };
  for (const Form& form : forms) {
    const Banner banner = make_banner(form.health);
    CHECK(banner.text == form.text);
    CHECK(banner.tone == form.tone);
  }
}

TEST_CASE("every tone has a name") {
  CHECK(to_string(Tone::kMuted) == "muted");
  CHECK(to_string(Tone::kGreen) == "green");
  CHECK(to_string(Tone::kBlue) == "blue");
  CHECK(to_string(Tone::kAmber) == "amber");
  CHECK(to_string(Tone::kAmberStrong) == "amber-strong");
  CHECK(to_string(Tone::kRed) == "red");
  CHECK(to_string(static_cast<Tone>(99)) == "unknown");
}

TEST_CASE("an open job that waits for its provider says so in its tooltip; labels and ended jobs do not change") {
  const std::string pause = "waiting for provider until 2026-01-31T09:05:00.250Z: 429 slow down";
  for (const auto& line : kTable) {
    if (!line.status) {
      continue;
    }
    SpecStatus waiting = *line.status;
    waiting.provider_pause = pause;
    const Badge badge = make_badge(waiting);
    const bool open = waiting.job_status && is_open(*waiting.job_status);
    INFO(line.what);
    CHECK(badge.label == line.label);
    CHECK(badge.tooltip == std::string(line.tooltip) + (open ? "; " + pause : ""));
  }
}
