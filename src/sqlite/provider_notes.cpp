#include "sqlite/provider_tokens.hpp"

#include "core/rules/provider_notes.hpp"
#include "sqlite/records.hpp"
#include "sqlite/sqlite_store.hpp"

namespace embedjobs::sqlite {
namespace {

#define EMBEDJOBS_SELECT_PROVIDER "SELECT " EMBEDJOBS_PROVIDER_COLUMNS " FROM providers "
constexpr const char* kLoadProvider = EMBEDJOBS_SELECT_PROVIDER "WHERE name = ?";
constexpr const char* kListProviders = EMBEDJOBS_SELECT_PROVIDER "ORDER BY name";
constexpr const char* kSaveProvider = "INSERT INTO providers (" EMBEDJOBS_PROVIDER_COLUMNS
                                      ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) "
                                      "ON CONFLICT (name) DO UPDATE SET space = ?2, batch_texts = ?3, batch_bytes = "
                                      "?4, paused_until = ?5, pause_reason = ?6,"
                                      " tokens_total = ?7, tokens_today = ?8, updated_at = ?9, token_day = ?10,"
                                      " input_bytes = ?11, stopped = ?12";

core::ProviderRow load_provider(Connection& connection, std::string_view name) {
  return core::first_provider(connection.query(kLoadProvider, name), name);
}

void save_provider(Connection& connection, const core::ProviderRow& row) {
  const ProviderState& state = row.state;
  connection.run(kSaveProvider, state.provider, state.space_id, state.batch_texts, state.batch_bytes,
                 state.paused_until, state.pause_reason, state.tokens_total, state.tokens_today, state.updated_at,
                 row.token_day, state.input_bytes, std::int64_t{state.stopped});
}

}  // namespace

void add_tokens(Connection& connection, std::string_view provider, std::uint64_t tokens, WallTime now) {
  if (tokens == 0 || provider.empty()) {
    return;
  }
  core::ProviderRow row = load_provider(connection, provider);
  core::add_tokens(row, tokens, now);
  save_provider(connection, row);
}

void count_tokens(Connection& connection, const PassContext& context, WallTime now) {
  if (context.prompt_tokens == 0) {
    return;
  }
  std::optional<JobRow> row = load_job(connection, context.job_id);
  const std::uint64_t tokens = row ? core::count_tokens(row->job, context.prompt_tokens) : 0;
  if (tokens > 0) {
    save_progress(connection, row->job);
    add_tokens(connection, row->job.provider, tokens, now);
  }
}

Result<ProviderState> SqliteStore::provider_state(std::string_view provider) {
  return database_->read([&](Connection& connection) -> Result<ProviderState> {
    return core::seen_at(load_provider(connection, provider), now());
  });
}

Status SqliteStore::note_provider(std::string_view provider, const ProviderNote& note) {
  if (Status status = core::check_note(provider, note); !status.ok()) {
    return status;
  }
  return database_->write([&](Connection& connection) -> Status {
    core::ProviderRow row = load_provider(connection, provider);
    core::apply_note(row, note, now());
    save_provider(connection, row);
    return {};
  });
}

Result<std::vector<ProviderState>> SqliteStore::providers() {
  return database_->read([&](Connection& connection) -> Result<std::vector<ProviderState>> {
    std::vector<ProviderState> states;
    Query row = connection.query(kListProviders);
    while (row.next()) {
      states.push_back(core::seen_at(core::read_provider(row), now()));
    }
    return states;
  });
}

}  // namespace embedjobs::sqlite
