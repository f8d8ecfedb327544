// Opening: a backend from a DSN, an engine from options and parts.
#include <fmt/format.h>

#include "core/engine/engine_impl.hpp"
#include "core/runtime/log_queue.hpp"
#include "embedjobs/items.hpp"
#include "embedjobs/memory.hpp"
#include "embedjobs/postgres.hpp"
#include "embedjobs/sqlite.hpp"

namespace embedjobs {
namespace {

constexpr std::string_view kDsnHelp = "expected 'sqlite:PATH', 'postgresql://...' or 'memory:'";
constexpr std::size_t kMaxPathBytes = 4096;

Result<Backend> open_sqlite_dsn(std::string_view path, const StoreOptions& options, std::shared_ptr<Clock> clock) {
  if (path.empty() || path.front() == ':') {
    return {Code::kInvalidArgument,
            "a DSN 'sqlite:PATH' needs the path of a file; to keep nothing on disk use 'memory:'"};
  }
  if (path.size() > kMaxPathBytes || path.find('\0') != std::string_view::npos) {
    return {Code::kInvalidArgument, fmt::format("the path of a DSN is at most {} bytes and has no NUL", kMaxPathBytes)};
  }
#ifdef EMBEDJOBS_HAS_SQLITE
  SqliteOptions sqlite;
  sqlite.store = options;
  return open_sqlite(std::string(path), sqlite, std::move(clock));
#else
  (void)options;
  (void)clock;
  return {Code::kInvalidArgument, "this build has no SQLite backend"};
#endif
}

Result<Backend> open_postgres_dsn(std::string_view dsn, const StoreOptions& options, std::shared_ptr<Clock> clock) {
#ifdef EMBEDJOBS_HAS_POSTGRES
  PostgresOptions postgres;
  postgres.store = options;
  return open_postgres(dsn, postgres, std::move(clock));
#else
  (void)dsn;
  (void)options;
  (void)clock;
  return {Code::kInvalidArgument, "this build has no PostgreSQL backend"};
#endif
}

std::shared_ptr<const Splitter> default_splitter() {
#ifdef EMBEDJOBS_HAS_OPENAPI
  return make_document_splitter();
#else
  return nullptr;
#endif
}

/// Which combinations of a host's parts make sense.
Status check_parts(const EngineParts& parts) {
  if (parts.computer && parts.splitter) {
    return {Code::kInvalidArgument, "give a splitter or a computer: a computer splits by itself"};
  }
  if (parts.resolver && !parts.persister) {
    return {Code::kInvalidArgument,
            "a resolver of the host's needs a persister of the host's: the built-in one knows its own documents"};
  }
  if (parts.store && !parts.resolver) {
    return {Code::kInvalidArgument,
            "a store of the host's needs a resolver and a persister too: the built-in ones use their own store"};
  }
  if (!parts.store && std::dynamic_pointer_cast<Catalog>(parts.resolver)) {
    return {Code::kInvalidArgument, "a catalog as resolver needs the store of its backend"};
  }
  return {};
}

/// The embedder that was asked for; null when none was.
Result<std::shared_ptr<core::SharedEmbedder>> given_embedder(const EngineOptions& options, const EngineParts& parts) {
  std::shared_ptr<Embedder> embedder = parts.embedder;
  if (!embedder && !options.embedder.empty()) {
    Result<std::shared_ptr<Embedder>> made = make_embedder(options.embedder);
    if (!made.ok()) {
      return made.status();
    }
    embedder = *made;
  }
  return embedder ? std::make_shared<core::SharedEmbedder>(std::move(embedder)) : nullptr;
}

}  // namespace

Result<Backend> open_backend(std::string_view dsn, const StoreOptions& options, std::shared_ptr<Clock> clock) {
  constexpr std::string_view kSqlite = "sqlite:";
  if (dsn == "memory:") {
    return make_memory_backend(options, std::move(clock));
  }
  if (dsn.starts_with(kSqlite)) {
    return open_sqlite_dsn(dsn.substr(kSqlite.size()), options, std::move(clock));
  }
  if (dsn.starts_with("postgresql://") || dsn.starts_with("postgres://")) {
    return open_postgres_dsn(dsn, options, std::move(clock));
  }
  // A DSN may hold a password: it is not repeated beyond its scheme.
  const std::string scheme = core::one_line(dsn.substr(0, std::min(dsn.find(':'), std::size_t{32})));
  return {Code::kInvalidArgument, dsn.find(':') == std::string_view::npos
                                      ? fmt::format("not a DSN: {}", kDsnHelp)
                                      : fmt::format("'{}:...' is not a DSN of this build: {}", scheme, kDsnHelp)};
}

Result<std::unique_ptr<Engine::Impl>> Engine::Impl::open(EngineOptions options, EngineParts parts) {
  if (Status status = check_parts(parts); !status.ok()) {
    return status;
  }
  Result<EmbedderPtr> embedder = given_embedder(options, parts);
  if (!embedder.ok()) {
    return embedder.status();
  }
  auto impl = std::make_unique<Impl>();
  apply_defaults(options.worker);
  apply_defaults(options.maintenance);
  impl->warnings_ = embedjobs::warnings(options.worker);
  impl->log_ = core::one_at_a_time(options.log);
  impl->options_ = std::move(options);
  impl->given_embedder_ = *embedder;
  impl->computer_ = std::move(parts.computer);
  impl->given_runtime_ = std::move(parts.runtime);
  impl->clock_ = impl->given_runtime_ ? std::shared_ptr<Clock>(impl->given_runtime_) : system_clock();
  impl->own_splitter_ = !impl->computer_ && !parts.splitter;
  impl->splitter_ = impl->computer_ ? nullptr : parts.splitter ? std::move(parts.splitter) : default_splitter();
  if (!impl->splitter_ && !impl->computer_) {
    return {Code::kInvalidArgument, "this build has no splitter: give a splitter or a computer"};
  }
  impl->store_ = std::move(parts.store);
  impl->resolver_ = std::move(parts.resolver);
  impl->persister_ = std::move(parts.persister);
  impl->catalog_ = std::dynamic_pointer_cast<Catalog>(impl->resolver_);
  if (!impl->store_ || !impl->resolver_) {
    StoreOptions store_options;
    store_options.lease_duration = impl->options_.worker.lease_duration;
    Result<Backend> backend = open_backend(impl->options_.dsn, store_options, impl->given_runtime_);
    if (!backend.ok()) {
      return backend.status();
    }
    impl->store_ = backend->store;
    if (!impl->resolver_) {
      impl->catalog_ = backend->catalog;
      impl->resolver_ = backend->catalog;
    }
    if (!impl->persister_) {
      impl->persister_ = backend->catalog;
    }
  }
  impl->own_vectors_ = impl->catalog_ && std::dynamic_pointer_cast<Catalog>(impl->persister_) == impl->catalog_;
  for (const std::string& warning : impl->warnings_) {
    impl->log(LogLevel::kWarning, warning);
  }
  return impl;
}

Status Engine::Impl::require_documents(std::string_view what) const {
  return catalog_ ? Status()
                  : Status(Code::kRefused,
                           fmt::format("{}: documents are the host's own, this engine has no catalog", what));
}

Status Engine::Impl::require_vectors(std::string_view what) const {
  return own_vectors_
             ? Status()
             : Status(Code::kRefused, fmt::format("{}: vectors are the host's own, this engine can't read them", what));
}

void Engine::Impl::log(LogLevel level, std::string_view message) const {
  if (log_) {
    log_(level, message);
  }
}

Result<std::unique_ptr<Engine>> Engine::open(EngineOptions options) {
  return open(std::move(options), EngineParts{});
}

Result<std::unique_ptr<Engine>> Engine::open(EngineOptions options, EngineParts parts) {
  return core::guarded("the engine", [&]() -> Result<std::unique_ptr<Engine>> {
    Result<std::unique_ptr<Impl>> impl = Impl::open(std::move(options), std::move(parts));
    if (!impl.ok()) {
      return impl.status();
    }
    return std::unique_ptr<Engine>(new Engine(std::move(impl).value()));
  });
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Engine::~Engine() {
  // In a forked child the threads are gone, and locks may be held by them for ever: leave everything as it is.
  if (impl_->forked()) {
    (void)impl_.release();
  }
}

const std::vector<std::string>& Engine::warnings() const {
  return impl_->warnings_;
}

Store& Engine::store() {
  return *impl_->store_;
}

const Splitter* Engine::splitter() const {
  return impl_->splitter_.get();
}

}  // namespace embedjobs
