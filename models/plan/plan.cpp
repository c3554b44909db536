#include "models/plan/plan.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr double kBucket = 25.0 * 1024 * 1024;  // bytes of gradients that are reduced together
constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr int64_t kLargest = 1024;

struct Candidate {
  int64_t micro;
  std::vector<Work> passes;
  MemoryParts memory;
};

Candidate candidate(const PlanSetup& s, int64_t micro, int64_t gpus) {
  Candidate c{micro, s.model.passes(micro, s.batch), {}};
  c.memory = memory_of(s.model, c.passes, s.dtype, s.zero, gpus);
  return c;
}

// The largest divisor of a GPU's share that fits; if none does, a single sample.
Candidate largest_fitting(const PlanSetup& s, int64_t local, int64_t gpus) {
  for (int64_t parts = 1; parts < local; ++parts) {
    if (local % parts) continue;
    Candidate c = candidate(s, local / parts, gpus);
    if (c.memory.total() <= s.gpu.memory_gib * kGiB) return c;
  }
  return candidate(s, 1, gpus);
}

void communicate(const PlanSetup& s, const Cluster& cluster, int64_t local, double forward,
                 double backward, StepPlan& p) {
  // Buckets one after the other: each pays for its start.
  const double gradients = 4 * s.model.trained, buckets = std::ceil(gradients / kBucket),
               bucket = gradients / buckets;
  if (s.zero) {
    const double scatter = reduce_scatter(bucket, cluster),
                 gather = all_gather(bucket / 4 * double(size_of(s.dtype)), cluster);
    p.communication = buckets * (scatter + gather);
    p.time.gradients =
        exposed(buckets * scatter, backward, scatter) + exposed(buckets * gather, forward, gather);
  } else {
    const double reduce = all_reduce(bucket, cluster);
    p.communication = buckets * reduce;
    p.time.gradients = exposed(p.communication, backward, reduce);
  }
  if (s.model.contrast_width > 0) {
    const double features = s.model.contrast_width * 4 * double(s.batch);
    // This engine's gradient is that of the whole contrast: features come in, their gradients go
    // back.
    p.time.contrast = all_gather(features, cluster);
    if (s.model.implementation == Implementation::kMome)
      p.time.contrast += reduce_scatter(features, cluster);
  }
  if (s.model.negative_bytes > 0)
    p.time.contrast += s.model.gathers_all
                           ? all_gather(s.model.negative_bytes * double(s.batch), cluster)
                           : exchange(double(local), s.model.negative_bytes, cluster);
}

struct Term {
  double seconds;
  const char* reason;
};
// Time outside kernels is a share of what it surrounds, so it belongs to that.
std::array<Term, 5> terms_of(const StepTime& t) {
  const double inside = t.products + t.attention + t.streams + t.optimizer + t.launches,
               stretched = (inside + t.outside) / inside;
  return {{{stretched * (t.products + t.attention + t.streams),
            "products of so few rows leave multiprocessors idle"},
           {stretched * t.optimizer, "the optimiser's traffic is the same on every GPU"},
           {stretched * t.launches, "kernels are shorter than the host takes to issue them"},
           {t.gradients, "backward is too short to hide the reduction of gradients"},
           {t.contrast, "the exchange of contrast's features and negatives grows with the GPUs"}}};
}

// What grew most against perfect scaling.
std::string dominating(const StepPlan& first, const StepPlan& now) {
  const auto before = terms_of(first.time), after = terms_of(now.time);
  size_t worst = 0;
  double most = 0;
  for (size_t i = 0; i < after.size(); ++i) {
    const double more =
        after[i].seconds - before[i].seconds * double(first.gpus) / double(now.gpus);
    if (more > most) most = more, worst = i;
  }
  return fmt::format("{} ({:.0f} % of a step of {:.3g} s)", after[worst].reason,
                     100 * after[worst].seconds / now.step_s(), now.step_s());
}

}  // namespace

Peak assumed_peak(const PlanSetup& s) {
  const bool tf32 = s.dtype == DType::kF32 && s.model.implementation == Implementation::kOfficial &&
                    s.gpu.tf32_flops > 0;
  const double peak = tf32 ? s.gpu.tf32_flops : peak_flops(s.gpu, s.dtype);
  return {peak, fmt::format("{:.4g} TFLOP/s {} of {}", peak * 1e-12,
                            tf32 ? "TF32" : name_of(s.dtype), s.gpu.name)};
}

