// YAML through libyaml's events into a compact tree: 16 bytes a node and 4 a child, aliases as shared children.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/status.hpp"
#include "openapi/node.hpp"

namespace embedjobs::openapi {

/// The tree. Node numbers are given in the order in which nodes begin; children come as a run of numbers, for objects
/// key and value by turns.
struct YamlTree {
  struct Node {
    std::uint32_t begin = 0;   ///< Into texts for scalars, into children for containers.
    std::uint32_t size = 0;    ///< Bytes, or entries of children.
    std::uint32_t line = 0;    ///< From 1.
    std::uint16_t height = 0;  ///< 0 for scalars, else one more than the highest child's.
    Kind kind = Kind::kNull;
    bool merge = false;  ///< A plain "<<", or what has the tag of it.
  };
  std::vector<Node> nodes;
  std::vector<std::uint32_t> children;
  std::string texts;
  std::uint32_t root = 0;

  /// Of scalars. A null has one too, which counts where it is a key.
  [[nodiscard]] std::string_view text(std::uint32_t id) const {
    const Node& node = nodes[id];
    const bool is_scalar = node.kind == Kind::kString || node.kind == Kind::kNull;
    return std::string_view(texts).substr(is_scalar ? node.begin : 0, is_scalar ? node.size : 0);
  }
};

class YamlNode {
 public:
  YamlNode(const YamlTree& tree, std::uint32_t id) : tree_(&tree), id_(id) {}

  [[nodiscard]] Kind kind() const { return node().kind; }
  [[nodiscard]] std::string_view text() const { return tree_->text(id_); }
  [[nodiscard]] std::size_t line() const { return node().line; }
  [[nodiscard]] const void* identity() const { return &node(); }
  template <typename F>
  bool each_member(F&& f) const {
    const std::uint32_t end = node().begin + node().size;
    for (std::uint32_t i = node().begin; i < end; i += 2) {
      if (!f(tree_->text(tree_->children[i]), child(i + 1))) {
        return false;
      }
    }
    return true;
  }
  template <typename F>
  bool each_element(F&& f) const {
    const std::uint32_t end = node().begin + node().size;
    for (std::uint32_t i = node().begin; i < end; ++i) {
      if (!f(child(i))) {
        return false;
      }
    }
    return true;
  }

  /// Aliases share nodes: a search that went through each path to a node would never end.
  class Visits {
   public:
    bool first(const YamlNode& node, Reading reading) {
      seen_.resize(node.tree_->nodes.size());
      const auto bit = static_cast<std::uint8_t>(1U << static_cast<unsigned>(reading));
      const bool is_first = (seen_[node.id_] & bit) == 0;
      seen_[node.id_] |= bit;
      return is_first;
    }

   private:
    std::vector<std::uint8_t> seen_;
  };

 private:
  [[nodiscard]] const YamlTree::Node& node() const { return tree_->nodes[id_]; }
  [[nodiscard]] YamlNode child(std::uint32_t entry) const { return {*tree_, tree_->children[entry]}; }

  const YamlTree* tree_;
  std::uint32_t id_;
};

class YamlDocument {
 public:
  /// `text` is without a byte order mark and below kMaxYamlBytes. Errors name the line. Merge keys are applied: a
  /// mapping's own keys win, then the earlier of the merged mappings.
  static Result<YamlDocument> parse(std::string_view text, std::size_t depth);
  [[nodiscard]] YamlNode root() const { return {*tree_, tree_->root}; }

 private:
  std::unique_ptr<YamlTree> tree_ = std::make_unique<YamlTree>();  // nodes point to it
};

/// Node numbers and offsets have 32 bits; no limit can be set higher.
inline constexpr std::size_t kMaxYamlBytes = std::size_t{1} << 30;

}  // namespace embedjobs::openapi
