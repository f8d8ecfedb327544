#include "postgres/client/values.hpp"

#include <limits>
#include <stdexcept>

namespace embedjobs::postgres {
namespace {

// pg_type.dat: these never change.
constexpr TypeId kBool = 16, kBytea = 17, kInt8 = 20, kText = 25;
constexpr TypeId kBoolArray = 1000, kByteaArray = 1001, kInt8Array = 1016, kTextArray = 1009;

constexpr std::size_t kArrayHeader = 20;

template <typename Unsigned>
void append(std::string& out, Unsigned value) {
  for (int shift = static_cast<int>(sizeof(Unsigned) - 1) * 8; shift >= 0; shift -= 8) {
    out += static_cast<char>(static_cast<unsigned char>(value >> shift));
  }
}

std::uint32_t checked_size(std::size_t size) {
  if (size > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw std::length_error("a value is too large for PostgreSQL");
  }
  return static_cast<std::uint32_t>(size);
}

/// dimensions, has nulls, element type, length, lower bound
std::string array_header(TypeId element, std::size_t count, std::size_t bytes) {
  std::string out;
  out.reserve(kArrayHeader + bytes);
  append(out, std::uint32_t{count == 0 ? 0U : 1U});
  append(out, std::uint32_t{0});
  append(out, element);
  if (count != 0) {
    append(out, checked_size(count));
    append(out, std::uint32_t{1});
  }
  return out;
}

template <typename Range>
std::string array_of_bytes(TypeId element, const Range& values) {
  std::size_t bytes = 0;
  for (const auto& value : values) {
    bytes += 4 + value.size();
  }
  std::string out = array_header(element, values.size(), bytes);
  for (const auto& value : values) {
    append(out, checked_size(value.size()));
    out.append(reinterpret_cast<const char*>(value.data()), value.size());
  }
  return out;
}

}  // namespace

std::vector<const char*> Params::pointers() const {
  std::vector<const char*> pointers;
  pointers.reserve(types_.size());
  for (std::size_t i = 0; i < types_.size(); ++i) {
    pointers.push_back(views_[i] != nullptr ? static_cast<const char*>(views_[i]) : owned_[i].data());
  }
  return pointers;
}

void Params::add_owned(TypeId type, std::string bytes) {
  types_.push_back(type);
  lengths_.push_back(static_cast<int>(checked_size(bytes.size())));
  owned_.push_back(std::move(bytes));
  views_.push_back(nullptr);
}

void Params::add_view(TypeId type, const void* data, std::size_t size) {
  types_.push_back(type);
  lengths_.push_back(static_cast<int>(checked_size(size)));
  owned_.emplace_back();
  views_.push_back(data == nullptr ? "" : data);  // a null pointer would bind NULL
}

void Params::add_boolean(bool value) {
  add_owned(kBool, std::string(1, value ? '\1' : '\0'));
}

void Params::add_integer(std::int64_t value) {
  std::string bytes;
  append(bytes, static_cast<std::uint64_t>(value));
  add_owned(kInt8, std::move(bytes));
}

void Params::add_text(std::string_view value) {
  add_view(kText, value.data(), value.size());
}

void Params::add_blob(Blob value) {
  add_view(kBytea, value.data, value.size);
}

void Params::add_array(const std::vector<std::int64_t>& values) {
  std::string out = array_header(kInt8, values.size(), values.size() * 12);
  for (const std::int64_t value : values) {
    append(out, std::uint32_t{8});
    append(out, static_cast<std::uint64_t>(value));
  }
  add_owned(kInt8Array, std::move(out));
}

void Params::add_array(const std::vector<std::uint8_t>& booleans) {
  std::string out = array_header(kBool, booleans.size(), booleans.size() * 5);
  for (const std::uint8_t value : booleans) {
    append(out, std::uint32_t{1});
    out += value != 0 ? '\1' : '\0';
  }
  add_owned(kBoolArray, std::move(out));
}

void Params::add_array(const std::vector<std::string_view>& values) {
  add_owned(kTextArray, array_of_bytes(kText, values));
}

void Params::add_array(const std::vector<std::string>& values) {
  add_owned(kTextArray, array_of_bytes(kText, values));
}

void Params::add_array(const std::vector<TextHash>& values) {
  add_owned(kByteaArray, array_of_bytes(kBytea, values));
}

void Params::add_array(const std::vector<Blob>& values) {
  std::vector<std::string_view> views;
  views.reserve(values.size());
  for (const Blob& value : values) {
    views.emplace_back(static_cast<const char*>(value.data), value.size);
  }
  add_owned(kByteaArray, array_of_bytes(kBytea, views));
}

std::int64_t read_integer(std::string_view field) {
  std::uint64_t value = 0;
  for (const char c : field) {
    value = value << 8 | static_cast<unsigned char>(c);
  }
  switch (field.size()) {
    case 1: return static_cast<std::int64_t>(value);  // a boolean
    case 2: return static_cast<std::int16_t>(value);
    case 4: return static_cast<std::int32_t>(value);
    case 8: return static_cast<std::int64_t>(value);
    default: return 0;
  }
}

}  // namespace embedjobs::postgres
