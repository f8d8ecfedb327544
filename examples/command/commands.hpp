// The subcommands, a file a group. Each adds its options to `app` and sets session.action when it is the chosen one.
#pragma once

#include <CLI/CLI.hpp>

#include "session.hpp"

namespace embedjobs::command {

/// Of the flag --items, wherever it stands.
inline constexpr const char* kItemsHelp = R"(Plain items: JSON Lines, {"id": ..., "text": ...} a line)";

void add_index(CLI::App& app, Session& session);      // index.cpp
void add_documents(CLI::App& app, Session& session);  // documents.cpp: put, remove, ops
void add_work(CLI::App& app, Session& session);       // work.cpp
void add_status(CLI::App& app, Session& session);     // status.cpp: status, jobs, providers
void add_fleet(CLI::App& app, Session& session);      // fleet.cpp: workers
void add_search(CLI::App& app, Session& session);     // search.cpp
void add_rows(CLI::App& app, Session& session);       // rows.cpp: verify, export
void add_doctor(CLI::App& app, Session& session);     // doctor.cpp
void add_administration(
    CLI::App& app,
    Session& session);  // administration.cpp: retry, reconcile, switch-space, migrate, index-vectors, metrics

}  // namespace embedjobs::command
