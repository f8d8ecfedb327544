#include "postgres/client/dsn.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "postgres/client/vector_type.hpp"

namespace embedjobs::postgres {
namespace {

constexpr std::size_t kMaxDsnBytes = 4096;
constexpr std::size_t kMaxConnections = 1000;
constexpr std::size_t kMaxConnectSeconds = 3600;
constexpr std::string_view kForm = "expected postgresql://USER@HOST:PORT/DATABASE?OPTION=VALUE";

Status unreadable(std::string_view why) {
  return {Code::kInvalidArgument, fmt::format("the PostgreSQL DSN can't be read{}: {}", why, kForm)};
}

Status bad_value(std::string_view name, std::string_view expected) {
  return {Code::kInvalidArgument, fmt::format("the option {} of the PostgreSQL DSN is {}", name, expected)};
}

Status set_switch(std::string_view name, std::string_view value, bool& out) {
  if (value != "on" && value != "off") {
    return bad_value(name, "on or off");
  }
  out = value == "on";
  return {};
}

Status set_number(std::string_view name, std::string_view value, std::size_t most, std::size_t& out) {
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
  if (error != std::errc() || end != value.data() + value.size() || out < 1 || out > most) {
    return bad_value(name, fmt::format("a number from 1 to {}", most));
  }
  return {};
}

Status set_vectors(std::string_view value, PostgresVectors& out) {
  for (const PostgresVectors vectors :
       {PostgresVectors::kAuto, PostgresVectors::kReal, PostgresVectors::kVector, PostgresVectors::kHalfvec}) {
    if (value == to_string(vectors)) {
      out = vectors;
      return {};
    }
  }
  return bad_value("vectors", "auto, real, vector or halfvec");
}

/// True: it is one of ours.
Result<bool> take_option(std::string_view name, std::string_view value, PostgresOptions& options) {
  Status status;
  if (name == "schema") {
    options.schema = value;
  } else if (name == "migrate") {
    status = set_switch(name, value, options.migrate);
  } else if (name == "prepared_statements") {
    status = set_switch(name, value, options.prepared_statements);
  } else if (name == "poll_only") {
    status = set_switch(name, value, options.poll_only);
  } else if (name == "max_connections") {
    status = set_number(name, value, kMaxConnections, options.max_connections);
  } else if (name == "connect_timeout") {  // libpq's own holds for calls that wait, which are not used here
    std::size_t seconds = 0;
    status = set_number(name, value, kMaxConnectSeconds, seconds);
    options.connect_timeout = std::chrono::seconds(seconds);
  } else if (name == "vectors") {
    status = set_vectors(value, options.vectors);
  } else {
    return false;
  }
  return status.ok() ? Result<bool>(true) : Result<bool>(status);
}

/// Takes our options out of the query of the URI.
Status take_options(std::string_view query, std::string& rest, PostgresOptions& options) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) {
      return unreadable("");
    }
    auto ours = take_option(pair.substr(0, equals), pair.substr(equals + 1), options);
    if (!ours.ok()) {
      return ours.status();
    }
    if (!*ours) {
      rest += rest.empty() ? '?' : '&';
      rest += pair;
    }
  }
  return {};
}

/// The value of a keyword, or null.
std::string* find_value(ConnectionParameters& parameters, std::string_view keyword) {
  const auto found = std::find(parameters.keywords.begin(), parameters.keywords.end(), keyword);
  return found == parameters.keywords.end()
             ? nullptr
             : &parameters.values[static_cast<std::size_t>(found - parameters.keywords.begin())];
}

void set_value(ConnectionParameters& parameters, std::string_view keyword, std::string_view value,
               bool override_given) {
  std::string* given = find_value(parameters, keyword);
  if (given == nullptr) {
    parameters.keywords.emplace_back(keyword);
    parameters.values.emplace_back(value);
  } else if (override_given) {
    *given = value;
  }
}

void add_defaults(ConnectionParameters& parameters) {
  set_value(parameters, "client_encoding", "UTF8", true);  // texts are UTF-8 here, whatever the DSN says
  set_value(parameters, "fallback_application_name", "embedjobs", false);
  // What libpq does by itself is not enough to notice a dead peer in time.
  set_value(parameters, "keepalives_idle", "30", false);
  set_value(parameters, "keepalives_interval", "10", false);
  set_value(parameters, "keepalives_count", "3", false);
  set_value(parameters, "tcp_user_timeout", "30000", false);
}

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> items;
  for (std::size_t end = 0; end != std::string_view::npos;) {
    end = list.find(',');
    items.emplace_back(list.substr(0, end));
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
  }
  return items;
}

