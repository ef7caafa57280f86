#include "cli/sweep_mpi.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <thread>

#include "base/counted.h"
#include "base/file_lock.h"
#include "base/hash.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
#include "report/documents/sweep_results.h"

#ifdef KVPRESS_HAS_MPI
#include <mpi.h>
#endif

namespace kvpress {
namespace {

int number_in_environment(const char* name, int otherwise) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value != nullptr ? std::atoi(value) : otherwise;
}

}  // namespace

MpiPlace mpi_place() {
  return {number_in_environment("OMPI_COMM_WORLD_SIZE", 1), number_in_environment("OMPI_COMM_WORLD_RANK", 0),
          number_in_environment("OMPI_COMM_WORLD_LOCAL_SIZE", 1)};
}

#ifdef KVPRESS_HAS_MPI

namespace {

// What is sent: a rank asks rank 0, telling how its last run ended; rank 0 answers with the next one.
enum Tag : int { kAsk = 1, kAnswer = 2 };
constexpr std::int64_t kNone = -1;         // asked: no run before; answered: there is nothing left
constexpr std::int64_t kNoneAnyMore = -2;  // answered: the same, and some rank died, so that MPI_Finalize would hang

/// Between MPI_Init and MPI_Finalize.
class Mpi {
 public:
  Mpi() {
    if (MPI_Init(nullptr, nullptr) != MPI_SUCCESS) fail("MPI: cannot be initialized");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  }
  Mpi(const Mpi&) = delete;
  Mpi& operator=(const Mpi&) = delete;
  ~Mpi() {
    if (all_alive) MPI_Finalize();
  }
  bool all_alive = true;  ///< MPI_Finalize waits for every rank
};

/// A rank that is alive holds the lock on this file; its end, however it comes, lets go of it.
std::filesystem::path lock_of_rank(const std::filesystem::path& folder, int rank) {
  return folder / fmt::format(".rank{}.lock", rank);
}

struct Message {
  std::int64_t run = kNone;  ///< index into SweepRunner::runs()
  std::string text;          ///< first, what the rank works with; later, what went wrong, or nothing
};

Message receive(int source, int tag) {
  MPI_Status status;
  MPI_Probe(source, tag, MPI_COMM_WORLD, &status);
  int n = 0;
  MPI_Get_count(&status, MPI_CHAR, &n);
  std::string bytes(static_cast<std::size_t>(n), '\0');
  if (MPI_Recv(bytes.data(), n, MPI_CHAR, status.MPI_SOURCE, tag, MPI_COMM_WORLD, &status) != MPI_SUCCESS) {
    fail("MPI: a message from rank {} is lost", status.MPI_SOURCE);
  }
  const std::size_t space = bytes.find(' ');
  return {std::stoll(bytes.substr(0, space)), bytes.substr(space + 1)};
}

void send(int target, int tag, const Message& message) {
  const std::string bytes = fmt::format("{} {}", message.run, message.text);
  MPI_Send(bytes.data(), static_cast<int>(bytes.size()), MPI_CHAR, target, tag, MPI_COMM_WORLD);
}

/// A short form of what runs depend on, to compare ranks by.
std::string works_with(const SweepRunner& runner) {
  return std::to_string(hash_bytes(json_text(sweep_fingerprint(runner))));
}

/// What rank 0 knows of the others.
struct Rank {
  std::int64_t run = kNone;  ///< what it is at
  bool started = false;      ///< it has asked once, and so holds its lock
  bool gone = false;         ///< ended or dead
};

class Dispatcher {
 public:
  Dispatcher(const SweepRunner& runner, const std::vector<std::size_t>& todo, const SweepFolder& folder,
             const OnRunDone& on_done)
      : runner_(runner),
        folder_(folder),
        on_done_(on_done),
        ranks_(static_cast<std::size_t>(mpi_place().size)),
        waiting_(todo.begin(), todo.end()),
        works_with_(works_with(runner)) {}

