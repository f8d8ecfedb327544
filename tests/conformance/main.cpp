// Runs the cases that need no more than the host offers, and says what was left out.
#define CATCH_CONFIG_RUNNER
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "conformance/database.hpp"

namespace {

struct Part {
  const char* tag;
  bool embedjobs::test::Offers::*offered;
  const char* what;
};

constexpr Part kParts[] = {
    {"store", &embedjobs::test::Offers::store, "the queue"},
    {"wake", &embedjobs::test::Offers::wake, "set_wake"},
    {"history", &embedjobs::test::Offers::history, "list, counts, purge"},
    {"failures", &embedjobs::test::Offers::failures, "failures, failures_of, resolve_failure"},
    {"providers", &embedjobs::test::Offers::providers, "provider_state, note_provider, providers"},
    {"fleet", &embedjobs::test::Offers::fleet, "register_worker, workers, forget_workers"},
    {"durable", &embedjobs::test::Offers::durable, "a database that outlives its process"},
    {"boot", &embedjobs::test::Offers::boot, "leases that end with a boot"},
    {"catalog", &embedjobs::test::Offers::catalog, "documents, rows and search"},
    {"persister", &embedjobs::test::Offers::persister, "a persister"},
    {"rows", &embedjobs::test::Offers::rows, "a look at the persister's rows"},
};

bool needs(const Catch::TestCase& test, const Part& part) {
  return std::find(test.lcaseTags.begin(), test.lcaseTags.end(), part.tag) != test.lcaseTags.end();
}

/// What the host does not offer and the case needs: the last such part. Null: the case is run.
const Part* missing_for(const Catch::TestCase& test, const embedjobs::test::Offers& offers) {
  const Part* missing = nullptr;
  for (const Part& part : kParts) {
    missing = needs(test, part) && !(offers.*part.offered) ? &part : missing;
  }
  return missing;
}

bool is_tagged(const Catch::TestCase& test) {
  return std::any_of(std::begin(kParts), std::end(kParts), [&](const Part& part) { return needs(test, part); });
}

}  // namespace

int main(int argc, char* argv[]) {
  Catch::Session session;
  if (const int error = session.applyCommandLine(argc, argv); error != 0) {
    return error;
  }
  // Catch2's own list, from which it runs. It is not const; Catch2 itself shuffles it in this way.
  auto& tests = const_cast<std::vector<Catch::TestCase>&>(Catch::getAllTestCasesSorted(session.config()));
  const embedjobs::test::Offers offers = embedjobs::test::offers();
  std::map<const Part*, std::size_t> left_out;
  for (const Catch::TestCase& test : tests) {
    if (!test.isHidden() && !is_tagged(test)) {
      std::fprintf(stderr, "conformance: no tag says what this case needs: %s\n", test.name.c_str());
      return 2;
    }
    if (const Part* part = missing_for(test, offers); part != nullptr) {
      ++left_out[part];
    }
  }
  const std::size_t without =
      std::erase_if(tests, [&](const Catch::TestCase& test) { return missing_for(test, offers) != nullptr; });
  const auto hidden = std::count_if(tests.begin(), tests.end(), [](const auto& test) { return test.isHidden(); });
  if (tests.empty()) {
    std::fputs("conformance: offers() names nothing that can be tested\n", stderr);
    return 2;
  }
  const Catch::ConfigData& asked = session.configData();
  if (!asked.listTests && !asked.listTags && !asked.listReporters && !asked.listTestNamesOnly && !asked.showHelp) {
    std::printf("conformance: %zu cases apply, %zu are left out\n", tests.size() - static_cast<std::size_t>(hidden),
                without);
    for (const auto& [part, count] : left_out) {
      std::printf("  %4zu need %s (%s), which offers() does not name\n", count, part->tag, part->what);
    }
    std::fflush(stdout);
  }
  // The random sequences come last: where a simple case fails too, that one says more.
  std::stable_partition(tests.begin(), tests.end(), [](const Catch::TestCase& test) {
    return std::find(test.lcaseTags.begin(), test.lcaseTags.end(), "model") == test.lcaseTags.end();
  });
  const int failed = session.run();
  if (failed != 0 && !asked.showHelp) {
    std::puts(
        "conformance: a case's name is the promise that is broken; the promises stand in embedjobs/sys/store.hpp, "
        "embedjobs/persister.hpp and docs/write-your-own.md");
  }
  return failed;
}
