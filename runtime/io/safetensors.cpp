#include "runtime/io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/crc32c.h"

namespace mome {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "the format is little endian");

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // As the reference implementation limits it.
constexpr uint64_t kPieceBytes = 16 << 20;         // Of a download.
constexpr const char* kMetadataKey = "__metadata__";

/// Bytes of a tensor; nothing when the shape is negative or overflows.
bool tensor_bytes(std::span<const int64_t> shape, size_t element_bytes, int64_t* elements,
                  uint64_t* bytes) {
  *elements = 1;
  for (int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(*elements, size, elements)) return false;
  return !__builtin_mul_overflow(static_cast<uint64_t>(*elements), element_bytes, bytes);
}

/// The header as JSON. A parser that keeps the last of two equal names would hide a broken file, so
/// the names are gathered while it parses.
json parse_header(const std::string& path, const char* begin, const char* end) {
  std::set<std::string> names;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::key && depth == 1 &&
        !names.insert(value.get<std::string>()).second)
      fail("{}: header: tensor `{}` appears twice", path, value.get<std::string>());
    return true;
  };
  try {
    json header = json::parse(begin, end, watch);
    if (!header.is_object()) fail("{}: header: expected a JSON object", path);
    return header;
  } catch (const json::exception& error) {
    fail("{}: header: expected JSON: {}", path, error.what());
  }
}

/// The non-negative integers of a JSON array; an error that names `what` otherwise.
std::vector<int64_t> integers(const std::string& where, const json& tensor, const char* what) {
  const auto found = tensor.find(what);
  if (found == tensor.end() || !found->is_array()) fail("{}: expected an array `{}`", where, what);
  std::vector<int64_t> values;
  for (const json& value : *found) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t{INT64_MAX})
      fail("{}: `{}`: expected non-negative integers, got {}", where, what, found->dump());
    values.push_back(value.get<int64_t>());
  }
  return values;
}

/// A value as JSON text; JSON holds UTF-8 only.
std::string quoted(const std::string& path, const json& value) {
  try {
    return value.dump();
  } catch (const json::exception& error) {
    fail("{}: tensor names and metadata must be UTF-8: {}", path, error.what());
  }
}

constexpr std::string_view kNoDigits = "00000000";

/// Where the checksum's digits begin in a header; npos if it has none. Text of other metadata cannot
/// be mistaken for it: within a string its quotes are escaped.
size_t find_digits(std::string_view header) {
  const std::string key = fmt::format("\"{}\":\"", kChecksumKey);
  const size_t at = header.find(key);
  if (at == std::string_view::npos) return at;
  const size_t digits = at + key.size();
  return digits + kNoDigits.size() < header.size() ? digits : std::string_view::npos;
}

/// The tensor's bytes in order, as one piece or downloaded in several: f(data, bytes).
void for_pieces(const void* data, uint64_t bytes, const Download& download, auto&& f) {
  if (!download) return f(static_cast<const char*>(data), bytes);
  std::vector<char> piece;
  for (uint64_t at = 0; at < bytes; at += kPieceBytes) {
    piece.resize(std::min(bytes - at, kPieceBytes));
    download(piece.data(), static_cast<const char*>(data) + at, piece.size());
    f(piece.data(), piece.size());
  }
}

std::string_view as_text(const uint64_t& length) {
  return {reinterpret_cast<const char*>(&length), sizeof length};
}

}  // namespace

size_t safetensors_element_bytes(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "U8" || dtype == "I8" || dtype == "BOOL") return 1;
  return 0;
}

void write_safetensors(const std::string& path, std::span<const TensorEntry> tensors,
                       const std::map<std::string, std::string>& metadata,
                       const Download& download, bool checksum) {
  if (metadata.contains(kChecksumKey)) fail("{}: metadata `{}` is reserved", path, kChecksumKey);
  std::map<std::string, std::string> all_metadata = metadata;
  if (checksum) all_metadata[kChecksumKey] = kNoDigits;
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return safetensors_element_bytes(tensors[a].dtype) >
           safetensors_element_bytes(tensors[b].dtype);
  });

  std::string text = "{";
  if (!all_metadata.empty())
    text += fmt::format("\"{}\":{}", kMetadataKey, quoted(path, all_metadata));
  std::set<std::string_view> names{kMetadataKey};
  std::vector<uint64_t> bytes(tensors.size());
  uint64_t offset = 0;
  for (size_t i : order) {
    const TensorEntry& tensor = tensors[i];
    const size_t element_bytes = safetensors_element_bytes(tensor.dtype);
    int64_t elements;
    if (!names.insert(tensor.name).second)
      fail("{}: tensor `{}`: the name is given twice or reserved", path, tensor.name);
    if (element_bytes == 0) fail("{}: tensor `{}`: no dtype `{}`", path, tensor.name, tensor.dtype);
    if (!tensor_bytes(tensor.shape, element_bytes, &elements, &bytes[i]))
      fail("{}: tensor `{}`: impossible shape [{}]", path, tensor.name,
           fmt::join(tensor.shape, ", "));
    // Entry by entry as text: ordered_json searches all its keys at each insertion.
    const nlohmann::ordered_json entry = {{"dtype", tensor.dtype},
                                          {"shape", tensor.shape},
                                          {"data_offsets", {offset, offset + bytes[i]}}};
    text +=
        fmt::format("{}{}:{}", text.size() > 1 ? "," : "", quoted(path, tensor.name), entry.dump());
    offset += bytes[i];
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');

  const uint64_t length = text.size();
  const auto for_data = [&](auto&& f) {
    for (size_t i : order) for_pieces(tensors[i].data, bytes[i], download, f);
  };
  if (checksum) {
    uint32_t crc = crc32c(text, crc32c(as_text(length)));
    for_data([&](const char* data, size_t count) { crc = crc32c({data, count}, crc); });
    text.replace(find_digits(text), kNoDigits.size(), fmt::format("{:08x}", crc));
  }
  AtomicFile file(path);
  file.write(as_text(length));
  file.write(text);
  for_data([&](const char* data, size_t count) { file.write(data, count); });
  file.commit();
}

