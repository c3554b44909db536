#include "runtime/io/torch_file.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/io/safetensors.h"

namespace mome {
namespace {

constexpr std::string_view kZipMagic("PK\x03\x04", 4);
// PROTO 2, LONG1 of 10 bytes: torch.serialization.MAGIC_NUMBER, which began the files before 1.6.
constexpr std::string_view kLegacyMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
                                        14);
constexpr size_t kMaxPickleBytes = size_t{256} << 20;

/// The storage types by the names that safetensors has for them.
constexpr std::pair<std::string_view, const char*> kDtypes[] = {
    {"torch FloatStorage", "F32"},  {"torch HalfStorage", "F16"}, {"torch BFloat16Storage", "BF16"},
    {"torch DoubleStorage", "F64"}, {"torch LongStorage", "I64"}, {"torch IntStorage", "I32"},
    {"torch ShortStorage", "I16"},  {"torch CharStorage", "I8"},  {"torch ByteStorage", "U8"},
    {"torch BoolStorage", "BOOL"},
};

const char* dtype_of(std::string_view storage) {
  for (const auto& [name, dtype] : kDtypes)
    if (name == storage) return dtype;
  MOME_CHECK(false);
}

/// The file's bytes once its first ones are known to be those of a zip archive.
std::span<const std::byte> archive(const std::string& path, const MappedFile& file) {
  const auto bytes = file.bytes();
  const std::string_view begin(reinterpret_cast<const char*>(bytes.data()),
                               std::min(bytes.size(), kLegacyMagic.size()));
  if (begin == kLegacyMagic)
    fail(
        "{}: a PyTorch file of the format from before version 1.6. Save it anew with PyTorch: "
        "torch.save(torch.load(OLD, map_location=\"cpu\", weights_only=True), NEW)",
        path);
  if (!begin.starts_with(kZipMagic)) fail("{}: not a file that torch.save wrote", path);
  return bytes;
}

std::string_view text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The dict's value under this key; null if there is none or the value is no dict.
const PickleValue* find_dict(const Pickle& pickle, const PickleValue& dict, std::string_view key) {
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleValue &name = pickle[dict.items[i]], &value = pickle[dict.items[i + 1]];
    if (name.kind == PickleValue::Kind::kText && name.text == key &&
        value.kind == PickleValue::Kind::kDict)
      return &value;
  }
  return nullptr;
}

std::vector<int64_t> integers(const Pickle& pickle, const PickleValue& tuple) {
  std::vector<int64_t> values;
  for (uint32_t item : tuple.items) values.push_back(pickle[item].integer);
  return values;
}

bool is_contiguous(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

/// Elements of the shape and, in `reach`, how many of its storage a strided tensor spans. False for
/// negative numbers and for those that overflow.
bool extent(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides,
            int64_t* elements, int64_t* reach) {
  *elements = *reach = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    int64_t step;
    if (shape[i] < 0 || strides[i] < 0 || __builtin_mul_overflow(*elements, shape[i], elements))
      return false;
    if (shape[i] > 0 && (__builtin_mul_overflow(shape[i] - 1, strides[i], &step) ||
                         __builtin_add_overflow(*reach, step, reach)))
      return false;
  }
  if (*elements == 0) *reach = 0;
  return true;
}

}  // namespace

TorchFile::TorchFile(const std::string& path)
    : path_(path), file_(path, 4, "a PyTorch file"), zip_(path, archive(path, file_)) {
  const std::string root = find_root();
  const ZipEntry& program = *zip_.find(root + "data.pkl");
  if (const ZipEntry* order = zip_.find(root + "byteorder");
      order && text(zip_.data(*order)) != "little")
    fail("{}: entry `{}` says {}; only little-endian files are read", path_, order->name,
         text(zip_.data(*order)));
  if (program.packed.size() > kMaxPickleBytes)
    fail("{}: entry `{}` has {} bytes: no state dict", path_, program.name, program.packed.size());
  zip_.check_crc(program);
  read_state_dict(Pickle(fmt::format("{}: {}", path_, program.name), zip_.data(program)), root);
}

// The archive's folder, "archive/" or the file's name when it was saved.
std::string TorchFile::find_root() const {
  constexpr std::string_view kProgram = "data.pkl";
  for (const ZipEntry& entry : zip_.entries())
    if (entry.name == kProgram || (entry.name.ends_with("/data.pkl") &&
                                   std::count(entry.name.begin(), entry.name.end(), '/') == 1)) {
      std::string root = entry.name.substr(0, entry.name.size() - kProgram.size());
      if (zip_.find(root + "constants.pkl"))
        fail(
            "{}: a TorchScript program, not a state dict; expected what torch.save(model."
            "state_dict()) writes",
            path_);
      return root;
    }
  fail("{}: a zip archive without NAME/data.pkl; expected a file that torch.save wrote", path_);
}

