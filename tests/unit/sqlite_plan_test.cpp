// The plans that keep a claim cheap, however many finished jobs there are.
#include "embedjobs/sqlite.hpp"
#include "sqlite/claim_sql.hpp"
#include "support/manual_clock.hpp"
#include "support/raw_sqlite.hpp"
#include "support/temp_folder.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

/// The steps of a statement's plan, a line each.
std::string plan_of(const std::string& sql) {
  const TempFolder folder;
  const std::string path = folder.file("x.db");
  REQUIRE(open_sqlite(path, {}, std::make_shared<ManualClock>()).ok());
  std::string plan;
  for (const std::string& row : raw_sql(path, "EXPLAIN QUERY PLAN " + sql)) {
    plan += row.substr(row.rfind('|') + 1) + "\n";
  }
  return plan;
}

/// Reads the index alone, in its order: no table, no sort.
void check_covered(const std::string& sql, const std::string& index) {
  const std::string plan = plan_of(sql);
  INFO(plan);
  CHECK_THAT(plan, Catch::Contains("USING COVERING INDEX " + index));
  CHECK_THAT(plan, !Catch::Contains("TEMP B-TREE"));
  CHECK_THAT(plan, !Catch::Contains("SCAN jobs\n"));
}

}  // namespace

TEST_CASE("a claim by priority reads a covering partial index in its order") {
  check_covered(sqlite::claim_sql::kDueByPriority, "jobs_by_priority (priority=? AND next_run_at>? AND next_run_at<?)");
}

TEST_CASE("a claim by age reads a covering partial index in its order") {
  check_covered(sqlite::claim_sql::kDueByAge, "jobs_by_age (next_run_at>? AND next_run_at<?)");
  check_covered(sqlite::claim_sql::kFirstDue, "jobs_by_age");
}

TEST_CASE("running jobs are found by a partial index of running jobs") {
  const std::string plan = plan_of(sqlite::claim_sql::kRunning);
  INFO(plan);
  CHECK_THAT(plan, Catch::Contains("USING INDEX jobs_running"));
  CHECK_THAT(plan, !Catch::Contains("TEMP B-TREE"));
}

TEST_CASE("jobs of other spaces are looked for by catalog") {
  const std::string plan = plan_of(sqlite::claim_sql::kOtherOpen);
  INFO(plan);
  CHECK_THAT(plan, Catch::Contains("SEARCH j USING INDEX jobs_open (catalog_id=?)"));
}
