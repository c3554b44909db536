#include "runtime/io/zip.h"

#include <algorithm>
#include <cstring>

#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint64_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22;
constexpr uint64_t kEnd64Bytes = 56, kLocator64Bytes = 20, kMaxComment = 0xffff;
constexpr uint16_t kExtra64 = 1;
constexpr uint16_t kEncrypted = 0x0001 | 0x0040 | 0x2000;

/// Little-endian fields of a record that lies wholly within the file.
template <class T>
T field(const std::byte* record, size_t at) {
  T value;
  std::memcpy(&value, record + at, sizeof value);
  return value;
}

std::string_view text(const std::byte* at, size_t length) {
  return {reinterpret_cast<const char*>(at), length};
}

/// Replaces the sizes that are 0xffffffff by those of the zip64 extra field (4.5.3), which holds
/// them in this order. False if it does not hold them.
bool read_extra64(const std::byte* extra, size_t length, std::span<uint64_t* const> values) {
  const auto is_open = [](const uint64_t* v) { return *v == 0xffffffffu; };
  if (std::none_of(values.begin(), values.end(), is_open)) return true;
  for (size_t at = 0; at + 4 <= length;) {
    const size_t size = field<uint16_t>(extra, at + 2), begin = at + 4;
    if (begin + size > length) return false;
    if (field<uint16_t>(extra, at) == kExtra64) {
      size_t next = begin;
      for (uint64_t* value : values) {
        if (!is_open(value)) continue;
        if (next + 8 > begin + size) return false;
        *value = field<uint64_t>(extra, next);
        next += 8;
      }
      return true;
    }
    at = begin + size;
  }
  return false;
}

const char* method_name(uint16_t method) {
  return method == 8 ? "deflate" : method == 12 ? "bzip2" : method == 93 ? "zstd" : "unknown";
}

}  // namespace

ZipFile::ZipFile(const std::string& path, std::span<const std::byte> bytes)
    : path_(path), bytes_(bytes) {
  const std::byte* data = bytes_.data();
  // The end record stands last, before a comment whose length it holds.
  uint64_t end = bytes_.size() < kEndBytes ? 0 : bytes_.size() - kEndBytes;
  const uint64_t lowest = end > kMaxComment ? end - kMaxComment : 0;
  while (end > lowest && !(field<uint32_t>(data, end) == kEnd &&
                           end + kEndBytes + field<uint16_t>(data, end + 20) == bytes_.size()))
    --end;
  if (bytes_.size() < kEndBytes || field<uint32_t>(data, end) != kEnd ||
      end + kEndBytes + field<uint16_t>(data, end + 20) != bytes_.size())
    fail("{}: the zip archive's end record is missing: the file is cut short", path_);

  const std::byte* record = data + end;
  uint64_t disk = field<uint16_t>(record, 4), count = field<uint16_t>(record, 10);
  uint64_t size = field<uint32_t>(record, 12), begin = field<uint32_t>(record, 16);
  uint64_t limit = end;
  if (end >= kLocator64Bytes && field<uint32_t>(record - kLocator64Bytes, 0) == kLocator64) {
    const uint64_t at = field<uint64_t>(record - kLocator64Bytes, 8);
    limit = end - kLocator64Bytes;
    if (at > limit || limit - at < kEnd64Bytes || field<uint32_t>(data + at, 0) != kEnd64)
      fail("{}: the zip64 end record is not where its locator says: the file is damaged", path_);
    limit = at;
    disk = field<uint32_t>(data + at, 16);
    count = field<uint64_t>(data + at, 32);
    size = field<uint64_t>(data + at, 40);
    begin = field<uint64_t>(data + at, 48);
  }
  if (disk != 0) fail("{}: a zip archive in several parts; expected one file", path_);
  if (begin > limit || size > limit - begin)
    fail("{}: the zip directory ({} bytes at {}) ends behind byte {}: the file is damaged", path_,
         size, begin, limit);
  directory_ = begin;
  uint64_t read = 0;
  for (uint64_t at = begin; at < begin + size; ++read) at += read_entry(at, begin + size);
  if (read != count)
    fail("{}: the zip directory holds {} entries, its end record says {}", path_, read, count);
  check_overlaps();
}

