// Which texts of a manifest have a vector, asked piece by piece.
#pragma once

#include <functional>
#include <vector>

#include "embedjobs/persister.hpp"

namespace embedjobs::core {

/// Which of these texts have a vector that the pass may reuse: answer[i] for texts[i].
using AskStored = std::function<Result<std::vector<bool>>(const std::vector<TextHash>& texts)>;

/// Of all operations of a manifest: answer[i] for operation i. Asks for kReadPieceRows texts at most at a time, in the
/// order of hashes, which is that of the index. Asks at least once, for nothing if need be: so a backend that looks at
/// the fence each time has looked.
Result<std::vector<bool>> stored_texts(const Manifest& manifest, const AskStored& ask);

}  // namespace embedjobs::core
