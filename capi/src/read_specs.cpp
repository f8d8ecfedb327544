// What a person reads of specs and catalogs.
#include "embedjobs/badge.hpp"
#include "results.hpp"

namespace embedjobs::capi {
namespace {

using Statuses = OwningList<embedjobs_statuses, embedjobs_spec_status>;
using Catalogs = OwningList<embedjobs_catalogs, embedjobs_catalog>;
using Verifications = OwningList<embedjobs_verifications, embedjobs_verification>;
using Health = Owning<embedjobs_health>;

constexpr std::int64_t kNotKnown = -1;

std::int32_t job_status_of(const SpecStatus& status) {
  if (!status.job_known) {
    return EMBEDJOBS_JOB_UNKNOWN;
  }
  return status.job_status ? static_cast<std::int32_t>(*status.job_status) : EMBEDJOBS_JOB_NONE;
}

void add_status(Statuses& list, const SpecStatus& status) {
  const Badge badge = make_badge(status);
  embedjobs_spec_status& item = list.add();
  item.catalog_id = list.keep(status.key.catalog_id);
  item.spec_name = list.keep(status.key.spec_name);
  item.operation_count = status.operation_count.value_or(kNotKnown);
  item.embedding_count = status.embedding_count.value_or(kNotKnown);
  item.embedded_so_far = status.embedded_so_far.value_or(kNotKnown);
  item.job_attempts = status.job_attempts;
  item.job_last_error = list.keep(status.job_last_error);
  item.job_updated_at = to_unix_ms(status.job_updated_at);
  item.job_next_run_at = to_unix_ms(status.job_next_run_at);
  item.visible_space_id = status.visible_space_id ? list.keep(*status.visible_space_id) : nullptr;
  item.provider_pause = status.pause_known ? list.keep(status.provider_pause) : nullptr;
  item.badge_label = list.keep(badge.label);
  item.badge_tooltip = list.keep(badge.tooltip);
  item.badge_tone = static_cast<std::int32_t>(badge.tone);
  item.offers_retry = badge.offers_retry ? 1 : 0;
  item.job_status = job_status_of(status);
  item.worker_id = list.keep(status.worker_id);
  item.job_started_at = to_unix_ms(status.job_started_at);
  item.lease_expires_at = to_unix_ms(status.lease_expires_at);
}

void fill_health(Health& health, const CatalogHealth& from) {
  const Banner banner = make_banner(from);
  health.specs = from.specs;
  health.indexed = from.indexed;
  health.pending = from.jobs_known ? from.pending : kNotKnown;
  health.running = from.jobs_known ? from.running : kNotKnown;
  health.failed = from.jobs_known ? from.failed : kNotKnown;
  health.unknown = from.unknown;
  health.degraded_reason = health.keep(from.degraded_reason);
  health.banner_text = health.keep(banner.text);
  health.banner_tone = static_cast<std::int32_t>(banner.tone);
  health.degraded = from.degraded ? 1 : from.jobs_known && from.failures_known ? 0 : -1;
}

void add_catalog(Catalogs& list, const CatalogInfo& info) {
  embedjobs_catalog& item = list.add();
  item.catalog_id = list.keep(info.catalog_id);
  item.target_space_id = list.keep(info.target_space_id);
  item.search_space_id = list.keep(info.search_space_id);
  item.spec_count = info.spec_count;
  item.specs_in_target = info.specs_in_target;
}

void add_verification(Verifications& list, const VerifyReport& report) {
  embedjobs_verification& item = list.add();
  item.catalog_id = list.keep(report.key.catalog_id);
  item.spec_name = list.keep(report.key.spec_name);
  item.difference = list.keep(report.difference);
  item.equal = report.equal ? 1 : 0;
}

}  // namespace
}  // namespace embedjobs::capi

using namespace embedjobs;  // NOLINT(google-build-using-namespace)
using capi::FromCallback;

extern "C" {

std::int32_t embedjobs_engine_statuses(embedjobs_engine* engine, const char* catalog_id, embedjobs_statuses** out,
                                       embedjobs_error** error) {
  return capi::list_call<embedjobs_statuses, capi::Statuses>(
      engine, FromCallback::kRefused, __func__, out, error,
      [&](Engine& core) { return core.status(capi::to_optional(catalog_id)); }, capi::add_status);
}

void embedjobs_statuses_destroy(embedjobs_statuses* statuses) {
  delete static_cast<capi::Statuses*>(statuses);
}

std::int32_t embedjobs_engine_health(embedjobs_engine* engine, const char* catalog_id, embedjobs_health** out,
                                     embedjobs_error** error) {
  const auto read = [&](Engine& core, capi::Health& view) -> Status {
    const auto health = core.health(capi::to_optional(catalog_id));
    if (health.ok()) {
      capi::fill_health(view, *health);
    }
    return health.status();
  };
  return capi::result_call<embedjobs_health, capi::Health>(engine, FromCallback::kRefused, __func__, out, error, read);
}

void embedjobs_health_destroy(embedjobs_health* health) {
  delete static_cast<capi::Health*>(health);
}

std::int32_t embedjobs_engine_catalogs(embedjobs_engine* engine, embedjobs_catalogs** out, embedjobs_error** error) {
  return capi::list_call<embedjobs_catalogs, capi::Catalogs>(
      engine, FromCallback::kRefused, __func__, out, error, [](Engine& core) { return core.catalogs(); },
      capi::add_catalog);
}

void embedjobs_catalogs_destroy(embedjobs_catalogs* catalogs) {
  delete static_cast<capi::Catalogs*>(catalogs);
}

std::int32_t embedjobs_engine_verify(embedjobs_engine* engine, const char* catalog_id, const char* spec_name,
                                     embedjobs_verifications** out, embedjobs_error** error) {
  const auto verify = [&](Engine& core) -> Result<std::vector<VerifyReport>> {
    if (Status status = capi::check_name(catalog_id, "catalog_id"); !status.ok()) {
      return status;
    }
    return core.verify(catalog_id, capi::to_optional(spec_name));
  };
  return capi::list_call<embedjobs_verifications, capi::Verifications>(engine, FromCallback::kRefused, __func__, out,
                                                                       error, verify, capi::add_verification);
}

void embedjobs_verifications_destroy(embedjobs_verifications* verifications) {
  delete static_cast<capi::Verifications*>(verifications);
}

}  // extern "C"
