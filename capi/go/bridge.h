// What Go can't say by itself: tables whose functions are C and whose user_data is a number, the host's cgo.Handle.
#ifndef EMBEDJOBS_GO_BRIDGE_H
#define EMBEDJOBS_GO_BRIDGE_H

#include <embedjobs.h>
#include <stdlib.h>

// Each makes a table for the host of `handle`, to be freed by free() after embedjobs_engine_open(). NULL: no memory.
embedjobs_embedder *bridge_embedder(uintptr_t handle);
embedjobs_computer *bridge_computer(uintptr_t handle);
embedjobs_persister *bridge_persister(uintptr_t handle, int describes);
embedjobs_resolver *bridge_resolver(uintptr_t handle, int lists);
embedjobs_observer *bridge_observer(uintptr_t handle, int events, int reloads);
embedjobs_secret_source *bridge_secret_source(uintptr_t handle);
// An embedjobs_options of zeros with its size.
embedjobs_options *bridge_options(void);

#endif
