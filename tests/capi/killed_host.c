/* The example host, which kills itself as soon as so many chunks are durable: DIE_AFTER_CHUNKS. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int fsync_and_die(int file) {
  static int written = 0;
  const char *after = getenv("DIE_AFTER_CHUNKS");
  const int result = fsync(file);
  if (after != NULL && ++written == atoi(after)) raise(SIGKILL);
  return result;
}

#define fsync fsync_and_die
#include "../../examples/c/host.c"
