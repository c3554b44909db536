// Recipes: C++ structs bound to TOML, both ways, with each field named once. A config struct writes
//
//   template <class V> void visit(V& v, ModelConfig& c) {
//     v("depth", c.depth, "blocks");
//     v.table("attention", c.attention, "the attention of every block");
//   }
//
// beside itself (found by argument-dependent lookup); load_recipe() and print_recipe() do the rest.
// A field keeps the struct's default where the file does not name it. Keys that no field has, and
// values of a wrong type, are errors that name the file and the line.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace mome {

/// Where a value is stored. Integers are read into doubles too; nothing else is converted.
using FieldTarget = std::variant<bool*, int*, int64_t*, double*, std::string*, std::vector<bool>*,
                                 std::vector<int>*, std::vector<int64_t>*, std::vector<double>*,
                                 std::vector<std::string>*>;

/// The fields of a struct, gathered by its visit(): a tree of values and tables in their order.
class Fields {
 public:
  struct Field {
    std::string key;
    std::string help;               ///< one line, printed as a comment
    FieldTarget target;             ///< of a value
    std::unique_ptr<Fields> table;  ///< of a table; null for a value
  };

  template <class T>
  void operator()(const char* key, T& value, const char* help) {
    fields_.push_back({key, help, FieldTarget(&value), nullptr});
  }
  template <class S>
  void table(const char* key, S& nested, const char* help = "") {
    auto fields = std::make_unique<Fields>();
    visit(*fields, nested);
    fields_.push_back({key, help, FieldTarget(static_cast<bool*>(nullptr)), std::move(fields)});
  }

  const std::vector<Field>& list() const { return fields_; }
  const Field* find(std::string_view key) const;

 private:
  std::vector<Field> fields_;
};

/// Reads the TOML file into the fields (path empty: there is none), then the overrides "a.b.c=value" in their order: the value
/// is TOML, or a plain string where it is not (or where the field is a string). Errors:
/// "FILE:LINE:COLUMN: …" for bad TOML, "FILE:LINE: …" for unknown keys and wrong types,
/// "--set TEXT: …" for overrides (a UsageError).
void load_fields(const std::string& path, std::span<const std::string> overrides,
                 const Fields& fields);
/// The fields as TOML, with the help as comments. Read again, it gives the same values, bit for
/// bit.
std::string print_fields(const Fields& fields);

/// `defaults` overwritten by the file and the overrides.
template <class Root>
Root load_recipe(const std::string& path, std::span<const std::string> overrides,
                 Root defaults = {}) {
  Fields fields;
  visit(fields, defaults);
  load_fields(path, overrides, fields);
  return defaults;
}

/// The effective recipe.
template <class Root>
std::string print_recipe(Root root) {
  Fields fields;
  visit(fields, root);
  return print_fields(fields);
}

}  // namespace mome
