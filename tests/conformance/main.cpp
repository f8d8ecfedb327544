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

/// What each case is left out for: the last part that it needs and the host does not offer. Empty: it is run.
class Selection {
 public:
  explicit Selection(const std::vector<Catch::TestCase>& tests) {
    for (const Catch::TestCase& test : tests) {
      const Part* missing = nullptr;
      bool tagged = test.isHidden();
      for (const Part& part : kParts) {
        tagged = tagged || needs(test, part);
        missing = needs(test, part) && !(offers_.*part.offered) ? &part : missing;
      }
      if (!tagged) {
        untagged_ = test.name;
      }
      if (missing != nullptr) {
        ++left_out_[missing];
      } else if (!test.isHidden()) {
        ++run_;
      }
    }
  }

  /// Adds to what the caller asked for that nothing is run which needs what is not offered.
  [[nodiscard]] std::vector<std::string> narrow(std::vector<std::string> asked) const {
    std::string without;
    for (const Part& part : kParts) {
      without += offers_.*part.offered ? "" : std::string("~[") + part.tag + "]";
    }
    if (without.empty()) {
      return asked;
    }
    if (asked.empty()) {
      return {without};
    }
    for (std::string& spec : asked) {  // "a,b" is a or b: each has its own end
      std::size_t comma = spec.find(',');
      while (comma != std::string::npos) {
        spec.insert(comma, without);
        comma = spec.find(',', comma + without.size() + 1);
      }
      spec += without;
    }
    return asked;
  }

  void report() const {
    std::size_t left_out = 0;
    for (const auto& [part, count] : left_out_) {
      left_out += count;
    }
    std::printf("conformance: %zu cases apply, %zu are left out\n", run_, left_out);
    for (const auto& [part, count] : left_out_) {
      std::printf("  %4zu need %s (%s), which offers() does not name\n", count, part->tag, part->what);
    }
  }

  [[nodiscard]] std::size_t run() const { return run_; }
  [[nodiscard]] const std::string& untagged() const { return untagged_; }

 private:
  embedjobs::test::Offers offers_ = embedjobs::test::offers();
  std::map<const Part*, std::size_t> left_out_;
  std::size_t run_ = 0;
  std::string untagged_;
};

}  // namespace

int main(int argc, char* argv[]) {
  Catch::Session session;
  if (const int error = session.applyCommandLine(argc, argv); error != 0) {
    return error;
  }
  const Selection selection(Catch::getAllTestCasesSorted(session.config()));
  if (!selection.untagged().empty() || selection.run() == 0) {
    std::fprintf(stderr, "conformance: %s%s\n", selection.untagged().c_str(),
                 selection.run() == 0 ? "offers() names nothing that can be tested" : ": no tag says what it needs");
    return 2;
  }
  Catch::ConfigData data = session.configData();
  data.testsOrTags = selection.narrow(data.testsOrTags);
  session.useConfigData(data);
  const bool lists = data.listTests || data.listTags || data.listReporters || data.listTestNamesOnly || data.showHelp;
  if (!lists) {
    selection.report();
    std::fflush(stdout);
  }
  return session.run();
}
