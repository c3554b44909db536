// The file that the VQA evaluation server takes.
#pragma once
#include <string>
#include <vector>

namespace mome {

/// Writes [{"question_id": key, "answer": answer}, ..] to `path`, atomically. keys[i] and
/// answers[i] belong together. Throws Error, before anything is written, if a key is not a whole
/// number (the server knows questions by VQAv2's ids) or is there twice; and if the file cannot be
/// written.
void write_submission(const std::string& path, const std::vector<std::string>& keys,
                      const std::vector<std::string>& answers);

}  // namespace mome
