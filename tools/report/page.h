// The report of a run: one HTML page with everything inside it.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/report/log.h"

namespace mome {

/// Everything that the page shows. Empty parts are left out.
struct Report {
  std::string title;
  std::vector<StageCurves> stages;
  nlohmann::ordered_json summary;  // summary.json: retrieval, by_kind, itm_*, mlm_*, seconds
  nlohmann::ordered_json
      searches;        // [{"query", "results": [{"image", "caption", "score", "trained"}]}]
  std::string folder;  // where relative image paths of the searches that are not found start
};

/// The page. Throws Error when a picture of a search cannot be read or a field has the wrong type.
std::string report_page(const Report& report);

}  // namespace mome
