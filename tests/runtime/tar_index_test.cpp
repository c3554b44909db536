// The index of tar archives: against archives put together block by block, and damaged ones.
#include <algorithm>
#include <cstring>
#include <random>

#include "runtime/data/tar.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

struct Entry {
  std::string name, content;
  char type = '0';
  std::string prefix = "";
  bool gnu = false, base256 = false;
};

// A header and its content, written independently of TarWriter.
std::string blocks(const Entry& e) {
  std::string h(512, '\0');
  h.replace(0, e.name.size(), e.name);
  h.replace(100, 8, "0000644 ");
  if (e.base256) {
    h[124] = char(0x80);
    for (int i = 0; i < 8; ++i) h[135 - i] = char(e.content.size() >> (8 * i));
  } else {
    char size[16];
    std::snprintf(size, sizeof size, "%011o ", unsigned(e.content.size()));
    h.replace(124, 12, size, 12);
  }
  h[156] = e.type;
  h.replace(257, 8,
            e.gnu ? std::string("ustar  ") + '\0'
                  : std::string("ustar\0"
                                "00",
                                8));
  h.replace(345, e.prefix.size(), e.prefix);
  h.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char c : h) sum += uint8_t(c);
  char text[9];
  std::snprintf(text, sizeof text, "%06o%c ", sum, '\0');
  h.replace(148, 8, text, 8);
  return h + e.content + std::string((512 - e.content.size() % 512) % 512, '\0');
}

const std::string kEnd(1024, '\0');

std::string pax(const std::string& key, const std::string& value) {
  const std::string body = " " + key + "=" + value + "\n";
  size_t length = body.size() + 1;
  while (std::to_string(length).size() + body.size() != length) ++length;
  return std::to_string(length) + body;
}

std::vector<TarMember> index_of(const TemporaryFolder& folder, const std::string& bytes) {
  const std::string name = folder.write("t.tar", bytes);
  return index_tar(RandomFile(name), name);
}

TEST(TarIndex, EveryKindOfHeader) {
  const TemporaryFolder folder;
  const std::string longer(300, 'n');
  std::vector<std::string> parts = {
      blocks({"plain", "12345"}),
      blocks({"folder/", "", '5'}),
      blocks({"tail", std::string(512, 'x'), '0', "some/prefix"}),
      blocks({"gnu", "a", '0', "\1time", true}),  // GNU keeps times where ustar has its prefix
      blocks({"././@LongLink", longer + '\0', 'L', "", true}),
      blocks({"cut", "b", '0', "", true}),
      blocks({"after", "c"}),
      blocks({"global", pax("path", "wrong"), 'g'}),
      blocks({"pax", pax("mtime", "1.5") + pax("path", "p/" + longer), 'x'}),
      blocks({"cut", "d"}),
      blocks({"large", "eee", '0', "", true, true}),
      blocks({"link", "", '2'}),
      blocks({"old", "f", '\0'}),
      blocks({"empty", ""}),
  };
  std::string archive;
  for (const std::string& part : parts) archive += part;
  const auto members = index_of(folder, archive + kEnd + "rubbish after the end");
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"plain", "12345"}, {"some/prefix/tail", std::string(512, 'x')},
      {"gnu", "a"},       {longer, "b"},
      {"after", "c"},     {"p/" + longer, "d"},
      {"large", "eee"},   {"old", "f"},
      {"empty", ""}};
  ASSERT_EQ(members.size(), expected.size());
  for (size_t i = 0; i < members.size(); ++i) {
    EXPECT_EQ(members[i].name, expected[i].first);
    EXPECT_EQ(archive.substr(members[i].offset, members[i].size), expected[i].second);
  }
}

TEST(TarIndex, PaxSizeCounts) {
  const TemporaryFolder folder;
  std::string member = blocks({"m", std::string(600, 'z')});
  // The header's own size is 0, as writers put it for contents of 8 GiB and more.
  std::string zero = blocks({"m", ""});
  member.replace(0, 512, zero);
  const auto members =
      index_of(folder, blocks({"x", pax("size", "600"), 'x'}) + member + blocks({"n", "1"}) + kEnd);
  ASSERT_EQ(members.size(), 2u);
  EXPECT_EQ(members[0].size, 600u);
  EXPECT_EQ(members[1].name, "n");
}

