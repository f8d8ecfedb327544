#include "openapi/yaml_builder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "openapi/place.hpp"

namespace embedjobs::openapi {
namespace {

constexpr std::uint32_t kUnfinished = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kMaxMergedMembers = 1'000'000;

constexpr std::string_view kMergeTag = "tag:yaml.org,2002:merge";

std::string_view text_of(const yaml_char_t* name) {
  return name == nullptr ? std::string_view() : reinterpret_cast<const char*>(name);
}

bool means_null(std::string_view plain) {
  return plain.empty() || plain == "~" || plain == "null" || plain == "Null" || plain == "NULL";
}

/// libyaml takes "!a!b" although there is no handle "!a!".
void check_tag(std::string_view tag, std::size_t line) {
  if (tag.starts_with('!') && tag.find('!', 1) != std::string_view::npos) {
    throw YamlRefused(line, fmt::format("not valid YAML: the tag '{}' has a '!' inside", printable(tag)));
  }
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

void YamlBuilder::take(const yaml_event_t& event) {
  const std::size_t line = event.start_mark.line + 1;
  switch (event.type) {
    case YAML_DOCUMENT_START_EVENT: return start_document(line);
    case YAML_SCALAR_EVENT: return add_scalar(event);
    case YAML_ALIAS_EVENT: return add_alias(event);
    case YAML_SEQUENCE_START_EVENT:
      check_tag(text_of(event.data.sequence_start.tag), line);
      return start_container(line, event.data.sequence_start.anchor, Kind::kArray);
    case YAML_MAPPING_START_EVENT:
      check_tag(text_of(event.data.mapping_start.tag), line);
      return start_container(line, event.data.mapping_start.anchor, Kind::kObject);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return end_container();
    default: return;
  }
}

void YamlBuilder::start_document(std::size_t line) {
  if (started_) {
    throw YamlRefused(line, "a second YAML document begins; only one is allowed");
  }
  started_ = true;
}

std::uint32_t YamlBuilder::new_node(std::size_t line, Kind kind) {
  tree_.nodes.push_back({.line = static_cast<std::uint32_t>(line), .kind = kind});
  return static_cast<std::uint32_t>(tree_.nodes.size() - 1);
}

std::size_t YamlBuilder::new_anchor(const yaml_char_t* name, std::uint32_t node) {
  if (name == nullptr) {
    return 0;
  }
  anchors_.push_back(node);
  return names_[std::string(text_of(name))] = anchors_.size();
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

void YamlBuilder::add_scalar(const yaml_event_t& event) {
  const auto& scalar = event.data.scalar;
  const std::size_t line = event.start_mark.line + 1;
  const std::string_view tag = text_of(scalar.tag);
  check_tag(tag, line);
  const std::string_view value(reinterpret_cast<const char*>(scalar.value), scalar.length);
  const bool is_plain = (tag.empty() || tag == "!") && scalar.style == YAML_PLAIN_SCALAR_STYLE;
  const bool is_null = tag == YAML_NULL_TAG || (is_plain && means_null(value));
  const std::uint32_t id = new_node(line, is_null ? Kind::kNull : Kind::kString);
  YamlTree::Node& node = tree_.nodes[id];
  node.begin = static_cast<std::uint32_t>(tree_.texts.size());
  disguise_.restore(value, scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE, tree_.texts);
  node.size = static_cast<std::uint32_t>(tree_.texts.size()) - node.begin;
  node.merge = tag == kMergeTag || (is_plain && value == "<<");
  new_anchor(scalar.anchor, id);
  append(id, line);
}

void YamlBuilder::add_alias(const yaml_event_t& event) {
  const std::size_t line = event.start_mark.line + 1;
  const std::string_view name = text_of(event.data.alias.anchor);
  const auto at = names_.find(std::string(name));
  if (at == names_.end()) {
    throw YamlRefused(line, fmt::format("not valid YAML: the alias '*{}' has no anchor before it", printable(name)));
  }
  const std::uint32_t node = anchors_[at->second - 1];
  if (node == kUnfinished) {
    throw YamlRefused(line, "an alias to a node that contains it");
  }
  append(node, line);
}

void YamlBuilder::start_container(std::size_t line, const yaml_char_t* anchor, Kind kind) {
  if (open_.size() >= depth_) {
    throw YamlRefused(line, fmt::format("nested deeper than {} levels", depth_));
  }
  const std::uint32_t node = new_node(line, kind);
  tree_.nodes[node].height = 1;
  open_.push_back({.node = node, .anchor = new_anchor(anchor, kUnfinished), .first_pending = pending_.size()});
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
  if (open.anchor != 0) {
    anchors_[open.anchor - 1] = open.node;
  }
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
