// A study: what is asked for, told and remembered. Usable without Python and without the runtime:
//
//   DAYBREAK_ASSIGN(const auto study, Study::create(Storage::in_memory(), {.name = "parabola"}));
//   DAYBREAK_ASSIGN(const Asked trial, study->ask());
//   DAYBREAK_ASSIGN(const double x, study->suggest(trial, "x", *Distribution::real(-10, 10)));
//   DAYBREAK_TRY(study->tell(trial, (x - 2) * (x - 2)));
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daybreak/base/error.h"
#include "daybreak/base/mutex.h"
#include "daybreak/tune/journaled_pruner.h"
#include "daybreak/tune/sampler.h"
#include "daybreak/tune/storage.h"

namespace daybreak::tune {

// Whether a running trial, by its reports, shall end early.
using Prune = std::function<base::Result<bool>(const Trials& trials, std::size_t trial)>;

struct StudyOptions {
  std::string name = {};
  std::vector<Direction> directions = {Direction::kMinimize};
  bool load_if_exists = false;
  // Drawn and kept in the journal when none is given; the default sampler's.
  std::optional<std::uint64_t> seed = {};
  // Any state of its own is a cache: null is a random one.
  std::function<std::unique_ptr<Sampler>(std::uint64_t seed)> sampler = nullptr;
  Prune prune = nullptr;  // null: never, unless there is a pruner
  // Of the study's name. What it must not forget is kept with its trials.
  std::function<base::Result<std::unique_ptr<Pruner>>(const std::string& study_name)> pruner = nullptr;
  store::Durability ask_durability = store::Durability::kWritten;
  store::Durability tell_durability = store::Durability::kSynced;
  State dead_trials = State::kWaiting;  // or kFailed: what becomes of a trial whose process died
};

// A trial that runs here.
struct Asked {
  std::uint64_t id = 0;
  std::uint32_t number = 0;
};

// Name, distribution and, of a categorical one, the JSON text of its options.
struct Space {
  std::string name;
  Distribution distribution = {};
  std::string options = {};
};

// Any thread may call any function; several processes may have the study at once.
class Study {
 public:
  // kAlreadyExists unless load_if_exists, which takes the directions that are there.
  static base::Result<std::unique_ptr<Study>> create(std::shared_ptr<Storage> storage, StudyOptions options);
  // kNotFound. The directions are those that it has.
  static base::Result<std::unique_ptr<Study>> load(std::shared_ptr<Storage> storage, StudyOptions options);

  // A trial that waits (enqueued, or of a process that died), the lowest number first, or a new one.
  base::Result<Asked> ask();
  // And suggests these at once.
  using AskedValues = std::pair<Asked, std::vector<double>>;
  base::Result<AskedValues> ask(std::span<const Space> space);
  // So many new ones, each with its parameters, in two writes; trials that wait are not among them. The sampler knows of no one's
  // values when it chooses another one's.
  base::Result<std::vector<AskedValues>> ask_many(std::size_t count, std::span<const Space> space);

  // The value that it has for the name by now, the one that was enqueued, or the sampler's. kInvalidArgument when the study knows
  // the name with another kind, log or options.
  base::Result<double> suggest(const Asked& trial, Space space);
  base::Result<double> suggest(const Asked& trial, std::string name, const Distribution& distribution) {
    return suggest(trial, Space{std::move(name), distribution});
  }
  // A step's second report changes nothing. kInvalidArgument with several objectives.
  base::Status report(const Asked& trial, double value, std::int64_t step);
  base::Result<bool> should_prune(const Asked& trial);
  // <= 0: feasible.
  base::Status set_violation(const Asked& trial, double violation);
  base::Status set_attribute(const Asked& trial, Attribute attribute);

  // kComplete with a value for each direction; kPruned takes the last report's value when none is given; kFailed has none.
  base::Status tell(const Asked& trial, double value) { return tell(trial, State::kComplete, std::span(&value, 1)); }
  base::Status tell(const Asked& trial, State state, std::span<const double> values = {});
  // One write, one sync.
  base::Status tell_many(std::span<const std::pair<Asked, double>> values);
  base::Result<Asked> trial(std::uint32_t number);  // kNotFound