SafeTensors::SafeTensors(const std::string& path)
    : path_(path), file_(path, kLengthBytes, "a safetensors file") {
  read_header();
}

void SafeTensors::read_header() {
  const std::byte* mapping = file_.bytes().data();
  uint64_t length;
  std::memcpy(&length, mapping, sizeof length);
  const uint64_t behind = file_.bytes().size() - kLengthBytes;
  if (length > kMaxHeaderBytes || length > behind)
    fail("{}: header of {} bytes, but {} follow: not a safetensors file, or cut short", path_,
         length, behind);
  const char* begin = reinterpret_cast<const char*>(mapping) + kLengthBytes;
  const json header = parse_header(path_, begin, begin + length);
  const std::byte* data = mapping + kLengthBytes + length;
  const uint64_t data_bytes = behind - length;

  for (const auto& [name, value] : header.items()) {
    if (name == kMetadataKey) {
      if (!value.is_object()) fail("{}: header: expected an object `{}`", path_, name);
      for (const auto& [key, text] : value.items()) {
        if (!text.is_string()) fail("{}: metadata `{}`: expected a string", path_, key);
        if (key != kChecksumKey) metadata_[key] = text.get<std::string>();
      }
      continue;
    }
    const std::string where = fmt::format("{}: tensor `{}`", path_, name);
    if (!value.is_object()) fail("{}: expected an object", where);
    const auto dtype = value.find("dtype");
    if (dtype == value.end() || !dtype->is_string()) fail("{}: expected a string `dtype`", where);
    View view{name, dtype->get<std::string>(), integers(where, value, "shape"), nullptr, 0, 0};
    const size_t element_bytes = safetensors_element_bytes(view.dtype);
    if (element_bytes == 0) fail("{}: no dtype `{}` is known", where, view.dtype);
    const std::vector<int64_t> offsets = integers(where, value, "data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1])
      fail("{}: `data_offsets`: expected [begin, end]", where);
    if (static_cast<uint64_t>(offsets[1]) > data_bytes)
      fail("{}: ends at byte {}, but the file has {} bytes of data: cut short?", where, offsets[1],
           data_bytes);
    uint64_t bytes;
    view.bytes = static_cast<size_t>(offsets[1] - offsets[0]);
    if (!tensor_bytes(view.shape, element_bytes, &view.elements, &bytes) || bytes != view.bytes)
      fail("{}: {} bytes, which is not what {} of shape [{}] takes", where, view.bytes, view.dtype,
           fmt::join(view.shape, ", "));
    view.data = data + offsets[0];
    tensors_.push_back(std::move(view));
  }

  std::sort(tensors_.begin(), tensors_.end(), [](const View& a, const View& b) {
    return std::pair(a.data, a.bytes) < std::pair(b.data, b.bytes);
  });
  const std::byte* end = data;
  for (const View& view : tensors_) {
    if (view.data != end)
      fail("{}: tensor `{}`: begins at byte {}, expected {}: tensors {}", path_, view.name,
           view.data - data, end - data, view.data < end ? "overlap" : "leave a hole");
    end = view.data + view.bytes;
    index_.emplace(view.name, index_.size());
  }
  if (end != data + data_bytes)
    fail("{}: {} bytes of data, but its tensors take {}", path_, data_bytes, end - data);
}

Checksum SafeTensors::checksum() const {
  const std::string_view file(reinterpret_cast<const char*>(file_.bytes().data()),
                              file_.bytes().size());
  uint64_t length;
  std::memcpy(&length, file.data(), sizeof length);
  const size_t digits = find_digits(file.substr(kLengthBytes, length));
  if (digits == std::string_view::npos) return Checksum::kNone;
  const size_t at = kLengthBytes + digits, behind = at + kNoDigits.size();
  const uint32_t crc = crc32c(file.substr(behind), crc32c(kNoDigits, crc32c(file.substr(0, at))));
  return file.substr(at, kNoDigits.size()) == fmt::format("{:08x}", crc) ? Checksum::kFits
                                                                          : Checksum::kDiffers;
}

const SafeTensors::View* SafeTensors::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace mome
