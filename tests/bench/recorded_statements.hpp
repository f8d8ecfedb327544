// What the library sends to a PostgreSQL server, kept, to be sent again by a bare loop: the same statements with the
// same values, the same preparations and the same round trips. On tables in the same state they do the same.
//
// A program that links recorded_statements.cpp names the wrapped functions of libpq to its linker: see CMakeLists.txt.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace embedjobs::bench {

struct SentStatement {
  enum class Kind { kPrepare, kExecute, kQuery, kEnterPipeline, kExitPipeline, kSync };
  Kind kind;
  std::string name;  ///< Of a prepared statement.
  std::string text;
  std::vector<Oid> types;
  std::vector<std::optional<std::string>> values;
  std::vector<int> formats;
};

using Recording = std::vector<SentStatement>;

/// While it lives, what any connection of this process sends is kept. One at a time, and one thread.
class Recorder {
 public:
  Recorder();
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  Recording take();
};

/// Sends it and reads every answer. Any error ends the program.
void replay(PGconn* connection, const Recording& recording);

}  // namespace embedjobs::bench
