// One reader a format; open_task picks. Each adds what it finds to the collector and throws Error
// where a file as a whole is broken. `image_root` as in TaskOptions.
#pragma once
#include <string>
#include <vector>

#include "runtime/data/tasks/task_collector.h"

namespace mome {

/// VQAv2: files with "questions" and files with "annotations".
void read_vqa(const std::vector<std::string>& question_files,
              const std::vector<std::string>& annotation_files, const std::string& image_root,
              TaskCollector& out);
void read_easy_vqa(const std::string& file, const std::string& image_root, TaskCollector& out);
void read_nlvr2(const std::string& file, const std::string& image_root, TaskCollector& out);
void read_snli_ve(const std::string& file, const std::string& image_root, TaskCollector& out);
void read_plain_lines(const std::string& file, const std::string& image_root, TaskCollector& out);
void read_class_folder(const std::string& folder, TaskCollector& out);

/// Samples whose `images` are names below a folder that is not chosen yet.
void add_below_root(std::vector<RawSample> samples, const std::vector<std::string>& roots,
                    TaskCollector& out);

}  // namespace mome
