#include "tools/report/page.h"

#include <fmt/format.h>

#include <filesystem>

#include "runtime/core/error.h"
#include "runtime/data/read_bytes.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

using json = nlohmann::ordered_json;  // parts and kinds in the order of the files

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --back: #fcfcfb; --text: #1f2328; --soft: #667; --grid: #d9dadd;
  --accent: #2563b0; --new: #b3541e; --card: #fff; }
@media (prefers-color-scheme: dark) { :root { --back: #17191c; --text: #e6e7e9; --soft: #9aa0a8;
  --grid: #363a40; --accent: #74a9ea; --new: #f0a05a; --card: #202327; } }
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif;
  max-width: 1140px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; } h3 { font-size: 1em; }
p, figcaption { color: var(--soft); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 10px; }
svg { background: var(--card); border: 1px solid var(--grid); border-radius: 6px; width: 100%; }
svg text { fill: var(--soft); font-size: 11px; } svg .title { fill: var(--text); font-size: 13px; }
svg .y, svg .last { text-anchor: end; } svg .x { text-anchor: middle; }
svg .grid { stroke: var(--grid); } svg polyline { fill: none; stroke: var(--accent); }
svg .raw { opacity: .35; } svg .mean { stroke-width: 2; }
table { border-collapse: collapse; } th, td { padding: .25em .8em; text-align: right; }
th:first-child, td:first-child { text-align: left; } tr { border-bottom: 1px solid var(--grid); }
th { font-weight: 600; } th[colspan] { text-align: center; } td { font-variant-numeric: tabular-nums; }
.hits { display: grid; grid-template-columns: repeat(auto-fill, minmax(116px, 1fr)); gap: 10px; }
figure { margin: 0; padding: 8px; background: var(--card); border: 2px solid var(--grid);
  border-radius: 6px; text-align: center; }
figure img { width: 88px; height: 88px; object-fit: contain; background: #fff; border-radius: 4px; }
figcaption { font-size: 12px; line-height: 1.3; overflow-wrap: anywhere; }
figure.new { border-color: var(--new); } .mark { color: var(--new); font-weight: 600; }
)";

std::string base64(const std::string& bytes) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t three = 0;
    for (size_t j = 0; j < 3; ++j)
      three = three << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j)
      out += i + j <= bytes.size() ? kDigits[three >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

// The bytes of a search result's picture, which may be a member of an archive.
std::string picture_of(const json& hit, const std::string& folder) {
  namespace fs = std::filesystem;
  const bool member = hit.contains("archive");
  const std::string name = hit.at(member ? "archive" : "image").get<std::string>();
  const std::string file = (fs::exists(name) ? fs::path(name) : fs::path(folder) / name).string();
  if (!member) return read_file(file);
  const auto bytes = read_bytes({file, hit.at("offset"), hit.at("size")});
  return std::string(bytes.begin(), bytes.end());
}

std::string data_uri(const std::string& bytes) {
  const bool jpeg = bytes.starts_with("\xFF\xD8");
  return fmt::format("data:image/{};base64,{}", jpeg ? "jpeg" : "png", base64(bytes));
}

std::string percent(const json& rates, const char* key) {
  return rates.contains(key) ? fmt::format("{:.1f}", 100 * rates[key].get<double>()) : "–";
}

std::string retrieval_row(const std::string& name, const json& retrieval) {
  std::string row =
      fmt::format("<tr><td>{}</td><td>{}</td>", escape_html(name),
                  retrieval.contains("pictures") ? retrieval["pictures"].dump() : "–");
  for (const char* direction : {"text_to_image", "image_to_text", "chance"})
    for (const char* key : {"r1", "r5", "r10"})
      row += "<td>" + percent(retrieval.value(direction, json::object()), key) + "</td>";
  return row + "</tr>\n";
}

std::string retrieval_table(const json& summary) {
  std::string out =
      "<h2>Retrieval on held-out pictures</h2>\n<table>\n"
      "<tr><th></th><th></th><th colspan=\"3\">text → image</th><th colspan=\"3\">image → text</th>"
      "<th colspan=\"3\">chance</th></tr>\n<tr><th>%</th><th>pictures</th>";
  for (int i = 0; i < 3; ++i) out += "<th>R@1</th><th>R@5</th><th>R@10</th>";
  out += "</tr>\n" + retrieval_row("all", summary["retrieval"]);
  const json by_kind = summary.value("by_kind", json::object());
  for (const auto& [kind, rates] : by_kind.items()) out += retrieval_row(kind, rates);
  return out + "</table>\n";
}

std::string facts(const json& summary) {
  const std::pair<const char*, const char*> kFacts[] = {
      {"itm_pairwise_random", "ITM: the true pair scores above a random one"},
      {"itm_pairwise_hard", "ITM: the true pair scores above the hardest negative"},
      {"mlm_accuracy", "MLM: masked words told with the right picture"},
      {"mlm_accuracy_wrong_picture", "MLM: masked words told with a wrong picture"}};
  std::string rows;
  for (const auto& [key, text] : kFacts)
    if (summary.contains(key))
      rows += fmt::format("<tr><td>{}</td><td>{} %</td></tr>\n", text, percent(summary, key));
  return rows.empty() ? "" : "<h2>Fusion</h2>\n<table>\n" + rows + "</table>\n";
}

std::string seconds_table(const json& summary) {
  std::string out = "<h2>Seconds</h2>\n<table>\n";
  for (const auto& [part, seconds] : summary["seconds"].items())
    out += fmt::format("<tr><td>{}</td><td>{:.1f}</td></tr>\n", escape_html(part),
                       seconds.get<double>());
  return out + "</table>\n";
}

std::string searches_part(const json& searches, const std::string& folder) {
  std::string out =
      "<h2>Searches</h2>\n<p>Best first. <span class=\"mark\">new</span>: a picture that was "
      "never trained on.</p>\n";
  for (const json& search : searches) {
    out += fmt::format("<h3>“{}”</h3>\n<div class=\"hits\">\n",
                       escape_html(search.at("query").get<std::string>()));
    for (const json& hit : search.at("results")) {
      const bool fresh = !hit.value("trained", true);
      const std::string caption = escape_html(hit.value("caption", ""));
      out += fmt::format(
          "<figure{}><img alt=\"{}\" src=\"{}\"><figcaption>{}<br>{:.3f}{}</figcaption></figure>\n",
          fresh ? " class=\"new\"" : "", caption, data_uri(picture_of(hit, folder)), caption,
          hit.value("score", 0.0), fresh ? " <span class=\"mark\">new</span>" : "");
    }
    out += "</div>\n";
  }
  return out;
}

}  // namespace

std::string report_page(const Report& report) {
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n"
      "<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
      escape_html(report.title), kStyle);
  try {
    if (report.summary.contains("retrieval")) page += retrieval_table(report.summary);
    page += facts(report.summary);
    if (report.searches.is_array() && !report.searches.empty())
      page += searches_part(report.searches, report.folder);
    for (const StageCurves& stage : report.stages) {
      page += fmt::format("<h2>Training: stage {}</h2>\n<div class=\"charts\">\n",
                          escape_html(stage.stage));
      for (const Curve& curve : stage.curves)
        if (curve.x.size() >= 2) page += svg_chart(curve);
      page += "</div>\n";
    }
    if (report.summary.contains("seconds")) page += seconds_table(report.summary);
  } catch (const json::exception& error) {
    fail("summary.json or searches.json: a field is missing or of the wrong type: {}",
         error.what());
  }
  return page + "</body>\n</html>\n";
}

}  // namespace mome
