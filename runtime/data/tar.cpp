#include "runtime/data/tar.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/core/error.h"

namespace mome {
namespace {
constexpr uint64_t kBlock = 512;
constexpr uint64_t kMaxMeta = 1 << 20;  // bytes of a long name or of pax records

// Fields of a header block (offset, length), POSIX ustar.
constexpr size_t kName = 0, kNameSize = 100, kMode = 100, kUid = 108, kGid = 116, kSize = 124,
                 kTime = 136, kChecksum = 148, kType = 156, kMagic = 257, kPrefix = 345,
                 kPrefixSize = 155;

using Header = std::array<char, kBlock>;

std::string text_field(const Header& h, size_t at, size_t size) {
  return std::string(h.data() + at, strnlen(h.data() + at, size));
}

// Octal digits, or base 256 where the first bit is set (GNU, sizes from 8 GiB). False if neither.
bool number_field(const Header& h, size_t at, size_t size, uint64_t& value) {
  value = 0;
  if (uint8_t(h[at]) & 0x80) {
    for (size_t i = 0; i < size; ++i) {
      if (value >> 55) return false;
      value = value << 8 | (i == 0 ? uint8_t(h[at]) & 0x7F : uint8_t(h[at + i]));
    }
    return true;
  }
  size_t i = 0;
  while (i < size && h[at + i] == ' ') ++i;
  for (; i < size && h[at + i] >= '0' && h[at + i] <= '7'; ++i)
    value = value * 8 + (h[at + i] - '0');
  return i == size || h[at + i] == ' ' || h[at + i] == '\0';
}

// Sums of the header's bytes with its checksum field as spaces. Old writers summed signed chars.
bool checksum_fits(const Header& h) {
  uint64_t stored = 0;
  if (!number_field(h, kChecksum, 8, stored)) return false;
  int64_t plain = 0, sign = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const char c = i >= kChecksum && i < kChecksum + 8 ? ' ' : h[i];
    plain += uint8_t(c);
    sign += static_cast<signed char>(c);
  }
  return int64_t(stored) == plain || int64_t(stored) == sign;
}

struct Pax {
  std::string path;
  uint64_t size = 0;
  bool has_size = false;
};

// Records "LENGTH KEY=VALUE\n", LENGTH counting all of it. False if they are malformed.
bool parse_pax(std::string_view text, Pax& pax) {
  while (!text.empty() && text[0] != '\0') {
    size_t length = 0, at = 0;
    for (; at < text.size() && at < 8 && text[at] >= '0' && text[at] <= '9'; ++at) {
      length = length * 10 + size_t(text[at] - '0');
    }
    if (at == 0 || at >= text.size() || text[at] != ' ' || length > text.size() ||
        length < at + 2 || text[length - 1] != '\n') {
      return false;
    }
    const std::string_view record = text.substr(at + 1, length - at - 2);
    const size_t equal = record.find('=');
    if (equal == std::string_view::npos) return false;
    const std::string_view key = record.substr(0, equal), value = record.substr(equal + 1);
    if (key == "path") pax.path = value;
    if (key == "size") {
      if (value.empty() || value.size() > 18) return false;
      pax.size = 0;
      for (const char c : value) {
        if (c < '0' || c > '9') return false;
        pax.size = pax.size * 10 + uint64_t(c - '0');
      }
      pax.has_size = true;
    }
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::vector<TarMember> index_tar(const RandomFile& file, const std::string& name) {
  std::vector<TarMember> members;
  std::string long_name;
  Pax pax;
  for (uint64_t at = 0;;) {
    if (file.size() < kBlock || at > file.size() - kBlock) {
      fail("{}: truncated: ends at byte {} without the end mark; expected a tar archive whole",
           name, file.size());
    }
    Header h;
    file.read(at, kBlock, h.data());
    if (std::all_of(h.begin(), h.end(), [](char c) { return c == '\0'; })) return members;
    uint64_t size = 0;
    if (!checksum_fits(h) || !number_field(h, kSize, 12, size)) {
      fail(
          "{}: offset {}: no tar header (its checksum does not fit); expected an uncompressed tar "
          "archive",
          name, at);
    }
    const char type = h[kType];
    const bool meta = type == 'L' || type == 'K' || type == 'x' || type == 'g';
    if (!meta && pax.has_size) size = pax.size;
    at += kBlock;
    std::string path = text_field(h, kName, kNameSize);
    if (size > file.size() - at) {
      fail("{}: truncated: member {} has {} bytes from offset {}, the file ends at {}", name, path,
           size, at, file.size());
    }
    if (type == 'L' || type == 'x') {
      if (size > kMaxMeta) fail("{}: offset {}: a name of {} bytes", name, at, size);
      std::string content(size, '\0');
      file.read(at, size, content.data());
      if (type == 'L') {
        long_name = content.c_str();
      } else if (!parse_pax(content, pax)) {
        fail("{}: offset {}: malformed pax records", name, at);
      }
    } else if (!meta) {
      // "ustar\0" has a prefix here; GNU's "ustar  " has times.
      if (std::memcmp(h.data() + kMagic, "ustar\0", 6) == 0 && h[kPrefix] != '\0') {
        path = text_field(h, kPrefix, kPrefixSize) + "/" + path;
      }
      if (!long_name.empty()) path = long_name;
      if (!pax.path.empty()) path = pax.path;
      if (type == '0' || type == '\0' || type == '7') {
        members.push_back({std::move(path), at, size});
      }
      long_name.clear();
      pax = {};
    }
    at += (size + kBlock - 1) / kBlock * kBlock;
  }
}

void TarWriter::add(const std::string& member, std::string_view content) {
  MOME_CHECK(!member.empty() && member.size() <= kNameSize);
  if (content.size() >= uint64_t{1} << 33) fail("{}: member {} is over 8 GiB", name_, member);
  Header h{};
  std::memcpy(h.data() + kName, member.data(), member.size());
  const auto octal = [&](size_t at, int digits, uint64_t value) {
    fmt::format_to(h.data() + at, "{:0{}o}", value, digits);
  };
  octal(kMode, 7, 0644);
  octal(kUid, 7, 0);
  octal(kGid, 7, 0);
  octal(kSize, 11, content.size());
  octal(kTime, 11, 0);  // the same samples give the same bytes
  h[kType] = '0';
  std::memcpy(h.data() + kMagic, "ustar\00000", 8);
  std::memset(h.data() + kChecksum, ' ', 8);
  uint64_t sum = 0;
  for (const char c : h) sum += uint8_t(c);
  octal(kChecksum, 6, sum);
  h[kChecksum + 6] = '\0';
  file_.write(h.data(), h.size());
  file_.write(content);
  file_.write(std::string((kBlock - content.size() % kBlock) % kBlock, '\0'));
}

void TarWriter::finish() {
  file_.write(std::string(2 * kBlock, '\0'));
  file_.commit();
}

}  // namespace mome
