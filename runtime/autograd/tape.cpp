#include "runtime/autograd/tape.h"

#include <atomic>

namespace mome {

Tape::Tape(Arena& arena, bool record)
    : arena_(arena), record_(record), serial_([] {
        static std::atomic<uint64_t> made = 0;
        return ++made;
      }()) {}

Var* Tape::leaf(Tensor value, Tensor grad, Tensor compute) {
  vars_.push_back({value, record_ ? grad : Tensor{}, record_ && grad, true, compute});
  return &vars_.back();
}

Var* Tape::leaf_rows(const Var* leaf, int64_t begin, int64_t count) {
  MOME_CHECK(leaf->leaf);
  return this->leaf(leaf->value.slice(begin, count),
                    leaf->grad ? leaf->grad.slice(begin, count) : Tensor{},
                    leaf->compute ? leaf->compute.slice(begin, count) : Tensor{});
}

Var* Tape::output(int64_t rows, int64_t cols, DType dtype, std::initializer_list<const Var*> inputs) {
  bool needs = false;
  for (const Var* v : inputs) needs = needs || (v && v->needs_grad);
  vars_.push_back({arena_.tensor(rows, cols, dtype), {}, needs && record_, false});
  return &vars_.back();
}

Var* Tape::view(const Var* x) {
  vars_.push_back({x->value, {}, x->needs_grad && record_, false, x->compute, true});
  return &vars_.back();
}

void Tape::free(Tensor& t) {
  if (t.data) arena_.release(t.data);
  t.data = nullptr;
}

void Tape::record(std::initializer_list<Var*> outputs, std::vector<Tensor> saved,
                  std::function<void()> backward) {
  nodes_.push_back({outputs, std::move(saved), std::move(backward)});
}

Tensor Tape::grad(Var* v, bool* accumulate) {
  *accumulate = bool(v->grad);
  if (v->needs_grad && !v->grad) v->grad = arena_.tensor(v->rows(), v->cols(), v->value.dtype);
  return v->needs_grad ? v->grad : Tensor{};
}

bool Tape::move_grad(Var* from, Var* to) {
  if (!to->needs_grad || to->grad || to->leaf) return false;
  to->grad = from->grad;
  from->grad = {};
  return true;
}

void Tape::free_var(Var& v) {
  if (v.grad.data == v.value.data) v.grad = {};  // a loss wrote its gradient over the value
  if (v.borrowed) v.value = {};
  free(v.value);
  free(v.grad);
}

void Tape::free_node(Node& node) {
  for (Var* v : node.outputs) free_var(*v);
  for (Tensor& t : node.saved) free(t);
  node.backward = nullptr;
}

void Tape::backward() {
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    bool reached = false;
    for (const Var* v : node->outputs) reached = reached || v->grad;
    if (reached) node->backward();
    free_node(*node);
    if (after_node_) after_node_(size_t(nodes_.rend() - node) - 1);
  }
  if (after_node_) after_node_(0);
  nodes_.clear();
  clear();
}

const void* Tape::on_device(const void* host, size_t bytes) {
  if (device().is_host() || bytes == 0) return host;
  void*& copy = uploads_[host];
  if (!copy) {
    copy = arena_.allocate(bytes);
    device().upload(copy, host, bytes);
  }
  return copy;
}

void Tape::clear() {
  for (const auto& [host, copy] : uploads_) arena_.release(copy);
  uploads_.clear();
  for (Node& node : nodes_) free_node(node);
  nodes_.clear();
  for (Var& v : vars_)
    if (!v.leaf) free_var(v);
  vars_.clear();
}

}  // namespace mome
