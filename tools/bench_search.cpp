// `mome bench search`: times exact search among random unit vectors.
#include <omp.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "kernels/common/parallel.h"
#include "kernels/common/philox.h"
#include "models/evaluation/nearest.h"
#include "tools/bench_timing.h"
#include "tools/commands.h"

namespace mome {
namespace {

struct Options {
  int64_t rows = 1'000'000, dim = 768, top = 10, repeats = 3;
  std::vector<int64_t> queries = {1, 256};
  std::string dtype = "f32";
  int threads = 0;
  bool json = false;
};

// Normal values, each row to length 1: directions are uniform on the sphere.
template <class T>
std::vector<T> unit_rows(int64_t n, int64_t dim, uint64_t seed) {
  std::vector<T> out(size_t(n * dim));
  parallel_chunks(n, 1024, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(dim));
    for (int64_t r = begin; r < end; ++r) {
      RandomStream random(seed, 0, Purpose::kSynthetic, uint64_t(r));
      double square = 0;
      for (float& v : row) v = random.normal(), square += double(v) * double(v);
      for (int64_t i = 0; i < dim; ++i)
        out[size_t(r * dim + i)] = from_float<T>(row[size_t(i)] / float(std::sqrt(square)));
    }
  });
  return out;
}

double median_seconds(int64_t repeats, const std::function<void()>& work) {
  work();  // pages and threads are there from now on
  std::vector<double> seconds;
  for (int64_t i = 0; i < repeats; ++i) seconds.push_back(seconds_of(work));
  return median(std::move(seconds));
}

template <class T>
void bench(const Options& o, DType dtype) {
  const std::vector<T> gallery = unit_rows<T>(o.rows, o.dim, 1);
  const FeatureBlock block{gallery.data(), o.rows, dtype};
  nlohmann::json all = nlohmann::json::array();
  for (const int64_t n : o.queries) {
    const std::vector<float> queries = unit_rows<float>(n, o.dim, 2);
    std::vector<std::vector<Neighbour>> found;
    // A single query takes a fraction of a second: as many as make the clock's share small.
    const int64_t repeats = n < 16 ? 5 * o.repeats : o.repeats;
    const double s = median_seconds(repeats, [&] {
      found = nearest({&block, 1}, o.dim, n, queries.data(), o.top);
    });
    all.push_back({{"queries", n},
                   {"queries_per_s", double(n) / s},
                   {"seconds", s},
                   {"repeats", repeats},
                   {"best", found[0].empty() ? 0 : found[0][0].score}});
  }
  const double rss = peak_rss_mib();
  if (o.json) {
    fmt::print("{}\n", nlohmann::json{{"rows", o.rows},
                                      {"dim", o.dim},
                                      {"top", o.top},
                                      {"dtype", o.dtype},
                                      {"threads", omp_get_max_threads()},
                                      {"results", all},
                                      {"peak_rss_mib", rss}}
                           .dump());
    return;
  }
  for (const auto& r : all) {
    const double n = r["queries"], s = r["seconds"];
    fmt::print(
        "{} of {} rows [{}, {}]: {} queries in {:.4f} s, {:.2f} queries/s, {:.1f} GF/s, "
        "{:.1f} GB/s\n",
        o.top, o.dtype, o.rows, o.dim, n, s, n / s, 2 * n * double(o.rows * o.dim) / s * 1e-9,
        double(o.rows * o.dim) * double(sizeof(T)) / s * 1e-9);
  }
  fmt::print("peak {:.0f} MiB\n", rss);
}

void run(const Options& o) {
  if (o.threads > 0) omp_set_num_threads(o.threads);
  o.dtype == "f16" ? bench<half>(o, DType::kF16) : bench<float>(o, DType::kF32);
}

}  // namespace

void add_bench_search_command(CLI::App& bench) {
  CLI::App* c = bench.add_subcommand("search", "Time exact search among random unit vectors");
  auto o = std::make_shared<Options>();
  c->add_option("--rows", o->rows, "vectors to search")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--dim", o->dim, "their width")->check(CLI::PositiveNumber)->capture_default_str();
  c->add_option("--queries", o->queries, "queries asked at once; several cases with commas")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--top", o->top, "results a query")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--dtype", o->dtype, "of the vectors: f32 or f16")
      ->check(CLI::IsMember({"f32", "f16"}))
      ->capture_default_str();
  c->add_option("--repeats", o->repeats, "timed calls a case; five times as many of few queries")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  c->add_option("--threads", o->threads, "0: all cores")->capture_default_str();
  c->add_flag("--json", o->json, "one JSON line");
  c->callback([o] { run(*o); });
}

}  // namespace mome
