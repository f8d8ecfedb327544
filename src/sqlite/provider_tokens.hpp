// What is remembered of providers.
#pragma once

#include <cstdint>
#include <string_view>

#include "embedjobs/persister.hpp"
#include "sqlite/connection.hpp"

namespace embedjobs::sqlite {

/// Tokens that a fenced write reported for the first time. No name, or none: nothing to do.
void add_tokens(Connection& connection, std::string_view provider, std::uint64_t tokens, WallTime now);
/// Counts the tokens of a pass whose fence was checked in this transaction, as far as they are new.
void count_tokens(Connection& connection, const PassContext& context, WallTime now);

}  // namespace embedjobs::sqlite
