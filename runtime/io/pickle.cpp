#include "runtime/io/pickle.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "runtime/core/error.h"

namespace mome {
namespace {

// As Python's pickletools names them.
enum Opcode : uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kEmptyList = ']',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kEmptyTuple = ')',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
};

/// The opcodes that are refused on purpose, so that a message can name them.
std::string opcode_name(uint8_t opcode) {
  constexpr std::pair<uint8_t, const char*> kNames[] = {
      {'i', "INST"},   {'o', "OBJ"},           {'P', "PERSID"},      {'I', "INT"},
      {'L', "LONG"},   {'S', "STRING"},        {'V', "UNICODE"},     {'F', "FLOAT"},
      {'g', "GET"},    {'p', "PUT"},           {'d', "DICT"},        {'l', "LIST"},
      {0x82, "EXT1"},  {0x83, "EXT2"},         {0x84, "EXT4"},       {0x92, "NEWOBJ_EX"},
      {0x95, "FRAME"}, {0x93, "STACK_GLOBAL"}, {0x96, "BYTEARRAY8"}, {0x94, "MEMOIZE"},
  };
  for (const auto& [code, name] : kNames)
    if (code == opcode) return fmt::format("opcode {}", name);
  return fmt::format("opcode 0x{:02x}", opcode);
}

}  // namespace

Pickle::Pickle(const std::string& where, std::span<const std::byte> bytes)
    : where_(where), bytes_(bytes) {
  run();
}

void Pickle::refuse(const std::string& what) const {
  fail("{}: byte {}: {}", where_, opcode_at_, what);
}

template <class T>
T Pickle::take() {
  if (bytes_.size() - at_ < sizeof(T)) refuse("the pickle is cut short");
  T value;
  std::memcpy(&value, bytes_.data() + at_, sizeof value);
  at_ += sizeof value;
  return value;
}

std::string_view Pickle::take_text(size_t bytes) {
  if (bytes > bytes_.size() - at_)
    refuse(fmt::format("a text of {} bytes, but {} follow", bytes, bytes_.size() - at_));
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + at_, bytes);
  at_ += bytes;
  return text;
}

std::string_view Pickle::take_line() {
  const auto rest = bytes_.subspan(at_);
  const auto end = std::find(rest.begin(), rest.end(), std::byte{'\n'});
  if (end == rest.end()) refuse("a name without an end");
  const std::string_view line = take_text(size_t(end - rest.begin()));
  ++at_;
  return line;
}

uint32_t Pickle::add(PickleValue value) {
  if (values_.size() >= kMaxValues)
    refuse(fmt::format("more than {} values: no checkpoint", kMaxValues));
  values_.push_back(std::move(value));
  return uint32_t(values_.size() - 1);
}

void Pickle::push(Kind kind, int64_t integer, std::string_view text) {
  stack_.push_back(add({kind, integer, text, {}}));
}

// Where the last `count` values begin. Values below a mark are out of reach.
size_t Pickle::last(size_t count) const {
  const size_t below = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() - below < count) refuse("the stack is empty");
  return stack_.size() - count;
}

uint32_t Pickle::pop() {
  const uint32_t number = stack_[last(1)];
  stack_.pop_back();
  return number;
}

size_t Pickle::pop_mark() {
  if (marks_.empty()) refuse("a mark is missing");
  const size_t from = marks_.back();
  marks_.pop_back();
  return from;
}

void Pickle::push_tuple(size_t from) {
  PickleValue tuple{Kind::kTuple, 0, {}, {stack_.begin() + ptrdiff_t(from), stack_.end()}};
  stack_.resize(from);
  stack_.push_back(add(std::move(tuple)));
}

void Pickle::run() {
  if (take<uint8_t>() != kProto) refuse("expected a pickle of protocol 2");
  if (const int protocol = take<uint8_t>(); protocol != 2)
    refuse(fmt::format("a pickle of protocol {}; expected 2, torch.save's default", protocol));
  while (!done_) {
    opcode_at_ = at_;
    step(take<uint8_t>());
  }
}