size_t ZipFile::read_entry(uint64_t at, uint64_t end) {
  const std::byte* record = bytes_.data() + at;
  if (end - at < kCentralBytes || field<uint32_t>(record, 0) != kCentral)
    fail("{}: byte {}: expected an entry of the zip directory: the file is damaged", path_, at);
  const uint16_t flags = field<uint16_t>(record, 8), method = field<uint16_t>(record, 10);
  uint64_t packed = field<uint32_t>(record, 20), size = field<uint32_t>(record, 24);
  const uint64_t name_bytes = field<uint16_t>(record, 28), extra = field<uint16_t>(record, 30);
  const uint64_t comment = field<uint16_t>(record, 32);
  uint64_t header = field<uint32_t>(record, 42);
  const uint64_t bytes = kCentralBytes + name_bytes + extra + comment;
  if (bytes > end - at)
    fail("{}: byte {}: an entry of the zip directory ends behind it: the file is damaged", path_,
         at);
  const std::string name(text(record + kCentralBytes, name_bytes));
  uint64_t* const wide[] = {&size, &packed, &header};
  if (!read_extra64(record + kCentralBytes + name_bytes, extra, wide))
    fail("{}: entry `{}`: its zip64 sizes are missing: the file is damaged", path_, name);
  if (flags & kEncrypted)
    fail("{}: entry `{}` is encrypted; only plain ones are read", path_, name);
  if (method == 0 && size != packed)
    fail("{}: entry `{}`: {} bytes stored as {}: the file is damaged", path_, name, size, packed);
  if (!name.ends_with('/')) {
    if (!index_.emplace(name, entries_.size()).second)
      fail("{}: entry `{}` appears twice", path_, name);
    entries_.push_back(
        {name, entry_data(name, header, packed, method), method, field<uint32_t>(record, 16)});
  }
  return bytes;
}

std::span<const std::byte> ZipFile::entry_data(const std::string& name, uint64_t header,
                                               uint64_t size, uint16_t method) const {
  if (header > directory_ || directory_ - header < kLocalBytes ||
      field<uint32_t>(bytes_.data() + header, 0) != kLocal)
    fail("{}: entry `{}`: no local header at byte {}: the file is damaged", path_, name, header);
  const std::byte* local = bytes_.data() + header;
  const uint64_t name_bytes = field<uint16_t>(local, 26), extra = field<uint16_t>(local, 28);
  const uint64_t left = directory_ - header - kLocalBytes;
  if (name_bytes + extra > left || size > left - name_bytes - extra)
    fail("{}: entry `{}`: {} bytes at {} end behind byte {}: the file is damaged", path_, name,
         size, header, directory_);
  if (text(local + kLocalBytes, name_bytes) != name || field<uint16_t>(local, 8) != method)
    fail("{}: entry `{}`: its local header is another one's: the file is damaged", path_, name);
  return {local + kLocalBytes + name_bytes + extra, size};
}

const ZipEntry* ZipFile::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &entries_[found->second];
}

std::span<const std::byte> ZipFile::data(const ZipEntry& entry) const {
  if (entry.method != 0)
    fail(
        "{}: entry `{}` is compressed ({}, method {}); only stored ones are read, as PyTorch "
        "writes them",
        path_, entry.name, method_name(entry.method), entry.method);
  return entry.packed;
}

// Entries that share bytes would make a small file as large as its writer likes.
void ZipFile::check_overlaps() const {
  std::vector<const ZipEntry*> order;
  for (const ZipEntry& entry : entries_)
    if (!entry.packed.empty()) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const ZipEntry* a, const ZipEntry* b) {
    return a->packed.data() < b->packed.data();
  });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i]->packed.data() < order[i - 1]->packed.data() + order[i - 1]->packed.size())
      fail("{}: entries `{}` and `{}` overlap: the file is damaged", path_, order[i - 1]->name,
           order[i]->name);
}

void ZipFile::check_crc(const ZipEntry& entry) const {
  if (entry.crc == 0) return;  // torch.serialization.set_crc32_options(False)
  const uint32_t crc = crc32(data(entry));
  if (crc != entry.crc)
    fail("{}: entry `{}`: CRC-32 {:08x}, expected {:08x}: its bytes are damaged", path_, entry.name,
         crc, entry.crc);
}

}  // namespace mome
