// Opens a data set of any of the field's formats:
//  * FILE.jsonl: {"image": path, "captions": [..]} a line; optional "split", "keywords", "kind";
//  * FILE.json: COCO captions or Karpathy splits, told apart by their content;
//  * FOLDER: its captions.jsonl, or else all images below it, without captions;
//  * NAME-{000..9}.tar: WebDataset shards; brace ranges, brace lists, lists with commas;
//  * pipe:COMMAND: a shard that the command prints, brace ranges in it too; "::" joins shards.
// A broken record is named in Dataset::problems and skipped, up to DatasetOptions::max_bad.
#pragma once
#include <string>
#include <vector>

#include "runtime/data/record.h"

namespace mome {

struct DatasetOptions {
  /// Folder that image paths of .jsonl and .json files start from. Empty: the file's own folder
  /// and, for .json, its subfolder `images`.
  std::string image_root = {};
  /// Broken records that are skipped, as a fraction of the source's records (all splits); more of
  /// them are an error.
  double max_bad = 0.01;
  /// Whether image files named by .jsonl and .json must exist now (one stat a record).
  bool check_files = true;
  /// Whether a record with neither caption nor keyword counts as broken.
  bool need_captions = false;
  /// Folder where the indexes of piped shards are kept, so that only the first start runs all
  /// commands; ranks may share it. Empty: no index is kept.
  std::string index_cache = {};
  /// Further runs of a piped shard's command that failed.
  int retries = 2;
};

/// `split` "" = all records; Karpathy's "restval" counts as "train". Throws Error if the source is
/// missing or broken as a whole, if more than max_bad records are (the first five are named), if no
/// record is of this split (the splits that there are are named), or if there is no record at all.
Dataset open_dataset(const std::string& source, const std::string& split,
                     const DatasetOptions& options);

/// The records of several sources in the order given; the same errors. Shard files that are missing
/// are looked for in all sources before any is read, and named together.
Dataset open_datasets(const std::vector<std::string>& sources, const std::string& split,
                      const DatasetOptions& options);

/// Plain text, one sample a line; CRLF is fine, blank lines are dropped, bytes are kept as they are
/// (the tokeniser copes with invalid UTF-8). Throws Error for a file that cannot be read or if no
/// file has any text.
std::vector<std::string> read_text_lines(const std::vector<std::string>& files);

}  // namespace mome
