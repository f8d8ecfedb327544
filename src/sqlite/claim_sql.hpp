// The statements whose plans decide what a claim costs; apart, so that a test can ask for their plans.
#pragma once

namespace embedjobs::sqlite::claim_sql {

// Catalogs of another target space than :space. Usually there are none. The list is made once a statement. A worker
// that does not know its space yet ('') may turn out to be of any: no catalog is another's.
#define EMBEDJOBS_IS_OTHER "target_space NOT IN ('', :space) AND :space <> ''"
#define EMBEDJOBS_OTHER_CATALOGS "(SELECT id FROM catalogs WHERE " EMBEDJOBS_IS_OTHER ")"

// Due jobs of one priority (:priority), oldest first, from the covering index jobs_by_priority alone. :low <
// next_run_at <= :high
inline constexpr const char* kDueByPriority =
    "SELECT id FROM jobs INDEXED BY jobs_by_priority "
    "WHERE status = 0 AND priority = :priority AND next_run_at > :low AND next_run_at <= :high"
    " AND catalog_id NOT IN " EMBEDJOBS_OTHER_CATALOGS " ORDER BY next_run_at, id LIMIT :limit";

// Due jobs by age alone, from the covering index jobs_by_age alone.
inline constexpr const char* kDueByAge =
    "SELECT id FROM jobs INDEXED BY jobs_by_age "
    "WHERE status = 0 AND next_run_at > :low AND next_run_at <= :high"
    " AND catalog_id NOT IN " EMBEDJOBS_OTHER_CATALOGS " ORDER BY next_run_at, id LIMIT :limit";

// As many running jobs as there are busy workers: a look at each.
inline constexpr const char* kRunning =
    "SELECT id, catalog_id, fence_nonce, lease_boot_id, lease_boot_time, lease_holder, lease_length "
    "FROM jobs INDEXED BY jobs_running WHERE status = 1 ORDER BY id LIMIT :limit";

inline constexpr const char* kAnyOtherCatalog = "SELECT 1 FROM catalogs WHERE " EMBEDJOBS_IS_OTHER " LIMIT 1";

// Asked only when there are other catalogs.
inline constexpr const char* kOtherDue =
    "SELECT COUNT(*), MIN(catalog_id) FROM (SELECT catalog_id FROM jobs INDEXED BY jobs_by_age "
    "WHERE status = 0 AND (next_run_at <= :now OR next_run_at > :far) AND catalog_id IN " EMBEDJOBS_OTHER_CATALOGS
    " LIMIT :limit)";
inline constexpr const char* kOtherOpen =
    "SELECT 1 FROM catalogs AS c WHERE " EMBEDJOBS_IS_OTHER
    " AND EXISTS (SELECT 1 FROM jobs AS j INDEXED BY jobs_open WHERE j.catalog_id = c.id AND j.status <= 1) LIMIT 1";

inline constexpr const char* kFirstDue =
    "SELECT next_run_at FROM jobs INDEXED BY jobs_by_age "
    "WHERE status = 0 AND catalog_id NOT IN " EMBEDJOBS_OTHER_CATALOGS " ORDER BY next_run_at LIMIT 1";

}  // namespace embedjobs::sqlite::claim_sql
