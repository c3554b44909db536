#include "runtime/optim/optimizer.h"

namespace mome {

Optimizer::Optimizer(ParameterSet& parameters, const OptimizerOptions& options, GradientSync* sync)
    : parameters_(parameters),
      sync_(sync),
      device_(parameters.device()),
      adamw_{options.beta1, options.beta2, options.eps},
      average_(options.average) {
  options_.clip = options.clip;
  options_.dynamic = parameters.compute_dtype() == DType::kF16;
  control_ = static_cast<StepControl*>(device_.allocate(sizeof(StepControl)));
  resume({});
}

Optimizer::~Optimizer() {
  try {
    device_.synchronize();  // steps that are still queued read these
  } catch (const std::exception&) {  // was reported to whoever waited, or the program ends by another error
  }
  device_.release(control_);
  device_.release(table_);
}

void Optimizer::set_rate(double lr) { device_.upload(&control_->lr, &lr, sizeof lr); }

std::vector<AdamWRange> Optimizer::stepped_ranges() const {
  std::vector<AdamWRange> all = parameters_.trained_ranges();
  if (!sync_ || !sync_->sharded()) return all;
  std::vector<AdamWRange> mine;
  auto owned = sync_->owned().begin();
  for (const AdamWRange& r : all)
    for (; owned != sync_->owned().end() && owned->begin < r.end; ++owned) {
      const int64_t begin = std::max(r.begin, owned->begin), end = std::min(r.end, owned->end);
      if (begin < end) mine.push_back({begin, end, r.lr_scale, r.decay, parameters_.moments_shift(begin)});
      if (owned->end > r.end) break;  // the rest of it is the next range's
    }
  return mine;
}

// Which parameters are trained, and by what rule, hardly ever changes: the table is uploaded when
// it did.
void Optimizer::update_ranges() {
  std::vector<AdamWRange> now = stepped_ranges();
  if (table_ && now == ranges_) return;
  ranges_ = std::move(now);
  cut_ = cut(ranges_);
  device_.synchronize();  // steps that read the old table
  device_.release(table_);
  table_ = nullptr;
  const size_t bytes = cut_.size() * sizeof(AdamWRange);
  table_ = static_cast<AdamWRange*>(device_.allocate(std::max<size_t>(bytes, 1)));
  device_.upload(table_, cut_.data(), bytes);
}

void Optimizer::step() {
  update_ranges();
  ParameterSet& p = parameters_;
  const int64_t n = int64_t(cut_.size());
  dispatch(device_, p.compute_dtype(), [&]<class T>(auto& queue) {
    using R = Real<T>;
    const R* g = static_cast<const R*>(p.grads());
    R* w = static_cast<R*>(p.values());
    squared_norm(queue, n, table_, g, &control_->squared_norm);
    if (sync_ && sync_->sharded()) sync_->communicator().all_reduce(&control_->squared_norm, 1, DType::kF64);
    step_control(queue, adamw_, options_, control_);
    adamw<T>(queue, adamw_, control_, n, table_, w, g, static_cast<R*>(p.shard_moments1()),
             static_cast<R*>(p.shard_moments2()), static_cast<T*>(p.copies()));
    if (!p.has_average()) return;
    R* average = static_cast<R*>(p.averages());
    if (!sync_ || !sync_->sharded()) return moving_average<R>(queue, p.count(), average_, control_, w, average);
    for (const ArenaRange& r : sync_->owned())
      moving_average<R>(queue, r.end - r.begin, average_, control_, w + r.begin, average + r.begin);
  });
  if (sync_) sync_->gather_values();
}

StepControl Optimizer::control() const {
  StepControl c;
  device_.download(&c, control_, sizeof c);
  return c;
}

OptimizerReport Optimizer::report() const {
  const StepControl c = control();
  return {c.grad_norm, c.skip != 0, c.loss_scale, c.skipped_in_a_row};
}

OptimizerProgress Optimizer::progress() const {
  const StepControl c = control();
  return {c.t, c.skipped, c.loss_scale, c.good_steps, c.skipped_in_a_row};
}

void Optimizer::resume(const OptimizerProgress& progress) {
  StepControl c;
  c.t = progress.t;
  c.skipped = progress.skipped;
  c.skipped_in_a_row = progress.skipped_in_a_row;
  if (options_.dynamic) {
    c.loss_scale = progress.loss_scale > 0 ? progress.loss_scale : 0x1p16f;
    c.good_steps = progress.good_steps;
  }
  device_.upload(control_, &c, sizeof c);
}

}  // namespace mome
