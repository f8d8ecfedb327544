#include "embedjobs/badge.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace embedjobs {
namespace {

/// The table's rows, in the order in which they are tried.
enum class BadgeRule { kUnknown, kIndexed, kIndexing, kRetrying, kQueued, kFailed, kEmpty, kNotIndexed };

bool counts_known(const SpecStatus& s) {
  return s.job_known && s.operation_count && s.embedding_count;
}

bool has_all_rows(const SpecStatus& s) {
  return counts_known(s) ? *s.embedding_count == *s.operation_count : s.complete.value_or(false);
}

BadgeRule rule_of(const SpecStatus& s) {
  if (is_unknown(s)) {
    return BadgeRule::kUnknown;
  }
  const bool empty = s.operation_count && *s.operation_count == 0;
  static const std::optional<JobStatus> none;
  const std::optional<JobStatus>& job = s.job_known ? s.job_status : none;
  const bool rests = !job || *job == JobStatus::kSucceeded;
  if (rests && !empty && has_all_rows(s)) {
    return BadgeRule::kIndexed;
  }
  if (job == JobStatus::kRunning) {
    return BadgeRule::kIndexing;
  }
  if (job == JobStatus::kPending) {
    return s.job_attempts > 0 ? BadgeRule::kRetrying : BadgeRule::kQueued;
  }
  if (job == JobStatus::kFailed) {
    return BadgeRule::kFailed;
  }
  return empty ? BadgeRule::kEmpty : BadgeRule::kNotIndexed;
}

/// "12/40"; empty where a count is not known.
std::string fraction(const std::optional<std::int64_t>& count, const std::optional<std::int64_t>& total) {
  return count && total ? fmt::format("{}/{}", *count, *total) : std::string();
}

std::string tries(std::int64_t count) {
  return fmt::format("{} {}", count, count == 1 ? "try" : "tries");
}

/// The tooltip of an open job says that it waits for the provider, and until when.
std::string with_pause(std::string tooltip, const SpecStatus& s) {
  return s.provider_pause.empty() ? tooltip : std::move(tooltip) + "; " + s.provider_pause;
}

std::string_view or_else(std::string_view text, std::string_view fallback) {
  return text.empty() ? fallback : text;
}

}  // namespace

std::string_view to_string(Tone tone) noexcept {
  switch (tone) {
    case Tone::kMuted: return "muted";
    case Tone::kGreen: return "green";
    case Tone::kBlue: return "blue";
    case Tone::kAmber: return "amber";
    case Tone::kAmberStrong: return "amber-strong";
    case Tone::kRed: return "red";
  }
  return "unknown";
}

bool is_unknown(const SpecStatus& status) noexcept {
  if (!status.job_known) {
    return !status.complete.value_or(false);
  }
  return !status.job_status && !status.operation_count && !status.complete;
}

Badge make_badge(const std::optional<SpecStatus>& status) {
  if (!status) {
    return {"loading…", Tone::kMuted, "Embedding status not yet loaded"};
  }
  const SpecStatus& s = *status;
  switch (rule_of(s)) {
    case BadgeRule::kUnknown:
      return {"unknown", Tone::kMuted, "Neither the store nor the persister tells how this spec stands"};
    case BadgeRule::kIndexed: {
      const std::string counts = fraction(s.embedding_count, s.operation_count);
      return {counts.empty() ? "indexed" : counts + " indexed", Tone::kGreen,
              fmt::format("{} operations indexed; semantic ranking active", or_else(counts, "All"))};
    }
    case BadgeRule::kIndexing: {
      const std::string counts = fraction(s.embedded_so_far, s.operation_count);
      return {counts.empty() ? "indexing" : "indexing " + counts, Tone::kBlue,
              with_pause(fmt::format("Worker is embedding this spec (attempt {})", s.job_attempts), s)};
    }
    case BadgeRule::kRetrying:
      return {fmt::format("retrying ({})", tries(s.job_attempts)), Tone::kAmberStrong,
              with_pause(fmt::format("Retrying after failure. {} so far. Last error: {}", tries(s.job_attempts),
                                     or_else(s.job_last_error, "no error message recorded")),
                         s)};
    case BadgeRule::kQueued: return {"queued", Tone::kAmber, with_pause("Queued for embedding", s)};
    case BadgeRule::kFailed:
      return {"failed", Tone::kRed, std::string(or_else(s.job_last_error, "embedding failed")), true};
    case BadgeRule::kEmpty: return {"empty", Tone::kMuted, "Spec has zero operations; nothing to embed"};
    case BadgeRule::kNotIndexed: break;
  }
  return {"not indexed", Tone::kAmber, "No embedding job has run for this spec yet; reconciler will pick it up"};
}

Banner make_banner(const CatalogHealth& health) {
  if (health.specs > 0 && health.indexed == health.specs && health.failed == 0) {
    return {fmt::format("All {} specs indexed. Semantic ranking is active across this catalog.", health.specs),
            Tone::kGreen};
  }
  std::vector<std::string> parts;
  const auto add = [&parts](std::int64_t count, std::string_view word) {
    if (count > 0) {
      parts.push_back(fmt::format("{} {}", count, word));
    }
  };
  add(health.running, "running");
  add(health.pending, "queued");
  add(health.failed, "failed");
  add(health.unknown, "unknown");
  const std::int64_t known = health.specs - health.unknown;
  std::string text = fmt::format("{}/{} specs indexed", health.indexed, known);
  if (!parts.empty()) {
    text += fmt::format(" ({})", fmt::join(parts, ", "));
  }
  const bool only_unknown = health.unknown > 0 && health.indexed == known;
  return {std::move(text), health.failed > 0 ? Tone::kRed : only_unknown ? Tone::kMuted : Tone::kAmber};
}

}  // namespace embedjobs
