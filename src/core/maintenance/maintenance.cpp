// The sweeps as a small state machine on the logical thread:
//
//   waiting --timer--> busy --piece, more--> busy --piece, last or error--> waiting
//   any --stop--> ended, as soon as no piece is under way
//
// A piece is one bounded blocking call on Lane::kSweep. A sweep has one piece or one timer, never both: it can't
// overtake itself.
#include "embedjobs/maintenance.hpp"

#include <array>
#include <atomic>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/maintenance/reconcile.hpp"
#include "core/values/guard.hpp"

namespace embedjobs {
namespace {

constexpr std::size_t kReapPiece = 100;
constexpr std::size_t kPurgePiece = 1000;
constexpr std::size_t kVectorPiece = 1000;
constexpr Duration kWorkerGrace = std::chrono::hours(24);

/// What a piece came to: an error, or whether the sweep has more to do.
struct Piece {
  Status status;
  bool more = false;
  std::size_t expired = 0;  ///< Leases that the reaper put back.
};

Piece piece_of(const Result<std::size_t>& count, bool more) {
  return {.status = count.status(), .more = count.ok() && more};
}

/// One kind of sweep. `next_piece` runs on a lane, one at a time; what it remembers between pieces is its own.
struct Sweep {
  const char* name = "";
  Duration interval{0};
  std::function<Piece()> next_piece;
  std::function<void()> begin_round;  ///< Forgets what an earlier round left. Logical thread, no piece under way.
  bool busy = false;
  bool told_refused = false;
  MonoTime began{};
  std::optional<TimerId> timer;
};

}  // namespace

class Maintenance::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(Runtime& runtime, MaintenanceParts parts, MaintenanceOptions options)
      : runtime_(runtime), parts_(std::move(parts)), options_(options) {
    apply_defaults(options_);
    sweeps_[0] = {.name = "reaper", .interval = options_.reaper_interval, .next_piece = [this] { return reap(); }};
    sweeps_[1] = {.name = "reconciler",
                  .interval = options_.reconciler_interval,
                  .next_piece = [this] { return reconcile_page(); },
                  .begin_round = [this] { round_.emplace(parts_); }};
    sweeps_[2] = {.name = "retention",
                  .interval = options_.retention_interval,
                  .next_piece = [this] { return retain(); },
                  .begin_round = [this] { purged_ = false; }};
  }

  void start() {
    if (started_ || stopping_) {
      return;
    }
    started_ = true;
    for (Sweep& sweep : sweeps_) {
      begin(sweep);
    }
  }

  void request_stop(std::function<void()> stopped) {
    stopping_ = true;
    for (Sweep& sweep : sweeps_) {
      if (sweep.timer) {
        runtime_.cancel_timer(*std::exchange(sweep.timer, std::nullopt));
      }
    }
    if (stopped) {
      stopped_.push_back(std::move(stopped));
    }
    tell_stopped();
  }

  /// Runs `method` on the logical thread, unless the owner has gone by then.
  template <typename F>
  void post(F method) {
    runtime_.post([self = shared_from_this(), method = std::move(method)]() mutable {
      if (!self->abandoned_) {
        method(*self);
      }
    });
  }
  void abandon() { abandoned_ = true; }

 private:
  void begin(Sweep& sweep) {
    sweep.timer.reset();
    sweep.busy = true;
    sweep.began = runtime_.now();
    if (sweep.begin_round) {
      sweep.begin_round();
    }
    submit_piece(sweep);
  }

  void submit_piece(Sweep& sweep) {
    auto answer = std::make_shared<Piece>();
    runtime_.submit({.lane = Lane::kSweep,
                     .name = sweep.name,
                     .run = [self = shared_from_this(), &sweep, answer] { *answer = sweep.next_piece(); },
                     .finish =
                         [self = shared_from_this(), &sweep, answer](const Status& fault) {
                           if (!self->abandoned_) {
                             self->end_piece(sweep, fault.ok() ? *answer : Piece{.status = fault});
                           }
                         }});
  }

