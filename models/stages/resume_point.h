// Resume points of a stage: what a run needs to go on exactly where it stopped, whatever ended it.
//   DIR/step-N.safetensors                       the weights, a checkpoint like any other
//   DIR/step-N.state.safetensors                 AdamW's moments, the moving average, how far the optimiser is;
//   DIR/step-N.state-RRRRR-of-WWWWW.safetensors  of W ranks, what rank R holds of them
// The weights are written last. A point counts when they and all W states are there, their checksums fit and they are of the
// same save; else the one before it does. Each file is atomic (runtime/io/atomic_file.h).
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/mome/model.h"
#include "runtime/io/safetensors.h"
#include "runtime/optim/optimizer.h"

namespace mome {

/// What a rank holds of the optimiser's state (ZeRO-1; Rajbhandari et al. 2020, section 5.1).
struct StateShard {
  int rank = 0, size = 1;
  /// Elements [first, second) of the parameters' arenas (runtime/optim/parameters.h), ascending. The ranks' ranges do not
  /// overlap and together hold every parameter. Empty with size 1: all.
  std::vector<std::pair<int64_t, int64_t>> ranges = {};
};

/// Batches that a run left out because they led to gradients that are not finite (guard.h).
struct Detour {
  int64_t batches = 0;    // left out so far: step s draws what step s + batches would draw in a run without trouble
  int64_t rollbacks = 0;  // since the run was last beyond bad_step
  int64_t bad_step = -1;  // the last step before the last rollback
  bool operator==(const Detour&) const = default;
};

struct ResumePoint {
  int64_t step = 0;                       // steps behind it: the next one is number `step`
  std::map<std::string, std::string> run = {};  // the run: metadata of all its files, which must agree to go on
  OptimizerProgress progress = {};
  Detour detour = {};
  std::string id = {};  // of this save, the same on all ranks: files of two saves never make a point
};

/// An id that no other save has: from the system's entropy, not from the run's seed.
std::string draw_save_id();

/// A resume point in host memory, as this rank writes it: the run goes on while the files are made.
class Snapshot {
 public:
  /// Copies (or downloads) what the rank writes: its shard of the state; rank 0 also the weights. Memory is kept for the next
  /// one. The averages and moments outside of the shard are not looked at.
  void take(const MomeModel& model, const ResumePoint& point, const StateShard& shard = {});
  /// This rank's state. Errors: I/O; then no file is left of it.
  void write_state(const std::string& directory) const;
  /// The weights: by rank 0, when every rank has written its state.
  void write_weights(const std::string& directory) const;
  void remove_state(const std::string& directory) const noexcept;
  int64_t step() const { return step_; }
  const StateShard& shard() const { return shard_; }

 private:
  struct Piece;
  int64_t step_ = 0;
  StateShard shard_;
  std::vector<TensorEntry> weights_, state_;
  std::map<std::string, std::string> weights_metadata_, state_metadata_;
  std::unique_ptr<std::byte[]> memory_;
  size_t capacity_ = 0;
};

/// Asks all ranks: whether every one of them says true. Null: there is one rank.
using AllAgree = std::function<bool(bool mine)>;

/// Which points stay: the last so many of those at multiples of `every` steps, and the newest.
struct Keep {
  int64_t points = 1, every = 1;
};

/// Writes a point from its snapshot; every rank calls it. `all` is called once, whatever happens, when this rank's state is
/// written or could not be. Then points that need not stay are removed, and those of more steps, which the run will take anew.
/// Errors: I/O of this rank, or that another rank failed; the previous points stay.
void write_resume_point(const Snapshot& snapshot, const std::string& directory, const Keep& keep, const AllAgree& all = {});

/// Both at once, for one rank.
void save_resume_point(const MomeModel& model, const std::string& directory, ResumePoint point, const Keep& keep = {});

/// Points that load_resume_point may take: of at most so many steps, a multiple of `every`.
struct Among {
  int64_t at_most = INT64_MAX, every = 1;
};

/// Loads the newest whole point; nothing if there is none. Every rank calls it and reads the
/// weights and what its shard needs of all states, whatever the number of ranks that wrote them; what the model holds outside of
/// the shard stays. Points that are not whole are passed over, and what is wrong is told in `problems`, naming the file; then the
/// model is as it was. UsageError for a point of another run (`run` differs).
std::optional<ResumePoint> load_resume_point(MomeModel& model, const std::string& directory, const std::map<std::string, std::string>& run,
                                             std::vector<std::string>& problems, const StateShard& shard = {},
                                             const Among& among = {});

}  // namespace mome
