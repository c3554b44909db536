// Builds zip archives field by field, so that tests can make any of them wrong.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/io/zip.h"

namespace mome {

struct ZipBytesEntry {
  std::string name, data;
  uint16_t flags = 0, method = 0;
  bool wide = false;            // its sizes and place in a zip64 extra field
  std::string local_name = "";  // if not the same
  int64_t size_error = 0;       // added to both sizes in the directory
  int64_t place_error = 0;      // added to the local header's place
  uint32_t crc_error = 0;       // xor
};

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// `wide`: with zip64 end records, as PyTorch writes them.
inline std::string zip_bytes(const std::vector<ZipBytesEntry>& entries, bool wide = false) {
  std::string out, directory;
  for (const ZipBytesEntry& e : entries) {
    const uint64_t place = out.size() + uint64_t(e.place_error);
    const uint64_t size = e.data.size() + uint64_t(e.size_error);
    const std::string local = e.local_name.empty() ? e.name : e.local_name;
    const uint32_t crc = crc32(std::as_bytes(std::span(e.data))) ^ e.crc_error;
    put(out, uint32_t{0x04034b50});
    out.append(4, '\0');
    put(out, e.method);
    out.append(4 + 12, '\0');  // date, crc and sizes: a data descriptor would follow
    put(out, uint16_t(local.size()));
    put(out, uint16_t{5});
    out += local + std::string("FB\1\0Z", 5) + e.data;

    std::string extra;
    if (e.wide) {
      put(extra, uint16_t{1});
      put(extra, uint16_t{24});
      for (uint64_t v : {size, size, place}) put(extra, v);
    }
    const uint32_t open = 0xffffffff;
    put(directory, uint32_t{0x02014b50});
    directory.append(4, '\0');
    put(directory, e.flags);
    put(directory, e.method);
    directory.append(4, '\0');
    put(directory, crc);
    put(directory, e.wide ? open : uint32_t(size));
    put(directory, e.wide ? open : uint32_t(size));
    put(directory, uint16_t(e.name.size()));
    put(directory, uint16_t(extra.size()));
    directory.append(10, '\0');
    put(directory, e.wide ? open : uint32_t(place));
    directory += e.name + extra;
  }
  const uint64_t begin = out.size(), size = directory.size(), count = entries.size();
  out += directory;
  if (wide) {
    const uint64_t end = out.size();
    put(out, uint32_t{0x06064b50});
    put(out, uint64_t{44});
    out.append(12, '\0');
    for (uint64_t v : {count, count, size, begin}) put(out, v);
    put(out, uint32_t{0x07064b50});
    put(out, uint32_t{0});
    put(out, end);
    put(out, uint32_t{1});
  }
  put(out, uint32_t{0x06054b50});
  out.append(4, '\0');
  put(out, uint16_t(count));
  put(out, uint16_t(count));
  put(out, wide ? uint32_t{0xffffffff} : uint32_t(size));
  put(out, wide ? uint32_t{0xffffffff} : uint32_t(begin));
  put(out, uint16_t{0});
  return out;
}

/// The archive of a checkpoint with this pickle and one storage "0" of these bytes.
inline std::string torch_bytes(const std::string& pickle, const std::string& storage = "") {
  return zip_bytes({{.name = "a/data.pkl", .data = pickle}, {.name = "a/data/0", .data = storage}});
}

}  // namespace mome
