// What every backend answers in the same case, in the same words: people and scripts read one text, whatever the
// database is. tests/conformance/error_text_test.cpp holds each backend to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "embedjobs/space.hpp"
#include "embedjobs/status.hpp"
#include "embedjobs/types.hpp"

namespace embedjobs::core {

// kNotFound
Status no_such_catalog(std::string_view catalog_id);
Status no_such_spec(const SpecKey& key);
Status no_such_job(JobId id);
Status no_such_failure(const SpecKey& key);

/// kGone: the spec has no document, or has it no longer.
Status document_gone(const SpecKey& key);

/// kLeaseLost: another holds the job, or nobody does.
Status lease_lost(JobId job, const SpecKey& key);

/// "catalog 'shop' has target space 64/hashing".
std::string target_of(std::string_view catalog_id, std::string_view target_space_id);

// kRefused
/// A pass of another space than the catalog's target.
Status wrong_target(std::string_view catalog_id, std::string_view target_space_id, std::string_view pass_space_id);
/// A search in another space than the one that searches read.
Status wrong_search_space(std::string_view catalog_id, std::string_view search_space_id, std::string_view asked);
/// While one switch went through the specs, another changed the target.
Status switched_meanwhile(std::string_view catalog_id, std::string_view target_space_id);
/// The process that calls is a child of the one that opened the database.
Status opened_before_fork();

/// kRetry: a manifest that was being compared or built is there no longer.
Status manifest_swept();

/// kIncomplete: `count` of a manifest's `total` operations have no vector, `operation_id` first.
Status incomplete(std::string_view operation_id, std::size_t count, std::size_t total);

}  // namespace embedjobs::core
