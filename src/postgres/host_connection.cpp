// Enqueuing on a connection that the host owns.
#include <fmt/format.h>
#include <libpq-fe.h>

#include <array>
#include <memory>

#include "core/rules/checks.hpp"
#include "core/values/guard.hpp"
#include "embedjobs/postgres_enqueue.hpp"
#include "postgres/client/dsn.hpp"
#include "postgres/client/errors.hpp"
#include "postgres/client/values.hpp"

namespace embedjobs {
namespace {

constexpr Oid kBytes = 17;  // bytea

// Names travel as bytes: whatever the client_encoding is, they arrive as they are. Everything is qualified: the host's
// search_path is its own.
constexpr std::string_view kEnqueue =
    "SELECT job_id, created, generation FROM \"{}\".enqueue(pg_catalog.convert_from($1, 'UTF8'), "
    "pg_catalog.convert_from($2, 'UTF8'),"
    " pg_catalog.convert_from($3, 'UTF8'))";
constexpr std::string_view kPut =
    "SELECT job_id, created, generation FROM \"{}\".put_spec(pg_catalog.convert_from($1, 'UTF8'), "
    "pg_catalog.convert_from($2, 'UTF8'), $3,"
    " pg_catalog.convert_from($4, 'UTF8'))";

Status refused(std::string_view why) {
  return {Code::kRefused, fmt::format("the host's PostgreSQL connection {}", why)};
}

/// Nothing is sent to a connection that is not ready for a statement.
Status check_connection(pg_conn* connection) {
  if (connection == nullptr) {
    return refused("is null");
  }
  if (PQstatus(connection) != CONNECTION_OK) {
    return refused("is closed: connect again");
  }
  if (PQpipelineStatus(connection) != PQ_PIPELINE_OFF) {
    return refused("is in pipeline mode: leave it first");
  }
  switch (PQtransactionStatus(connection)) {
    case PQTRANS_ACTIVE: return refused("is busy with another query: read its results first");
    case PQTRANS_INERROR: return refused("is in a failed transaction: roll it back first");
    case PQTRANS_UNKNOWN: return refused("is closed: connect again");
    default: return {};
  }
}

template <std::size_t N>
Result<EnqueueResult> call(pg_conn* connection, std::string_view sql, std::string_view schema,
                           const std::array<std::string_view, N>& bytes) {
  if (Status status = check_connection(connection); !status.ok()) {
    return status;
  }
  std::array<Oid, N> types{};
  std::array<const char*, N> values{};
  std::array<int, N> lengths{};
  std::array<int, N> formats{};
  for (std::size_t i = 0; i < N; ++i) {
    types[i] = kBytes;
    values[i] = bytes[i].empty() ? "" : bytes[i].data();
    lengths[i] = static_cast<int>(bytes[i].size());
    formats[i] = 1;
  }
  const std::string text = fmt::format(fmt::runtime(sql), schema);
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(
      PQexecParams(connection, text.c_str(), static_cast<int>(N), types.data(), values.data(), lengths.data(),
                   formats.data(), 1),
      &PQclear);
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK || PQntuples(result.get()) != 1 || PQnfields(result.get()) != 3) {
    const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    const char* primary = PQresultErrorField(result.get(), PG_DIAG_MESSAGE_PRIMARY);
    if (state == nullptr) {
      return {Code::kRetry, fmt::format("PostgreSQL: {}", postgres::one_line(PQerrorMessage(connection)))};
    }
    return postgres::to_status(state, primary != nullptr ? primary : "");
  }
  const auto number = [&](int column) {
    return postgres::read_integer(
        {PQgetvalue(result.get(), 0, column), static_cast<std::size_t>(PQgetlength(result.get(), 0, column))});
  };
  return EnqueueResult{
      .job_id = number(0), .created = number(1) != 0, .generation = static_cast<std::uint64_t>(number(2))};
}

}  // namespace

Result<EnqueueResult> enqueue_on(pg_conn* connection, std::string_view schema, const SpecKey& key, JobKind kind) {
  return core::guarded("PostgreSQL", [&]() -> Result<EnqueueResult> {
    if (Status status = core::check_enqueue(key, kind); !status.ok()) {
      return status;
    }
    if (Status status = postgres::check_schema_name(schema); !status.ok()) {
      return status;
    }
    return call(connection, kEnqueue, schema,
                std::array<std::string_view, 3>{key.catalog_id, key.spec_name, to_string(kind)});
  });
}

Result<EnqueueResult> put_spec_on(pg_conn* connection, std::string_view schema, const SpecKey& key,
                                  std::string_view content, std::string_view target_space_id) {
  return core::guarded("PostgreSQL", [&]() -> Result<EnqueueResult> {
    if (Status status = core::check_put(key, content, target_space_id); !status.ok()) {
      return status;
    }
    if (Status status = postgres::check_schema_name(schema); !status.ok()) {
      return status;
    }
    return call(connection, kPut, schema,
                std::array<std::string_view, 4>{key.catalog_id, key.spec_name, content, target_space_id});
  });
}

}  // namespace embedjobs
