// A DSN taken apart: what libpq gets, and what is ours.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/postgres.hpp"

namespace embedjobs::postgres {

/// Keywords and values for libpq, of the same length.
struct ConnectionParameters {
  std::vector<std::string> keywords;
  std::vector<std::string> values;
};

/// One set for each host that they name, in order.
std::vector<ConnectionParameters> each_host(const ConnectionParameters& parameters);

struct Dsn {
  ConnectionParameters parameters;
  PostgresOptions options;  ///< Those that were given, with what the DSN says about them.
};

/// kInvalidArgument with a line that repeats nothing of the DSN but the names of its options.
Result<Dsn> parse_dsn(std::string_view text, const PostgresOptions& options);

/// Names that need no quoting, which are quoted all the same.
Status check_schema_name(std::string_view name);

}  // namespace embedjobs::postgres
