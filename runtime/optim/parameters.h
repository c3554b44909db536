// All parameters of a model in flat arenas on one device: values, gradients, AdamW's two moments
// and, if wanted, the moving average, one contiguous array each, in the order of registration. The
// optimiser is one kernel over ranges; a gradient bucket or an optimiser shard is a slice. All are
// in float (double where double is computed in). A computation in a 16-bit type has one more arena
// with the same offsets: the values rounded to that type, which matrix products read.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/adamw/adamw.h"
#include "runtime/autograd/tape.h"

namespace mome {

enum class Init : uint8_t { kZeros, kOnes, kConstant, kNormal, kTruncatedNormal, kUniform };

struct Parameter {
  std::string name;            // the official VLMo name
  std::vector<int64_t> shape;  // as in the checkpoint; the matrix view is [shape[0], the rest]
  int64_t begin = 0, count = 0;
  Init init = Init::kZeros;
  double init_scale = 0;  // standard deviation, constant, or half width of the uniform
  bool trained = true;
  double decay = 0, lr_scale = 1;
  int64_t end() const { return begin + count; }
};

class ParameterSet {
 public:
  /// Every parameter starts at a multiple of so many elements: a cache line of floats.
  static constexpr int64_t kAlignment = 16;
  /// The arenas are so much longer than the parameters that their end can be cut into so many shards.
  static constexpr int64_t kMostShards = 4096;

  /// compute: what activations and the operands of products are in.
  explicit ParameterSet(Device& device = Device::host(), DType compute = DType::kF32)
      : device_(device), dtype_(real_dtype(compute)), compute_dtype_(compute) {}
  ~ParameterSet();
  ParameterSet(const ParameterSet&) = delete;

  /// Declares a parameter; before allocate(). Returns its index.
  int add(std::string name, std::vector<int64_t> shape, Init init, double init_scale = 0);
  /// Reserves the arenas (zero-filled; on the CPU pages of parameters that are never touched cost
  /// no memory).
  void allocate();
  /// Fills every parameter by its rule from Philox keyed by (seed, parameter's name): independent
  /// of order.
  void initialize(uint64_t seed);

  int find(const std::string& name) const;  // -1 if there is none
  const std::vector<Parameter>& list() const { return list_; }
  Parameter& operator[](int i) { return list_[i]; }
  const Parameter& operator[](int i) const { return list_[i]; }

  Tensor value(int i) const { return adopted(i) ? adopted_view(i) : view(values_, i); }
  /// The same, to write to; a value that was adopted is a failed check.
  Tensor writable_value(int i) const {
    MOME_CHECK(!adopted(i));
    return value(i);
  }
  /// On the CPU: value(i) is from now on a view of `values`, count elements of dtype() at an
  /// aligned address, which `owner` keeps alive. They are another's and are never written: a set
  /// with adopted values cannot be initialized, averaged or optimised (failed checks), and what
  /// lies in a MappedFile, whose pages are read-only, cannot be changed by mistake either.
  void adopt(int i, const void* values, std::shared_ptr<const void> owner);
  bool adopted(int i) const { return !adopted_.empty() && adopted_[size_t(i)].values != nullptr; }
  /// What products read: the 16-bit copy, or the value itself.
  Tensor compute(int i) const { return copies_ ? view(copies_, i, compute_dtype_) : value(i); }
  Tensor grad(int i) const { return view(grads_, i); }
  Tensor moment1(int i) const { return view(moments1(), i); }
  Tensor moment2(int i) const { return view(moments2(), i); }
  Tensor average(int i) const { return view(average_, i); }
  /// The parameter on a tape: with its gradient if it is trained.
  Var* on(Tape& tape, int i) const {
    if (wait_) wait_(i);
    if (list_[i].trained) reach(tape, i);
    return tape.leaf(value(i), list_[i].trained ? grad(i) : Tensor{},
                     copies_ ? compute(i) : Tensor{});
  }
  /// Rounds all values into the 16-bit copies, if there are some: after values were written other
  /// than by the optimiser.
  void refresh_copies() { refresh_copies(0, total_); }
  void refresh_copies(int64_t begin, int64_t count);

