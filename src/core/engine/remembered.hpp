// What a database may remember of how an embedder was named.
#pragma once

#include <string>
#include <string_view>

namespace embedjobs::core {

/// `spec`, as make_embedder() reads it, without what is secret; empty where the name of the space tells enough.
std::string rememberable(std::string_view spec);

}  // namespace embedjobs::core
