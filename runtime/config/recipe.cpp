#include "runtime/config/recipe.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <sstream>
#include <string_view>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

/// Where a node stands, for messages: a file's line, or the override that the user typed.
struct Source {
  std::string name;
  bool is_override;

  [[noreturn]] void error(const toml::source_region& region, const std::string& message) const {
    if (is_override) throw UsageError(fmt::format("{}: {}", name, message));
    fail("{}:{}: {}", name, region.begin.line, message);
  }
};

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

std::string joined(const std::string& prefix, std::string_view key) {
  return prefix.empty() ? std::string(key) : fmt::format("{}.{}", prefix, key);
}

/// The full names of all fields called `key`, anywhere in the tree.
void find_everywhere(const Fields& fields, std::string_view key, const std::string& prefix,
                     std::vector<std::string>* found) {
  for (const Fields::Field& field : fields.list()) {
    if (field.key == key) found->push_back(joined(prefix, field.key));
    if (field.table) find_everywhere(*field.table, key, joined(prefix, field.key), found);
  }
}

/// What to say about a key that no field has: a name of the same table that is close to it, or else
/// the same name in another table, or else the closest of the same table.
std::string unknown_key(const Fields& root, const Fields& table, const std::string& prefix,
                        std::string_view key) {
  std::string message = fmt::format("unknown key `{}`", joined(prefix, key));
  const auto& list = table.list();
  if (list.empty()) return message;
  const auto nearest = std::min_element(list.begin(), list.end(), [&](auto& a, auto& b) {
    return edit_distance(a.key, key) < edit_distance(b.key, key);
  });
  std::vector<std::string> elsewhere;
  if (edit_distance(nearest->key, key) > (key.size() + 2) / 3)
    find_everywhere(root, key, "", &elsewhere);
  return fmt::format(
      "{}; did you mean `{}`?", message,
      elsewhere.empty() ? nearest->key : fmt::format("{}", fmt::join(elsewhere, "` or `")));
}

std::string describe(const toml::node& node) {
  std::ostringstream text;
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      text << "the string \"" << node.as_string()->get() << '"';
      break;
    case toml::node_type::integer:
      text << "the integer " << *node.as_integer();
      break;
    case toml::node_type::floating_point:
      text << "the number " << *node.as_floating_point();
      break;
    case toml::node_type::boolean:
      text << *node.as_boolean();
      break;
    default:
      return "a date or time";
  }
  return text.str();
}

const char* expected_of(const bool*) { return "true or false"; }
const char* expected_of(const int*) { return "an integer of 32 bits"; }
const char* expected_of(const int64_t*) { return "an integer"; }
const char* expected_of(const double*) { return "a number"; }
const char* expected_of(const std::string*) { return "a string"; }

bool assign(const toml::node& node, bool* target) {
  const auto* value = node.as_boolean();
  return value != nullptr && (*target = value->get(), true);
}
bool assign(const toml::node& node, int64_t* target) {
  const auto* value = node.as_integer();
  return value != nullptr && (*target = value->get(), true);
}
bool assign(const toml::node& node, int* target) {
  int64_t wide;
  if (!assign(node, &wide) || wide != static_cast<int>(wide)) return false;
  *target = static_cast<int>(wide);
  return true;
}
bool assign(const toml::node& node, double* target) {
  if (const auto* value = node.as_integer())
    return *target = static_cast<double>(value->get()), true;
  const auto* value = node.as_floating_point();
  return value != nullptr && (*target = value->get(), true);
}
bool assign(const toml::node& node, std::string* target) {
  const auto* value = node.as_string();
  return value != nullptr && (*target = value->get(), true);
}

template <class T>
void set_value(const Source& source, const std::string& name, const toml::node& node, T* target) {
  if (!assign(node, target))
    source.error(node.source(),
                 fmt::format("{}: expected {}, got {}", name, expected_of(target), describe(node)));
}

template <class T>
void set_value(const Source& source, const std::string& name, const toml::node& node,
               std::vector<T>* target) {
  const toml::array* array = node.as_array();
  if (array == nullptr)
    source.error(node.source(), fmt::format("{}: expected an array, got {}", name, describe(node)));
  std::vector<T> values;
  for (const toml::node& element : *array) {
    T value;
    set_value(source, fmt::format("{}[{}]", name, values.size()), element, &value);
    values.push_back(value);
  }
  *target = std::move(values);
}

void set_table(const Source& source, const Fields& root, const Fields& fields,
               const std::string& prefix, const toml::table& table);

