#include "embedjobs/badge.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace embedjobs {
namespace {

/// The table's rows, in the order in which they are tried.
enum class BadgeRule { kUnknown, kIndexed, kIndexing, kRetrying, kQueued, kFailed, kEmpty, kNotIndexed };

BadgeRule rule_of(const SpecStatus& s) {
  if (!s.job_known) {
    return BadgeRule::kUnknown;
  }
  const bool rests = !s.job_status || *s.job_status == JobStatus::kSucceeded;
  if (s.operation_count > 0 && s.embedding_count == s.operation_count && rests) {
    return BadgeRule::kIndexed;
  }
  if (s.job_status == JobStatus::kRunning) {
    return BadgeRule::kIndexing;
  }
  if (s.job_status == JobStatus::kPending) {
    return s.job_attempts > 0 ? BadgeRule::kRetrying : BadgeRule::kQueued;
  }
  if (s.job_status == JobStatus::kFailed) {
    return BadgeRule::kFailed;
  }
  return s.operation_count == 0 ? BadgeRule::kEmpty : BadgeRule::kNotIndexed;
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

Badge make_badge(const std::optional<SpecStatus>& status) {
  if (!status) {
    return {"loading…", Tone::kMuted, "Embedding status not yet loaded"};
  }
  const SpecStatus& s = *status;
  switch (rule_of(s)) {
    case BadgeRule::kUnknown:
      return {"unknown", Tone::kMuted, "The store of this spec's jobs does not tell how they stand"};
    case BadgeRule::kIndexed:
      return {fmt::format("{}/{} indexed", s.embedding_count, s.operation_count), Tone::kGreen,
              fmt::format("{}/{} operations indexed; semantic ranking active", s.embedding_count, s.operation_count)};
    case BadgeRule::kIndexing:
      return {fmt::format("indexing {}/{}", s.embedded_so_far, s.operation_count), Tone::kBlue,
              with_pause(fmt::format("Worker is embedding this spec (attempt {})", s.job_attempts), s)};
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
  std::string text = fmt::format("{}/{} specs indexed", health.indexed, health.specs);
  if (!parts.empty()) {
    text += fmt::format(" ({})", fmt::join(parts, ", "));
  }
  return {std::move(text), health.failed > 0 ? Tone::kRed : Tone::kAmber};
}

}  // namespace embedjobs