  // A trial that waits, with these values (a JSON object of name to value) for the names that it will be asked for. Its number.
  base::Result<std::uint32_t> enqueue(std::string_view parameters_json, std::vector<Attribute> attributes = {});
  // The complete and feasible one of the best value, of equal ones the first. kFailedPrecondition when there is none or
  // when there are several objectives.
  base::Result<std::uint32_t> best();
  // Those that no other one dominates, by number: of one objective all of the best value.
  base::Result<std::vector<std::uint32_t>> best_trials();
  // Trials whose process died become dead_trials; ask() looks once a second. Their numbers.
  base::Result<std::vector<std::uint32_t>> reap();

  void stop() { stopped_ = true; }
  bool is_stopped() const { return stopped_.load(); }
  void set_prune(Prune prune);
  void set_sampler(std::unique_ptr<Sampler> sampler);

  std::uint64_t id() const { return id_; }
  const std::string& name() const { return name_; }
  const std::vector<Direction>& directions() const { return directions_; }
  std::uint64_t seed() const { return seed_; }
  const std::shared_ptr<Storage>& storage() const { return storage_; }
  // f(const StudyState&), with all that the journal holds. kNotFound when the study was deleted.
  template <typename F>
  auto read(F&& f) -> base::Result<decltype(f(std::declval<const StudyState&>()))> {
    using Answer = base::Result<decltype(f(std::declval<const StudyState&>()))>;
    DAYBREAK_ASSIGN(auto answer, storage_->read([&](const StudiesState& all) -> Answer {
      const StudyState* const state = all.study(id_);
      if (state == nullptr) return base::fail(base::Code::kNotFound, "the study '{}' was deleted", name_);
      if constexpr (std::is_void_v<decltype(f(*state))>) {
        f(*state);
        return {};
      } else {
        return f(*state);
      }
    }));
    return answer;
  }

 private:
  Study(std::shared_ptr<Storage> storage, StudyOptions options, std::uint64_t id);
  base::Status begin();
  base::Result<Asked> claim_or_make();
  base::Status prepare(const Asked& trial);
  base::Status fill(std::vector<AskedValues>& asked, std::span<const Space> space);
  struct Choice {
    double value = 0;
    bool is_given = false;  // it has the value already
    bool needs_options = false;
  };
  base::Result<Choice> choice(const Asked& trial, const Space& space) DAYBREAK_REQUIRES(mutex_);
  struct Joint {
    std::vector<Parameter> parameters;
    Sampler::Sample sample;
  };
  static base::Result<Joint> sampled(Sampler& sampler, const StudyState& state, std::uint32_t number);
  base::Status keep(const Asked& trial, base::Result<Joint> sampled) DAYBREAK_EXCLUDES(mutex_);
  struct Choosing {
    Sampler& sampler;
    const std::unordered_map<std::uint32_t, Joint>& joints;
  };
  static base::Result<Choice> choose(const Choosing& choosing, const StudyState* state, std::uint32_t column,
                                     const Asked& trial, const std::string& name, const Distribution& distribution,
                                     const std::string& options);
  base::Status change(const Asked& trial, TrialChange change, store::Durability durability);

  const std::shared_ptr<Storage> storage_;
  const StudyOptions options_;
  const std::uint64_t id_;
  std::string name_;
  std::vector<Direction> directions_;
  std::uint64_t seed_ = 0;
  std::atomic<bool> stopped_{false};
  std::atomic<std::int64_t> reaped_ns_{0};

  base::Mutex mutex_;  // taken before the storage's
  std::unique_ptr<Sampler> sampler_ DAYBREAK_GUARDED_BY(mutex_);
  Prune prune_ DAYBREAK_GUARDED_BY(mutex_);
  std::unique_ptr<JournaledPruner> pruner_ DAYBREAK_GUARDED_BY(mutex_);
  std::unordered_map<std::uint32_t, Joint> joint_ DAYBREAK_GUARDED_BY(mutex_);  // of trials that run here
  std::optional<std::uint32_t> best_ DAYBREAK_GUARDED_BY(mutex_);
  std::size_t looked_at_ DAYBREAK_GUARDED_BY(mutex_) = 0;  // of Trials::finished_in_order, for best_
};

}  // namespace daybreak::tune
