// One exception type for everything that bad input can cause. Its text is what the user reads:
// "FILE: PLACE: what is wrong; expected WHAT". The program prints it and exits with 1.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace mome {

/// Something that the user can mend: a file, a recipe, a record.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// Wrong use of the program (unknown option, impossible combination): exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

template <class... A>
[[noreturn]] void fail(fmt::format_string<A...> format, A&&... args) {
  throw Error(fmt::format(format, std::forward<A>(args)...));
}

/// A broken promise inside the program (not the user's doing): shapes that do not match and the like.
#define MOME_CHECK(condition)                                                                    \
  do {                                                                                           \
    if (!(condition))                                                                            \
      throw std::logic_error(fmt::format("{}:{}: check failed: {}", __FILE__, __LINE__, #condition)); \
  } while (0)

}  // namespace mome
