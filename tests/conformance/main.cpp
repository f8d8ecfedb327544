// Runs the cases that need no more than the host offers, and says what was left out.
#define CATCH_CONFIG_RUNNER
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "conformance/database.hpp"
#include "support/catch.hpp"

namespace {

using embedjobs::test::Offers;

struct Part {
  const char* tag;
  bool Offers::*offered;
  const char* what;
};

constexpr Part kParts[] = {
    {"store", &Offers::store, "the queue"},
    {"wake", &Offers::wake, "set_wake"},
    {"history", &Offers::history, "list, counts, purge"},
    {"failures", &Offers::failures, "failures, failures_of, resolve_failure"},
    {"providers", &Offers::providers, "provider_state, note_provider, providers"},
    {"fleet", &Offers::fleet, "register_worker, workers, forget_workers"},
    {"durable", &Offers::durable, "a database that outlives its process"},
    {"boot", &Offers::boot, "leases that end with a boot"},
    {"catalog", &Offers::catalog, "documents, rows and search"},
    {"persister", &Offers::persister, "a persister"},
    {"rows", &Offers::rows, "a look at the persister's rows"},
    {"vectors", &Offers::vectors, "a look at the persister's vectors"},
};

std::string in_brackets(const char* tag) {
  return '[' + std::string(tag) + ']';
}

bool needs(const Catch::TestCaseInfo& test, const Part& part) {
  return test.tagsAsString().find(in_brackets(part.tag)) != std::string::npos;
}

/// What the host does not offer and the case needs: the last such part. Null: the case is run.
const Part* missing_for(const Catch::TestCaseInfo& test, const Offers& offers) {
  const Part* missing = nullptr;
  for (const Part& part : kParts) {
    missing = needs(test, part) && !(offers.*part.offered) ? &part : missing;
  }
  return missing;
}

bool is_tagged(const Catch::TestCaseInfo& test) {
  return std::any_of(std::begin(kParts), std::end(kParts), [&](const Part& part) { return needs(test, part); });
}

/// How the cases fare that Catch2 would run.
struct Plan {
  std::size_t cases = 0;
  std::map<const Part*, std::size_t> left_out;
  std::string untagged;  ///< A case without a tag that says what it needs; empty: there is none.
};

Plan plan_for(const Catch::IConfig& config, const Offers& offers) {
  Plan plan;
  for (const auto& test : Catch::getAllTestCasesSorted(config)) {
    const Catch::TestCaseInfo& info = test.getTestCaseInfo();
    if (info.isHidden()) {
      continue;
    }
    if (!is_tagged(info)) {
      plan.untagged = info.name;
    }
    const Part* part = missing_for(info, offers);
    (part == nullptr ? plan.cases : plan.left_out[part]) += 1;
  }
  return plan;
}

/// The test specs of the command line, with `also` before each of their alternatives. In Catch2's language a comma
/// stands between alternatives, and a backslash before a comma that is part of a name.
std::vector<std::string> narrowed(const std::vector<std::string>& specs, const std::string& also) {
  std::vector<std::string> narrow;
  bool begins = true;
  for (const std::string& spec : specs) {
    std::string text;
    for (std::size_t i = 0; i < spec.size(); ++i) {
      if (begins && spec[i] != ' ' && spec[i] != ',') {
        text += also;
        begins = false;
      }
      begins = begins || spec[i] == ',';
      text += spec[i];
      if (spec[i] == '\\' && i + 1 < spec.size()) {
        text += spec[++i];
      }
    }
    narrow.push_back(text);
  }
  if (narrow.empty() && !also.empty()) {
    narrow.push_back(also + "~[.]");  // hidden cases stay so
  }
  return narrow;
}

/// Leaves out the cases that need what the host does not offer.
void leave_out(Catch::Session& session, const Offers& offers) {
  std::string also;
  for (const Part& part : kParts) {
    also += offers.*part.offered ? "" : '~' + in_brackets(part.tag);
  }
  Catch::ConfigData asked = session.configData();
  asked.testsOrTags = narrowed(asked.testsOrTags, also);
  session.useConfigData(asked);
}

/// Not a run: the caller asked for a list or for help.
bool only_tells(const Catch::ConfigData& asked) {
#if CATCH_VERSION_MAJOR < 3
  if (asked.listTestNamesOnly) {
    return true;
  }
#endif
  return asked.listTests || asked.listTags || asked.listReporters || asked.showHelp;
}

void say(const Plan& plan, const Offers& offers) {
  std::size_t without = 0;
  for (const auto& [part, count] : plan.left_out) {
    without += count;
  }
  std::printf("conformance: %zu cases apply, %zu are left out\n", plan.cases, without);
  for (const auto& [part, count] : plan.left_out) {
    std::printf("  %4zu need %s (%s), which offers() does not name\n", count, part->tag, part->what);
  }
  if (offers.durable && !offers.boot) {
    std::puts(
        "conformance: warning: offers() names durable and not boot, so nothing tests what a reboot does to a lease.\n"
        "  This is right only where leases end by the clock of a database server. Where they end by the clock of the\n"
        "  machine, a lease of another boot has ended: offer boot too.");
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char* argv[]) {
  Catch::Session session;
  if (const int error = session.applyCommandLine(argc, argv); error != 0) {
    return error;
  }
  const Offers offers = embedjobs::test::offers();
  const Plan plan = plan_for(session.config(), offers);
  if (!plan.untagged.empty()) {
    std::fprintf(stderr, "conformance: no tag says what this case needs: %s\n", plan.untagged.c_str());
    return 2;
  }
  if (plan.cases == 0) {
    std::fputs("conformance: offers() names nothing that can be tested\n", stderr);
    return 2;
  }
  leave_out(session, offers);
  const bool runs = !only_tells(session.configData());
  if (runs) {
    say(plan, offers);
  }
  const int failed = session.run();
  if (failed != 0 && runs) {
    std::puts(
        "conformance: a case's name is the promise that is broken; the promises stand in embedjobs/sys/store.hpp, "
        "embedjobs/persister.hpp and docs/write-your-own.md");
  }
  return failed;
}
