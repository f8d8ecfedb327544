// What is remembered of providers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "embedjobs/persister.hpp"
#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {

/// The last thing that a transaction does: the provider's row is many passes'. Tokens that a fenced write reported for
/// the first time. No name, or none: nothing to do.
void add_tokens(Connection& connection, std::string_view provider, std::uint64_t tokens);
/// Of several providers, by name.
using ProviderTokens = std::map<std::string, std::uint64_t>;
void add_tokens(Connection& connection, const ProviderTokens& tokens);
/// Counts the tokens of a pass whose fence was checked in this transaction, as far as they are new.
void count_tokens(Connection& connection, const PassContext& context);

}  // namespace embedjobs::postgres
