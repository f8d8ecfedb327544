// The splitter of an engine that was given none: each document is read as what it says it is.
#include <fmt/format.h>

#include "embedjobs/items.hpp"

namespace embedjobs {
namespace {

class DocumentSplitter final : public Splitter {
 public:
  DocumentSplitter(const ItemsLimits& items, const OpenApiLimits& openapi)
      : items_(make_items_splitter(items)), openapi_(make_openapi_splitter(openapi)) {}

  Result<OperationList> split(std::string_view content) const override {
    return is_items_document(content) ? items_->split(content) : openapi_->split(content);
  }

  [[nodiscard]] std::string version() const override {
    return fmt::format("{} {}", openapi_->version(), items_->version());
  }

 private:
  std::shared_ptr<const Splitter> items_;
  std::shared_ptr<const Splitter> openapi_;
};

}  // namespace

std::shared_ptr<const Splitter> make_document_splitter(const ItemsLimits& items, const OpenApiLimits& openapi) {
  return std::make_shared<DocumentSplitter>(items, openapi);
}

}  // namespace embedjobs
