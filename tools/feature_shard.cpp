#include "tools/feature_shard.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "kernels/common/half.h"
#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/safetensors.h"
#include "tools/fingerprint.h"

namespace mome {
namespace {

constexpr const char* kTensor = "features";

const char* safetensors_dtype(DType dtype) { return dtype == DType::kF16 ? "F16" : "F32"; }

// All that comes before the values: numpy.lib.format, "Format Version 1.0". The text is the one
// that numpy itself writes, so that a file of it can be told by comparing.
std::string npy_header(DType dtype, int64_t rows, int64_t dim) {
  constexpr size_t kFixed = 10, kAlign = 64;  // magic, version, length; start of the values
  std::string text = fmt::format("{{'descr': '<f{}', 'fortran_order': False, 'shape': ({}, {}), }}",
                                 size_of(dtype), rows, dim);
  const size_t whole = (kFixed + text.size() + 1 + kAlign - 1) / kAlign * kAlign;
  text.resize(whole - kFixed - 1, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += char(text.size() & 255);
  header += char(text.size() >> 8);
  return header + text;
}

struct MappedFeatures {
  std::shared_ptr<const void> owner;
  const std::byte* data;
};

MappedFeatures map_safetensors(const std::string& path, DType dtype, int64_t rows, int64_t dim) {
  const auto file = std::make_shared<const SafeTensors>(path);
  const auto* t = file->find(kTensor);
  if (!t) fail("{}: has no tensor \"{}\"; expected a shard of `mome embed`", path, kTensor);
  if (t->dtype != safetensors_dtype(dtype) || t->shape != std::vector{rows, dim})
    fail("{}: tensor \"{}\" is {} [{}]; the index says {} [{}, {}]", path, kTensor, t->dtype,
         fmt::join(t->shape, ", "), safetensors_dtype(dtype), rows, dim);
  return {file, t->data};
}

MappedFeatures map_npy(const std::string& path, DType dtype, int64_t rows, int64_t dim) {
  const std::string header = npy_header(dtype, rows, dim);
  const auto file = std::make_shared<const MappedFile>(path, header.size(), "a numpy file");
  const std::span bytes = file->bytes();
  const std::string_view begin(reinterpret_cast<const char*>(bytes.data()), header.size());
  if (begin != header)
    fail("{}: is no numpy array of {} [{}, {}], which the index says", path, dtype_name(dtype),
         rows, dim);
  const size_t expected = header.size() + size_t(rows * dim) * size_of(dtype);
  if (bytes.size() != expected)
    fail("{}: {} bytes; {} [{}, {}] takes {}", path, bytes.size(), dtype_name(dtype), rows, dim,
         expected);
  return {file, bytes.data() + header.size()};
}

}  // namespace

const char* file_ending(FeatureFormat format) {
  return format == FeatureFormat::kNpy ? "npy" : "safetensors";
}

const char* dtype_name(DType dtype) { return dtype == DType::kF16 ? "f16" : "f32"; }

void write_features(const std::string& path, FeatureFormat format, DType dtype, int64_t dim,
                    std::span<const float> values) {
  const int64_t rows = int64_t(values.size()) / dim;
  std::vector<half> rounded;
  const void* data = values.data();
  if (dtype == DType::kF16) {
    rounded.resize(values.size());
    std::transform(values.begin(), values.end(), rounded.begin(),
                   [](float v) { return from_float<half>(v); });
    data = rounded.data();
  }
  if (format == FeatureFormat::kSafetensors) {
    const TensorEntry entry{kTensor, safetensors_dtype(dtype), {rows, dim}, data};
    write_safetensors(path, {&entry, 1}, {});
    return;
  }
  AtomicFile file(path);
  file.write(npy_header(dtype, rows, dim));
  file.write(data, values.size() * size_of(dtype));
  file.commit();
}

FeatureFile::FeatureFile(const std::string& path, FeatureFormat format, DType dtype, int64_t rows,
                         int64_t dim) {
  const MappedFeatures mapped = format == FeatureFormat::kNpy
                                    ? map_npy(path, dtype, rows, dim)
                                    : map_safetensors(path, dtype, rows, dim);
  if (reinterpret_cast<uintptr_t>(mapped.data) % size_of(dtype) != 0)
    fail("{}: its values are not aligned; expected a shard of `mome embed`", path);
  owner_ = mapped.owner;
  block_ = {mapped.data, rows, dtype};
}

std::string record_line(const Record& record, int64_t number) {
  nlohmann::ordered_json j = {{"record", number}, {"key", record.key}};
  if (!record.image.file.empty()) j["image"] = absolute_name(record.image.file);
  if (record.image.size > 0) {
    j["member"] = record.image.member;
    j["offset"] = record.image.offset;
    j["size"] = record.image.size;
  }
  j["captions"] = record.captions;
  return j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

RecordFile::RecordFile(const std::string& path, int64_t rows, int64_t bytes)
    : path_(path), rows_(rows) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) fail("{}: cannot read: {}", path, error.message());
  if (int64_t(size) != bytes) fail("{}: {} bytes; the index says {}", path, size, bytes);
  if (bytes > 0) file_.emplace(path, size_t(1), "JSON lines");
}

NumberedRecord RecordFile::read(int64_t row) const {
  const std::span<const std::byte> bytes = file_ ? file_->bytes() : std::span<const std::byte>{};
  const char* at = reinterpret_cast<const char*>(bytes.data());
  const char* const end = at + bytes.size();
  if (lines_.empty()) {
    std::vector<const char*> lines = {at};
    while (at != end) {
      const auto* line_end = static_cast<const char*>(std::memchr(at, '\n', size_t(end - at)));
      at = line_end ? line_end + 1 : end;
      lines.push_back(at);
    }
    if (int64_t(lines.size()) - 1 != rows_)
      fail("{}: has {} records; the index says {}, one for each row of features", path_,
           lines.size() - 1, rows_);
    lines_ = std::move(lines);
  }
  NumberedRecord out;
  try {
    const auto j = nlohmann::json::parse(lines_.at(size_t(row)), lines_.at(size_t(row + 1)));
    out.number = j.at("record");
    out.record.key = j.at("key");
    if (j.contains("image")) out.record.image.file = j.at("image");
    if (j.contains("size")) {
      out.record.image.member = j.at("member");
      out.record.image.offset = j.at("offset");
      out.record.image.size = j.at("size");
    }
    out.record.captions = j.at("captions").get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception& e) {
    fail("{}: line {}: {}", path_, row + 1, e.what());
  }
  return out;
}

}  // namespace mome
