// The numbers of embedjobs.h are those of the C++ enumerations: values are cast from the one to the other.
#include "embedjobs.h"
#include "embedjobs/badge.hpp"
#include "embedjobs/embedder.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/status.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs::capi {
namespace {

template <typename Enumeration>
constexpr bool is(int number, Enumeration value) {
  return number == static_cast<int>(value);
}

static_assert(is(EMBEDJOBS_OK, Code::kOk));
static_assert(is(EMBEDJOBS_RETRY, Code::kRetry));
static_assert(is(EMBEDJOBS_PAUSED, Code::kPaused));
static_assert(is(EMBEDJOBS_TIMEOUT, Code::kTimeout));
static_assert(is(EMBEDJOBS_BATCH_TOO_LARGE, Code::kBatchTooLarge));
static_assert(is(EMBEDJOBS_INPUT_TOO_LARGE, Code::kInputTooLarge));
static_assert(is(EMBEDJOBS_INPUT_REJECTED, Code::kInputRejected));
static_assert(is(EMBEDJOBS_FAILED, Code::kFailed));
static_assert(is(EMBEDJOBS_LEASE_LOST, Code::kLeaseLost));
static_assert(is(EMBEDJOBS_GONE, Code::kGone));
static_assert(is(EMBEDJOBS_CANCELLED, Code::kCancelled));
static_assert(is(EMBEDJOBS_INVALID_ARGUMENT, Code::kInvalidArgument));
static_assert(is(EMBEDJOBS_INVALID_DOCUMENT, Code::kInvalidDocument));
static_assert(is(EMBEDJOBS_NOT_FOUND, Code::kNotFound));
static_assert(is(EMBEDJOBS_REFUSED, Code::kRefused));
static_assert(is(EMBEDJOBS_INCOMPLETE, Code::kIncomplete));
static_assert(is(EMBEDJOBS_UNUSABLE, Code::kUnusable));
static_assert(is(EMBEDJOBS_INTERNAL, Code::kInternal));

static_assert(is(EMBEDJOBS_JOB_SPEC_WRITE, JobKind::kSpecWrite));
static_assert(is(EMBEDJOBS_JOB_RECONCILER, JobKind::kReconciler));
static_assert(is(EMBEDJOBS_JOB_MANUAL_RETRY, JobKind::kManualRetry));

static_assert(is(EMBEDJOBS_JOB_PENDING, JobStatus::kPending));
static_assert(is(EMBEDJOBS_JOB_RUNNING, JobStatus::kRunning));
static_assert(is(EMBEDJOBS_JOB_SUCCEEDED, JobStatus::kSucceeded));
static_assert(is(EMBEDJOBS_JOB_FAILED, JobStatus::kFailed));
static_assert(is(EMBEDJOBS_JOB_CANCELLED, JobStatus::kCancelled));

static_assert(is(EMBEDJOBS_PURPOSE_DOCUMENT, Purpose::kDocument));
static_assert(is(EMBEDJOBS_PURPOSE_QUERY, Purpose::kQuery));

static_assert(is(EMBEDJOBS_LOG_DEBUG, LogLevel::kDebug));
static_assert(is(EMBEDJOBS_LOG_INFO, LogLevel::kInfo));
static_assert(is(EMBEDJOBS_LOG_WARNING, LogLevel::kWarning));
static_assert(is(EMBEDJOBS_LOG_ERROR, LogLevel::kError));

static_assert(is(EMBEDJOBS_TONE_MUTED, Tone::kMuted));
static_assert(is(EMBEDJOBS_TONE_GREEN, Tone::kGreen));
static_assert(is(EMBEDJOBS_TONE_BLUE, Tone::kBlue));
static_assert(is(EMBEDJOBS_TONE_AMBER, Tone::kAmber));
static_assert(is(EMBEDJOBS_TONE_AMBER_STRONG, Tone::kAmberStrong));
static_assert(is(EMBEDJOBS_TONE_RED, Tone::kRed));

static_assert(is(EMBEDJOBS_EVENT_JOB_CLAIMED, EventKind::kJobClaimed));
static_assert(is(EMBEDJOBS_EVENT_JOB_PROGRESS, EventKind::kJobProgress));
static_assert(is(EMBEDJOBS_EVENT_JOB_SUCCEEDED, EventKind::kJobSucceeded));
static_assert(is(EMBEDJOBS_EVENT_JOB_RETRIED, EventKind::kJobRetried));
static_assert(is(EMBEDJOBS_EVENT_JOB_FAILED, EventKind::kJobFailed));
static_assert(is(EMBEDJOBS_EVENT_JOB_RELEASED, EventKind::kJobReleased));
static_assert(is(EMBEDJOBS_EVENT_LEASE_LOST, EventKind::kLeaseLost));
static_assert(is(EMBEDJOBS_EVENT_LEASE_RENEWED, EventKind::kLeaseRenewed));
static_assert(is(EMBEDJOBS_EVENT_PROVIDER_PAUSED, EventKind::kProviderPaused));
static_assert(is(EMBEDJOBS_EVENT_PROVIDER_RESUMED, EventKind::kProviderResumed));
static_assert(is(EMBEDJOBS_EVENT_BATCH_RESIZED, EventKind::kBatchResized));
static_assert(is(EMBEDJOBS_EVENT_CHUNK_PERSISTED, EventKind::kChunkPersisted));
static_assert(is(EMBEDJOBS_EVENT_LEASE_EXPIRED, EventKind::kLeaseExpired));
static_assert(is(EMBEDJOBS_EVENT_STORE_UNUSABLE, EventKind::kStoreUnusable));

}  // namespace
}  // namespace embedjobs::capi
