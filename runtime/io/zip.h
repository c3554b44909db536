// The zip container as PyTorch writes it: every entry stored (not compressed), zip64 where needed.
// Source: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", 6.3.10, sections 4.3 and 4.5.3.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mome {

struct ZipEntry {
  std::string name;
  std::span<const std::byte> packed;  ///< within the file's bytes; ZipFile::data() to read it
  uint16_t method;                    ///< 0: stored
  uint32_t crc;                       ///< CRC-32 of the data; 0 if the writer left it out
};

/// The entries of a zip file. Each is checked against its local header and the bounds of the file
/// when the object is made; folders (names that end in "/") are left out.
class ZipFile {
 public:
  /// `path` is for messages; the bytes must outlive the object. Errors name the file and the entry:
  /// no end record (cut short), several disks, an entry that is encrypted, out of bounds, named
  /// twice, over another or unlike its local header.
  ZipFile(const std::string& path, std::span<const std::byte> bytes);

  const std::vector<ZipEntry>& entries() const { return entries_; }
  /// Null if there is none of this name.
  const ZipEntry* find(std::string_view name) const;
  /// The entry's bytes; Error if they are compressed.
  std::span<const std::byte> data(const ZipEntry& entry) const;
  /// Reads the entry's data; Error if the CRC-32 differs (unless the writer left it out).
  void check_crc(const ZipEntry& entry) const;

 private:
  void check_overlaps() const;
  size_t read_entry(uint64_t at, uint64_t end);
  std::span<const std::byte> entry_data(const std::string& name, uint64_t header, uint64_t size,
                                        uint16_t method) const;

  std::string path_;
  std::span<const std::byte> bytes_;
  uint64_t directory_ = 0;  // where it begins: entries lie before it
  std::vector<ZipEntry> entries_;
  std::unordered_map<std::string, size_t> index_;
};

/// CRC-32 of ISO 3309 (the one of zip, gzip and PNG); `crc` continues that of the bytes before.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t crc = 0);

}  // namespace mome
