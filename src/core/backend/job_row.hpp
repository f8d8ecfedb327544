// A job's row, as the databases keep it.
#pragma once

#include <cstdint>
#include <string>

#include "embedjobs/sys/store_rules.hpp"

namespace embedjobs::core {

struct JobRow {
  rules::StoredJob job;
  std::int64_t key_id = 0;
  std::int64_t catalog_id = 0;
};
/// The columns that read_job() takes, in its order, of `jobs AS j`, `keys AS k`, `catalogs AS c`; the first is when the
/// lease expires.
#define EMBEDJOBS_JOB_COLUMNS(expires)                                                                          \
  expires                                                                                                       \
      ", j.id, j.key_id, j.catalog_id, j.kind, j.status, j.priority, j.attempts, j.last_error, j.next_run_at, " \
      "j.worker_id,"                                                                                            \
      " j.created_at, j.updated_at, j.started_at, j.completed_at, j.embedded_so_far, j.reused_count, "          \
      "j.embedded_count,"                                                                                       \
      " j.operation_count, j.generation, j.fence_counter, j.fence_nonce, j.settled, j.epoch, j.errors_in_row,"  \
      " j.crashes_in_row, j.releases_in_row, j.crashes, coalesce(j.fewest_missing, -1), j.progressed, "         \
      "j.paused_since,"                                                                                         \
      " j.records_in_flight, j.provider, j.prompt_tokens, j.pass_prompt_tokens, c.name, k.spec_name"
inline constexpr int kJobColumns = 37;
/// `row`: the query of a backend.
template <typename Row>
JobRow read_job(const Row& row) {
  JobRow result;
  result.key_id = row.integer(2);
  result.catalog_id = row.integer(3);
  rules::StoredJob& job = result.job;
  job.lease_expires_at = row.time(0);
  job.id = row.integer(1);
  job.kind = static_cast<JobKind>(row.integer(4));
  job.status = static_cast<JobStatus>(row.integer(5));
  job.priority = static_cast<int>(row.integer(6));
  job.attempts = row.integer(7);
  job.last_error = row.text(8);
  job.next_run_at = row.time(9);
  job.worker_id = row.text(10);
  job.created_at = row.time(11);
  job.updated_at = row.time(12);
  job.started_at = row.time(13);
  job.completed_at = row.time(14);
  job.embedded_so_far = row.integer(15);
  job.reused_count = row.integer(16);
  job.embedded_count = row.integer(17);
  job.operation_count = row.integer(18);
  job.generation = row.number(19);
  job.fence = {row.number(20), row.number(21)};
  job.state.settled = row.boolean(22);
  job.state.epoch = row.number(23);
  job.errors_in_row = row.integer(24);
  job.crashes_in_row = row.integer(25);
  job.state.releases_in_row = row.integer(26);
  job.state.crashes = row.integer(27);
  job.state.fewest_missing = row.integer(28);
  job.state.progressed = row.boolean(29);
  job.paused_since = row.time(30);
  job.state.records_in_flight = row.boolean(31);
  job.provider = row.text(32);
  job.prompt_tokens = row.number(33);
  job.state.pass_prompt_tokens = row.number(34);
  job.key = {std::string(row.text(35)), std::string(row.text(36))};
  return result;
}

/// The columns that read_in_flight() takes, in its order.
#define EMBEDJOBS_IN_FLIGHT_COLUMNS "text_hash, sent, suspect, alone, strikes, set_aside"

template <typename Row>
rules::InFlight read_in_flight(const Row& row) {
  return {.text_hash = row.hash(0),
          .sent = row.boolean(1),
          .suspect = row.boolean(2),
          .alone = static_cast<int>(row.integer(3)),
          .strikes = static_cast<int>(row.integer(4)),
          .set_aside = row.boolean(5)};
}

}  // namespace embedjobs::core
