#include "postgres/provider_tokens.hpp"

#include "core/rules/provider_notes.hpp"
#include "postgres/job_records.hpp"
#include "postgres/postgres_store.hpp"

namespace embedjobs::postgres {
namespace {

#define EMBEDJOBS_SELECT_PROVIDER "SELECT " EMBEDJOBS_PROVIDER_COLUMNS " FROM @providers "
constexpr const char* kLoadProvider = EMBEDJOBS_SELECT_PROVIDER "WHERE name = $1";
constexpr const char* kListProviders = EMBEDJOBS_SELECT_PROVIDER "ORDER BY name";
constexpr const char* kMakeProvider = "INSERT INTO @providers (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
constexpr const char* kLockProvider = EMBEDJOBS_SELECT_PROVIDER "WHERE name = $1 FOR UPDATE";
constexpr const char* kSaveProvider =
    "UPDATE @providers SET space = $2, batch_texts = $3, batch_bytes = $4, paused_until = $5, pause_reason = $6, "
    "tokens_total = $7,"
    " tokens_today = $8, updated_at = $9, token_day = $10, input_bytes = $11, stopped = $12 WHERE name = $1";

/// Made where there is none; locked, so that nobody's tokens get lost.
core::ProviderRow lock_provider(Connection& connection, std::string_view name) {
  connection.run_later(kMakeProvider, name);
  return core::first_provider(connection.query(kLockProvider, name), name);
}

void save_provider(Connection& connection, const core::ProviderRow& row) {
  const ProviderState& state = row.state;
  connection.run_later(kSaveProvider, state.provider, state.space_id, state.batch_texts, state.batch_bytes,
                       state.paused_until, storable(state.pause_reason), state.tokens_total, state.tokens_today,
                       state.updated_at, row.token_day, state.input_bytes, std::int64_t{state.stopped});
}

}  // namespace

void add_tokens(Connection& connection, std::string_view provider, std::uint64_t tokens) {
  if (tokens == 0 || provider.empty()) {
    return;
  }
  core::ProviderRow row = lock_provider(connection, provider);
  core::add_tokens(row, tokens, connection.now());
  save_provider(connection, row);
}

void add_tokens(Connection& connection, const ProviderTokens& tokens) {
  for (const auto& [provider, count] : tokens) {
    add_tokens(connection, provider, count);
  }
}

void count_tokens(Connection& connection, const PassContext& context) {
  if (context.prompt_tokens == 0) {
    return;
  }
  // A host's transaction that has enqueued the spec may hold the job's row for long: the total is told again with the
  // next write.
  std::optional<Held> held = try_lock_job(connection, context.job_id);
  const std::uint64_t tokens = held ? core::count_tokens(held->row.job, context.prompt_tokens) : 0;
  if (tokens > 0) {
    save_progress(connection, held->row.job);
    add_tokens(connection, held->row.job.provider, tokens);
  }
}

Result<ProviderState> PostgresStore::provider_state(std::string_view provider) {
  return database_->read([&](Connection& connection) -> Result<ProviderState> {
    return core::seen_at(core::first_provider(connection.query(kLoadProvider, provider), provider), connection.now());
  });
}

Status PostgresStore::note_provider(std::string_view provider, const ProviderNote& note) {
  if (Status status = core::check_note(provider, note); !status.ok()) {
    return status;
  }
  return database_->write([&](Connection& connection) -> Status {
    core::ProviderRow row = lock_provider(connection, provider);
    core::apply_note(row, note, connection.now());
    save_provider(connection, row);
    return {};
  });
}

Result<std::vector<ProviderState>> PostgresStore::providers() {
  return database_->read([&](Connection& connection) -> Result<std::vector<ProviderState>> {
    std::vector<ProviderState> states;
    Query row = connection.query(kListProviders);
    while (row.next()) {
      states.push_back(core::seen_at(core::read_provider(row), connection.now()));
    }
    return states;
  });
}

}  // namespace embedjobs::postgres
