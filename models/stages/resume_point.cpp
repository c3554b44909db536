// The reading half of resume points.
#include "models/stages/resume_point.h"

#include <algorithm>

#include "models/checkpoints/tensors.h"
#include "models/stages/checkpoint.h"
#include "models/stages/resume_files.h"

namespace mome {
namespace {

const std::string& metadata_of(const SafeTensors& file, const char* key) {
  const auto it = file.metadata().find(key);
  if (it == file.metadata().end()) fail("{}: metadata \"{}\" is missing", file.path(), key);
  return it->second;
}

SafeTensors open_whole(const std::string& path) {
  SafeTensors file(path);
  switch (file.checksum()) {
    case Checksum::kFits:
      return file;
    case Checksum::kNone:
      fail("{}: has no checksum", path);
    case Checksum::kDiffers:
      break;
  }
  fail("{}: its checksum does not fit: the file is damaged", path);
}

// Bytes of a file on their way to a place in the model.
struct Move {
  const std::byte* from;
  char* to;
  size_t bytes;
};

// What of a point's files goes where in the model: all of it is known to be there before anything
// is moved.
class Plan {
 public:
  Plan(const MomeModel& model, const StateShard& shard)
      : p_(model.parameters()), shard_(shard), element_(size_of(p_.dtype())) {}

  void weights(const SafeTensors& file) {
    for (int i = 0; i < int(p_.list().size()); ++i) {
      const TensorView* t = file.find(p_[i].name);
      if (!t) fail("{}: tensor `{}` is missing", file.path(), p_[i].name);
      check(file, *t, p_[i].shape);
      moves_.push_back({t->data, static_cast<char*>(p_.value(i).data), t->bytes});
    }
  }
  void state(const SafeTensors& file) {
    for (const TensorView& t : file.tensors()) {
      const auto part =
          std::find_if(kStateParts.begin(), kStateParts.end(),
                       [&](const StatePart& s) { return t.name.starts_with(s.prefix); });
      const PieceOf piece = part == kStateParts.end()
                                ? PieceOf{}
                                : parse_piece(t.name.substr(std::string_view(part->prefix).size()));
      const int i = p_.find(piece.parameter);
      if (i < 0) fail("{}: tensor `{}` is none of the model's", file.path(), t.name);
      const Parameter& q = p_[i];
      const bool all = piece.end < 0;
      const int64_t begin = all ? 0 : piece.begin, end = all ? q.count : piece.end;
      check(file, t, all ? q.shape : std::vector<int64_t>{end - begin});
      if (begin < 0 || end > q.count)
        fail("{}: tensor `{}` reaches beyond {} elements", file.path(), t.name, q.count);
      char* arena = static_cast<char*>((p_.*part->arena)());
      if (!arena) continue;  // an average that nobody keeps any more
      for_shard(shard_, q, [&](int64_t mine, int64_t mine_end) {
        const int64_t from = std::max(begin, mine), to = std::min(end, mine_end);
        if (from >= to) return;
        found_ += to - from;
        moves_.push_back({t.data + size_t(from - begin) * element_,
                          arena + size_t(place_of(p_, *part, q.begin + from)) * element_, size_t(to - from) * element_});
      });
    }
  }
  /// Error unless the states held all that the shard needs.
  void check_complete(const std::string& path) const {
    int64_t wanted = 0;
    for (const StatePart& part : kStateParts)
      for (const Parameter& q : p_.list())
        if ((p_.*part.arena)() && (q.trained || !part.trained_only))
          for_shard(shard_, q, [&](int64_t begin, int64_t end) { wanted += end - begin; });
    if (found_ != wanted)
      fail("{}: its states hold {} of the {} elements that are needed", path, found_, wanted);
  }
  void run() const {
    for (const Move& m : moves_) p_.device().upload(m.to, m.from, m.bytes);
  }

 private:
  void check(const SafeTensors& file, const TensorView& t,
             const std::vector<int64_t>& shape) const {
    if (t.dtype != dtype_name(p_) || t.shape != shape)
      fail("{}: tensor `{}` is {} of shape {}; the model expects {} of shape {}", file.path(),
           t.name, t.dtype, shape_text(t.shape), dtype_name(p_), shape_text(shape));
  }

  const ParameterSet& p_;
  const StateShard& shard_;
  const size_t element_;
  std::vector<Move> moves_;
  int64_t found_ = 0;
};

void check_run(const SafeTensors& weights, const std::map<std::string, std::string>& run) {
  for (const auto& [key, value] : run) {
    const auto it = weights.metadata().find(key);
    if (it == weights.metadata().end() || it->second != value)
      throw UsageError(
          fmt::format("{}: was saved by a run with another recipe ({} differs); change `output`, "
                      "or remove that folder to start anew",
                      weights.path(), key));
  }
}

ResumePoint load(MomeModel& model, const std::string& directory, int64_t step,
                 const std::map<std::string, std::string>& run, const StateShard& shard) {
  const SafeTensors weights = open_whole(weights_name(directory, step));
  check_run(weights, run);
  const std::string& save = metadata_of(weights, kSaveKey);
  const int ranks = ranks_of(weights.path(), save, step);
  Plan plan(model, shard);
  plan.weights(weights);
  std::vector<SafeTensors> states;
  for (int rank = 0; rank < ranks; ++rank) {
    const SafeTensors& state =
        states.emplace_back(open_whole(state_name(directory, step, rank, ranks)));
    if (metadata_of(state, kSaveKey) != save)
      fail("{}: is not of the same save as {}", state.path(), weights.path());
    plan.state(state);
  }
  plan.check_complete(weights.path());
  ResumePoint point{.step = step, .run = run};
  read_progress(states[0].path(), metadata_of(states[0], kProgressKey), point);
  plan.run();
  model.parameters().refresh_copies();
  return point;
}

}  // namespace

std::optional<ResumePoint> load_resume_point(MomeModel& model, const std::string& directory,
                                             const std::map<std::string, std::string>& run,
                                             std::vector<std::string>& problems,
                                             const StateShard& shard, const Among& among) {
  const std::set<int64_t> steps = steps_with_weights(directory);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (*step > among.at_most || *step % among.every != 0) continue;
    try {
      return load(model, directory, *step, run, shard);
    } catch (const UsageError&) {
      throw;
    } catch (const Error& e) {
      problems.push_back(e.what());
    }
  }
  return std::nullopt;
}

}  // namespace mome
