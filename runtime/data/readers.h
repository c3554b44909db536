// One reader a format; open_dataset picks. Each adds what it finds to the collector and throws
// Error where the file as a whole is broken.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runtime/data/collector.h"

namespace mome {

void read_jsonl(const std::string& file, const std::string& image_root, Collector& out);
void read_coco(const nlohmann::json& root, const std::string& file, const std::string& image_root,
               Collector& out);
void read_karpathy(const nlohmann::json& root, const std::string& file,
                   const std::string& image_root, Collector& out);
void read_image_folder(const std::string& folder, Collector& out);
/// The shards must be there (those that are files); all that are broken are named in one Error.
void read_webdataset(const std::string& source, const DatasetOptions& options, Collector& out);

}  // namespace mome
