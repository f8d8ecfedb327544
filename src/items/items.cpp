// JSON Lines -> operations.
#include "embedjobs/items.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <new>
#include <optional>
#include <vector>

#include "core/rules/checks.hpp"
#include "openapi/encoding.hpp"
#include "openapi/json_document.hpp"
#include "openapi/operation.hpp"
#include "openapi/place.hpp"

namespace embedjobs {
namespace {

using namespace embedjobs::openapi;

constexpr std::size_t kDepth = 200;                                          // of members that nobody reads
constexpr std::size_t kMaxLineBytes = (std::size_t{1} << 32) - 1;            // simdjson's offsets
constexpr std::size_t kLeastItemBytes = sizeof(R"({"id":"a","text":"b"})");  // most lines may be blank
constexpr std::string_view kWhitespace = " \t\r\n";

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

/// Reads one document, line by line.
class ItemsReader {
 public:
  explicit ItemsReader(const ItemsLimits& limits) : limits_(limits) {}

  Result<OperationList> read(std::string_view body) {
    if (is_items_document(body)) {
      next_line(body);
    }
    if (body.size() > limits_.bytes) {
      return {Code::kInvalidDocument,
              fmt::format("the items have {} bytes, at most {} are allowed", body.size(), limits_.bytes)};
    }
    const auto lines = static_cast<std::size_t>(std::ranges::count(body, '\n')) + 1;
    list_.reserve(std::min(lines, body.size() / kLeastItemBytes + 1), 0, body.size());
    while (!body.empty()) {
      const std::string_view line = next_line(body);
      if (line.find_first_not_of(kWhitespace) == std::string_view::npos) {
        continue;
      }
      if (Status status = read_item(line); !status.ok()) {
        return status;
      }
    }
    if (list_.size() == 0) {
      return {Code::kInvalidDocument, "the document has no items; a spec that shall have none is removed"};
    }
    if (Status status = refuse_duplicate_ids(); !status.ok()) {
      return status;
    }
    return std::move(list_);
  }

 private:
  /// Takes the first line off `body`.
  std::string_view next_line(std::string_view& body) {
    const std::string_view line = first_line(body);
    body.remove_prefix(std::min(line.size() + 1, body.size()));
    ++line_;
    return line;
  }

  [[nodiscard]] Status error(std::string_view message) const {
    return {Code::kInvalidDocument, fmt::format("line {}: {}", line_, message)};
  }

  Status read_item(std::string_view line) {
    if (line.size() > limits_.line_bytes) {
      return error(fmt::format("an item of {} bytes, at most {} are allowed", line.size(), limits_.line_bytes));
    }
    if (line.find('\0') != std::string_view::npos) {
      return error("has a NUL byte; is the document binary?");
    }
    const Result<JsonDocument> item = JsonDocument::parse(line, kDepth, line_);
    if (!item.ok()) {
      return item.status();
    }
    if (item->root().kind() != Kind::kObject) {
      return error(fmt::format("an item must be an object, is {}", describe(item->root().kind())));
    }
    std::optional<std::string_view> id;
    std::optional<std::string_view> text;
    if (Status status = read_members(item->root(), id, text); !status.ok()) {
      return status;
    }
    if (Status status = check(id, text); !status.ok()) {
      return status;
    }
    list_.add(*id, *text);
    lines_.push_back(line_);
    return {};
  }

  /// Members of other names are the host's own.
  [[nodiscard]] Status read_members(const JsonNode& item, std::optional<std::string_view>& id,
                                    std::optional<std::string_view>& text) const {
    Status status;
    item.each_member([&](std::string_view name, const JsonNode& value) {
      if (name != "id" && name != "text") {
        return true;
      }
      std::optional<std::string_view>& member = name == "id" ? id : text;
      if (member) {
        status = error(fmt::format("'{}' stands twice in the item", name));
      } else if (value.kind() != Kind::kString) {
        status = error(fmt::format("'{}' must be a string, is {}", name, describe(value.kind())));
      } else {
        member = value.text();
      }
      return status.ok();
    });
    return status;
  }

  [[nodiscard]] Status check(const std::optional<std::string_view>& id,
                             const std::optional<std::string_view>& text) const {
    if (!id || !text) {
      return error(fmt::format("the item has no '{}'", id ? "text" : "id"));
    }
    if (id->empty()) {
      return error("the item's 'id' is empty");
    }
    if (const std::string why = reject_id(*id); !why.empty()) {
      return error(why);
    }
    if (text->find_first_not_of(kWhitespace) == std::string_view::npos) {
      return error(fmt::format("the text of item '{}' is blank: there is nothing to embed", printable(*id)));
    }
    if (text->find('\0') != std::string_view::npos) {
      return error(fmt::format("the text of item '{}' has a NUL character", printable(*id)));
    }
    return list_.size() < limits_.items ? Status()
                                        : error(fmt::format("the document has more than {} items", limits_.items));
  }

  Status refuse_duplicate_ids() {
    const Manifest& manifest = list_.manifest();
    const auto twice = core::same_id(manifest);
    if (!twice) {
      return {};
    }
    line_ = lines_[twice->second];
    return error(fmt::format("the id '{}' is not unique: line {} has it too",
                             printable(manifest.operation_id(twice->first)), lines_[twice->first]));
  }

  ItemsLimits limits_;
  OperationList list_;
  std::vector<std::size_t> lines_;  ///< Of each item.
  std::size_t line_ = 0;            ///< The one that is read, from 1.
};

class ItemsSplitter final : public Splitter {
 public:
  explicit ItemsSplitter(const ItemsLimits& limits) : limits_(limits) {
    limits_.line_bytes = std::min(limits.line_bytes, kMaxLineBytes);
  }

  Result<OperationList> split(std::string_view content) const override {
    try {
      const Result<Text> text = recognise(content);
      return text.ok() ? ItemsReader(limits_).read(text->body) : Result<OperationList>(text.status());
    } catch (const std::bad_alloc&) {
      return {Code::kRetry, "not enough memory to split the document"};
    } catch (const std::exception& error) {
      return {Code::kInternal, fmt::format("splitting the document: {}", error.what())};
    }
  }

  [[nodiscard]] std::string version() const override { return "items/1"; }

 private:
  ItemsLimits limits_;
};

}  // namespace

std::shared_ptr<const Splitter> make_items_splitter(const ItemsLimits& limits) {
  return std::make_shared<ItemsSplitter>(limits);
}

}  // namespace embedjobs
