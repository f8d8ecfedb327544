// Answers become decisions: one table, first match wins, walked line by line in tests.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "embedjobs/http.hpp"
#include "embedjobs/provider_health.hpp"
#include "http/error_body.hpp"
#include "http/transport.hpp"

namespace embedjobs::http {

/// What is done about an exchange that brought no vectors.
enum class Action {
  kCancel,        ///< kCancelled.
  kRetry,         ///< kRetry: costs an attempt.
  kPause,         ///< kPaused: nobody calls this provider until then; costs no attempt.
  kShrink,        ///< kTimeout: smaller batches.
  kSplitBatch,    ///< kBatchTooLarge.
  kCutInput,      ///< kInputTooLarge.
  kRejectInput,   ///< kInputRejected: a text of the batch is at fault.
  kSuspectInput,  ///< A text may be at fault, or the provider: a harmless text tells.
  kFail,          ///< kFailed: every text is refused, until somebody does something about it.
  kOldRoute,      ///< Ask /api/embeddings instead, from now on.
  kPlainNumbers,  ///< Ask for the numbers in a plainer way, from now on.
};

/// One line of the table. An empty condition always holds.
struct Rule {
  std::string_view name;  ///< Of this line, for tests.
  std::optional<ProviderKind> kind;
  Fault fault = Fault::kNone;
  int status_from = 0, status_to = 999;
  bool json = false;  ///< Only an error in JSON.
  std::string_view
      code;  ///< In lower case, in the provider's code or type: a message may repeat an input, and say anything.
  std::string_view marker, also;  ///< In lower case, in the provider's message, code or type.
  Action action = Action::kRetry;
  HealthState health = HealthState::kFaulty;
  std::string_view advice;  ///< For a person; {model} and {url} are filled in.
  bool any_status = false;  ///< Not of the words: a status alone. Not believed of an error inside a 200.
  Duration wait{0};  ///< Of a pause for which the provider gives no time. Zero: the worker chooses, longer each time.
};
std::span<const Rule> rules();

/// What is known of an exchange that brought no vectors.
struct Evidence {
  ProviderKind kind = ProviderKind::kOllama;
  Fault fault = Fault::kNone;
  int status = 0;
  ErrorBody error;
};
/// The first line that fits; the last one fits everything.
const Rule& decide(const Evidence& evidence);

}  // namespace embedjobs::http
