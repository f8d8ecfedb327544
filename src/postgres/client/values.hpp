// Values in PostgreSQL's binary format: parameters on their way to the server, and fields of its answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "embedjobs/types.hpp"

namespace embedjobs::postgres {

/// An object id of the server's; the types used here have fixed ones.
using TypeId = std::uint32_t;

/// Bytes to bind as bytea.
struct Blob {
  const void* data = nullptr;
  std::size_t size = 0;
};
/// A value in the server's format, of a type that is known at run time only. Not copied.
struct TypedValue {
  TypeId type = 0;
  std::string bytes;
};
/// The view's owner outlives what it is bound to.
inline Blob blob_of(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}

/// Parameters of one statement. What is bound as text, Blob or TypedValue is not copied: it outlives this.
class Params {
 public:
  template <typename... Args>
  explicit Params(const Args&... args) {
    (add(args), ...);
  }
  [[nodiscard]] int size() const { return static_cast<int>(types_.size()); }
  [[nodiscard]] const TypeId* types() const { return types_.data(); }
  /// Valid until the next add().
  [[nodiscard]] std::vector<const char*> pointers() const;
  [[nodiscard]] const int* lengths() const { return lengths_.data(); }
  [[nodiscard]] std::vector<int> formats() const { return std::vector<int>(types_.size(), 1); }

 private:
  template <typename T>
  void add(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      add_boolean(value);
    } else if constexpr (std::is_same_v<T, WallTime>) {
      add_integer(value.time_since_epoch().count());
    } else if constexpr (std::is_same_v<T, Duration>) {
      add_integer(value.count());
    } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      add_integer(static_cast<std::int64_t>(value));
    } else if constexpr (std::is_same_v<T, TextHash>) {
      add_blob({value.data(), value.size()});
    } else if constexpr (std::is_same_v<T, Blob>) {
      add_blob(value);
    } else if constexpr (std::is_same_v<T, TypedValue>) {
      add_view(value.type, value.bytes.data(), value.bytes.size());
    } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      add_text(std::string_view(value));
    } else {
      add_array(value);
    }
  }
  void add_boolean(bool value);
  void add_integer(std::int64_t value);
  void add_text(std::string_view value);
  void add_blob(Blob value);
  void add_array(const std::vector<std::int64_t>& values);
  void add_array(const std::vector<std::uint8_t>& booleans);
  void add_array(const std::vector<std::string_view>& values);
  void add_array(const std::vector<std::string>& values);
  void add_array(const std::vector<TextHash>& values);
  void add_array(const std::vector<Blob>& values);
  void add_owned(TypeId type, std::string bytes);
  void add_view(TypeId type, const void* data, std::size_t size);

  std::vector<TypeId> types_;
  std::vector<int> lengths_;
  std::vector<std::string> owned_;  // empty where a view is bound
  std::vector<const void*> views_;
};

/// How many rows at most, as LIMIT takes it.
inline std::int64_t limit_of(std::size_t limit) {
  constexpr std::size_t kMost = std::size_t{1} << 31;
  return static_cast<std::int64_t>(limit < kMost ? limit : kMost);
}

/// A big-endian integer of 1, 2, 4 or 8 bytes; 0 for any other size.
std::int64_t read_integer(std::string_view field);

}  // namespace embedjobs::postgres
