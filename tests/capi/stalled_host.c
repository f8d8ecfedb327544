/*
** The example host with leases of three seconds. With STALL=FOLDER it waits at its first chunk, before it has looked at
** the fence, so that it may be stopped there: it makes the file FOLDER/entered, and goes on when there is FOLDER/go.
*/
#include <embedjobs.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void stall(const char *folder) {
  const struct timespec millisecond = {0, 1000000};
  char path[4096];
  FILE *entered;
  snprintf(path, sizeof path, "%s/entered", folder);
  entered = fopen(path, "w");
  if (entered != NULL) fclose(entered);
  snprintf(path, sizeof path, "%s/go", folder);
  while (access(path, F_OK) != 0) nanosleep(&millisecond, NULL);
}

static int32_t (*host_persist_batch)(void *, embedjobs_call *, const embedjobs_pass *, const embedjobs_rows *,
                                     size_t *);

static int32_t stalled_persist_batch(void *user_data, embedjobs_call *call, const embedjobs_pass *pass,
                                     const embedjobs_rows *rows, size_t *done) {
  int32_t code;
  if (getenv("STALL") != NULL) stall(getenv("STALL"));
  code = host_persist_batch(user_data, call, pass, rows, done);
  if (code == EMBEDJOBS_LEASE_LOST) printf("refused: the fence %d of a stale holder\n", (int)pass->fence.counter);
  return code;
}

static int32_t open_stalled(const embedjobs_options *given, embedjobs_engine **out, embedjobs_error **error) {
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
