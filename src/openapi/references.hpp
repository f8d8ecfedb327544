// Following "$ref" inside a document, with a bound on every kind of work that references and aliases can multiply.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "embedjobs/status.hpp"
#include "openapi/node.hpp"
#include "openapi/place.hpp"

namespace embedjobs::openapi {

/// Counts the members that are looked at. Without sharing a document can't use it up; with sharing a small one could
/// cost hours.
class WorkBudget {
 public:
  explicit WorkBudget(std::size_t steps) : left_(steps) {}
  /// False when it is used up.
  bool spend() { return left_ != 0 && --left_ != 0; }
  [[nodiscard]] bool used_up() const { return left_ == 0; }
  static Status error() {
    return {Code::kInvalidDocument, "references and aliases make the document too large to read"};
  }

 private:
  std::size_t left_;
};

template <DocumentNode Node>
class References {
 public:
  static constexpr int kMaxHops = 32;

  References(Node root, WorkBudget& budget) : root_(root), budget_(budget) {}

  struct Target {
    Node node;
    std::string_view through;  ///< The reference that led here; empty when there was none.
  };

  /// `node` itself, or what it refers to when it is an object of nothing but a "$ref" (extensions beside it do not
  /// count). The error is without a place.
  Result<Target> follow(Node node) {
    Target target{node, {}};
    for (int hops = 0;; ++hops) {
      Result<std::optional<std::string_view>> reference = only_reference(target.node);
      if (!reference.ok()) {
        return reference.status();
      }
      if (!*reference) {
        return target;
      }
      if (hops == kMaxHops) {
        return Status(Code::kInvalidDocument, "a chain of more than 32 references, or a cycle");
      }
      Result<Node> next = find(**reference);
      if (!next.ok()) {
        return next.status();
      }
      target = Target{*next, **reference};
    }
  }

 private:
  using Index = std::vector<std::pair<std::string_view, Node>>;  // by key

  Result<std::optional<std::string_view>> only_reference(const Node& node) {
    std::optional<Node> reference;
    bool alone = true;
    if (node.kind() == Kind::kObject) {
      alone = node.each_member([&](std::string_view key, const Node& value) {
        if (key == "$ref" && !reference) {
          reference = value;
          return budget_.spend();
        }
        return key.starts_with("x-") && budget_.spend();
      });
    }
    if (budget_.used_up()) {
      return WorkBudget::error();
    }
    if (!reference || !alone) {
      return std::optional<std::string_view>();
    }
    if (reference->kind() != Kind::kString) {
      return Status(Code::kInvalidDocument,
                    std::string("'$ref' must be a string, is ").append(describe(reference->kind())));
    }
    return std::optional(reference->text());
  }

  Result<Node> find(std::string_view reference) {
    Result<std::vector<std::string>> tokens = parse_reference(reference);
    if (!tokens.ok()) {
      return tokens.status();
    }
    Node node = root_;
    for (const std::string& token : *tokens) {
      const std::optional<Node> next = child(node, token);
      if (budget_.used_up()) {
        return WorkBudget::error();
      }
      if (!next) {
        return Status(Code::kInvalidDocument, "the reference '" + printable(reference) + "' leads nowhere");
      }
      node = *next;
    }
    return node;
  }

  std::optional<Node> child(const Node& node, std::string_view token) {
    if (node.kind() == Kind::kArray) {
      return element(node, token);
    }
    if (node.kind() != Kind::kObject || node.identity() == nullptr) {
      return std::nullopt;
    }
    const Index& index = index_of(node);
    const auto at = std::ranges::lower_bound(index, token, {}, &Index::value_type::first);
    return at != index.end() && at->first == token ? std::optional(at->second) : std::nullopt;
  }

  std::optional<Node> element(const Node& array, std::string_view token) {
    std::size_t wanted = 0;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), wanted);
    if (error != std::errc() || end != token.data() + token.size() || (token.size() > 1 && token.front() == '0')) {
      return std::nullopt;
    }
    std::optional<Node> found;
    array.each_element([&](const Node& element) {
      if (wanted-- == 0) {
        found = element;
      }
      return !found && budget_.spend();
    });
    return found;
  }

  /// Built once an object, so that many references into a large one stay cheap.
  const Index& index_of(const Node& object) {
    const auto [at, is_new] = indices_.try_emplace(object.identity());
    Index& index = at->second;
    if (is_new) {
      object.each_member([&](std::string_view key, const Node& value) {
        index.emplace_back(key, value);
        return budget_.spend();
      });
      std::ranges::stable_sort(index, {}, &Index::value_type::first);
    }
    return index;
  }

  Node root_;
  WorkBudget& budget_;
  std::unordered_map<const void*, Index> indices_;
};

}  // namespace embedjobs::openapi
