// `mome SUBCOMMAND …`. Exit codes: 0 done, 1 failed (bad input, full disk, no memory), 2 wrong use.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include "runtime/core/error.h"
#include "tools/commands.h"

namespace {

constexpr int kFailed = 1, kWrongUse = 2;

int complain(int code, const char* message) {
  std::fflush(stdout);
  fmt::print(stderr, "mome: {}\n", message);
  return code;
}

int run(int argc, char** argv) {
  CLI::App app("Mixture-of-Modality-Experts transformers, pretrained from scratch.", "mome");
  app.set_version_flag("--version", "mome 0.1.0");
  app.get_formatter()->column_width(34);
  mome::add_data_command(app);
  mome::add_pretrain_command(app);
  mome::add_finetune_command(app);
  mome::add_launch_command(app);
  mome::add_evaluate_command(app);
  mome::add_embed_command(app);
  mome::add_search_command(app);
  mome::add_serve_command(app);
  mome::add_config_command(app);
  mome::add_trace_command(app);
  mome::add_info_command(app);
  mome::add_convert_command(app);
  mome::add_bench_command(app);
  mome::add_report_command(app);
  mome::add_watch_command(app);
  mome::add_plan_command(app);
  try {
    app.parse(argc, argv);
    // Not app.require_subcommand(1): that would hide an unknown name behind "one is required".
    if (app.get_subcommands().empty()) {
      fmt::print(stderr, "{}", app.help());
      return complain(kWrongUse, "a subcommand is required");
    }
  } catch (const CLI::Success& request) {  // --help, --version
    return app.exit(request);
  } catch (const CLI::RuntimeError& error) {  // what was started has failed, and said so
    return error.get_exit_code();
  } catch (const CLI::ParseError& error) {
    return complain(kWrongUse, fmt::format("{}\nRun with --help for more.", error.what()).c_str());
  } catch (const mome::UsageError& error) {
    return complain(kWrongUse, error.what());
  } catch (const std::bad_alloc&) {
    return complain(kFailed, "out of memory");
  } catch (const std::exception& error) {
    return complain(kFailed, error.what());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int code = run(argc, argv);
  // What was printed counts only once it has arrived: a full disk shows here.
  if ((std::fflush(stdout) != 0 || std::ferror(stdout)) && code == 0)
    return complain(kFailed, fmt::format("standard output: {}", std::strerror(errno)).c_str());
  return code;
}
