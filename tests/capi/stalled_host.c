/*
** The example host with leases of three seconds. With STALL set, the whole process stops at its first chunk, as a machine does that sleeps,
** before the host has looked at the fence; after SIGCONT it goes on.
*/
#include <embedjobs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static int32_t (*host_persist_batch)(void*, embedjobs_call*, const embedjobs_pass*, const embedjobs_rows*, size_t*);

static int32_t stalled_persist_batch(void* user_data, embedjobs_call* call, const embedjobs_pass* pass, const embedjobs_rows* rows,
                                     size_t* done) {
  static int stalled = 0;
  int32_t code;
  if (getenv("STALL") != NULL && !stalled++)
    raise(SIGSTOP);
  code = host_persist_batch(user_data, call, pass, rows, done);
  if (code == EMBEDJOBS_LEASE_LOST)
    printf("refused: the fence %d of a stale holder\n", (int)pass->fence.counter);
  return code;
}

static int32_t open_stalled(const embedjobs_options* given, embedjobs_engine** out, embedjobs_error** error) {
  embedjobs_options options = *given;
  embedjobs_persister persister = *given->host_persister;
  host_persist_batch = persister.persist_batch;
  persister.persist_batch = stalled_persist_batch;
  options.host_persister = &persister;
  options.lease_duration_ms = 3000;
  options.embed_timeout_ms = 1000;
  options.reaper_interval_ms = 500;
  return embedjobs_engine_open(&options, out, error);
}

#define embedjobs_engine_open open_stalled
#include "../../examples/c/host.c"