  void end_piece(Sweep& sweep, const Piece& piece) {
    report(sweep, piece);
    if (stopping_) {
      sweep.busy = false;
      tell_stopped();
    } else if (piece.more) {
      submit_piece(sweep);
    } else {
      sweep.busy = false;
      const MonoTime now = runtime_.now();
      const MonoTime due = sweep.began + sweep.interval;
      const MonoTime when = due > now ? due : now + sweep.interval;
      sweep.timer = runtime_.set_timer(when, [self = shared_from_this(), &sweep] { self->begin(sweep); });
    }
  }

  void report(Sweep& sweep, const Piece& piece) {
    if (piece.expired > 0 && parts_.events) {
      Event event;
      event.kind = EventKind::kLeaseExpired;
      event.count = static_cast<std::int64_t>(piece.expired);
      const Status status = core::guarded("the event sink", [&] { parts_.events(event); });
      log(LogLevel::kWarning, status);
    }
    if (piece.status.code() != Code::kRefused) {
      log(stopping_ ? LogLevel::kDebug : LogLevel::kWarning, piece.status.with_context(sweep.name));
    } else if (!std::exchange(sweep.told_refused, true)) {  // a host that can't list stays one: once is enough
      log(LogLevel::kInfo, piece.status.with_context(sweep.name));
    }
  }

  void log(LogLevel level, const Status& status) {
    if (!status.ok() && parts_.log) {
      (void)core::guarded("the log sink", [&] { parts_.log(level, status.to_string()); });
    }
  }

  void tell_stopped() {
    for (const Sweep& sweep : sweeps_) {
      if (sweep.busy) {
        return;
      }
    }
    for (const auto& stopped : std::exchange(stopped_, {})) {
      stopped();
    }
  }

  // The pieces, on a lane.
  Piece reap() {
    const auto reaped = core::guarded("the store", [&] { return parts_.store->reap(kReapPiece); });
    Piece piece = piece_of(reaped, reaped.ok() && *reaped >= kReapPiece);
    piece.expired = reaped.ok() ? *reaped : 0;
    return piece;
  }

  Piece reconcile_page() {
    const Status status = core::guarded("the reconciler", [&] { return round_->next_page(runtime_.wall_now()); });
    return {.status = status, .more = status.ok() && !round_->done()};
  }

  /// First workers and jobs, then what these leave behind.
  Piece retain() {
    if (!purged_) {
      const auto forgotten = core::guarded("the store", [&] { return parts_.store->forget_workers(kWorkerGrace); });
      if (!forgotten.ok()) {
        return piece_of(forgotten, false);
      }
      const auto deleted =
          core::guarded("the store", [&] { return parts_.store->purge(options_.job_retention, kPurgePiece); });
      purged_ = deleted.ok() && *deleted < kPurgePiece;
      return piece_of(deleted, !purged_ || parts_.catalog != nullptr);
    }
    const auto swept =
        core::guarded("the catalog", [&] { return parts_.catalog->sweep(options_.vector_grace, kVectorPiece); });
    return piece_of(swept, swept.ok() && *swept > 0);
  }

  Runtime& runtime_;
  const MaintenanceParts parts_;
  MaintenanceOptions options_;
  std::array<Sweep, 3> sweeps_;
  std::optional<core::ReconcileRound> round_;
  bool purged_ = false;
  bool started_ = false;
  bool stopping_ = false;
  std::vector<std::function<void()>> stopped_;
  std::atomic<bool> abandoned_ = false;
};

Maintenance::Maintenance(Runtime& runtime, MaintenanceParts parts, MaintenanceOptions options)
    : impl_(std::make_shared<Impl>(runtime, std::move(parts), options)) {}

Maintenance::~Maintenance() {
  impl_->abandon();
}

void Maintenance::start() {
  impl_->post([](Impl& impl) { impl.start(); });
}

void Maintenance::request_stop(std::function<void()> stopped) {
  impl_->post([stopped = std::move(stopped)](Impl& impl) mutable { impl.request_stop(std::move(stopped)); });
}

}  // namespace embedjobs
