// What a pickled state dict says, read without running anything. A pickle is a program for a small
// stack machine whose instructions may name any function of the machine that unpickles it and call
// it; this reader knows the opcodes of protocol 2 that torch.save emits and a fixed list of names.
// A few names (of tensors, storages and ordered dicts) have a meaning here; others, which training
// frameworks leave in their checkpoints, become opaque values; any other name is refused.
// Source: Python's pickletools module, which documents every opcode; torch/serialization.py.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mome {

/// What a name on the list of names means.
enum class PickleMeaning { kOpaque, kOrderedDict, kRebuildTensor, kRebuildParameter, kStorage };
struct PickleName {
  std::string_view name;  ///< "module name"
  PickleMeaning meaning;
};
/// The list's entry of this name ("module name"); null if there is none: it is refused.
const PickleName* find_pickle_name(std::string_view name);

/// A value of the pickle. Values refer to each other by their numbers, so that no nesting, however
/// deep or circular, costs recursion, and a shared value exists once.
struct PickleValue {
  enum class Kind : uint8_t {
    kNone,
    kBool,  ///< integer
    kInt,   ///< integer
    kFloat,
    kText,     ///< text
    kTuple,    ///< items
    kList,     ///< items
    kDict,     ///< items: key, value, key, value, …
    kGlobal,   ///< text: "module name"; integer: its PickleMeaning
    kStorage,  ///< text: key of its bytes; integer: elements; items[0]: its type, a kGlobal
    kTensor,   ///< items: storage, offset, sizes, strides (checked to be of these kinds)
    kOpaque,   ///< of no interest: text holds its type's name where that is known
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;
  std::string_view text;
  std::vector<uint32_t> items;
};

class Pickle {
 public:
  /// Reads the whole program. `where` begins every message; texts of values lie in `bytes`, which
  /// must outlive the object. Errors name the byte and what is refused: an unknown opcode, a name
  /// that is not on the list, a length behind the end, more values than any checkpoint has.
  Pickle(const std::string& where, std::span<const std::byte> bytes);

  const PickleValue& root() const { return values_[root_]; }
  const PickleValue& operator[](uint32_t number) const { return values_[number]; }

 private:
  using Kind = PickleValue::Kind;

  [[noreturn]] void refuse(const std::string& what) const;
  void run();
  void step(uint8_t opcode);
  bool push_scalar(uint8_t opcode);
  void push_long(size_t bytes);
  void push_global();
  void push_storage();
  void call(uint32_t function, uint32_t arguments);
  void call_ordered_dict(uint32_t arguments);
  void call_rebuild_tensor(uint32_t arguments);
  void build();
  void add_items(Kind kind, size_t from);

  template <class T>
  T take();  // the next bytes of the program as an integer
  std::string_view take_text(size_t bytes);
  std::string_view take_line();
  uint32_t add(PickleValue value);
  void push(Kind kind, int64_t integer = 0, std::string_view text = {});
  void push_tuple(size_t from);
  uint32_t pop();
  size_t last(size_t count) const;
  size_t pop_mark();
  bool means(uint32_t number, PickleMeaning meaning) const;
  std::string name_of(uint32_t number) const;

  // A checkpoint of VLMo-Large with its optimizer's state has some 30,000 values. The limit bounds
  // the memory that a hostile file can ask for (a value may cost it one byte, and costs 56 here).
  static constexpr size_t kMaxValues = 2'000'000;

  std::string where_;
  std::span<const std::byte> bytes_;
  size_t at_ = 0, opcode_at_ = 0;
  bool done_ = false;
  std::vector<PickleValue> values_;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;  // stack heights
  std::unordered_map<uint32_t, uint32_t> memo_;
  size_t copied_ = 0;  // items of dicts that were made from lists
  uint32_t root_ = 0;
};

}  // namespace mome
