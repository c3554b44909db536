#include "models/trace/trace.h"

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