TEST(TarIndex, BrokenArchivesSayWhere) {
  const TemporaryFolder folder;
  const std::string good = blocks({"a", "12345"}) + blocks({"b", std::string(2000, 'b')});
  const auto error = [&](const std::string& bytes) {
    return error_of([&] { index_of(folder, bytes); });
  };
  expect_in(error(""), {"t.tar", "truncated"});
  expect_in(error(good), {"truncated", "without the end mark"});
  expect_in(error(good.substr(0, 1900)), {"truncated: member b has 2000 bytes from offset 1536"});
  expect_in(error(good.substr(0, 1300)), {"truncated: ends at byte 1300"});
  expect_in(error(std::string("\x1F\x8B compressed") + std::string(600, 'x')),
            {"offset 0: no tar header", "uncompressed"});
  std::string damaged = good + kEnd;
  damaged[1024 + 3] = 'x';
  expect_in(error(damaged), {"offset 1024: no tar header"});
  expect_in(error(blocks({"x", "99 path=short\n", 'x'}) + good + kEnd), {"malformed pax"});
  expect_in(error(blocks({"x", pax("size", "12x"), 'x'}) + good + kEnd), {"malformed pax"});
}

TEST(TarIndex, WhatTheWriterWritesIsRead) {
  const TemporaryFolder folder;
  const std::string name = folder / "w.tar", member(100, 'm');
  {
    TarWriter tar(name);
    tar.add(member, "1");
    tar.add("e", "");
    tar.add("f", std::string(512, 'f'));
    EXPECT_FALSE(std::filesystem::exists(name));  // nothing half-written under its name
    tar.finish();
  }
  const auto members = index_tar(RandomFile(name), name);
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members[0].name, member);
  EXPECT_EQ(members[2].size, 512u);
  const auto files = [&] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  };
  // One that is not finished leaves nothing behind, and the old one as it was.
  {
    TarWriter dropped(folder / "d.tar"), again(name);
    again.add("other", "2");
  }
  EXPECT_EQ(files(), (std::vector<std::string>{"w.tar"}));
  EXPECT_EQ(index_tar(RandomFile(name), name).size(), 3u);
  expect_in(error_of([&] { TarWriter(folder / "w.tar/such.tar"); }),
            {"w.tar/such.tar", "cannot make its folder"});
  {
    TarWriter first(name);
    expect_in(error_of([&] { TarWriter second(name); }), {name, "another writer"});
  }
}

// Whatever the bytes: an index within the file, or an Error.
TEST(TarIndex, RandomDamage) {
  const TemporaryFolder folder;
  const std::string good = blocks({"a.jpg", "12345"}) + blocks({"x", pax("path", "b.jpg"), 'x'}) +
                           blocks({"b", std::string(700, 'b')}) +
                           blocks({"l", std::string(200, 'l'), 'L'}) + blocks({"c", "c"}) + kEnd;
  std::mt19937 random(2);
  int errors = 0;
  for (int round = 0; round < 500; ++round) {
    std::string bytes = good;
    if (round % 3 == 0) bytes.resize(random() % bytes.size());
    for (int i = 0; i < int(random() % 6) && !bytes.empty(); ++i) {
      bytes[random() % bytes.size()] = char(random());
    }
    if (round % 10 == 0) {
      for (char& c : bytes) c = char(random());
    }
    // A damaged header with a checksum that fits reaches further into the reader.
    if (round % 2 && bytes.size() > 2048) {
      for (const size_t at : {size_t(0), size_t(1024)}) {
        bytes[at + 100 + random() % 60] = char(random());
        std::memset(&bytes[at + 148], ' ', 8);
        unsigned sum = 0;
        for (size_t i = 0; i < 512; ++i) sum += uint8_t(bytes[at + i]);
        std::snprintf(&bytes[at + 148], 8, "%06o", sum);
        bytes[at + 155] = ' ';
      }
    }
    try {
      for (const TarMember& member : index_of(folder, bytes)) {
        ASSERT_LE(member.offset, bytes.size());
        ASSERT_LE(member.size, bytes.size() - member.offset);
      }
    } catch (const Error& e) {
      ++errors;
      expect_in(e.what(), {"t.tar"});
    }
  }
  EXPECT_GT(errors, 100);
}

}  // namespace
}  // namespace mome
