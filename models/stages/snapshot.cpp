// The writing half of resume points.
#include <cstring>
#include <exception>
#include <filesystem>
#include <random>

#include "models/checkpoints/shape.h"
#include "models/stages/checkpoint.h"
#include "models/stages/resume_files.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

constexpr size_t kAlignment = 64;

// Removes what need not stay once `step` is written.
void prune(const std::string& directory, int64_t step, const Keep& keep) {
  const std::set<int64_t> steps = steps_with_weights(directory);
  std::set<int64_t> kept;
  for (auto it = steps.rbegin(); it != steps.rend() && int64_t(kept.size()) < keep.points; ++it)
    if (*it <= step) kept.insert(*it);
  int64_t regular = 0;
  for (auto it = steps.rbegin(); it != steps.rend() && regular < keep.points; ++it)
    if (*it <= step && *it % keep.every == 0) kept.insert(*it), ++regular;
  std::vector<fs::path> gone;
  std::error_code ignored;
  for (const auto& e : fs::directory_iterator(directory, ignored)) {
    const int64_t of = step_of_file(e.path().filename().string());
    if (of >= 0 && !kept.contains(of)) gone.push_back(e.path());
  }
  for (const fs::path& file : gone) fs::remove(file, ignored);
}

}  // namespace

std::string draw_save_id() {
  std::random_device entropy;
  return fmt::format("{:08x}{:08x}", entropy(), entropy());
}

struct Snapshot::Piece {
  TensorEntry entry;  // data: where it lies in the model
  size_t bytes;
  bool weight;
};

void Snapshot::take(const MomeModel& model, const ResumePoint& point, const StateShard& shard) {
  const ParameterSet& p = model.parameters();
  std::vector<Piece> pieces;
  const auto add = [&](std::string name, std::vector<int64_t> shape, const void* data,
                       int64_t count, bool weight) {
    pieces.push_back({{std::move(name), dtype_name(p), std::move(shape), data},
                      size_t(count) * size_of(p.dtype()),
                      weight});
  };
  if (shard.rank == 0)
    for (int i = 0; i < int(p.list().size()); ++i)
      add(p[i].name, p[i].shape, p.value(i).data, p[i].count, true);
  for (const StatePart& part : kStateParts) {
    const char* arena = static_cast<const char*>((p.*part.arena)());
    if (!arena) continue;
    for (const Parameter& q : p.list()) {
      if (part.trained_only && !q.trained) continue;
      for_shard(shard, q, [&](int64_t begin, int64_t end) {
        const bool all = begin == 0 && end == q.count;
        add(part.prefix + piece_name(q, begin, end),
            all ? q.shape : std::vector<int64_t>{end - begin},
            arena + size_t(place_of(p, part, q.begin + begin)) * size_of(p.dtype()), end - begin, false);
      });
    }
  }

  size_t bytes = 0;
  for (const Piece& piece : pieces)
    bytes += (piece.bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (bytes > capacity_) {
    memory_.reset();
    memory_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
    capacity_ = bytes;
  }
  weights_.clear(), state_.clear();
  std::byte* to = memory_.get();
  for (Piece& piece : pieces) {
    if (p.device().is_host())
      std::memcpy(to, piece.entry.data, piece.bytes);
    else
      p.device().download(to, piece.entry.data, piece.bytes);
    piece.entry.data = to;
    to += (piece.bytes + kAlignment - 1) / kAlignment * kAlignment;
    (piece.weight ? weights_ : state_).push_back(std::move(piece.entry));
  }

  step_ = point.step;
  shard_ = shard;
  state_metadata_ = point.run;
  state_metadata_[kSaveKey] = save_text(point, shard.size);
  weights_metadata_ = checkpoint_metadata(model, state_metadata_);
  state_metadata_[kProgressKey] = progress_text(point);
}

void Snapshot::write_state(const std::string& directory) const {
  write_safetensors(state_name(directory, step_, shard_.rank, shard_.size), state_, state_metadata_,
                    {}, true);
}

void Snapshot::write_weights(const std::string& directory) const {
  MOME_CHECK(shard_.rank == 0);
  write_safetensors(weights_name(directory, step_), weights_, weights_metadata_, {}, true);
}

void Snapshot::remove_state(const std::string& directory) const noexcept {
  std::error_code ignored;
  fs::remove(state_name(directory, step_, shard_.rank, shard_.size), ignored);
}

void write_resume_point(const Snapshot& snapshot, const std::string& directory, const Keep& keep,
                        const AllAgree& all) {
  std::exception_ptr error;
  try {
    snapshot.write_state(directory);
  } catch (const std::exception&) {
    error = std::current_exception();
  }
  const bool written = all ? all(!error) : !error;
  if (written && snapshot.shard().rank == 0) {
    try {
      snapshot.write_weights(directory);
    } catch (const std::exception&) {
      error = std::current_exception();
    }
  }
  if (error || !written) snapshot.remove_state(directory);
  if (error) std::rethrow_exception(error);
  if (!written)
    fail("{}: another rank could not write its state; the previous resume point is kept",
         weights_name(directory, snapshot.step()));
  if (snapshot.shard().rank == 0) prune(directory, snapshot.step(), keep);
}

void save_resume_point(const MomeModel& model, const std::string& directory, ResumePoint point,
                       const Keep& keep) {
  if (point.id.empty()) point.id = draw_save_id();
  Snapshot snapshot;
  snapshot.take(model, point);
  write_resume_point(snapshot, directory, keep);
}

}  // namespace mome
