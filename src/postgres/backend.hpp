// The two halves of the backend over one Database.
#pragma once

#include <memory>

#include "embedjobs/sys/catalog.hpp"
#include "embedjobs/sys/store.hpp"

namespace embedjobs::postgres {

class Database;

std::shared_ptr<Store> make_store(std::shared_ptr<Database> database);
std::shared_ptr<Catalog> make_catalog(std::shared_ptr<Database> database);

}  // namespace embedjobs::postgres
