#include "runtime/log/tensorboard.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>
#include <variant>

#include "runtime/io/atomic_file.h"
#include "runtime/io/crc32c.h"

namespace mome {
namespace {

// A protobuf message by field number: integers (fixed and varint) or bytes.
using Message = std::map<int, std::variant<uint64_t, std::string>>;

Message decode(std::string_view bytes) {
  Message message;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes.at(0));
      bytes.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (!bytes.empty()) {
    const uint64_t key = varint();
    const int field = static_cast<int>(key >> 3), type = static_cast<int>(key & 7);
    if (type == 0) {
      message[field] = varint();
      continue;
    }
    EXPECT_TRUE(type == 1 || type == 2 || type == 5) << type;
    const size_t size = type == 1 ? 8 : type == 5 ? 4 : varint();
    const std::string content(bytes.substr(0, size));
    EXPECT_EQ(content.size(), size);
    bytes.remove_prefix(size);
    if (type == 2) {
      message[field] = content;
    } else {
      uint64_t value = 0;
      std::memcpy(&value, content.data(), size);
      message[field] = value;
    }
  }
  return message;
}

template <class T>
T number(const Message& message, int field) {
  const uint64_t bits = std::get<uint64_t>(message.at(field));
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::vector<Message> read_events(const std::string& path) {
  const std::string text = read_file(path);
  std::string_view rest = text;
  std::vector<Message> events;
  while (rest.size() >= 16) {
    uint64_t length;
    uint32_t length_crc, data_crc;
    std::memcpy(&length, rest.data(), 8);
    std::memcpy(&length_crc, rest.data() + 8, 4);
    EXPECT_EQ(length_crc, masked_crc32c(rest.substr(0, 8)));
    const std::string_view data = rest.substr(12, length);
    std::memcpy(&data_crc, rest.data() + 12 + length, 4);
    EXPECT_EQ(data_crc, masked_crc32c(data));
    events.push_back(decode(data));
    rest.remove_prefix(16 + length);
  }
  EXPECT_TRUE(rest.empty());
  return events;
}

TEST(TensorBoard, WritesScalarsThatDecode) {
  const std::string folder = testing::TempDir() + "mome_tensorboard_" + std::to_string(getpid());
  const double before = static_cast<double>(std::time(nullptr)) - 1;
  const std::string long_tag(300, 't');  // Its length takes two bytes.
  TensorBoardLog log(folder + "/deep", 1000);
  log.scalar("pairs/loss", 1000, 0.1);
  log.scalar(long_tag, INT64_MAX, -2);
  TensorBoardLog second(folder + "/deep", 2000);
  EXPECT_NE(log.path(), second.path());
  EXPECT_NE(log.path().find("/events.out.tfevents."), std::string::npos);

  const std::vector<Message> events = read_events(log.path());
  ASSERT_EQ(events.size(), 4u);
  for (const Message& event : events) {
    EXPECT_GE(number<double>(event, 1), before);
    EXPECT_LE(number<double>(event, 1), before + 60);
  }
  EXPECT_EQ(std::get<std::string>(events[0].at(3)), "brain.Event:2");
  EXPECT_EQ(number<int64_t>(events[1], 2), 1000);
  EXPECT_EQ(number<int64_t>(decode(std::get<std::string>(events[1].at(7))), 1), 1) << "START";
  const auto point = [](const Message& event) {
    return decode(std::get<std::string>(decode(std::get<std::string>(event.at(5))).at(1)));
  };
  EXPECT_EQ(number<int64_t>(events[2], 2), 1000);
  EXPECT_EQ(std::get<std::string>(point(events[2]).at(1)), "pairs/loss");
  EXPECT_EQ(number<float>(point(events[2]), 2), 0.1f);
  EXPECT_EQ(number<int64_t>(events[3], 2), INT64_MAX);
  EXPECT_EQ(std::get<std::string>(point(events[3]).at(1)), long_tag);
  EXPECT_EQ(number<float>(point(events[3]), 2), -2.0f);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace mome
