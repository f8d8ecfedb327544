#include "embedjobs/types.hpp"

#include <openssl/sha.h>

#include <ctime>

#include "core/values/utf8.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/limits.hpp"
#include "embedjobs/provider.hpp"

#include <fmt/format.h>

namespace embedjobs {
namespace {

Status validate_name(std::string_view name, std::string_view what) {
  if (name.empty()) {
    return {Code::kInvalidArgument, fmt::format("{} is empty", what)};
  }
  if (name.size() > kMaxNameBytes) {
    return {Code::kInvalidArgument,
            fmt::format("{} has {} bytes, at most {} are allowed", what, name.size(), kMaxNameBytes)};
  }
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return {Code::kInvalidArgument, fmt::format("{} has a control character", what)};
    }
  }
  if (!core::is_valid_utf8(name)) {
    return {Code::kInvalidArgument, fmt::format("{} is not valid UTF-8", what)};
  }
  return {};
}

}  // namespace

std::string format_rfc3339(WallTime time) {
  const auto millis = std::chrono::floor<std::chrono::milliseconds>(time);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(millis);
  const std::time_t epoch = seconds.time_since_epoch().count();
  std::tm utc{};
  if (gmtime_r(&epoch, &utc) == nullptr) {
    return "1970-01-01T00:00:00.000Z";
  }
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, (millis - seconds).count());
}

Status validate(const SpecKey& key) {
  if (Status status = validate_catalog_id(key.catalog_id); !status.ok()) {
    return status;
  }
  return validate_name(key.spec_name, "spec_name");
}

Status validate_catalog_id(std::string_view catalog_id) {
  return validate_name(catalog_id, "catalog_id");
}

Status validate_provider(std::string_view provider) {
  return validate_name(provider, "the provider's name");
}

TextHash hash_text(std::string_view text) {
  TextHash hash;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  return hash;
}

std::string to_hex(const TextHash& hash) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(hash.size() * 2);
  for (const std::uint8_t byte : hash) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::string_view to_string(JobKind kind) noexcept {
  switch (kind) {
    case JobKind::kSpecWrite: return "spec_write";
    case JobKind::kReconciler: return "reconciler";
    case JobKind::kManualRetry: return "manual_retry";
  }
  return "unknown";
}

std::string_view to_string(JobStatus status) noexcept {
  switch (status) {
    case JobStatus::kPending: return "pending";
    case JobStatus::kRunning: return "running";
    case JobStatus::kSucceeded: return "succeeded";
    case JobStatus::kFailed: return "failed";
    case JobStatus::kCancelled: return "cancelled";
  }
  return "unknown";
}

std::optional<JobKind> parse_job_kind(std::string_view text) noexcept {
  for (const JobKind kind : {JobKind::kSpecWrite, JobKind::kReconciler, JobKind::kManualRetry}) {
    if (text == to_string(kind)) {
      return kind;
    }
  }
  return std::nullopt;
}

std::optional<JobStatus> parse_job_status(std::string_view text) noexcept {
  for (const JobStatus status :
       {JobStatus::kPending, JobStatus::kRunning, JobStatus::kSucceeded, JobStatus::kFailed, JobStatus::kCancelled}) {
    if (text == to_string(status)) {
      return status;
    }
  }
  return std::nullopt;
}

std::string_view to_string(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "unknown";
}

std::string_view to_string(EventKind kind) noexcept {
  switch (kind) {
    case EventKind::kJobClaimed: return "job_claimed";
    case EventKind::kJobProgress: return "job_progress";
    case EventKind::kJobSucceeded: return "job_succeeded";
    case EventKind::kJobRetried: return "job_retried";
    case EventKind::kJobFailed: return "job_failed";
    case EventKind::kJobReleased: return "job_released";
    case EventKind::kLeaseLost: return "lease_lost";
    case EventKind::kLeaseRenewed: return "lease_renewed";
    case EventKind::kProviderPaused: return "provider_paused";
    case EventKind::kProviderResumed: return "provider_resumed";
    case EventKind::kBatchResized: return "batch_resized";
    case EventKind::kChunkPersisted: return "chunk_persisted";
    case EventKind::kLeaseExpired: return "lease_expired";
    case EventKind::kStoreUnusable: return "store_unusable";
  }
  return "unknown";
}

}  // namespace embedjobs