  /// From now on there are moments of these elements alone (ZeRO-1), zero, packed in the order of the ranges: [begin, end),
  /// ascending, multiples of kAlignment.
  void shard_moments(std::vector<std::pair<int64_t, int64_t>> ranges);
  /// The moments of element i, which there are, lie at i + moments_shift(i) of shard_moments1() and 2().
  int64_t moments_shift(int64_t i) const;
  void zero_moments();

  /// Ranges of trained parameters with their rules; neighbours with equal rules are merged.
  std::vector<AdamWRange> trained_ranges() const;
  void zero_grads();
  /// Whether a recording tape has read the trained parameter since zero_grads(): if not, it has no
  /// gradient, which is not the same as one of zeros.
  bool reached(int i) const { return uses_[size_t(i)].tape != 0; }
  /// The number of the first node of the tape that may have read the parameter; Tape::kNever if on() was not called for it.
  size_t first_node(int i, const Tape& tape) const {
    const Use& use = uses_[size_t(i)];
    return use.tape == tape.serial() ? use.node : Tape::kNever;
  }
  /// on() calls it first: values may still be on their way from other ranks. Null: they never are.
  void wait_before_use(std::function<void(int)> wait) { wait_ = std::move(wait); }
  void keep_average();  // starts the moving average at the current values
  bool has_average() const { return average_ != nullptr; }

  Device& device() const { return device_; }
  DType dtype() const { return dtype_; }  // of values, gradients, moments and average
  DType compute_dtype() const { return compute_dtype_; }  // of compute()
  int64_t count() const { return total_; }                // elements, padding included
  int64_t parameter_count(bool trained_only = false) const;
  /// All values as one array; a failed check if some were adopted.
  void* values() const {
    MOME_CHECK(adopted_.empty());
    return values_;
  }
  void* grads() const { return grads_; }
  void* moments1() const { return whole(moment1_); }
  void* moments2() const { return whole(moment2_); }
  void* shard_moments1() const { return moment1_; }  // of a set that is not sharded: all
  void* shard_moments2() const { return moment2_; }
  void* averages() const { return average_; }
  void* copies() const { return copies_; }  // null unless compute_dtype() is a 16-bit type

 private:
  void* whole(void* moments) const {
    MOME_CHECK(shard_.empty());
    return moments;
  }
  struct Adopted {
    const void* values = nullptr;
    std::shared_ptr<const void> owner;
  };

  Tensor adopted_view(int i) const;
  Tensor view(void* arena, int i, DType dtype) const;
  Tensor view(void* arena, int i) const { return view(arena, i, dtype_); }
  void* zeros(size_t bytes) const;
  void give_back(void* block, size_t bytes) const;
  size_t moment_bytes() const;
  size_t bytes(DType dtype) const {
    return size_t(total_ + kAlignment * kMostShards) * size_of(dtype);
  }

  Device& device_;
  DType dtype_, compute_dtype_;
  std::vector<Parameter> list_;
  std::vector<Adopted> adopted_;  // empty if there is none
  struct Use {
    uint64_t tape = 0;  // the last recording tape that read it since zero_grads()
    size_t node = 0;    // how many nodes it had then, at the first time
  };
  void reach(Tape& tape, int i) const {
    const Tape& whole = tape.outermost();
    if (!whole.recording()) return;
    tape.read_trained();
    Use& use = uses_[size_t(i)];
    if (use.tape != whole.serial()) use = {whole.serial(), whole.size()};
  }
  mutable std::vector<Use> uses_;
  std::function<void(int)> wait_;
  std::map<std::string, int> index_;
  int64_t total_ = 0;
  std::vector<std::pair<int64_t, int64_t>> shard_;  // whose moments there are; empty: all
  void *values_ = nullptr, *grads_ = nullptr, *moment1_ = nullptr, *moment2_ = nullptr,
       *average_ = nullptr;
  void* copies_ = nullptr;
};

/// Shell-style pattern: '*' matches any run of characters. Used for freezing and rules by name.
bool matches(const std::string& pattern, const std::string& name);

}  // namespace mome
