// Jobs made on a PostgreSQL connection that the host owns, in the host's own transaction.
#pragma once

#include <string_view>

#include "embedjobs/jobs.hpp"

/// libpq's own name for what it calls PGconn.
struct pg_conn;

namespace embedjobs {

/// Raises the key's generation and makes sure that a job is open, in the transaction of `connection`. If it rolls back,
/// there is no job. If it commits, there is a job, and workers wake. Outside of a transaction the call commits by
/// itself, as every statement does. `schema` is where the tables are ("embedjobs").
///
/// Blocks for one round trip, on the calling thread. The connection stays the host's. The host uses it from one thread
/// at a time. The call never begins, commits or rolls back, and sets no savepoint. An error of the server aborts the
/// host's transaction, as any failing statement does. (A savepoint would cost two round trips and a subtransaction for
/// a call that hardly ever fails. The host can set one.)
///
/// The role needs USAGE on the schema and EXECUTE on its function enqueue. kInvalidArgument: the key, the kind or the
/// name of the schema is not valid. kRefused, with nothing sent: the connection is null or closed, busy with another
/// query, in pipeline mode, or in a failed transaction. kUnusable: no such schema, or no right. kRetry: the connection
/// was lost, or a deadlock; roll back and run the transaction again.
Result<EnqueueResult> enqueue_on(pg_conn* connection, std::string_view schema, const SpecKey& key, JobKind kind);

/// The same with the document, which the library then keeps (64 MiB at most), as Catalog::put. `target_space_id` is for
/// a catalog that has no target space yet; empty: the first worker chooses. The SQL function is put_spec.
Result<EnqueueResult> put_spec_on(pg_conn* connection, std::string_view schema, const SpecKey& key,
                                  std::string_view content, std::string_view target_space_id = {});

}  // namespace embedjobs
