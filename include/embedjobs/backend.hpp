// A database that holds jobs, documents and vectors. Most programs name one by a DSN and never touch it.
#pragma once

#include <memory>

namespace embedjobs {

class Catalog;
class Store;

/// Both halves over one database; sys/store.hpp and sys/catalog.hpp say what they can do.
struct Backend {
  std::shared_ptr<Store> store;
  std::shared_ptr<Catalog> catalog;
};

}  // namespace embedjobs
