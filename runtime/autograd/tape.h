// Reverse-mode automatic differentiation on a tape.
//
// An operation computes its outputs at once and appends one node: its outputs and a function that,
// given the outputs' gradients, adds to the inputs' gradients. backward() walks the nodes once in
// reverse. Operations are large (a whole attention, a whole expert), so the tape stays short.
//
//   Var* y = linear(tape, x, weight, bias);     // runs forward, records backward
//   cross_entropy(tape, y, labels, …);          // a loss leaves its gradient in y->grad
//   tape.backward();                            // weight->grad and x->grad are filled
//
// Rules that every operation keeps:
//  * needs_grad of an output is the "or" of its inputs'. A node none of whose outputs needs a
//    gradient is not recorded: frozen parts of a network cost nothing in backward.
//  * A Var's gradient is absent until somebody writes it. `tape.grad(v, &accumulate)` gives the buffer
//    and says whether to add or to assign. Parameters' gradients live in the flat arena and are
//    always added to.
//  * When a node's backward is done, its outputs (value and gradient) are dead: nothing earlier on
//    the tape can read them. The tape frees them at once, so peak memory falls as backward walks.
#pragma once
#include <deque>
#include <functional>
#include <initializer_list>
#include <map>
#include <vector>

#include "runtime/core/arena.h"

namespace mome {

struct Var {
  Tensor value;
  Tensor grad;              // absent until written (parameters: always there if they are trained)
  bool needs_grad = false;
  bool leaf = false;        // memory is not the tape's: parameters, inputs
  Tensor compute{};         // a parameter's copy in the storage type that products read; absent: value is it
  bool borrowed = false;    // value's memory is another Var's
  const Tensor& operand() const { return compute ? compute : value; }
  int64_t rows() const { return value.rows; }
  int64_t cols() const { return value.cols; }
};

class Tape {
 public:
  /// With record = false operations only compute (evaluation) and nothing needs a gradient.
  explicit Tape(Arena& arena, bool record = true);
  ~Tape() { clear(); }
  Tape(const Tape&) = delete;

  /// A leaf: gradient present means "train it", its memory is the caller's and is added to. compute: value rounded to a
  /// storage type, for operations that read the leaf in that type.
  Var* leaf(Tensor value, Tensor grad = {}, Tensor compute = {});
  /// Rows [begin, begin + count) of a leaf.
  Var* leaf_rows(const Var* leaf, int64_t begin, int64_t count);
  /// An output of an operation whose inputs are `inputs` (null entries allowed).
  Var* output(int64_t rows, int64_t cols, DType dtype, std::initializer_list<const Var*> inputs);

  /// x's value under another name, for an operation that changes gradients alone; its memory stays x's.
  Var* view(const Var* x);

  /// Whether an operation with this output must record a backward.
  bool wants(const Var* output) const { return record_ && output->needs_grad; }
  /// Memory that backward needs (saved) or that is only scratch; freed with the node `owner`.
  Tensor scratch(int64_t rows, int64_t cols, DType dtype) { return arena_.tensor(rows, cols, dtype); }
  void free(Tensor& t);

  /// Appends a node. `saved` tensors are freed with it. `keep`: extra condition data may be captured.
  void record(std::initializer_list<Var*> outputs, std::vector<Tensor> saved,
              std::function<void()> backward);
  /// Gradient buffer of `v`, or absent if it needs none. *accumulate: add (true) or assign (false).
  Tensor grad(Var* v, bool* accumulate);
  /// Gradient of v that was written by later nodes; absent if none was.
  static Tensor written(const Var* v) { return v->grad; }
  /// Hands a gradient buffer on: `to` takes over `from`'s (in-place chains such as the residual stream).
  /// Only if `to` needs a gradient, has none yet and is no leaf; else returns false.
  bool move_grad(Var* from, Var* to);

  void backward();
  /// backward() calls it with every node's number when the node is done (they come in falling order), and with 0 at its end.
  void after_each_node(std::function<void(size_t node)> call) { after_node_ = std::move(call); }
  static constexpr size_t kNever = size_t(-1);
  /// Tells tapes apart.
  uint64_t serial() const { return serial_; }
  /// Frees everything on the tape.
  void clear();

  /// A host array that a kernel reads: itself on the CPU, else a copy, made once a tape. The vector stays as it is until
  /// the tape is cleared.
  template <class T>
  const T* on_device(const std::vector<T>& host) {
    return static_cast<const T*>(on_device(host.data(), host.size() * sizeof(T)));
  }

  Arena& arena() { return arena_; }
  Device& device() { return arena_.device(); }
  bool recording() const { return record_; }
  size_t size() const { return nodes_.size(); }

 private:
  struct Node {
    std::vector<Var*> outputs;
    std::vector<Tensor> saved;
    std::function<void()> backward;
  };
  void free_var(Var& v);
  void free_node(Node& node);
  const void* on_device(const void* host, size_t bytes);

  Arena& arena_;
  bool record_;
  const uint64_t serial_;
  std::function<void(size_t)> after_node_;
  std::deque<Var> vars_;  // stable addresses
  std::vector<Node> nodes_;
  std::map<const void*, void*> uploads_;
};

}  // namespace mome
