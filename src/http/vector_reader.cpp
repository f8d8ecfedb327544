#include "http/vector_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <optional>

#include "http/base64.hpp"
#include "http/foreign_base64.hpp"

namespace embedjobs::http {

namespace ondemand = simdjson::ondemand;

namespace {

constexpr std::size_t kMaxDimension = 65536;
constexpr std::size_t kMostModelBytes = 512;
constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

std::string nth(std::size_t row) {
  return fmt::format("vector {}", row + 1);
}

}  // namespace

bool VectorReader::fault(Fault fault, std::string detail) {
  reading_.fault = fault;
  reading_.detail = std::move(detail);
  return false;
}

bool VectorReader::read(ondemand::document& document) {
  ondemand::json_type type{};
  if (const auto error = document.type().get(type)) {
    return broken(error);
  }
  if (type == ondemand::json_type::array) {
    ondemand::value root;
    if (const auto error = document.get_value().get(root)) {
      return broken(error);
    }
    seen_vectors_ = true;
    if (!read_rows(root, false)) {
      return false;
    }
  } else if (type == ondemand::json_type::object) {
    ondemand::object root;
    if (const auto error = document.get_object().get(root)) {
      return broken(error);
    }
    if (!read_object(root)) {
      return false;
    }
  } else {
    return fault(Fault::kWrongShape, "the answer is neither an object nor an array");
  }
  if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    return fault(Fault::kBrokenJson, "something follows the answer");
  }
  if (!seen_vectors_) {
    return fault(Fault::kWrongShape, "the answer has no vectors");
  }
  if (found_ == 0) {
    return fault(Fault::kEmptyAnswer, fmt::format("no vectors for {} texts", rows_));
  }
  if (found_ != rows_) {
    return fault(Fault::kWrongCount, fmt::format("{} vectors for {} texts", found_, rows_));
  }
  return put_in_order();
}

bool VectorReader::read_object(ondemand::object object) {
  for (auto field : object) {
    std::string_view key;
    ondemand::value value;
    if (auto error = field.unescaped_key().get(key); error || (error = field.value().get(value))) {
      return broken(error);
    }
    if (!read_field(key, value)) {
      return false;
    }
  }
  return true;
}

bool VectorReader::read_field(std::string_view key, ondemand::value value) {
  const bool many = key == "embeddings" || key == "data";
  if (many || key == "embedding") {
    if (seen_vectors_) {
      return fault(Fault::kWrongShape, "the answer has vectors twice");
    }
    seen_vectors_ = true;
    return many ? read_rows(value, key == "data") : read_single(value);
  }
  if (key == "usage") {
    return read_usage(value);
  }
  if (key == "model") {
    std::string_view name;
    if (value.get_string().get(name) == simdjson::SUCCESS) {
      reading_.model = name.substr(0, kMostModelBytes);
    }
    return true;
  }
  if (key == "prompt_eval_count") {
    std::uint64_t tokens = 0;
    if (value.get_uint64().get(tokens) == simdjson::SUCCESS) {
      reading_.prompt_tokens = tokens;
    }
  }
  return true;
}

bool VectorReader::read_usage(ondemand::value value) {
  ondemand::object usage;
  if (value.get_object().get(usage) != simdjson::SUCCESS) {
    return true;  // null, or something of a dialect: only the count is lost
  }
  for (auto field : usage) {
    std::string_view key;
    if (const auto error = field.unescaped_key().get(key)) {
      return broken(error);
    }
    std::uint64_t tokens = 0;
    if (key == "prompt_tokens" && field.value().get_uint64().get(tokens) == simdjson::SUCCESS) {
      reading_.prompt_tokens = tokens;
    }
  }
  return true;
}

bool VectorReader::read_rows(ondemand::value value, bool records) {
  ondemand::array array;
  if (value.get_array().get(array) != simdjson::SUCCESS) {
    return fault(Fault::kWrongShape, "the vectors are not an array");
  }
  for (auto element : array) {
    ondemand::value item;
    if (const auto error = element.get(item)) {
      return broken(error);
    }
    if (found_ == rows_) {
      return fault(Fault::kWrongCount, fmt::format("more than {} vectors for as many texts", rows_));
    }
    if (!(records ? read_record(item, found_) : read_vector(item, found_))) {
      return false;
    }
    ++found_;
  }
  return true;
}

bool VectorReader::read_single(ondemand::value value) {
  if (rows_ != 1) {
    return fault(Fault::kWrongCount, fmt::format("one vector for {} texts", rows_));
  }
  found_ = 1;
  return read_vector(value, 0);
}

