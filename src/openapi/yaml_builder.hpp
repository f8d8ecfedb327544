// libyaml's events to a YamlTree, refusing what could grow or recurse without bound.
#pragma once

#include <yaml.h>

#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "openapi/yaml_disguise.hpp"
#include "openapi/yaml_document.hpp"

namespace embedjobs::openapi {

/// Caught in YamlDocument::parse. The message has the line.
class YamlRefused : public std::runtime_error {
 public:
  YamlRefused(std::size_t line, const std::string& message);
};

class YamlBuilder {
 public:
  YamlBuilder(YamlTree& tree, const YamlDisguise& disguise, std::size_t depth)
      : tree_(tree), disguise_(disguise), depth_(depth) {}

  /// Throws YamlRefused.
  void take(const yaml_event_t& event);

 private:
  struct Open {
    std::uint32_t node = 0;
    std::size_t anchor = 0;  ///< From 1; 0 when it has none.
    std::size_t first_pending = 0;
    bool has_merge = false;
  };

  void start_document(std::size_t line);
  void add_scalar(const yaml_event_t& event);
  void add_alias(const yaml_event_t& event);
  void start_container(std::size_t line, const yaml_char_t* anchor, Kind kind);
  void end_container();
  std::uint32_t new_node(std::size_t line, Kind kind);
  std::size_t new_anchor(const yaml_char_t* name, std::uint32_t node);
  void append(std::uint32_t node, std::size_t line);
  void apply_merges(const Open& open);

  YamlTree& tree_;
  const YamlDisguise& disguise_;
  std::size_t depth_;
  std::size_t merged_members_ = 0;
  bool started_ = false;
  std::vector<Open> open_;
  std::vector<std::uint32_t> pending_;                  ///< Children of all open containers.
  std::vector<std::uint32_t> anchors_;                  ///< Anchor number - 1 to node.
  std::unordered_map<std::string, std::size_t> names_;  ///< To the number of the latest anchor of this name.
};

}  // namespace embedjobs::openapi