void TorchFile::read_state_dict(const Pickle& pickle, const std::string& root) {
  const PickleValue* dict = &pickle.root();
  if (dict->kind != PickleValue::Kind::kDict)
    fail("{}: holds no dict; expected a state dict", path_);
  for (const char* key : {"state_dict", "module", "model"})  // The order of the official loader.
    if (const PickleValue* inner = find_dict(pickle, *dict, key)) {
      dict = inner;
      wrapper_ = key;
      break;
    }
  for (size_t i = 0; i < dict->items.size(); i += 2) {
    const PickleValue &key = pickle[dict->items[i]], &value = pickle[dict->items[i + 1]];
    if (key.kind != PickleValue::Kind::kText) {
      fail("{}: the state dict has a key that is not a text", path_);
    } else if (value.kind == PickleValue::Kind::kTensor) {
      add_tensor(pickle, root, std::string(key.text), value);
    } else {
      ignored_.emplace_back(key.text);
    }
  }
  if (tensors_.empty())
    fail("{}: no tensors in its state dict; its keys are: {}", path_, fmt::join(ignored_, ", "));
  std::sort(used_.begin(), used_.end());
  used_.erase(std::unique(used_.begin(), used_.end()), used_.end());
}

void TorchFile::add_tensor(const Pickle& pickle, const std::string& root, std::string name,
                           const PickleValue& tensor) {
  const std::string where = fmt::format("{}: tensor `{}`", path_, name);
  const PickleValue& storage = pickle[tensor.items[0]];
  const int64_t offset = pickle[tensor.items[1]].integer;
  const std::vector<int64_t> strides = integers(pickle, pickle[tensor.items[3]]);
  TensorView view{std::move(name),
                  dtype_of(pickle[storage.items[0]].text),
                  integers(pickle, pickle[tensor.items[2]]),
                  nullptr,
                  0,
                  0};
  const size_t element_bytes = safetensors_element_bytes(view.dtype);
  const ZipEntry* entry = zip_.find(fmt::format("{}data/{}", root, storage.text));
  if (!entry) fail("{}: its storage `{}data/{}` is missing", where, root, storage.text);
  const std::span<const std::byte> bytes = zip_.data(*entry);
  if (bytes.size() / element_bytes != uint64_t(storage.integer) ||
      bytes.size() % element_bytes != 0)
    fail("{}: its storage `{}` has {} bytes, expected {} elements of {}", where, entry->name,
         bytes.size(), storage.integer, view.dtype);
  int64_t reach = 0;
  if (view.shape.size() != strides.size() || offset < 0 ||
      !extent(view.shape, strides, &view.elements, &reach))
    fail("{}: impossible shape [{}] with strides [{}] at {}", where, fmt::join(view.shape, ", "),
         fmt::join(strides, ", "), offset);
  if (offset > storage.integer || reach > storage.integer - offset)
    fail("{}: shape [{}] with strides [{}] at {} leaves its storage of {} elements", where,
         fmt::join(view.shape, ", "), fmt::join(strides, ", "), offset, storage.integer);
  if (view.elements > storage.integer)
    fail("{}: shape [{}] has more elements than its storage ({}): save a .clone() of it", where,
         fmt::join(view.shape, ", "), storage.integer);
  if (!index_.emplace(view.name, tensors_.size()).second) fail("{}: appears twice", where);
  view.bytes = size_t(view.elements) * element_bytes;
  view.data = bytes.data() + size_t(offset) * element_bytes;
  if (view.elements > 1 && !is_contiguous(view.shape, strides))
    view.data = copy_strided(view, view.data, strides, element_bytes);
  used_.push_back(entry);
  tensors_.push_back(std::move(view));
}

const std::byte* TorchFile::copy_strided(const TensorView& view, const std::byte* from,
                                         const std::vector<int64_t>& strides,
                                         size_t element_bytes) {
  // A hostile file could name one large storage as thousands of transposed tensors.
  copied_ += view.bytes;
  if (copied_ > file_.bytes().size())
    fail("{}: tensor `{}`: the strided tensors are larger than the file", path_, view.name);
  std::vector<std::byte>& copy = copies_.emplace_back(view.bytes);
  std::vector<int64_t> index(view.shape.size(), 0);
  std::byte* to = copy.data();
  int64_t at = 0;
  for (int64_t i = 0; i < view.elements; ++i, to += element_bytes) {
    std::memcpy(to, from + size_t(at) * element_bytes, element_bytes);
    for (size_t d = index.size(); d-- > 0;) {
      at += strides[d];
      if (++index[d] < view.shape[d]) break;
      at -= strides[d] * view.shape[d];
      index[d] = 0;
    }
  }
  return copy.data();
}

const TensorView* TorchFile::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void TorchFile::verify() const {
  for (const ZipEntry* entry : used_) zip_.check_crc(*entry);
}

bool looks_like_torch(const std::string& path) {
  char begin[4] = {};
  std::ifstream file(path, std::ios::binary);
  return file.read(begin, sizeof begin) &&
         (std::string_view(begin, 4) == kZipMagic ||
          std::string_view(begin, 4) == kLegacyMagic.substr(0, 4));
}

}  // namespace mome
