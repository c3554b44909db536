// What a data set is to the rest of the program, whatever its files look like: a list of records,
// each an image with the texts that describe it. Pixels stay in their files until a loader asks.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace mome {

class PipedShard;

/// Where an encoded image lies: a whole file, or a range of bytes of one (a tar shard)
/// or of what a command prints.
struct ImageRef {
  std::string file;
  uint64_t offset = 0;      // bytes
  uint64_t size = 0;        // bytes; 0 = the whole file
  std::string member = {};  // its name inside the archive; empty for a whole file
  std::shared_ptr<const PipedShard> shard = {};  // of `file` = "pipe:COMMAND"; null for a file
};

/// How people are told of an image: "images/1.png", or "data.tar: 0001.jpg".
std::string image_name(const ImageRef& image);

/// Equal for the same image however its file is named (relative, through ".." or a link), and
/// different for two members of one archive.
std::string image_identity(const ImageRef& image);

/// A number that is equal for two names of the same bytes as the source spells them.
int64_t image_id(const ImageRef& image);

struct Record {
  std::string key;  // short name for people: file name, or WebDataset key
  ImageRef image;
  std::vector<std::string> captions;  // non-blank, without white space around them
  std::vector<std::string> keywords;
  std::string split;     // "train", "val", "test" or what the source says; empty if it says nothing
  std::string kind;      // free label by which evaluation groups its figures; may be empty
  int64_t image_id = 0;  // equal for records of the same image (hash of its ImageRef)
};

struct Dataset {
  std::string source;  // as the user named it
  std::vector<Record> records;
  std::vector<std::string> problems;  // skipped records: "FILE: line 3: what; expected what"
};

}  // namespace mome
