#include "runtime/data/tasks/answers.h"

#include <algorithm>

namespace mome {

float soft_score(int64_t annotators) {
  constexpr float kScores[] = {0.0f, 0.3f, 0.6f, 0.9f, 1.0f};
  return kScores[std::clamp<int64_t>(annotators, 0, 4)];
}

void AnswerCounter::add(const std::string& answer) {
  const auto [it, is_new] = index_.emplace(answer, order_.size());
  if (is_new) order_.emplace_back(answer, 0);
  ++order_[it->second].second;
}

std::vector<std::string> AnswerCounter::frequent(int64_t min_occurrences) const {
  std::vector<std::string> out;
  for (const auto& [answer, count] : order_) {
    if (count >= min_occurrences) out.push_back(answer);
  }
  return out;
}

std::vector<std::pair<std::string, float>> score_answers(const std::vector<std::string>& answers) {
  AnswerCounter counter;
  for (const std::string& answer : answers) counter.add(answer);
  std::vector<std::pair<std::string, float>> out;
  for (const auto& [answer, count] : counter.counts()) out.emplace_back(answer, soft_score(count));
  return out;
}

}  // namespace mome
