#include "core/backend/stored_texts.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>

#include "core/rules/limits.hpp"

namespace embedjobs::core {

Result<std::vector<bool>> stored_texts(const Manifest& manifest, const AskStored& ask) {
  std::vector<std::uint32_t> order(manifest.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return manifest.text_hash(a) < manifest.text_hash(b); });
  std::vector<bool> stored(manifest.size(), false);
  std::span<const std::uint32_t> rest(order);
  do {
    const auto piece = rest.first(std::min(rest.size(), kReadPieceRows));
    std::vector<TextHash> texts;
    texts.reserve(piece.size());
    for (const std::uint32_t operation : piece) {
      texts.push_back(manifest.text_hash(operation));
    }
    const auto found = ask(texts);
    if (!found.ok()) {
      return found.status();
    }
    for (std::size_t i = 0; i < piece.size(); ++i) {
      stored[piece[i]] = (*found)[i];
    }
    rest = rest.subspan(piece.size());
  } while (!rest.empty());
  return stored;
}

}  // namespace embedjobs::core