StepPlan plan_step(const PlanSetup& s, int64_t gpus) {
  if (gpus == 0) gpus = s.gpus;
  if (gpus > s.per_node && gpus % s.per_node)
    throw UsageError(fmt::format(
        "--gpus {}: not a multiple of the {} GPUs of a node (--gpus-per-node)", gpus, s.per_node));
  if (s.batch < gpus)
    throw UsageError(fmt::format("--batch {}: fewer samples than the {} GPUs", s.batch, gpus));
  if (s.batch % gpus)
    throw UsageError(fmt::format(
        "--batch {}: does not divide among {} GPUs ({:.2f} samples each); {} and {} do", s.batch,
        gpus, double(s.batch) / double(gpus), s.batch / gpus * gpus, (s.batch / gpus + 1) * gpus));
  StepPlan p;
  p.gpus = gpus;
  p.local = s.batch / gpus;
  if (s.micro_batch > 0 && (p.local % s.micro_batch || s.micro_batch > p.local))
    throw UsageError(fmt::format("--micro-batch {}: does not divide the {} samples of a GPU",
                                 s.micro_batch, p.local));
  const Candidate c =
      s.micro_batch > 0 ? candidate(s, s.micro_batch, gpus) : largest_fitting(s, p.local, gpus);
  p.micro = c.micro;
  p.memory = c.memory;
  p.fits = c.memory.total() <= s.gpu.memory_gib * kGiB;

  const double parts = double(p.local / p.micro);
  double kernels = 0, first_forward = 0, last_backward = 0;
  const auto add = [&](const Work& w) {
    const WorkTime t = time_of(w, s.rates, s.gpu);
    p.time.products += parts * t.products;
    p.time.attention += parts * t.attention;
    p.time.streams += parts * t.streams;
    kernels += parts * w.kernels;
    return t;
  };
  for (size_t i = 0; i < c.passes.size(); ++i) {
    const WorkTime t = add(c.passes[i]);
    if (i == 0) first_forward = t.forward;
    last_backward = t.backward;  // gradients are whole in the last pass alone
    p.flops += model_flops(c.passes[i]) * parts * double(gpus);
  }
  if (parts > 1 && s.model.cached) add(s.model.cached(p.micro));
  p.time.optimizer = s.model.optimizer_bytes * s.model.trained / s.rates.stream_forward /
                     (s.zero ? double(gpus) : 1);
  const double computed = p.time.products + p.time.attention + p.time.streams + p.time.optimizer;
  p.time.launches = std::max(0.0, kernels * s.rates.launch - computed);
  const double stretched = 1 / s.rates.wall_share;
  p.time.outside = (computed + p.time.launches) * (stretched - 1);
  const Cluster cluster{gpus, std::min(gpus, s.per_node), s.gpu.inside, s.gpu.outside};
  communicate(s, cluster, p.local, first_forward * stretched, last_backward * stretched, p);
  return p;
}

Scaling plan_scaling(const PlanSetup& s) {
  Scaling out;
  const auto breaks = [&](int64_t gpus, std::string why) {
    if (out.breaks_at == 0) out.breaks_at = gpus, out.why = std::move(why);
  };
  PlanSetup setup = s;
  setup.micro_batch = 0;
  for (int64_t gpus = s.per_node; gpus <= kLargest; gpus *= 2) {
    if (s.batch < gpus) {
      breaks(gpus, fmt::format("a batch of {} gives less than one sample to each of {} GPUs",
                               s.batch, gpus));
      break;
    }
    if (s.batch % gpus) {
      breaks(gpus, fmt::format("a batch of {} does not divide among {} GPUs", s.batch, gpus));
      continue;
    }
    ScalingPoint point{plan_step(setup, gpus), 1};
    if (!out.points.empty()) {
      const StepPlan& first = out.points[0].step;
      point.efficiency = first.step_s() * double(first.gpus) / (point.step.step_s() * double(gpus));
    }
    out.points.push_back(point);
    if (!point.step.fits)
      breaks(gpus, fmt::format("one sample at a time needs {:.1f} GiB of {:.0f}",
                               point.step.memory.total() / kGiB, s.gpu.memory_gib));
    else if (point.efficiency < 0.5)
      breaks(gpus, dominating(out.points[0].step, point.step));
  }
  return out;
}

PlanSetup setup_of(const PublishedRun& run) {
  PlanSetup s;
  ShapeOptions o;
  o.dtype = run.dtype;
  s.model = official_model(run.model, o);
  s.gpu = gpu_named(run.gpu);
  s.rates = published_rates(s.gpu, run.dtype, Implementation::kOfficial, s.model.tokens);
  s.dtype = run.dtype;
  s.gpus = run.gpus, s.batch = run.batch, s.steps = run.steps;
  return s;
}

}  // namespace mome
