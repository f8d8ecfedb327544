// Text for terminals: nothing that a document says may move the cursor, and columns stand below each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/badge.hpp"
#include "embedjobs/status.hpp"

namespace embedjobs::command {

struct CodePoint {
  char32_t value = 0;
  std::size_t bytes = 1;  ///< How many bytes it takes; 1 for a byte that is not UTF-8.
  bool valid = false;
};
CodePoint code_point_at(std::string_view text, std::size_t offset);

/// C0, DEL, C1, line separators and what reorders text: a terminal would act on them.
bool is_control(char32_t point);

/// One line that is safe to print: control characters and invalid bytes are escaped as \n, \x1b, \u202e.
std::string printable(std::string_view text);

/// "1 operation", "2 operations".
std::string counted(std::int64_t count, std::string_view word);

/// An error of a name that there is not says where to look for the right one.
Status with_hint(const Status& status);

/// The first `max_points` code points of printable(text), with an ellipsis where it was cut.
std::string shortened(std::string_view text, std::size_t max_points);

/// `label` in the colour of `tone` when stdout is a terminal that wants colours.
std::string coloured(std::string_view label, Tone tone);

/// Rows of cells under a header. The last column is not padded. Cells are made printable.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  [[nodiscard]] bool empty() const { return rows_.size() == 1; }
  [[nodiscard]] std::string str() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace embedjobs::command