  void work() {
    auto last_look = std::chrono::steady_clock::now();
    while (!all_gone()) {
      check_interrupt();
      int there = 0;
      MPI_Status status;
      MPI_Iprobe(MPI_ANY_SOURCE, kAsk, MPI_COMM_WORLD, &there, &status);
      if (there != 0) {
        answer(status.MPI_SOURCE);
        continue;
      }
      if (std::chrono::steady_clock::now() - last_look > std::chrono::milliseconds(500)) {
        look_for_dead();
        last_look = std::chrono::steady_clock::now();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    mpi_.all_alive = !died_;
    if (!error_.empty()) fail("{}", error_);
    if (!waiting_.empty()) {
      fail("{}: all ranks died and {} are missing; continue with --resume {}", folder_.path().string(),
           counted(waiting_.size(), "run"), folder_.path().string());
    }
  }

 private:
  bool all_gone() const {
    for (std::size_t r = 1; r < ranks_.size(); ++r) {
      if (!ranks_[r].gone) return false;
    }
    return true;
  }

  bool at_work() const {
    for (const Rank& it : ranks_) {
      if (it.run != kNone && !it.gone) return true;
    }
    return false;
  }

  void answer(int source) {
    Rank& rank = ranks_[source];
    const Message asked = receive(source, kAsk);
    std::string error = asked.text;
    if (!rank.started) {
      error = asked.text == works_with_ ? "" : "program, model or texts differ from those of rank 0";
      rank.started = true;
    }
    if (!error.empty() && error_.empty()) error_ = fmt::format("rank {}: {}", source, error);
    if (error.empty() && rank.run != kNone) on_done_(run_of(rank));
    rank.run = kNone;
    idle_.push_back(source);
    feed();
  }

  /// Gives work to those who ask. While there is none but somebody is still at a run, they wait: it may come back.
  void feed() {
    while (!idle_.empty()) {
      const int target = idle_.front();
      Rank& rank = ranks_[target];
      if (!waiting_.empty() && error_.empty()) {
        rank.run = waiting_.front();
        waiting_.pop_front();
        send(target, kAnswer, {rank.run, ""});
      } else if (!at_work()) {
        rank.gone = true;
        send(target, kAnswer, {died_ ? kNoneAnyMore : kNone, ""});
      } else {
        return;
      }
      idle_.pop_front();
    }
  }

  void look_for_dead() {
    for (std::size_t r = 1; r < ranks_.size(); ++r) {
      Rank& rank = ranks_[r];
      if (rank.gone || !rank.started) continue;
      if (!FileLock::try_take(lock_of_rank(folder_.path(), static_cast<int>(r)), FileLock::Mode::alone)) continue;
      log_warning(
          fmt::format("rank {} died; {}", r, rank.run == kNone ? "it had no run" : "its run is given to another rank"));
      died_ = true;
      rank.gone = true;
      if (rank.run != kNone && !folder_.has(sweep_run_name(runner_.plan(), run_of(rank))))
        waiting_.push_front(rank.run);
      std::erase(idle_, static_cast<int>(r));
    }
    feed();
  }

  const SweepRun& run_of(const Rank& rank) const { return runner_.runs()[rank.run]; }

  Mpi mpi_;
  const SweepRunner& runner_;
  const SweepFolder& folder_;
  const OnRunDone& on_done_;
  std::vector<Rank> ranks_;
  std::deque<std::int64_t> waiting_;  ///< indices into SweepRunner::runs()
  std::deque<int> idle_;              ///< ranks that have asked
  std::string works_with_;
  bool died_ = false;
  std::string error_;
};

}  // namespace

void hand_out_runs(const SweepRunner& runner, const std::vector<std::size_t>& todo, const SweepFolder& folder,
                   const OnRunDone& on_done) {
  Dispatcher(runner, todo, folder, on_done).work();
}

void do_runs_for_rank_0(SweepRunner& runner, bool prefill_only, const std::filesystem::path& path) {
  Mpi mpi;
  const int rank = mpi_place().rank;
  // Rank 0 makes the folder, and may not have come to it.
  for (int i = 0; !std::filesystem::is_directory(path) && i < 600; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const FileLock alive = FileLock::take(lock_of_rank(path, rank), FileLock::Mode::alone);
  const SweepFolder folder = SweepFolder::join(path);
  Message told{kNone, works_with(runner)};
  while (true) {
    send(0, kAsk, told);
    const Message answer = receive(0, kAnswer);
    if (answer.run < 0) {
      mpi.all_alive = answer.run == kNone;
      return;
    }
    told = {answer.run, ""};
    try {
      run_and_write(runner, runner.runs().at(static_cast<std::size_t>(answer.run)), prefill_only, folder,
                    [](std::int64_t) {});
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& error) {
      told.text = error.what();
    }
  }
}

#else

namespace {
[[noreturn]] void refuse() {
  fail_usage("mpirun: this build has no MPI support; install libopenmpi-dev and build again");
}
}  // namespace

void hand_out_runs(const SweepRunner&, const std::vector<std::size_t>&, const SweepFolder&, const OnRunDone&) {
  refuse();
}
void do_runs_for_rank_0(SweepRunner&, bool, const std::filesystem::path&) { refuse(); }

#endif

}  // namespace kvpress
