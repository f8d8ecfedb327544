// yaml-cpp's events to a YamlTree, refusing what could grow or recurse without bound.
#pragma once

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/mark.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "openapi/yaml_document.hpp"

namespace embedjobs::openapi {

/// Thrown through yaml-cpp, caught in YamlDocument::parse. The message has the line.
class YamlRefused : public std::runtime_error {
 public:
  YamlRefused(std::size_t line, const std::string& message);
};

class YamlBuilder final : public YAML::EventHandler {
 public:
  YamlBuilder(YamlTree& tree, std::size_t depth) : tree_(tree), depth_(depth) {}

  void OnDocumentStart(const YAML::Mark& mark) override;
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override;
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override;
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override;
  void OnSequenceEnd() override { end_container(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override;
  void OnMapEnd() override { end_container(); }

 private:
  struct Open {
    std::uint32_t node = 0;
    YAML::anchor_t anchor = 0;
    std::size_t first_pending = 0;
    bool has_merge = false;
  };

  std::uint32_t new_node(const YAML::Mark& mark, Kind kind);
  void start_container(const YAML::Mark& mark, YAML::anchor_t anchor, Kind kind);
  void end_container();
  void name_anchor(YAML::anchor_t anchor, std::uint32_t node);
  void append(std::uint32_t node, std::size_t line);
  void apply_merges(const Open& open);

  YamlTree& tree_;
  std::size_t depth_;
  std::size_t merged_members_ = 0;
  bool started_ = false;
  std::vector<Open> open_;
  std::vector<std::uint32_t> pending_;  ///< Children of all open containers.
  std::vector<std::uint32_t> anchors_;  ///< Anchor number - 1 to node.
};

}  // namespace embedjobs::openapi
