#include "runtime/autograd/recompute.h"

#include <utility>

namespace mome {

std::vector<Var*> recomputed(Tape& tape, const std::vector<Var*>& inputs, Recomputable f) {
  if (!tape.recording()) return f(tape, inputs);
  std::vector<Var*> outputs;
  {
    Tape inner(tape.arena(), false, &tape);
    std::vector<Var*> leaves;
    bool needs = false;
    for (const Var* in : inputs) {
      leaves.push_back(inner.leaf(in->value));
      needs = needs || in->needs_grad;
    }
    const std::vector<Var*> made = f(inner, leaves);
    for (Var* y : made) {
      MOME_CHECK(!y->leaf && !y->borrowed);
      outputs.push_back(tape.adopt(std::exchange(y->value, {}), needs || inner.reads_trained()));
    }
  }
  if (outputs.empty() || !tape.wants(outputs[0])) return outputs;

  const auto backward = [&tape, inputs, outputs, f = std::move(f)] {
    Tape inner(tape.arena(), true, &tape);
    std::vector<Var*> leaves;
    for (Var* in : inputs) {
      bool there = false;
      const Tensor grad = tape.grad(in, &there);
      if (grad && !there) tape.device().zero(grad.data, grad.bytes());  // leaves are added to
      leaves.push_back(inner.leaf(in->value, grad));
    }
    const std::vector<Var*> made = f(inner, leaves);
    for (size_t i = 0; i < made.size(); ++i) made[i]->grad = std::exchange(outputs[i]->grad, {});
    inner.backward();
  };
  tape.record(outputs, {}, backward);
  return outputs;
}

}  // namespace mome