// The vector is written to the place of the record; indices that say otherwise are honoured at the end.
bool VectorReader::read_record(ondemand::value value, std::size_t position) {
  ondemand::object record;
  if (value.get_object().get(record) != simdjson::SUCCESS) {
    return fault(Fault::kWrongShape, fmt::format("{} is not an object", nth(position)));
  }
  bool has_vector = false;
  std::size_t index = kNone;
  for (auto field : record) {
    std::string_view key;
    ondemand::value member;
    if (auto error = field.unescaped_key().get(key); error || (error = field.value().get(member))) {
      return broken(error);
    }
    if (key == "embedding") {
      if (std::exchange(has_vector, true)) {
        return fault(Fault::kWrongShape, fmt::format("{} is there twice", nth(position)));
      }
      if (!read_vector(member, position)) {
        return false;
      }
    } else if (key == "index") {
      std::uint64_t number = 0;
      ondemand::json_type type{};
      if (rows_ == 1 || (member.type().get(type) == simdjson::SUCCESS && type == ondemand::json_type::null)) {
        continue;  // of one vector for one text there is no order to be told; null says nothing
      }
      if (member.get_uint64().get(number) != simdjson::SUCCESS || number >= rows_ || index != kNone) {
        return fault(Fault::kWrongOrder, fmt::format("the index of {} is not one of {} texts", nth(position), rows_));
      }
      index = number;
    }
  }
  if (!has_vector) {
    return fault(Fault::kWrongShape, fmt::format("{} is missing", nth(position)));
  }
  return note_index(index, position);
}

bool VectorReader::note_index(std::size_t index, std::size_t position) {
  if (index == kNone) {
    without_index_ = position;
    return true;
  }
  ++indexed_;
  if (index != position && in_order_) {
    in_order_ = false;
    positions_.assign(rows_, kNone);
    for (std::size_t before = 0; before < position; ++before) {
      if (before != without_index_) {
        positions_[before] = before;
      }
    }
  }
  if (!in_order_) {
    if (positions_[index] != kNone) {
      return fault(Fault::kWrongOrder, fmt::format("index {} is there twice", index));
    }
    positions_[index] = position;
  }
  return true;
}

bool VectorReader::put_in_order() {
  if (indexed_ != 0 && indexed_ + 1 < rows_) {
    return fault(Fault::kWrongOrder, "some vectors have an index, others do not");
  }
  // Writers that leave zeros out leave one index out: the vector without one has the place that is left.
  if (indexed_ != 0 && indexed_ < rows_ && !in_order_) {
    *std::find(positions_.begin(), positions_.end(), kNone) = without_index_;
  }
  if (in_order_) {
    return true;
  }
  // Row i of the result is row positions_[i] of what was read: along each cycle of the permutation.
  std::vector<float> kept(dimension_);
  for (std::size_t start = 0; start < rows_; ++start) {
    if (positions_[start] == start) {
      continue;
    }
    std::copy_n(vectors_.row(start).begin(), dimension_, kept.begin());
    std::size_t to = start;
    while (positions_[to] != start) {
      const std::size_t from = positions_[to];
      std::copy_n(vectors_.row(from).begin(), dimension_, vectors_.row(to).begin());
      positions_[to] = to;
      to = from;
    }
    std::copy_n(kept.begin(), dimension_, vectors_.row(to).begin());
    positions_[to] = to;
  }
  return true;
}

bool VectorReader::read_vector(ondemand::value value, std::size_t position) {
  ondemand::json_type type{};
  if (const auto error = value.type().get(type)) {
    return broken(error);
  }
  if (type == ondemand::json_type::string) {
    return read_base64(value, position);
  }
  if (type == ondemand::json_type::array) {
    return read_numbers(value, position);
  }
  if (type == ondemand::json_type::null) {
    return fault(Fault::kNotFinite, fmt::format("{} is null", nth(position)));
  }
  return fault(Fault::kWrongShape, fmt::format("{} is neither numbers nor base64", nth(position)));
}

// The first vector says how many floats there are, where nobody did before.
bool VectorReader::make_room(std::size_t count, std::size_t position) {
  if (count == 0) {
    return fault(Fault::kEmptyAnswer, fmt::format("{} is empty", nth(position)));
  }
  if (dimension_ == 0) {
    if (count > kMaxDimension) {
      return fault(Fault::kWrongDimension,
                   fmt::format("{} numbers in {}, at most {} are possible", count, nth(position), kMaxDimension));
    }
    dimension_ = count;
  }
  if (vectors_.rows() != rows_ || vectors_.dimension() != dimension_) {
    vectors_ = Matrix(rows_, dimension_);
  }
  return true;
}

