#include "openapi/yaml_builder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

namespace embedjobs::openapi {
namespace {

constexpr std::uint32_t kUnfinished = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kMaxMergedMembers = 1'000'000;

std::size_t line_of(const YAML::Mark& mark) {
  return static_cast<std::size_t>(std::max(mark.line, 0)) + 1;
}

/// Collects the members of one mapping: its own, then those of its merged mappings whose keys are new.
class Merger {
 public:
  Merger(const YamlTree& tree, std::size_t& budget_used) : tree_(tree), budget_used_(budget_used) {}

  void add_own(std::uint32_t key, std::uint32_t value) {
    keys_.insert(tree_.text(key));
    members_.insert(members_.end(), {key, value});
  }
  void add_merged(std::uint32_t source, std::size_t line) {
    const YamlTree::Node& node = tree_.nodes[source];
    if (node.kind == Kind::kArray) {
      for (std::uint32_t i = 0; i < node.size; ++i) {
        add_mapping(tree_.children[node.begin + i], line);
      }
    } else {
      add_mapping(source, line);
    }
  }
  std::vector<std::uint32_t> take() { return std::move(members_); }

 private:
  void add_mapping(std::uint32_t source, std::size_t line) {
    const YamlTree::Node& node = tree_.nodes[source];
    if (node.kind != Kind::kObject) {
      throw YamlRefused(line, "a merge key '<<' needs a mapping or a list of mappings");
    }
    budget_used_ += 1 + node.size / 2;
    if (budget_used_ > kMaxMergedMembers) {
      throw YamlRefused(line, fmt::format("the merge keys '<<' take in more than {} members", kMaxMergedMembers));
    }
    for (std::uint32_t i = node.begin; i < node.begin + node.size; i += 2) {
      if (keys_.insert(tree_.text(tree_.children[i])).second) {
        members_.insert(members_.end(), {tree_.children[i], tree_.children[i + 1]});
      }
    }
  }

  const YamlTree& tree_;
  std::size_t& budget_used_;
  std::vector<std::uint32_t> members_;
  std::unordered_set<std::string_view> keys_;
};

}  // namespace

YamlRefused::YamlRefused(std::size_t line, const std::string& message)
    : std::runtime_error(fmt::format("line {}: {}", line, message)) {}

void YamlBuilder::OnDocumentStart(const YAML::Mark& mark) {
  if (started_) {
    throw YamlRefused(line_of(mark), "a second YAML document begins; only one is allowed");
  }
  started_ = true;
}

std::uint32_t YamlBuilder::new_node(const YAML::Mark& mark, Kind kind) {
  tree_.nodes.push_back({.line = static_cast<std::uint32_t>(line_of(mark)), .kind = kind});
  return static_cast<std::uint32_t>(tree_.nodes.size() - 1);
}

void YamlBuilder::name_anchor(YAML::anchor_t anchor, std::uint32_t node) {
  if (anchor != 0) {
    anchors_.resize(std::max<std::size_t>(anchors_.size(), anchor), kUnfinished);
    anchors_[anchor - 1] = node;
  }
}

void YamlBuilder::append(std::uint32_t node, std::size_t line) {
  const YamlTree::Node& added = tree_.nodes[node];
  if (open_.size() + added.height > depth_) {
    throw YamlRefused(line, fmt::format("nested deeper than {} levels", depth_));
  }
  if (open_.empty()) {
    tree_.root = node;
    return;
  }
  Open& parent = open_.back();
  const bool is_object = tree_.nodes[parent.node].kind == Kind::kObject;
  if (is_object && (pending_.size() - parent.first_pending) % 2 == 0) {
    if (added.height > 0) {
      throw YamlRefused(line, "a mapping key must be a scalar");
    }
    parent.has_merge |= added.merge;
  }
  auto& height = tree_.nodes[parent.node].height;
  height = std::max(height, static_cast<std::uint16_t>(added.height + 1));
  pending_.push_back(node);
}

void YamlBuilder::OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) {
  const std::uint32_t node = new_node(mark, Kind::kNull);
  name_anchor(anchor, node);
  append(node, line_of(mark));
}

void YamlBuilder::OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                           const std::string& value) {
  const std::uint32_t id = new_node(mark, Kind::kString);
  YamlTree::Node& node = tree_.nodes[id];
  node.begin = static_cast<std::uint32_t>(tree_.texts.size());
  node.size = static_cast<std::uint32_t>(value.size());
  node.merge = tag == "?" && value == "<<";
  tree_.texts += value;
  name_anchor(anchor, id);
  append(id, line_of(mark));
}

void YamlBuilder::OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) {
  const bool known = anchor != 0 && anchor <= anchors_.size();
  if (!known || anchors_[anchor - 1] == kUnfinished) {
    throw YamlRefused(line_of(mark), "an alias to a node that contains it");
  }
  append(anchors_[anchor - 1], line_of(mark));
}

void YamlBuilder::OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                                  YAML::EmitterStyle::value /*style*/) {
  start_container(mark, anchor, Kind::kArray);
}

void YamlBuilder::OnMapStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                             YAML::EmitterStyle::value /*style*/) {
  start_container(mark, anchor, Kind::kObject);
}

void YamlBuilder::start_container(const YAML::Mark& mark, YAML::anchor_t anchor, Kind kind) {
  if (open_.size() >= depth_) {
    throw YamlRefused(line_of(mark), fmt::format("nested deeper than {} levels", depth_));
  }
  const std::uint32_t node = new_node(mark, kind);
  tree_.nodes[node].height = 1;
  name_anchor(anchor, kUnfinished);
  open_.push_back({.node = node, .anchor = anchor, .first_pending = pending_.size()});
}

void YamlBuilder::end_container() {
  const Open open = open_.back();
  open_.pop_back();
  YamlTree::Node& node = tree_.nodes[open.node];
  node.begin = static_cast<std::uint32_t>(tree_.children.size());
  if (open.has_merge) {
    apply_merges(open);
  } else {
    tree_.children.insert(tree_.children.end(), pending_.begin() + static_cast<std::ptrdiff_t>(open.first_pending),
                          pending_.end());
  }
  node.size = static_cast<std::uint32_t>(tree_.children.size() - node.begin);
  pending_.resize(open.first_pending);
  name_anchor(open.anchor, open.node);
  append(open.node, node.line);
}

void YamlBuilder::apply_merges(const Open& open) {
  Merger merger(tree_, merged_members_);
  for (std::size_t i = open.first_pending; i < pending_.size(); i += 2) {
    if (!tree_.nodes[pending_[i]].merge) {
      merger.add_own(pending_[i], pending_[i + 1]);
    }
  }
  for (std::size_t i = open.first_pending; i < pending_.size(); i += 2) {
    if (tree_.nodes[pending_[i]].merge) {
      merger.add_merged(pending_[i + 1], tree_.nodes[pending_[i]].line);
    }
  }
  const std::vector<std::uint32_t> members = merger.take();
  tree_.children.insert(tree_.children.end(), members.begin(), members.end());
}

}  // namespace embedjobs::openapi