Result<ConnectionParameters> parse_uri(const std::string& uri) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed(PQconninfoParse(uri.c_str(), &message),
                                                                            PQconninfoFree);
  const bool unknown_option =
      message != nullptr && std::string_view(message).find("URI query parameter") != std::string_view::npos;
  PQfreemem(message);  // it may quote a password
  if (!parsed) {
    return unreadable(unknown_option ? ", neither libpq nor embedjobs knows one of its options" : "");
  }
  ConnectionParameters parameters;
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) {
      parameters.keywords.emplace_back(option->keyword);
      parameters.values.emplace_back(option->val);
    }
  }
  add_defaults(parameters);
  return parameters;
}

/// A password with an unescaped '@', '/' or '?' is cut there, and what is behind it, or before it, passes for a host, a
/// port or a database. libpq would quote that in its errors.
Status check_parts(std::string_view address, ConnectionParameters& parameters) {
  constexpr std::string_view kEscape = ": in a user name or a password write %40 for @, %2F for / and %3F for ?";
  const auto authority = address.find("//") + 2;
  const auto last_at = address.rfind('@');
  const bool cut_at_sign = last_at != std::string_view::npos && address.find('@') != last_at;
  const bool cut_slash = last_at != std::string_view::npos && address.find('/', authority) < last_at;
  const std::string* port = find_value(parameters, "port");
  const bool no_port = port != nullptr && port->find_first_not_of("0123456789,") != std::string::npos;
  return cut_at_sign || cut_slash || no_port
             ? Status(Code::kInvalidArgument, fmt::format("the PostgreSQL DSN can't be read{}", kEscape))
             : Status();
}

void complete(PostgresOptions& options) {
  const PostgresOptions defaults;
  apply_defaults(options.store);
  if (options.connect_timeout <= Duration(0)) {
    options.connect_timeout = defaults.connect_timeout;
  }
  if (options.call_timeout <= Duration(0)) {
    options.call_timeout = defaults.call_timeout;
  }
  options.max_connections = std::max<std::size_t>(1, options.max_connections);
}

}  // namespace

Status check_schema_name(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  const auto is_fine = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); };
  const bool fine = !name.empty() && name.size() <= 63 && is_letter(name.front()) &&
                    std::all_of(name.begin(), name.end(), is_fine) && !name.starts_with("pg_");
  return fine ? Status()
              : Status(Code::kInvalidArgument,
                       "the name of a PostgreSQL schema is one to 63 of a-z, 0-9 and _, does not begin with a digit "
                       "and not with pg_");
}

std::vector<ConnectionParameters> each_host(const ConnectionParameters& parameters) {
  ConnectionParameters all = parameters;
  const std::string* attributes = find_value(all, "target_session_attrs");
  if (attributes != nullptr && *attributes == "prefer-standby") {
    return {parameters};  // to prefer one, libpq looks at all
  }
  std::vector<std::pair<std::string_view, std::vector<std::string>>> lists;
  std::size_t count = 1;
  for (const std::string_view keyword : {"host", "hostaddr", "port"}) {
    if (const std::string* value = find_value(all, keyword); value != nullptr) {
      lists.emplace_back(keyword, split(*value));
      count = keyword == "port" ? count : std::max(count, lists.back().second.size());
    }
  }
  std::vector<ConnectionParameters> hosts(count, parameters);
  for (const auto& [keyword, items] : lists) {
    if (items.size() != count && !(keyword == "port" && items.size() == 1)) {
      return {parameters};  // libpq says what is wrong
    }
    for (std::size_t i = 0; i < count; ++i) {
      *find_value(hosts[i], keyword) = items[items.size() == 1 ? 0 : i];
    }
  }
  return hosts;
}

Result<Dsn> parse_dsn(std::string_view text, const PostgresOptions& options) {
  if (text.size() > kMaxDsnBytes || text.find('\0') != std::string_view::npos) {
    return {Code::kInvalidArgument, fmt::format("a DSN has at most {} bytes and no NUL", kMaxDsnBytes)};
  }
  if (!text.starts_with("postgresql://") && !text.starts_with("postgres://")) {
    return unreadable("");
  }
  Dsn dsn;
  dsn.options = options;
  std::string rest;
  const std::size_t question = text.find('?');
  if (question != std::string_view::npos) {
    if (Status status = take_options(text.substr(question + 1), rest, dsn.options); !status.ok()) {
      return status;
    }
  }
  if (Status status = check_schema_name(dsn.options.schema); !status.ok()) {
    return status;
  }
  auto parameters = parse_uri(std::string(text.substr(0, question)) + rest);
  if (!parameters.ok()) {
    return parameters.status();
  }
  if (Status status = check_parts(text.substr(0, question), *parameters); !status.ok()) {
    return status;
  }
  dsn.parameters = *std::move(parameters);
  complete(dsn.options);
  return dsn;
}

}  // namespace embedjobs::postgres
