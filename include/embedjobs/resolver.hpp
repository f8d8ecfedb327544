// Where documents live. The built-in catalog implements it; a host may bring its own.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "embedjobs/types.hpp"

namespace embedjobs {

struct Document {
  std::string content;  ///< Bytes as written, any encoding or size: nothing is trusted.
  std::string version;  ///< Equal versions mean equal content, for example a hash. Never empty.
};

/// What a listing tells of a document: enough to see that it changed.
struct SpecVersion {
  SpecKey key;
  std::string version;
};

/// Thread safety: called from library threads, possibly several at a time. No library lock is held during a call.
class SpecResolver {
 public:
  virtual ~SpecResolver() = default;
  /// The document's current content. The call must see everything that was written before the job was enqueued.
  /// kGone: the document was deleted; its vectors are cleared. After any other error the call is tried again later.
  virtual Result<Document> resolve(const SpecKey& key) = 0;
  /// At most `limit` specs after `after` (exclusive; nullptr: from the start), ordered by key; fewer than `limit` means
  /// there are no more. kRefused (the default): this resolver can't list. Then the reconciler finds no gaps, and the
  /// host's enqueue is the only signal.
  virtual Result<std::vector<SpecVersion>> list(const SpecKey* after, std::size_t limit);
};

}  // namespace embedjobs
