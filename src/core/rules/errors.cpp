#include "core/rules/errors.hpp"

#include <fmt/format.h>

namespace embedjobs::core {

Status no_such_catalog(std::string_view catalog_id) {
  return {Code::kNotFound, fmt::format("there is no catalog '{}'", catalog_id)};
}

Status no_such_spec(const SpecKey& key) {
  return {Code::kNotFound, fmt::format("there is no spec '{}' in catalog '{}'", key.spec_name, key.catalog_id)};
}

Status no_such_job(JobId id) {
  return {Code::kNotFound, fmt::format("there is no job {}", id)};
}

Status no_such_failure(const SpecKey& key) {
  return {Code::kNotFound, fmt::format("the spec '{}' in catalog '{}' has no failure", key.spec_name, key.catalog_id)};
}

Status document_gone(const SpecKey& key) {
  return {Code::kGone, fmt::format("the document of spec '{}' in catalog '{}' is gone", key.spec_name, key.catalog_id)};
}

Status lease_lost(JobId job, const SpecKey& key) {
  return {Code::kLeaseLost,
          fmt::format("the lease of job {} (spec '{}' in catalog '{}') is lost", job, key.spec_name, key.catalog_id)};
}

std::string target_of(std::string_view catalog_id, std::string_view target_space_id) {
  return fmt::format("catalog '{}' has target space {}", catalog_id, target_space_id);
}

Status wrong_target(std::string_view catalog_id, std::string_view target_space_id, std::string_view pass_space_id) {
  return {Code::kRefused, fmt::format("{}, not {}", target_of(catalog_id, target_space_id), pass_space_id)};
}

Status wrong_search_space(std::string_view catalog_id, std::string_view search_space_id, std::string_view asked) {
  return {Code::kRefused,
          fmt::format("searches of catalog '{}' read space {}, not {}", catalog_id, search_space_id, asked)};
}

Status switched_meanwhile(std::string_view catalog_id, std::string_view target_space_id) {
  return {Code::kRefused, fmt::format("catalog '{}' was switched to space {} meanwhile", catalog_id, target_space_id)};
}

Status opened_before_fork() {
  return {Code::kRefused, "the database was opened before a fork: open it again in the child"};
}

Status manifest_swept() {
  return {Code::kRetry, "the manifest was swept meanwhile"};
}

Status incomplete(std::string_view operation_id, std::size_t count, std::size_t total) {
  return {Code::kIncomplete,
          fmt::format("operation '{}' has no vector yet ({} of {} have none)", operation_id, count, total)};
}

}  // namespace embedjobs::core
