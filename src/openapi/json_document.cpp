#include "openapi/json_document.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <span>

#include "openapi/encoding.hpp"
#include "openapi/json_syntax.hpp"
#include "openapi/place.hpp"

namespace embedjobs::openapi {
namespace {

/// Asks for large pages: touching fresh memory page by page costs as much as the parse itself. Only a wish; what comes
/// of it is the same.
void prefer_large_pages(void* memory, std::size_t size) {
#ifdef MADV_HUGEPAGE
  constexpr std::size_t kPage = 4096;
  constexpr std::size_t kWorthwhile = std::size_t{4} << 20;
  if (size < kWorthwhile) {
    return;
  }
  void* begin = memory;
  std::size_t room = size;
  if (std::align(kPage, kPage, begin, room) != nullptr) {
    (void)madvise(begin, room / kPage * kPage, MADV_HUGEPAGE);
  }
#endif
}

/// The parser wants readable bytes behind the text, which a view can't promise. The copy lives only while it parses.
std::unique_ptr<char[]> padded_copy(std::string_view text) {
  auto copy = std::make_unique_for_overwrite<char[]>(text.size() + simdjson::SIMDJSON_PADDING);
  prefer_large_pages(copy.get(), text.size());
  std::memcpy(copy.get(), text.data(), text.size());
  std::memset(copy.get() + text.size(), ' ', simdjson::SIMDJSON_PADDING);
  return copy;
}

simdjson::error_code parse_padded(const char* text, std::size_t size, std::size_t depth,
                                  simdjson::dom::document& document) {
  simdjson::dom::parser parser;
  // simdjson counts the document itself as a level
  if (const simdjson::error_code error = parser.allocate(size, depth + 1); error != simdjson::SUCCESS) {
    return error;
  }
  if (const simdjson::error_code error = document.allocate(size); error != simdjson::SUCCESS) {
    return error;
  }
  prefer_large_pages(document.tape.get(), size * sizeof(std::uint64_t));
  prefer_large_pages(document.string_buf.get(), size);
  return parser.parse_into_document(document, text, size, false).error();
}

}  // namespace

Result<JsonDocument> JsonDocument::parse(std::string_view text, std::size_t depth, std::size_t first_line) {
  JsonDocument result;
  std::unique_ptr<char[]> copy = padded_copy(text);
  simdjson::error_code error = parse_padded(copy.get(), text.size(), depth, *result.document_);
  if (error == simdjson::SUCCESS) {
    return result;
  }
  if (error == simdjson::MEMALLOC) {
    return {Code::kRetry, "not enough memory to parse the document"};
  }
  if (Status status = check_utf8(text, first_line); !status.ok()) {
    return status;
  }
  if (const auto found = find_json_error(text, depth)) {
    return error_at_offset(text, found->offset, fmt::format("not valid JSON: {}", found->message), first_line);
  }
  make_parsable(std::span(copy.get(), text.size()));
  error = parse_padded(copy.get(), text.size(), depth, *result.document_);
  if (error != simdjson::SUCCESS) {
    return {Code::kInvalidDocument, fmt::format("not valid JSON: {}", simdjson::error_message(error))};
  }
  return result;
}

}  // namespace embedjobs::openapi