bool VectorReader::read_numbers(ondemand::value value, std::size_t position) {
  ondemand::array array;
  if (const auto error = value.get_array().get(array)) {
    return broken(error);
  }
  std::size_t count = dimension_;
  if (dimension_ == 0) {
    if (const auto error = array.count_elements().get(count)) {
      return broken(error);
    }
  }
  if (!make_room(count, position)) {
    return false;
  }
  float* const row = vectors_.row(position).data();
  std::size_t filled = 0;
  for (auto element : array) {
    ondemand::value item;
    double number = 0;
    if (const auto error = element.get(item)) {
      return broken(error);
    }
    if (const auto error = item.get_double().get(number)) {
      return not_a_number(item, position, error);
    }
    if (filled == dimension_) {
      return fault(Fault::kWrongDimension,
                   fmt::format("more numbers in {} than the {} expected", nth(position), dimension_));
    }
    row[filled++] = static_cast<float>(number);
  }
  if (filled == 0) {
    return fault(Fault::kEmptyAnswer, fmt::format("{} is empty", nth(position)));
  }
  if (filled != dimension_) {
    return fault(Fault::kWrongDimension,
                 fmt::format("{} numbers in {}, expected are {}", filled, nth(position), dimension_));
  }
  return check_row(position);
}

// JSON has no NaN: serializers write null, NaN or Infinity.
bool VectorReader::not_a_number(ondemand::value value, std::size_t position, simdjson::error_code error) {
  std::string_view token = value.raw_json_token();
  token.remove_prefix(token.starts_with('-') ? 1 : 0);
  for (const std::string_view word : {"null", "NaN", "nan", "Inf", "inf"}) {
    if (token.starts_with(word)) {
      return fault(Fault::kNotFinite, fmt::format("{} is not finite", nth(position)));
    }
  }
  return broken(error);
}

bool VectorReader::read_base64(ondemand::value value, std::size_t position) {
  // The raw text is good as it is: base64 needs no escapes. The one that some writers make all the same is "\/".
  const std::string_view token = value.raw_json_token();
  const auto quote = token.find('"', 1);
  std::string_view text =
      token.substr(std::min<std::size_t>(1, token.size()), quote == std::string_view::npos ? 0 : quote - 1);
  if (text.find('\\') != std::string_view::npos || text.empty()) {
    if (const auto error = value.get_string().get(text)) {
      return broken(error);
    }
  } else {
    ondemand::raw_json_string passed;
    if (const auto error = value.get_raw_json_string().get(passed)) {
      return broken(error);
    }
  }
  if (text.empty()) {
    return fault(Fault::kEmptyAnswer, fmt::format("{} is empty", nth(position)));
  }
  const std::optional<std::size_t> count = base64_floats(text);
  if (!count) {
    return fault(Fault::kForeignBase64, fmt::format("{} is not the base64 of 32-bit floats", nth(position)));
  }
  if (dimension_ != 0 && *count != dimension_) {
    const std::string_view kind = foreign_by_length(*count, dimension_);
    return kind.empty()
               ? fault(Fault::kWrongDimension,
                       fmt::format("{} numbers in {}, expected are {}", *count, nth(position), dimension_))
               : fault(Fault::kForeignBase64, fmt::format("{} looks like the base64 of {}", nth(position), kind));
  }
  if (!make_room(*count, position)) {
    return false;
  }
  const std::span<float> row = vectors_.row(position);
  if (!decode_base64(text, row)) {
    return fault(Fault::kForeignBase64, fmt::format("{} is not base64", nth(position)));
  }
  if (const std::string_view kind = position == 0 ? foreign_by_values(row) : std::string_view(); !kind.empty()) {
    return fault(Fault::kForeignBase64, fmt::format("{} looks like the base64 of {}", nth(position), kind));
  }
  return check_row(position);
}

bool VectorReader::check_row(std::size_t position) {
  // The bits instead of the numbers: one pass without branches, which compilers turn into wide instructions.
  constexpr std::uint32_t kMagnitude = 0x7fffffffU;
  constexpr std::uint32_t kInfinity = 0x7f800000U;
  std::uint32_t greatest = 0;
  for (const float value : vectors_.row(position)) {
    greatest = std::max(greatest, std::bit_cast<std::uint32_t>(value) & kMagnitude);
  }
  if (greatest >= kInfinity) {
    return fault(Fault::kNotFinite, fmt::format("{} is not finite", nth(position)));
  }
  if (greatest == 0) {
    return fault(Fault::kZeroVector, fmt::format("{} is all zeros", nth(position)));
  }
  return true;
}

}  // namespace embedjobs::http
