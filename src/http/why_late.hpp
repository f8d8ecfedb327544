// Why no connection was made in time.
#pragma once

#include <string>
#include <string_view>

namespace embedjobs::http {

/// `detail`: libcurl's words. `busy`: the thread that waited got no time when it should have. To look up an address
/// that is a number, or this machine's own name, asks no server: where that is late, it is for the machine.
std::string why_late(std::string_view detail, std::string_view url, bool busy);

}  // namespace embedjobs::http
