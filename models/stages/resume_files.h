// The names and the metadata of resume points' files: what their writer (snapshot.cpp) and their
// reader (resume_point.cpp) share.
#pragma once
#include <array>
#include <set>
#include <string>

#include "models/stages/resume_point.h"

namespace mome {

std::string weights_name(const std::string& directory, int64_t step);
std::string state_name(const std::string& directory, int64_t step, int rank, int ranks);

/// The step of a resume point's file, unfinished ones included; -1 if the name is none of ours.
int64_t step_of_file(const std::string& name);
/// Steps whose weights are there.
std::set<int64_t> steps_with_weights(const std::string& directory);

/// An arena of the optimiser's state, and what its tensors' names begin with.
struct StatePart {
  const char* prefix;
  void* (ParameterSet::*arena)() const;
  bool trained_only;
};
inline constexpr std::array<StatePart, 3> kStateParts = {
    {{"exp_avg.", &ParameterSet::shard_moments1, true},
     {"exp_avg_sq.", &ParameterSet::shard_moments2, true},
     {"average.", &ParameterSet::averages, false}}};
/// Element i of the parameters' arenas in a part's arena, which may hold a shard alone.
inline int64_t place_of(const ParameterSet& p, const StatePart& part, int64_t i) { return i + (part.trained_only ? p.moments_shift(i) : 0); }

/// Elements [begin, end) of a parameter. All of it goes by its name and has its shape; a part is
/// NAME[begin:end], a vector.
std::string piece_name(const Parameter& p, int64_t begin, int64_t end);
struct PieceOf {
  std::string parameter;
  int64_t begin = 0, end = -1;  // -1: all
};
PieceOf parse_piece(const std::string& name);
/// Calls f(begin, end) for what the shard holds of a parameter, counted within it.
void for_shard(const StateShard& shard, const Parameter& p,
               const std::function<void(int64_t, int64_t)>& f);

/// Of all files of a save: id, step and number of ranks.
inline constexpr const char* kSaveKey = "mome.save";
std::string save_text(const ResumePoint& point, int ranks);
/// Number of ranks of a save; Error if the text is not what save_text wrote for this step.
int ranks_of(const std::string& path, const std::string& text, int64_t step);

/// Of a state: how far the optimiser is, and the detour.
inline constexpr const char* kProgressKey = "mome.optimizer";
std::string progress_text(const ResumePoint& point);
void read_progress(const std::string& path, const std::string& text, ResumePoint& point);

}  // namespace mome
