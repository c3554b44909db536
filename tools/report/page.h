// The report of a run: one HTML page with everything inside it.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/report/chart.h"

namespace mome {

/// The curves of one stage of a run's log.
struct StageCurves {
  std::string stage;
  std::vector<Curve> curves;  // one a numeric field, in the order in which fields first appear
};

/// Reads a log of JSON lines, each with "stage" (text), "step" and numeric fields. A cut last line
/// (the run was killed while writing it) is passed over; any other bad line throws Error.
/// Steps that a resumed run did again replace the earlier ones.
std::vector<StageCurves> read_log(const std::string& file);

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
