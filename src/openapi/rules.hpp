// The rules of docs/openapi.md, once for every format: document -> operations in order, with unique ids.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/rules/checks.hpp"
#include "core/values/utf8.hpp"
#include "embedjobs/manifest.hpp"
#include "openapi/external_refs.hpp"
#include "openapi/node.hpp"
#include "openapi/operation.hpp"
#include "openapi/place.hpp"
#include "openapi/references.hpp"

namespace embedjobs::openapi {

struct Bounds {
  std::size_t operations = 0;
  std::size_t bytes = 0;  ///< Of all ids and texts together. Only shared nodes can make them more than the document's.
  std::size_t steps = 0;  ///< Members looked at.
};

/// Two passes over the operations: the first checks them and adds up sizes, so that the second fills a list that never
/// grows by copying.
template <DocumentNode Node>
class OperationReader {
 public:
  OperationReader(Node root, const Bounds& bounds)
      : root_(root), bounds_(bounds), budget_(bounds.steps), references_(root, budget_) {}

  Result<OperationList> read() {
    if (Status status = check(); !status.ok()) {
      return status;
    }
    OperationList list;
    list.reserve(found_.size(), id_bytes_, text_bytes_);
    budget_ = WorkBudget(bounds_.steps);  // the first pass did all that the second does, so it can't be used up now
    for (const Found& found : found_) {
      const Path& path = paths_[found.path];
      make_operation(path, found);
      list.add(id_, text_);
    }
    if (Status status = refuse_duplicate_ids(list.manifest()); !status.ok()) {
      return status;
    }
    return list;
  }

 private:
  struct Path {
    std::string_view name;
    Node item;
    std::string_view through;
  };
  struct Found {
    Node operation;
    std::uint32_t path;
    Method method;
    std::string_view through;
  };
  template <typename... Args>
  Status error(const Node& node, const Place& place, fmt::format_string<Args...> format, Args&&... args) {
    return error_at(node.line(), place.pointer(), fmt::format(format, std::forward<Args>(args)...));
  }

  Status check() {
    if (root_.kind() != Kind::kObject) {
      return error_at(root_.line(), "", fmt::format("must be an object, is {}", describe(root_.kind())));
    }
    if (Status status = ExternalRefs<Node>().refuse(root_); !status.ok()) {
      return status;
    }
    if (Status status = collect_paths(); !status.ok()) {
      return status;
    }
    for (std::uint32_t i = 0; i < paths_.size(); ++i) {
      if (Status status = collect_operations(i); !status.ok()) {
        return status;
      }
    }
    return {};
  }

  Status collect_paths() {
    std::optional<Node> paths;
    bool twice = false;
    bool is_openapi = false;
    root_.each_member([&](std::string_view key, const Node& value) {
      is_openapi |= key == "openapi" || key == "swagger";
      if (key == "paths") {
        twice |= paths.has_value();
        paths = value;
      }
      return true;
    });
    if (twice) {
      return error_at(paths->line(), "/paths", "stands twice in the document");
    }
    if (!paths) {
      return is_openapi ? Status()
                        : error_at(root_.line(), "", "has no 'openapi', 'swagger' or 'paths': not an OpenAPI document");
    }
    if (paths->kind() != Kind::kObject) {
      return error_at(paths->line(), "/paths", fmt::format("must be an object, is {}", describe(paths->kind())));
    }
    paths->each_member([&](std::string_view key, const Node& value) {
      if (!key.starts_with("x-")) {
        paths_.push_back({key, value, {}});
      }
      return true;
    });
    std::ranges::stable_sort(paths_, {}, &Path::name);
    return check_paths();
  }

  Status check_paths() {
    for (const Path& path : paths_) {
      if (!path.name.starts_with('/')) {
        return error(path.item, {.path = path.name}, "a path must begin with '/'");
      }
      if (!core::is_valid_utf8(path.name)) {
        return error(path.item, {.path = path.name}, "not valid UTF-8");
      }
    }
    const auto twice = std::ranges::adjacent_find(paths_, {}, &Path::name);
    return twice == paths_.end() ? Status()
                                 : error(twice->item, {.path = twice->name}, "the path stands twice in the document");
  }

  Status collect_operations(std::uint32_t index) {
    Path& path = paths_[index];
    auto target = references_.follow(path.item);
    if (!target.ok()) {
      return error(path.item, {.path = path.name}, "{}", target.status().message());
    }
    const Node item = target->node;
    path.through = target->through;
    if (item.kind() != Kind::kObject) {
      return error(item, {.path = path.name, .through = path.through}, "must be an object, is {}",
                   describe(item.kind()));
    }
    std::array<std::optional<Node>, kMethodCount> methods;
    std::optional<Method> twice;
    item.each_member([&](std::string_view key, const Node& value) {
      if (const auto method = parse_method(key)) {
        auto& slot = methods[static_cast<std::size_t>(*method)];
        twice = slot ? method : twice;
        slot = value;
      }
      return budget_.spend();
    });
    if (twice) {
      return error(item, {.path = path.name, .method = twice, .through = path.through},
                   "the method stands twice in its path item");
    }
    for (std::size_t i = 0; i < kMethodCount; ++i) {
      if (methods[i]) {
        if (Status status = collect_operation(index, static_cast<Method>(i), *methods[i]); !status.ok()) {
          return status;
        }
      }
    }
    return budget_.used_up() ? WorkBudget::error() : Status();
  }

