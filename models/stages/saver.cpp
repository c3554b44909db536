#include "models/stages/saver.h"

#include <chrono>

namespace mome {

void Saver::save(const MomeModel& model, ResumePoint point) {
  wait();
  point.id = draw_save_id();
  if (ranks_.from_first) point.id = ranks_.from_first(point.id);
  snapshot_.take(model, point, ranks_.shard);
  writing_ = std::async(std::launch::async, [this] { write_resume_point(snapshot_, directory_, keep_, ranks_.all); });
}

void Saver::check() {
  if (writing_.valid() && writing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) writing_.get();
}

void Saver::wait() {
  if (writing_.valid()) writing_.get();
}

}  // namespace mome
