#include "models/trace/trace.h"

#include <cmath>

#include "models/trace/run.h"
#include "runtime/core/error.h"

namespace mome {
namespace {

DType compute_dtype(const std::string& name, const Device& device) {
  if (name == "f32") return DType::kF32;
  if (name == "f64") {
    if (!device.is_host())
      throw UsageError(fmt::format(
          "--dtype f64 is for the cpu; --device {} computes in f32, bf16 or f16", device.name()));
    return DType::kF64;
  }
  if (name != "bf16" && name != "f16")
    throw UsageError(fmt::format("--dtype {} is unknown; expected f32, f64, bf16 or f16", name));
  if (device.is_host())
    throw UsageError(fmt::format(
        "--dtype {} is for --device cuda and simt; the cpu computes in f32 or f64", name));
  return name == "bf16" ? DType::kBF16 : DType::kF16;
}

}  // namespace

void check(const TraceOptions& options) {
  const TraceMode& mode = trace_mode(options.mode);
  if (!mode.loss && (options.gradients || options.steps > 0))
    throw UsageError(fmt::format("mode {} has no loss: it goes without {}", mode.name,
                                 options.gradients ? "--gradients" : "--optimise"));
  if (options.gradients && options.steps > 0)
    throw UsageError("--optimise writes the parameters after its steps; --gradients goes without");
  const TraceOptimiserConfig& c = options.config.optimiser;
  const auto want = [](bool ok, const char* key, const auto& value, const char* expected) {
    if (!ok)
      throw UsageError(fmt::format("--set optimiser.{}={}: expected {}", key, value, expected));
  };
  want(c.lr >= 0 && std::isfinite(c.lr), "lr", c.lr, "a rate from 0");
  want(c.beta1 >= 0 && c.beta1 < 1, "beta1", c.beta1, "at least 0 and less than 1");
  want(c.beta2 >= 0 && c.beta2 < 1, "beta2", c.beta2, "at least 0 and less than 1");
  want(c.eps > 0 && std::isfinite(c.eps), "eps", c.eps, "a number above 0");
  want(c.weight_decay >= 0 && std::isfinite(c.weight_decay), "weight_decay", c.weight_decay,
       "a number from 0");
  want(c.clip >= 0 && std::isfinite(c.clip), "clip", c.clip, "a norm above 0, or 0 for none");
  want(c.warmup >= 0, "warmup", c.warmup, "a number of steps");
  want(c.steps >= 0, "steps", c.steps, "a number of steps");
  want(c.schedule == "constant" || c.schedule == "linear" || c.schedule == "cosine", "schedule",
       c.schedule, "constant, linear or cosine");
}

NamedTensors trace(const NamedTensors& checkpoint, const ModelShape& shape,
                   const NamedTensors& inputs, const TraceOptions& options) {
  check(options);
  const TraceMode& mode = trace_mode(options.mode);
  const auto device = Device::open(options.device);
  const DType dtype = compute_dtype(options.dtype, *device);
  const TraceBatch batch = read_batch(inputs, mode, shape, options.steps);
  const auto model = open_model(checkpoint, shape, inputs, dtype, *device);
  Arena arena(*device);
  TraceOutput out(dtype);
  Tensor patches;
  if (!batch.images.empty()) patches = trace_patches(batch, shape.config, dtype, arena);
  const TraceRun run{mode, options, batch, *model, arena, patches, out};
  apply_mode_rules(run);
  if (options.steps > 0) {
    write_steps(run);
  } else {
    write_activations(run);
    if (mode.loss) write_losses(run);
  }
  return out.take();
}

}  // namespace mome
