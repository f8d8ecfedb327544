// Which files this process has open, and so which a child that it forks may not open.
#pragma once

#include <memory>
#include <string>

#include "embedjobs/status.hpp"

namespace embedjobs::sqlite {

/// Kept for as long as the file is open here.
using OpenFile = std::shared_ptr<const void>;

/// Notes that this process has the file at `path` open.
OpenFile note_open_file(const std::string& path);

/// kRefused: the process that this one was forked from had the file open. SQLite's picture of its locks lies in memory
/// that the child has inherited: it would take locks for held that are not, and what it commits would be lost when the
/// parent closes.
Status check_not_inherited(const std::string& path);

}  // namespace embedjobs::sqlite