void set_field(const Source& source, const Fields& root, const Fields::Field& field,
               const std::string& name, const toml::node& node) {
  if (!field.table) {
    std::visit([&](auto* target) { set_value(source, name, node, target); }, field.target);
  } else if (const toml::table* nested = node.as_table()) {
    set_table(source, root, *field.table, name, *nested);
  } else {
    source.error(node.source(), fmt::format("{}: expected a table, got {}", name, describe(node)));
  }
}

void set_table(const Source& source, const Fields& root, const Fields& fields,
               const std::string& prefix, const toml::table& table) {
  for (const auto& [key, node] : table) {
    const Fields::Field* field = fields.find(key.str());
    if (field == nullptr) source.error(key.source(), unknown_key(root, fields, prefix, key.str()));
    set_field(source, root, *field, joined(prefix, key.str()), node);
  }
}

/// The value of an override: one TOML value, or the text itself where it is not one.
toml::table override_value(const std::string& text, bool wants_string) {
  try {
    toml::table parsed = toml::parse("value = " + text);
    if (parsed.size() == 1 && (!wants_string || parsed.begin()->second.is_string())) return parsed;
  } catch (const toml::parse_error&) {
  }
  return toml::table{{"value", text}};
}

void set_override(const std::string& text, const Fields& root) {
  const Source source{"--set " + text, true};
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw UsageError(fmt::format("--set {}: expected KEY=VALUE", text));
  const Fields* fields = &root;
  const Fields::Field* field = nullptr;
  std::string name;
  std::istringstream keys(text.substr(0, equals));
  for (std::string key; std::getline(keys, key, '.'); name = joined(name, key)) {
    if (fields == nullptr) source.error({}, fmt::format("{}: is a value, not a table", name));
    field = fields->find(key);
    if (field == nullptr) source.error({}, unknown_key(root, *fields, name, key));
    fields = field->table.get();
  }
  const bool wants_string =
      field->table == nullptr && std::holds_alternative<std::string*>(field->target);
  const toml::table value = override_value(text.substr(equals + 1), wants_string);
  set_field(source, root, *field, name, *value.get("value"));
}

std::string toml_text(bool value) { return value ? "true" : "false"; }
std::string toml_text(int value) { return fmt::format("{}", value); }
std::string toml_text(int64_t value) { return fmt::format("{}", value); }
std::string toml_text(double value) {
  std::string text = fmt::format("{}", value);  // The shortest text that gives the same double.
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}
std::string toml_text(const std::string& value) {
  std::string text = "\"";
  for (const unsigned char c : value) {
    if (c == '"' || c == '\\')
      (text += '\\') += static_cast<char>(c);
    else if (c < 0x20 || c == 0x7f)
      text += fmt::format("\\u{:04x}", c);
    else
      text += static_cast<char>(c);
  }
  return text + '"';
}
template <class T>
std::string toml_text(const std::vector<T>& values) {
  std::string text = "[";
  for (size_t i = 0; i < values.size(); ++i)
    text += (i > 0 ? ", " : "") + toml_text(static_cast<T>(values[i]));
  return text + "]";
}

void print_table(const Fields& fields, const std::string& prefix, std::string* text) {
  for (const Fields::Field& field : fields.list()) {
    if (field.table) continue;
    const std::string line =
        fmt::format("{} = {}", field.key,
                    std::visit([](const auto* value) { return toml_text(*value); }, field.target));
    *text += field.help.empty() ? line + "\n" : fmt::format("{:<36}  # {}\n", line, field.help);
  }
  // Tables last: a key after a table's header would belong to that table.
  for (const Fields::Field& field : fields.list()) {
    if (!field.table) continue;
    const std::string name = joined(prefix, field.key);
    *text += fmt::format("{}[{}]{}\n", text->empty() ? "" : "\n", name,
                         field.help.empty() ? "" : "  # " + field.help);
    print_table(*field.table, name, text);
  }
}

}  // namespace

const Fields::Field* Fields::find(std::string_view key) const {
  for (const Field& field : fields_)
    if (field.key == key) return &field;
  return nullptr;
}

void load_fields(const std::string& path, std::span<const std::string> overrides,
                 const Fields& fields) {
  if (!path.empty()) try {
    set_table({path, false}, fields, fields, "", toml::parse(read_file(path), path));
  } catch (const toml::parse_error& error) {
    fail("{}:{}:{}: {}", path, error.source().begin.line, error.source().begin.column,
         error.description());
  }
  for (const std::string& text : overrides) set_override(text, fields);
}

std::string print_fields(const Fields& fields) {
  std::string text;
  print_table(fields, "", &text);
  return text;
}

}  // namespace mome
