// The statements whose plans decide what a claim costs; apart, so that a test can ask for their plans.
#pragma once

#include "postgres/records.hpp"

namespace embedjobs::postgres::claim_sql {

// Catalogs of another target space than parameter 1. Usually there are none; the list is made once a statement.
#define EMBEDJOBS_OTHER_CATALOGS "(SELECT o.id FROM @catalogs AS o WHERE o.target_space NOT IN ('', $1))"

// Due jobs of one priority, oldest first, from its index. $2 < next_run_at <= $3. Jobs that another claim looks at are left to it.
#define EMBEDJOBS_SELECT_DUE(priority)                                                       \
  "SELECT j.id, j.next_run_at FROM @jobs AS j WHERE j.status = 0 AND j.priority = " priority \
  " AND j.next_run_at > $2 AND j.next_run_at <= $3"                                          \
  " AND j.catalog_id NOT IN " EMBEDJOBS_OTHER_CATALOGS                                       \
  " AND j.id <> ALL ($5) ORDER BY j.next_run_at, j.id LIMIT $4 FOR UPDATE OF j SKIP LOCKED"
inline constexpr const char* kDueUrgent = EMBEDJOBS_SELECT_DUE("0");
inline constexpr const char* kDuePatient = EMBEDJOBS_SELECT_DUE("1");

// The jobs that were picked, with their keys. A key that somebody else locks is left to him. While the catalog's row is held, its target
// stays what it is.
inline constexpr const char* kTake = "SELECT " EMBEDJOBS_JOB_COLUMNS(
    "0::bigint") ", " EMBEDJOBS_KEY_COLUMNS
                 ", c.target_space FROM @jobs AS j JOIN @keys AS k ON k.id = j.key_id JOIN @catalogs AS c ON c.id = k.catalog_id "
                 "WHERE j.id = ANY ($1) AND j.status = 0 ORDER BY k.id FOR UPDATE OF k SKIP LOCKED FOR UPDATE OF j SKIP LOCKED FOR KEY "
                 "SHARE OF c";

// As many leases as there are busy workers: a look at each.
inline constexpr const char* kEnded = EMBEDJOBS_SELECT_HELD
    "JOIN @leases AS l ON l.job_id = j.id WHERE l.lease_until <= $1 ORDER BY j.id LIMIT $2 "
    "FOR UPDATE OF k SKIP LOCKED FOR UPDATE OF j SKIP LOCKED FOR UPDATE OF l SKIP LOCKED";
inline constexpr const char* kClaimedBefore =
    "SELECT " EMBEDJOBS_JOB_COLUMNS("l.expires_at") ", " EMBEDJOBS_KEY_COLUMNS
                                                    " FROM @leases AS l JOIN @jobs AS j ON j.id = l.job_id JOIN @keys AS k ON k.id = "
                                                    "j.key_id JOIN @catalogs AS c ON c.id = k.catalog_id "
                                                    "WHERE l.fence_nonce = $1 ORDER BY j.id";

inline constexpr const char* kAnyOtherCatalog = "SELECT 1 FROM @catalogs WHERE target_space NOT IN ('', $1) LIMIT 1";
// Asked only when there are other catalogs. $2 is now, $3 is too far ahead to be true.
#define EMBEDJOBS_OTHER_DUE(priority)                                                  \
  "(SELECT j.catalog_id FROM @jobs AS j WHERE j.status = 0 AND j.priority = " priority \
  " AND (j.next_run_at <= $2 OR j.next_run_at > $3) AND j.catalog_id IN " EMBEDJOBS_OTHER_CATALOGS " LIMIT $4)"
inline constexpr const char* kOtherDue =
    "SELECT count(*), coalesce(min(d.catalog_id), 0) FROM (" EMBEDJOBS_OTHER_DUE("0") " UNION ALL " EMBEDJOBS_OTHER_DUE("1") ") AS d";

// Everything that a peek tells, in one row. $2 is now, $3 is too far ahead to be true.
#define EMBEDJOBS_OPEN "j.catalog_id NOT IN " EMBEDJOBS_OTHER_CATALOGS
#define EMBEDJOBS_NEXT(priority)                                                                               \
  "(SELECT j.next_run_at FROM @jobs AS j WHERE j.status = 0 AND j.priority = " priority " AND " EMBEDJOBS_OPEN \
  " ORDER BY j.next_run_at LIMIT 1)"
#define EMBEDJOBS_FAR(priority) \
  "EXISTS (SELECT 1 FROM @jobs AS j WHERE j.status = 0 AND j.priority = " priority " AND j.next_run_at > $3 AND " EMBEDJOBS_OPEN ")"
inline constexpr const char* kPeek =
    "SELECT (SELECT last_value FROM @enqueue_counter),"
    " least(" EMBEDJOBS_NEXT("0") ", " EMBEDJOBS_NEXT("1") "), " EMBEDJOBS_FAR("0") " OR " EMBEDJOBS_FAR("1") ","
    " EXISTS (SELECT 1 FROM @jobs AS j WHERE j.status = 0 AND j.priority = 0 AND j.next_run_at <= $2 AND " EMBEDJOBS_OPEN
    ") OR " EMBEDJOBS_FAR("0") ","
    " (SELECT min(l.lease_until) FROM @leases AS l JOIN @jobs AS j ON j.id = l.job_id WHERE " EMBEDJOBS_OPEN
    "),"
    " EXISTS (SELECT 1 FROM @catalogs AS c WHERE c.target_space NOT IN ('', $1)"
    "  AND EXISTS (SELECT 1 FROM @jobs AS j WHERE j.catalog_id = c.id))";

}  // namespace embedjobs::postgres::claim_sql
