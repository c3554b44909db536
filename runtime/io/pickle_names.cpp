// The names that a checkpoint's pickle may hold. Nothing is ever looked up or called by its name:
// the list says what the reader takes for granted as harmless or gives a meaning itself.
#include "runtime/io/pickle.h"

namespace mome {
namespace {

constexpr PickleName kMeaning[] = {
    {"collections OrderedDict", PickleMeaning::kOrderedDict},
    {"torch._utils _rebuild_tensor_v2", PickleMeaning::kRebuildTensor},
    {"torch._utils _rebuild_parameter", PickleMeaning::kRebuildParameter},
    {"torch FloatStorage", PickleMeaning::kStorage},
    {"torch HalfStorage", PickleMeaning::kStorage},
    {"torch BFloat16Storage", PickleMeaning::kStorage},
    {"torch DoubleStorage", PickleMeaning::kStorage},
    {"torch LongStorage", PickleMeaning::kStorage},
    {"torch IntStorage", PickleMeaning::kStorage},
    {"torch ShortStorage", PickleMeaning::kStorage},
    {"torch CharStorage", PickleMeaning::kStorage},
    {"torch ByteStorage", PickleMeaning::kStorage},
    {"torch BoolStorage", PickleMeaning::kStorage},
};

// Hyper-parameters, random states, loss scalers and callbacks beside the weights: Lightning 1 and 2
// (with sacred's or OmegaConf's configurations), DeepSpeed, BEiT's argparse.Namespace.
constexpr PickleName kOpaque[] = {
    {"__builtin__ bytearray", PickleMeaning::kOpaque},
    {"__builtin__ complex", PickleMeaning::kOpaque},
    {"__builtin__ dict", PickleMeaning::kOpaque},
    {"__builtin__ float", PickleMeaning::kOpaque},
    {"__builtin__ frozenset", PickleMeaning::kOpaque},
    {"__builtin__ int", PickleMeaning::kOpaque},
    {"__builtin__ list", PickleMeaning::kOpaque},
    {"__builtin__ object", PickleMeaning::kOpaque},
    {"__builtin__ set", PickleMeaning::kOpaque},
    {"__builtin__ slice", PickleMeaning::kOpaque},
    {"__builtin__ str", PickleMeaning::kOpaque},
    {"__builtin__ tuple", PickleMeaning::kOpaque},
    {"_codecs encode", PickleMeaning::kOpaque},
    {"argparse Namespace", PickleMeaning::kOpaque},
    {"collections Counter", PickleMeaning::kOpaque},
    {"collections defaultdict", PickleMeaning::kOpaque},
    {"collections deque", PickleMeaning::kOpaque},
    {"datetime datetime", PickleMeaning::kOpaque},
    {"datetime timedelta", PickleMeaning::kOpaque},
    {"deepspeed.runtime.fp16.loss_scaler DynamicLossScaler", PickleMeaning::kOpaque},
    {"deepspeed.runtime.fp16.loss_scaler LossScaler", PickleMeaning::kOpaque},
    {"deepspeed.runtime.zero.config ZeroStageEnum", PickleMeaning::kOpaque},
    {"deepspeed.utils.tensor_fragment fragment_address", PickleMeaning::kOpaque},
    {"fractions Fraction", PickleMeaning::kOpaque},
    {"lightning.fabric.utilities.data AttributeDict", PickleMeaning::kOpaque},
    {"lightning.pytorch.callbacks.model_checkpoint ModelCheckpoint", PickleMeaning::kOpaque},
    {"lightning_fabric.utilities.data AttributeDict", PickleMeaning::kOpaque},
    {"numpy dtype", PickleMeaning::kOpaque},
    {"numpy ndarray", PickleMeaning::kOpaque},
    {"numpy._core.multiarray _reconstruct", PickleMeaning::kOpaque},
    {"numpy._core.multiarray scalar", PickleMeaning::kOpaque},
    {"numpy.core.multiarray _reconstruct", PickleMeaning::kOpaque},
    {"numpy.core.multiarray scalar", PickleMeaning::kOpaque},
    {"omegaconf.base ContainerMetadata", PickleMeaning::kOpaque},
    {"omegaconf.base Metadata", PickleMeaning::kOpaque},
    {"omegaconf.dictconfig DictConfig", PickleMeaning::kOpaque},
    {"omegaconf.listconfig ListConfig", PickleMeaning::kOpaque},
    {"omegaconf.nodes AnyNode", PickleMeaning::kOpaque},
    {"pathlib PosixPath", PickleMeaning::kOpaque},
    {"pytorch_lightning.callbacks.early_stopping EarlyStopping", PickleMeaning::kOpaque},
    {"pytorch_lightning.callbacks.model_checkpoint ModelCheckpoint", PickleMeaning::kOpaque},
    {"pytorch_lightning.utilities.parsing AttributeDict", PickleMeaning::kOpaque},
    {"sacred.config.custom_containers ReadOnlyDict", PickleMeaning::kOpaque},
    {"sacred.config.custom_containers ReadOnlyList", PickleMeaning::kOpaque},
    {"torch Size", PickleMeaning::kOpaque},
    {"torch bfloat16", PickleMeaning::kOpaque},
    {"torch bool", PickleMeaning::kOpaque},
    {"torch device", PickleMeaning::kOpaque},
    {"torch float16", PickleMeaning::kOpaque},
    {"torch float32", PickleMeaning::kOpaque},
    {"torch float64", PickleMeaning::kOpaque},
    {"torch int16", PickleMeaning::kOpaque},
    {"torch int32", PickleMeaning::kOpaque},
    {"torch int64", PickleMeaning::kOpaque},
    {"torch int8", PickleMeaning::kOpaque},
    {"torch uint8", PickleMeaning::kOpaque},
    {"typing Any", PickleMeaning::kOpaque},
};

}  // namespace

const PickleName* find_pickle_name(std::string_view name) {
  for (const PickleName& known : kMeaning)
    if (known.name == name) return &known;
  for (const PickleName& known : kOpaque)
    if (known.name == name) return &known;
  return nullptr;
}

}  // namespace mome
