// Results that the library allocates: a C struct with the memory that it points to.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "embedjobs.h"
#include "embedjobs/types.hpp"
#include "engine_handle.hpp"

namespace embedjobs::capi {

/// `View` is the C struct; the strings that it points to live here.
template <typename View>
struct Owning : View {
  Owning() : View{} { this->struct_size = sizeof(View); }
  const char* keep(std::string text) { return texts.emplace_back(std::move(text)).c_str(); }
  std::deque<std::string> texts;
};

/// A list: its elements, and the array of pointers to them that a host sees.
template <typename View, typename Item>
struct OwningList : Owning<View> {
  Item& add() {
    Item& item = elements.emplace_back(Item{});
    item.struct_size = sizeof(Item);
    return item;
  }
  void finish() {
    for (const Item& item : elements) {
      pointers.push_back(&item);
    }
    this->count = pointers.size();
    this->items = pointers.data();
  }
  std::deque<Item> elements;
  std::vector<const Item*> pointers;
};

/// Milliseconds since 1970; 0: none.
inline std::int64_t to_unix_ms(WallTime time) {
  return std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

/// A call that gives out a result: `f(Engine&, std::unique_ptr<View>&)` makes it.
template <typename View, typename Made, typename F>
std::int32_t result_call(embedjobs_engine* engine, FromCallback rule, const char* function, View** out,
                         embedjobs_error** error, F&& f) {
  if (out != nullptr) {
    *out = nullptr;
  }
  const auto make = [&](Engine& core) -> Status {
    if (out == nullptr) {
      return {Code::kInvalidArgument, std::string(function) + ": out is NULL"};
    }
    auto made = std::make_unique<Made>();
    Status status = f(core, *made);
    if (status.ok()) {
      *out = made.release();
    }
    return status;
  };
  return engine_call(engine, rule, function, error, make);
}

/// The same for a list: `get(Engine&)` answers a Result of values, and `add(Made&, value)` makes an element of each.
template <typename View, typename Made, typename Get, typename Add>
std::int32_t list_call(embedjobs_engine* engine, FromCallback rule, const char* function, View** out,
                       embedjobs_error** error, Get&& get, Add&& add) {
  const auto fill = [&](Engine& core, Made& list) -> Status {
    const auto values = get(core);
    if (values.ok()) {
      for (const auto& value : *values) {
        add(list, value);
      }
      list.finish();
    }
    return values.status();
  };
  return result_call<View, Made>(engine, rule, function, out, error, fill);
}

inline std::optional<std::string> to_optional(const char* name) {
  return name == nullptr ? std::nullopt : std::optional<std::string>(name);
}

}  // namespace embedjobs::capi
