// The statements whose plans decide what a claim costs. They are in a file of their own, so that a test can ask for
// their plans.
#pragma once

#include "postgres/job_records.hpp"

namespace embedjobs::postgres::claim_sql {

// Catalogs of another target space than parameter 1. Usually there are none. A worker that does not know its space yet
// ('') may turn out to be of any: no catalog is another's. The list is made once per statement. It is read as two
// ranges of the index catalogs_target. With "NOT IN" the server would read all catalogs, by a sequential scan.
// Sequential scans are disabled here, so their cost counts as very high. Beside such a cost, servers before 18 take all
// other plans for equally cheap.
#define EMBEDJOBS_IS_OTHER(catalog)                                                                        \
  "($1 <> '' AND " catalog ".target_space > '' AND " catalog ".target_space < $1 OR $1 <> '' AND " catalog \
  ".target_space > $1)"
#define EMBEDJOBS_OTHER_CATALOGS "(SELECT o.id FROM @catalogs AS o WHERE " EMBEDJOBS_IS_OTHER("o") ")"

// What a claim asks first, in one row: is it the same claim sent again, are there catalogs of other target spaces, and,
// if $3 is true, when does the first lease end. The last question reads every lease: there are as many as busy slots.
inline constexpr const char* kHead =
    "SELECT EXISTS (SELECT 1 FROM @leases AS l WHERE l.fence_nonce = $2),"
    " EXISTS (SELECT 1 FROM @catalogs AS o WHERE " EMBEDJOBS_IS_OTHER("o") "),"
    " CASE WHEN $3 THEN (SELECT min(l.lease_until) FROM @leases AS l) END";

// Due jobs, in four ranges of the index, each oldest first. Urgent jobs come before patient ones. Within a priority the
// jobs whose due time is too far ahead to be true come last. $2 and $3: read jobs that are due after these (urgent,
// patient). $4: now; 0: the server's time. $5: how far ahead is too far. $6: how many jobs. $7: leave these out. $8
// true: up to $6 jobs of each priority, so that the caller can choose the oldest of both. $8 false: up to $6 in all.
// Jobs that another claim has locked are skipped.
#define EMBEDJOBS_DUE(priority, low, high, limit)                                                                \
  "(SELECT j.id, j.next_run_at FROM @jobs AS j WHERE j.status = 0 AND j.priority = " priority                    \
  " AND j.next_run_at > " low " AND j.next_run_at <= " high " AND j.catalog_id NOT IN " EMBEDJOBS_OTHER_CATALOGS \
  " AND j.id <> ALL ($7) ORDER BY j.next_run_at, j.id LIMIT " limit " FOR UPDATE OF j SKIP LOCKED)"
#define EMBEDJOBS_DUE_NOW(priority, low, limit) EMBEDJOBS_DUE(priority, low, "(SELECT now FROM clock)", limit)
#define EMBEDJOBS_DUE_FAR(priority, limit) \
  EMBEDJOBS_DUE(priority, "(SELECT now + $5 FROM clock)", "9223372036854775807", limit)
inline constexpr const char* kDue =
    "WITH clock AS MATERIALIZED (SELECT coalesce(nullif($4, 0), @time_now()) AS now),"
    " urgent AS MATERIALIZED " EMBEDJOBS_DUE_NOW("0", "$2", "$6") ","
    " urgent_far AS MATERIALIZED " EMBEDJOBS_DUE_FAR("0", "$6 - (SELECT count(*) FROM urgent)") ","
    " taken AS MATERIALIZED (SELECT CASE WHEN $8 THEN 0"
    "  ELSE (SELECT count(*) FROM urgent) + (SELECT count(*) FROM urgent_far) END AS count),"
    " patient AS MATERIALIZED " EMBEDJOBS_DUE_NOW("1", "$3", "$6 - (SELECT count FROM taken)") ","
    " patient_far AS MATERIALIZED " EMBEDJOBS_DUE_FAR(
        "1", "$6 - (SELECT count FROM taken) - (SELECT count(*) FROM patient)")
    " SELECT id, next_run_at, 0, false FROM urgent UNION ALL SELECT id, next_run_at, 0, true FROM urgent_far"
    " UNION ALL SELECT id, next_run_at, 1, false FROM patient"
    " UNION ALL SELECT id, next_run_at, 1, true FROM patient_far";

// The jobs that were chosen, with their keys and the epoch. They are locked already. A job whose key is locked by
// somebody else is skipped. While the catalog's row is locked, its target space can't change.
inline constexpr const char* kTake = "SELECT " EMBEDJOBS_JOB_COLUMNS(
    "0::bigint") ", " EMBEDJOBS_KEY_COLUMNS
                 ", c.target_space, (SELECT e.last_value FROM @epoch AS e) FROM @jobs AS j " EMBEDJOBS_KEYS_OF_JOBS
                 "WHERE j.id = ANY ($1) AND j.status = 0 ORDER BY k.id FOR UPDATE OF k SKIP LOCKED FOR KEY SHARE OF c";

// Asked when a lease has ended.
inline constexpr const char* kEnded = EMBEDJOBS_SELECT_HELD
    "JOIN @leases AS l ON l.job_id = j.id WHERE l.lease_until <= $1 ORDER BY j.id LIMIT $2 "
    "FOR UPDATE OF k SKIP LOCKED FOR UPDATE OF j SKIP LOCKED FOR UPDATE OF l SKIP LOCKED";
inline constexpr const char* kClaimedBefore = "SELECT " EMBEDJOBS_JOB_COLUMNS(
    "l.expires_at") ", " EMBEDJOBS_KEY_COLUMNS
                    " FROM @leases AS l JOIN @jobs AS j ON j.id = ANY (ARRAY[l.job_id]) " EMBEDJOBS_KEYS_OF_JOBS
                    "WHERE l.fence_nonce = $1 ORDER BY j.id";

// Asked only when there are catalogs of other spaces. $2 is now, $3 is too far ahead to be true. $4 is how many of the
// oldest jobs are read. That is enough: jobs that no worker here takes become the oldest.
#define EMBEDJOBS_OTHER_DUE(priority)                                                                            \
  "(SELECT d.catalog_id FROM (SELECT j.catalog_id FROM @jobs AS j WHERE j.status = 0 AND j.priority = " priority \
  " AND (j.next_run_at <= $2 OR j.next_run_at > $3) ORDER BY j.next_run_at, j.id LIMIT $4) AS d"                 \
  " WHERE d.catalog_id IN " EMBEDJOBS_OTHER_CATALOGS ")"
inline constexpr const char* kOtherDue = "SELECT count(*), coalesce(min(d.catalog_id), 0) FROM (" EMBEDJOBS_OTHER_DUE(
    "0") " UNION ALL " EMBEDJOBS_OTHER_DUE("1") ") AS d";

// Everything that a peek answers, in one row. Of jobs of other spaces it says only whether one is among the oldest. $2
// is now, $3 is too far ahead to be true. $4 and $5: read jobs that are due after these (urgent, patient). $6: look at
// so many of the oldest.
#define EMBEDJOBS_OPEN "j.catalog_id NOT IN " EMBEDJOBS_OTHER_CATALOGS
#define EMBEDJOBS_NEXT(priority, low)                                                                               \
  "(SELECT j.next_run_at FROM @jobs AS j WHERE j.status = 0 AND j.priority = " priority " AND j.next_run_at > " low \
  " AND " EMBEDJOBS_OPEN " ORDER BY j.next_run_at LIMIT 1)"
#define EMBEDJOBS_FAR(priority)                                                    \
  "EXISTS (SELECT 1 FROM @jobs AS j WHERE j.status = 0 AND j.priority = " priority \
  " AND j.next_run_at > $3 AND " EMBEDJOBS_OPEN ")"
inline constexpr const char* kPeek =
    "SELECT (SELECT last_value FROM @enqueue_counter),"
    " least(" EMBEDJOBS_NEXT("0", "$4") ", " EMBEDJOBS_NEXT("1", "$5") "),"
    " " EMBEDJOBS_FAR("0") " OR " EMBEDJOBS_FAR("1") ","
    " EXISTS (SELECT 1 FROM @jobs AS j WHERE j.status = 0 AND j.priority = 0"
    "  AND j.next_run_at > $4 AND j.next_run_at <= $2 AND " EMBEDJOBS_OPEN ") OR " EMBEDJOBS_FAR("0") ","
    " (SELECT min(l.lease_until) FROM @leases AS l JOIN @jobs AS j ON j.id = ANY (ARRAY[l.job_id])"
    "  WHERE " EMBEDJOBS_OPEN "),"
    " EXISTS (SELECT 1 FROM (SELECT x.id FROM @catalogs AS x WHERE " EMBEDJOBS_IS_OTHER("x")
    " OFFSET 0) AS c WHERE c.id IN (SELECT j.catalog_id FROM @jobs AS j ORDER BY j.id LIMIT $6))";

}  // namespace embedjobs::postgres::claim_sql
