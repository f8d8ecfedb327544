// Any bytes may come as items: a list or a one-line error, and what is a list stays the same list as a stored document.
#include "embedjobs/items.hpp"

#include "split_check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto items = embedjobs::make_items_splitter();
  static const auto documents = embedjobs::make_document_splitter();
  const std::string_view content(reinterpret_cast<const char*>(data), size);
  const auto list = items->split(content);
  embedjobs::fuzz::check(list);
  if (list.ok()) {
    const auto stored = documents->split(embedjobs::make_items_document(content));
    embedjobs::fuzz::require(stored.ok() && stored->size() == list->size());
  }
  return 0;
}
