#include "embedjobs/provider_health.hpp"

namespace embedjobs {

std::string_view to_string(HealthState state) noexcept {
  switch (state) {
    case HealthState::kOk: return "ok";
    case HealthState::kUnreachable: return "unreachable";
    case HealthState::kUnauthorised: return "unauthorised";
    case HealthState::kModelMissing: return "model_missing";
    case HealthState::kLimited: return "limited";
    case HealthState::kQuotaExhausted: return "quota_exhausted";
    case HealthState::kFaulty: return "faulty";
  }
  return "unknown";
}

}  // namespace embedjobs
