// Checkpoints that torch.save wrote (.pt, .bin, .ckpt, .pth): a zip archive with the pickled state
// dict (NAME/data.pkl) and each storage's bytes (NAME/data/KEY). The pickle is read by the
// restricted reader of pickle.h: nothing in the file is ever run. Source: torch/serialization.py.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/io/mapped_file.h"
#include "runtime/io/pickle.h"
#include "runtime/io/tensor_view.h"
#include "runtime/io/zip.h"

namespace mome {

/// A PyTorch checkpoint, mapped read-only. Views live as long as this object; they lie in the
/// mapping, except for tensors that were saved as a strided view of their storage: those are copied
/// row-major.
class TorchFile {
 public:
  /// Errors name the file and what is wrong: the format from before PyTorch 1.6 (with a way out),
  /// a truncated or damaged archive, a pickle that is refused, no state dict, a tensor that leaves
  /// its storage or was expanded over it.
  explicit TorchFile(const std::string& path);

  /// In the order of the state dict.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  /// Null if there is none of this name.
  const TensorView* find(std::string_view name) const;
  /// The key under which the state dict lies: "state_dict" (Lightning), "module" (DeepSpeed),
  /// "model" (BEiT and others), or "" if the file is the state dict.
  const std::string& wrapper() const { return wrapper_; }
  /// Entries of the state dict that are no tensors: left out.
  const std::vector<std::string>& ignored() const { return ignored_; }
  const std::string& path() const { return path_; }
  /// Reads all bytes of all tensors and compares the archive's CRC-32 sums. Error if one differs.
  void verify() const;

 private:
  std::string find_root() const;
  void read_state_dict(const Pickle& pickle, const std::string& root);
  void add_tensor(const Pickle& pickle, const std::string& root, std::string name,
                  const PickleValue& tensor);
  const std::byte* copy_strided(const TensorView& view, const std::byte* from,
                                const std::vector<int64_t>& strides, size_t element_bytes);

  std::string path_;
  MappedFile file_;
  ZipFile zip_;
  std::string wrapper_;
  std::vector<TensorView> tensors_;
  std::unordered_map<std::string, size_t> index_;
  std::vector<std::string> ignored_;
  std::vector<const ZipEntry*> used_;  // storages of the tensors
  std::deque<std::vector<std::byte>> copies_;
  size_t copied_ = 0;
};

/// True if the file begins as one that torch.save wrote, of today's or of the legacy format. False
/// if it cannot be opened.
bool looks_like_torch(const std::string& path);

}  // namespace mome
