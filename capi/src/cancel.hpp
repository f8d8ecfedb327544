// A way to end a wait from another thread.
#pragma once

#include <stop_token>

#include "embedjobs.h"

namespace embedjobs::capi {

/// NULL: nobody can cancel. The token outlives the handle.
std::stop_token token_of(const embedjobs_cancel* cancel);

}  // namespace embedjobs::capi
