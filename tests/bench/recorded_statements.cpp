#include "recorded_statements.hpp"

#include <cstdio>
#include <cstdlib>
#include <utility>

// The linker (--wrap) leads the library's calls here; __real_ is libpq's own.
extern "C" {
int __real_PQsendPrepare(PGconn*, const char*, const char*, int, const Oid*);
int __real_PQsendQueryPrepared(PGconn*, const char*, int, const char* const*, const int*, const int*, int);
int __real_PQsendQuery(PGconn*, const char*);
int __real_PQenterPipelineMode(PGconn*);
int __real_PQexitPipelineMode(PGconn*);
int __real_PQpipelineSync(PGconn*);
}

namespace embedjobs::bench {
namespace {

using Kind = SentStatement::Kind;

Recording kept;
bool recording = false;

void keep(SentStatement statement) {
  if (recording) {
    kept.push_back(std::move(statement));
  }
}

[[noreturn]] void give_up(const char* message) {
  std::fprintf(stderr, "replay: %s\n", message);
  std::_Exit(1);
}

/// Reads up to the end of one statement's answers, or up to the sync.
void read_answers(PGconn* connection, bool up_to_sync) {
  while (true) {
    PGresult* result = PQgetResult(connection);
    if (result == nullptr) {
      if (!up_to_sync) {
        return;
      }
      continue;
    }
    const ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR || status == PGRES_PIPELINE_ABORTED) {
      give_up(PQresultErrorMessage(result));
    }
    PQclear(result);
    if (status == PGRES_PIPELINE_SYNC) {
      return;
    }
  }
}

int execute(PGconn* connection, const SentStatement& statement) {
  std::vector<const char*> values;
  std::vector<int> lengths;
  for (const auto& value : statement.values) {
    values.push_back(value ? value->data() : nullptr);
    lengths.push_back(value ? static_cast<int>(value->size()) : 0);
  }
  return __real_PQsendQueryPrepared(connection, statement.name.c_str(), static_cast<int>(values.size()), values.data(),
                                    lengths.data(), statement.formats.data(), 1);
}

int send(PGconn* connection, const SentStatement& statement) {
  switch (statement.kind) {
    case Kind::kPrepare:
      return __real_PQsendPrepare(connection, statement.name.c_str(), statement.text.c_str(),
                                  static_cast<int>(statement.types.size()), statement.types.data());
    case Kind::kExecute: return execute(connection, statement);
    case Kind::kQuery: return __real_PQsendQuery(connection, statement.text.c_str());
    case Kind::kEnterPipeline: return __real_PQenterPipelineMode(connection);
    case Kind::kExitPipeline: return __real_PQexitPipelineMode(connection);
    case Kind::kSync: return __real_PQpipelineSync(connection);
  }
  return 0;
}

}  // namespace

Recorder::Recorder() {
  kept.clear();
  recording = true;
}

Recorder::~Recorder() {
  recording = false;
}

Recording Recorder::take() {
  return std::exchange(kept, {});
}

void replay(PGconn* connection, const Recording& sent) {
  for (const SentStatement& statement : sent) {
    if (send(connection, statement) != 1) {
      give_up(PQerrorMessage(connection));
    }
    const bool is_sync = statement.kind == Kind::kSync;
    const bool sends = statement.kind != Kind::kEnterPipeline && statement.kind != Kind::kExitPipeline;
    if (is_sync || (sends && PQpipelineStatus(connection) == PQ_PIPELINE_OFF)) {
      read_answers(connection, is_sync);
    }
  }
}

}  // namespace embedjobs::bench

using embedjobs::bench::keep;
using embedjobs::bench::Kind;

extern "C" {

int __wrap_PQsendPrepare(PGconn* connection, const char* name, const char* text, int count, const Oid* types) {
  keep({.kind = Kind::kPrepare,
        .name = name,
        .text = text,
        .types = {types, types + count},
        .values = {},
        .formats = {}});
  return __real_PQsendPrepare(connection, name, text, count, types);
}

int __wrap_PQsendQueryPrepared(PGconn* connection, const char* name, int count, const char* const* values,
                               const int* lengths, const int* formats, int result_format) {
  embedjobs::bench::SentStatement statement{.kind = Kind::kExecute,
                                            .name = name,
                                            .text = {},
                                            .types = {},
                                            .values = {},
                                            .formats = {formats, formats + count}};
  for (int i = 0; i < count; ++i) {
    statement.values.push_back(values[i] == nullptr
                                   ? std::nullopt
                                   : std::optional(std::string(values[i], static_cast<std::size_t>(lengths[i]))));
  }
  keep(std::move(statement));
  return __real_PQsendQueryPrepared(connection, name, count, values, lengths, formats, result_format);
}

int __wrap_PQsendQuery(PGconn* connection, const char* text) {
  keep({.kind = Kind::kQuery, .name = {}, .text = text, .types = {}, .values = {}, .formats = {}});
  return __real_PQsendQuery(connection, text);
}

int __wrap_PQenterPipelineMode(PGconn* connection) {
  keep({.kind = Kind::kEnterPipeline, .name = {}, .text = {}, .types = {}, .values = {}, .formats = {}});
  return __real_PQenterPipelineMode(connection);
}

int __wrap_PQexitPipelineMode(PGconn* connection) {
  keep({.kind = Kind::kExitPipeline, .name = {}, .text = {}, .types = {}, .values = {}, .formats = {}});
  return __real_PQexitPipelineMode(connection);
}

int __wrap_PQpipelineSync(PGconn* connection) {
  keep({.kind = Kind::kSync, .name = {}, .text = {}, .types = {}, .values = {}, .formats = {}});
  return __real_PQpipelineSync(connection);
}

}  // extern "C"