bool Pickle::push_scalar(uint8_t opcode) {
  switch (opcode) {
    case kNone:
      push(Kind::kNone);
      return true;
    case kNewTrue:
      push(Kind::kBool, 1);
      return true;
    case kNewFalse:
      push(Kind::kBool, 0);
      return true;
    case kBinInt:
      push(Kind::kInt, take<int32_t>());
      return true;
    case kBinInt1:
      push(Kind::kInt, take<uint8_t>());
      return true;
    case kBinInt2:
      push(Kind::kInt, take<uint16_t>());
      return true;
    case kLong1:
      push_long(take<uint8_t>());
      return true;
    case kLong4:
      push_long(take<uint32_t>());
      return true;
    case kBinFloat:
      take<uint64_t>();
      push(Kind::kFloat);
      return true;
    case kBinString:
      push(Kind::kText, 0, take_text(take<uint32_t>()));
      return true;
    case kShortBinString:
      push(Kind::kText, 0, take_text(take<uint8_t>()));
      return true;
    case kBinUnicode:
      push(Kind::kText, 0, take_text(take<uint32_t>()));
      return true;
    default:
      return false;
  }
}

// Two's complement, little endian. What needs more than 64 bits (a random state) is opaque.
void Pickle::push_long(size_t bytes) {
  const std::string_view digits = take_text(bytes);
  if (bytes > 8) return push(Kind::kOpaque);
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= uint64_t(uint8_t(digits[i])) << (8 * i);
  const int unused = 64 - 8 * int(bytes);
  push(Kind::kInt, bytes == 0 ? 0 : int64_t(value << unused) >> unused);
}

void Pickle::step(uint8_t opcode) {
  if (push_scalar(opcode)) return;
  switch (opcode) {
    case kMark:
      marks_.push_back(stack_.size());
      break;
    case kPop:
      pop();
      break;
    case kPopMark:
      stack_.resize(pop_mark());
      break;
    case kDup:
      stack_.push_back(stack_[last(1)]);
      break;
    case kEmptyList:
      push(Kind::kList);
      break;
    case kEmptyDict:
      push(Kind::kDict);
      break;
    case kEmptyTuple:
      push(Kind::kTuple);
      break;
    case kTuple:
      push_tuple(pop_mark());
      break;
    case kTuple1:
    case kTuple2:
    case kTuple3:
      push_tuple(last(size_t(opcode - kTuple1) + 1));
      break;
    case kAppend:
      add_items(Kind::kList, last(2) + 1);
      break;
    case kSetItem:
      add_items(Kind::kDict, last(3) + 1);
      break;
    case kAppends:
      add_items(Kind::kList, pop_mark());
      break;
    case kSetItems:
      add_items(Kind::kDict, pop_mark());
      break;
    case kBinPut:
      memo_[take<uint8_t>()] = stack_[last(1)];
      break;
    case kLongBinPut:
      memo_[take<uint32_t>()] = stack_[last(1)];
      break;
    case kBinGet:
    case kLongBinGet: {
      const uint32_t key = opcode == kBinGet ? take<uint8_t>() : take<uint32_t>();
      const auto found = memo_.find(key);
      if (found == memo_.end()) refuse(fmt::format("no value was kept as {}", key));
      stack_.push_back(found->second);
      break;
    }
    case kGlobal:
      push_global();
      break;
    case kBinPersId:
      push_storage();
      break;
    case kReduce:
    case kNewObj: {
      const uint32_t arguments = pop();
      call(pop(), arguments);
      break;
    }
    case kBuild:
      build();
      break;
    case kStop:
      root_ = pop();
      done_ = true;
      break;
    default:
      refuse(opcode_name(opcode) + " is refused: no state dict needs it");
  }
}

}  // namespace mome
