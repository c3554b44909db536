#include "tools/fingerprint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "kernels/common/parallel.h"
#include "models/checkpoints/tensors.h"
#include "runtime/data/hash.h"

namespace mome {
namespace {

constexpr int64_t kPieceBytes = 1 << 20, kPieceRecords = 4096;

// FNV-1a over words of eight bytes in four lanes: hash64 goes byte by byte, which takes seconds for
// a checkpoint of gigabytes. Every step is a bijection of its lane, so no single change is missed.
uint64_t hash_words(const std::byte* data, size_t bytes) {
  constexpr uint64_t kPrime = 0x9E3779B97F4A7C15u;
  uint64_t lane[4] = {1, 2, 3, 4};
  size_t i = 0;
  for (; i + sizeof lane <= bytes; i += sizeof lane) {
    uint64_t word[4];
    std::memcpy(word, data + i, sizeof word);
    for (int l = 0; l < 4; ++l) {
      lane[l] = (lane[l] ^ word[l]) * kPrime;
      lane[l] ^= lane[l] >> 32;
    }
  }
  std::string rest(reinterpret_cast<const char*>(lane), sizeof lane);
  rest.append(reinterpret_cast<const char*>(data) + i, bytes - i);
  return hash64(rest);
}

std::string digits(std::string_view all) { return fmt::format("{:016x}", hash64(all)); }

}  // namespace

std::string absolute_name(const std::string& file) {
  if (file.empty()) return file;
  return std::filesystem::absolute(file).lexically_normal().string();
}

std::string checkpoint_fingerprint(const std::string& path) {
  const NamedTensors file = read_tensors(path);
  std::string all;
  for (const auto& [key, value] : file.metadata) all += fmt::format("{}={}\n", key, value);
  for (const NamedTensor& t : file.list) {
    std::vector<uint64_t> pieces(size_t(chunk_count(int64_t(t.bytes), kPieceBytes)));
    parallel_chunks(int64_t(t.bytes), kPieceBytes, [&](int64_t begin, int64_t end) {
      pieces[size_t(begin / kPieceBytes)] = hash_words(t.data + begin, size_t(end - begin));
    });
    all += fmt::format("{} {} [{}] {:016x}\n", t.name, t.dtype, fmt::join(t.shape, ", "),
                       fmt::join(pieces, " "));
  }
  return digits(all);
}

std::string dataset_fingerprint(const Dataset& dataset) {
  const int64_t n = int64_t(dataset.records.size());
  std::vector<uint64_t> pieces(size_t(chunk_count(n, kPieceRecords)));
  parallel_chunks(n, kPieceRecords, [&](int64_t begin, int64_t end) {
    std::string all;
    for (int64_t i = begin; i < end; ++i) {
      const Record& r = dataset.records[size_t(i)];
      all += fmt::format("{}\n{}\n{} {}\n", r.key, absolute_name(r.image.file), r.image.offset,
                         r.image.size);
      for (const std::string& caption : r.captions) all += caption + "\n";
      all += '\0';
    }
    pieces[size_t(begin / kPieceRecords)] = hash64(all);
  });
  return digits(fmt::format("{} {:016x}", n, fmt::join(pieces, " ")));
}

}  // namespace mome
