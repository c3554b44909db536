// The opcodes of a pickle that name, call and fill objects: the part that makes pickles dangerous.
// Here a call only notes what it would have made.
#include <utility>

#include "runtime/core/error.h"
#include "runtime/io/pickle.h"

namespace mome {
namespace {

constexpr size_t kMaxDimensions = 64;  // PyTorch's own limit

}  // namespace

std::string Pickle::name_of(uint32_t number) const {
  constexpr const char* kKinds[] = {"None",   "a bool",    "an int",   "a float",
                                    "a text", "a tuple",   "a list",   "a dict",
                                    "",       "a storage", "a tensor", "an object"};
  const PickleValue& value = values_[number];
  const bool named = value.kind == Kind::kGlobal || value.kind == Kind::kOpaque;
  return named && !value.text.empty() ? fmt::format("`{}`", value.text)
                                      : kKinds[size_t(value.kind)];
}

bool Pickle::means(uint32_t number, PickleMeaning meaning) const {
  return values_[number].kind == Kind::kGlobal && values_[number].integer == int64_t(meaning);
}

void Pickle::push_global() {
  const std::string_view module = take_line(), name = take_line();
  const std::string full = fmt::format("{} {}", module, name);
  const PickleName* known = find_pickle_name(full);
  if (known == nullptr)
    refuse(
        fmt::format("the name `{}.{}` is refused: it is not on the list of what a checkpoint may "
                    "hold, and running it could do anything",
                    module, name));
  if (known->meaning == PickleMeaning::kOpaque) return push(Kind::kOpaque, 0, known->name);
  push(Kind::kGlobal, int64_t(known->meaning), known->name);
}

void Pickle::push_storage() {
  const PickleValue id = values_[pop()];
  const auto is = [&](size_t i, Kind kind) { return values_[id.items[i]].kind == kind; };
  if (id.kind != Kind::kTuple || id.items.size() != 5 || !is(0, Kind::kText) ||
      values_[id.items[0]].text != "storage" || !is(1, Kind::kGlobal) || !is(2, Kind::kText) ||
      !is(3, Kind::kText) || !is(4, Kind::kInt) || values_[id.items[4]].integer < 0)
    refuse("a persistent value that is not (\"storage\", type, key, place, elements)");
  if (!means(id.items[1], PickleMeaning::kStorage))
    refuse(fmt::format("{} as the type of a storage", name_of(id.items[1])));
  push(Kind::kStorage, values_[id.items[4]].integer, values_[id.items[2]].text);
  values_.back().items = {id.items[1]};
}

void Pickle::call(uint32_t function, uint32_t arguments) {
  const PickleValue &callee = values_[function], &given = values_[arguments];
  if (given.kind != Kind::kTuple) refuse("a call whose arguments are not a tuple");
  if (callee.kind == Kind::kOpaque) return push(Kind::kOpaque, 0, callee.text);
  if (means(function, PickleMeaning::kOrderedDict)) return call_ordered_dict(arguments);
  if (means(function, PickleMeaning::kRebuildTensor)) return call_rebuild_tensor(arguments);
  if (means(function, PickleMeaning::kRebuildParameter)) {  // (data, requires_grad, hooks)
    if (given.items.size() != 3 || values_[given.items[0]].kind != Kind::kTensor)
      refuse("a parameter that is not (tensor, requires_grad, hooks)");
    return stack_.push_back(given.items[0]);
  }
  refuse(fmt::format("a call of {} is refused", name_of(function)));
}

// OrderedDict() or, as older versions wrote it, OrderedDict([[key, value], …]).
void Pickle::call_ordered_dict(uint32_t arguments) {
  const std::vector<uint32_t> given = values_[arguments].items;
  std::vector<uint32_t> items;
  if (!given.empty()) {
    const PickleValue& pairs = values_[given[0]];
    if (given.size() != 1 || (pairs.kind != Kind::kList && pairs.kind != Kind::kTuple))
      refuse("an OrderedDict that is not made of a list of pairs");
    for (uint32_t number : pairs.items) {
      const PickleValue& pair = values_[number];
      if ((pair.kind != Kind::kList && pair.kind != Kind::kTuple) || pair.items.size() != 2)
        refuse("an OrderedDict that is not made of a list of pairs");
      items.insert(items.end(), pair.items.begin(), pair.items.end());
    }
  }
  // One long list may be named by many calls.
  copied_ += items.size();
  if (copied_ > kMaxValues) refuse(fmt::format("more than {} values: no checkpoint", kMaxValues));
  push(Kind::kDict);
  values_.back().items = std::move(items);
}

// (storage, offset, sizes, strides, requires_grad, hooks[, metadata])
void Pickle::call_rebuild_tensor(uint32_t arguments) {
  const std::vector<uint32_t> given = values_[arguments].items;
  const auto is = [&](size_t i, Kind kind) { return values_[given[i]].kind == kind; };
  const auto integers = [&](uint32_t number) {
    if (values_[number].items.size() > kMaxDimensions) return false;
    for (uint32_t item : values_[number].items)
      if (values_[item].kind != Kind::kInt) return false;
    return true;
  };
  if ((given.size() != 6 && given.size() != 7) || !is(0, Kind::kStorage) || !is(1, Kind::kInt) ||
      !is(2, Kind::kTuple) || !is(3, Kind::kTuple) || !integers(given[2]) || !integers(given[3]))
    refuse("a tensor that is not (storage, offset, sizes, strides, requires_grad, hooks)");
  push(Kind::kTensor);
  values_.back().items.assign(given.begin(), given.begin() + 4);
}

// Attributes of an OrderedDict (a state dict's _metadata) or of an object: of no interest.
void Pickle::build() {
  pop();
  const uint32_t number = stack_[last(1)];
  const Kind kind = values_[number].kind;
  if (kind != Kind::kDict && kind != Kind::kOpaque)
    refuse(fmt::format("attributes of {} are refused", name_of(number)));
}

void Pickle::add_items(Kind kind, size_t from) {
  if (from <= (marks_.empty() ? 0 : marks_.back())) refuse("the stack is empty");
  const uint32_t number = stack_[from - 1];
  PickleValue& value = values_[number];
  if (kind == Kind::kDict && (stack_.size() - from) % 2 != 0) refuse("a key without a value");
  if (value.kind == kind)
    value.items.insert(value.items.end(), stack_.begin() + ptrdiff_t(from), stack_.end());
  else if (value.kind != Kind::kOpaque)
    refuse(fmt::format("items for {} are refused", name_of(number)));
  stack_.resize(from);
}

}  // namespace mome