  Status collect_operation(std::uint32_t path_index, Method method, const Node& written) {
    const Path& path = paths_[path_index];
    const Place place{.path = path.name, .method = method, .through = path.through};
    auto target = references_.follow(written);
    if (!target.ok()) {
      return error(written, place, "{}", target.status().message());
    }
    const Found found{target->node, path_index, method, target->through.empty() ? path.through : target->through};
    if (found.operation.kind() != Kind::kObject) {
      return error(found.operation, place, "must be an object, is {}", describe(found.operation.kind()));
    }
    if (found_.size() == bounds_.operations) {
      return error(written, place, "the document has more than {} operations", bounds_.operations);
    }
    if (Status status = read_operation(path, found); !status.ok()) {
      return status;
    }
    make_id(operation_, path.name, method, id_);
    make_text(operation_, path.name, text_);
    if (const std::string why = reject_id(id_); !why.empty()) {
      return error(found.operation, place, "{}", why);
    }
    id_bytes_ += id_.size();
    text_bytes_ += text_.size();
    if (id_bytes_ + text_bytes_ > bounds_.bytes) {
      return error(found.operation, place, "ids and texts of the operations have more than {} bytes together",
                   bounds_.bytes);
    }
    found_.push_back(found);
    return {};
  }

  /// The second pass: all was checked in the first.
  void make_operation(const Path& path, const Found& found) {
    (void)read_operation(path, found);
    make_id(operation_, path.name, found.method, id_);
    make_text(operation_, path.name, text_);
  }

  /// Fills operation_.
  Status read_operation(const Path& path, const Found& found) {
    std::optional<Node> operation_id;
    std::optional<Node> summary;
    std::optional<Node> description;
    std::optional<Node> tags;
    std::string_view twice;
    found.operation.each_member([&](std::string_view key, const Node& value) {
      std::optional<Node>* field = key == "operationId"   ? &operation_id
                                   : key == "summary"     ? &summary
                                   : key == "description" ? &description
                                   : key == "tags"        ? &tags
                                                          : nullptr;
      if (field != nullptr) {
        twice = *field ? key : twice;
        *field = value;
      }
      return budget_.spend();
    });
    Place place{.path = path.name, .method = found.method, .field = twice, .through = found.through};
    if (!twice.empty()) {
      return error(found.operation, place, "stands twice in its operation");
    }
    operation_ = Operation();
    for (const auto& [node, field, text] : {Field{&operation_id, "operationId", &operation_.operation_id},
                                            Field{&summary, "summary", &operation_.summary},
                                            Field{&description, "description", &operation_.description}}) {
      place.field = field;
      if (*node) {
        if (Status status = read_text(**node, place, *text); !status.ok()) {
          return status;
        }
      }
    }
    place.field = "tags";
    return tags ? read_tags(*tags, place) : Status();
  }
  struct Field {
    const std::optional<Node>* node;
    std::string_view name;
    std::string_view* text;
  };

  /// null counts as absent: YAML writers leave a key without a value.
  Status read_text(const Node& node, const Place& place, std::string_view& text) {
    if (node.kind() == Kind::kNull) {
      return {};
    }
    if (node.kind() != Kind::kString) {
      return error(node, place, "must be a string, is {}", describe(node.kind()));
    }
    text = node.text();
    return core::is_valid_utf8(text) ? Status() : error(node, place, "not valid UTF-8");
  }

  Status read_tags(const Node& tags, Place place) {
    if (tags.kind() == Kind::kNull) {
      return {};
    }
    if (tags.kind() != Kind::kArray) {
      return error(tags, place, "must be an array of strings, is {}", describe(tags.kind()));
    }
    Status status;
    place.index = 0;
    tags.each_element([&](const Node& tag) {
      std::string_view text;
      status = tag.kind() == Kind::kNull ? error(tag, place, "must be a string, is null") : read_text(tag, place, text);
      operation_.tags.append(*place.index > 0 ? 1 : 0, ' ').append(text);
      ++*place.index;
      return status.ok() && operation_.tags.size() <= bounds_.bytes && budget_.spend();
    });
    return status;
  }

  Status refuse_duplicate_ids(const Manifest& manifest) {
    const auto twice = core::same_id(manifest);
    if (!twice) {
      return {};
    }
    const Found& first = found_[twice->first];
    const Found& second = found_[twice->second];
    return error(second.operation, place_of(second), "the operation id '{}' is not unique: {} has it too{}",
                 printable(manifest.operation_id(twice->first)), place_of(first).pointer(),
                 line_suffix(first.operation));
  }
  Place place_of(const Found& found) const {
    return {.path = paths_[found.path].name, .method = found.method, .through = found.through};
  }
  static std::string line_suffix(const Node& node) {
    return node.line() == 0 ? std::string() : fmt::format(" (line {})", node.line());
  }

  Node root_;
  Bounds bounds_;
  WorkBudget budget_;
  References<Node> references_;
  std::vector<Path> paths_;  ///< By name.
  std::vector<Found> found_;
  std::size_t id_bytes_ = 0;
  std::size_t text_bytes_ = 0;
  Operation operation_;  ///< The one that is read; its buffers are reused, as are the next two.
  std::string id_;
  std::string text_;
};

}  // namespace embedjobs::openapi
