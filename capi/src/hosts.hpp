// Adapters: a host's table of callbacks as the C++ interface of the part. Each keeps the table until its end.
#pragma once

#include <memory>

#include "call.hpp"
#include "embedjobs.h"
#include "embedjobs/embedder.hpp"
#include "embedjobs/events.hpp"
#include "embedjobs/http.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"
#include "embedjobs/splitter.hpp"

namespace embedjobs::capi {

template <typename Table>
using TablePtr = std::shared_ptr<const OwnedTable<Table>>;

/// kInvalidArgument: a callback that is needed is NULL, or the space is none.
Result<std::shared_ptr<Embedder>> make_host_embedder(TablePtr<embedjobs_embedder> table);
Result<std::shared_ptr<EmbeddingComputer>> make_host_computer(TablePtr<embedjobs_computer> table);
Result<std::shared_ptr<Persister>> make_host_persister(TablePtr<embedjobs_persister> table);
Result<std::shared_ptr<SpecResolver>> make_host_resolver(TablePtr<embedjobs_resolver> table);
/// Empty where the host has no such callback.
LogSink make_log_sink(TablePtr<embedjobs_observer> table);
/// Also writes to `log`, if it is one, what went wrong in the background.
EventSink make_event_sink(TablePtr<embedjobs_observer> table, LogSink log);
/// The embedder of an HTTP spec whose key the host answers.
Result<std::shared_ptr<Embedder>> make_keyed_embedder(const std::string& spec, TablePtr<embedjobs_secret_source> table);

/// The space that a table names.
Result<Space> read_space(const char* model, const char* variant, std::size_t dimension);

}  // namespace embedjobs::capi
