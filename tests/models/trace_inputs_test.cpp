// What `mome trace` refuses, and that every refusal names the tensor and what was expected; what a
// checkpoint and the inputs' parameters make together.
#include "models/trace/run.h"
#include "tests/models/goldens.h"

namespace mome {
namespace {

using testing::golden;
using testing::golden_trace;

NamedTensor integers(const std::string& name, std::vector<int64_t> shape,
                     std::vector<int64_t> values) {
  return make_tensor(name, "I64", std::move(shape), std::move(values));
}

/// The message of the error; "" if there is none.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

/// A copy of a tensor of integers with element i replaced.
NamedTensor with_element(const NamedTensors& file, const std::string& name, size_t i,
                         int64_t value) {
  const NamedTensor& from = file.at(name);
  std::vector<int64_t> values(size_t(from.elements));
  std::memcpy(values.data(), from.data, from.bytes);
  values[i] = value;
  return integers(name, from.shape, std::move(values));
}

class TraceInputs : public ::testing::Test {
 protected:
  /// Expects that the mode refuses the batch with `tensor` put in, and says `message`.
  void refuses(const std::string& mode, const NamedTensor& tensor, const std::string& message,
               int64_t steps = 0) {
    NamedTensors inputs = batch_;
    inputs.path = "in.safetensors";
    inputs.put(tensor);
    TraceOptions options = testing::golden_options("relative", mode);
    options.steps = steps;
    const std::string error = error_of([&] { golden_trace("relative", inputs, options); });
    EXPECT_EQ(error, "in.safetensors: tensor `" + tensor.name + "`" + message);
  }
  std::string error_with(const std::string& mode, const TraceOptions& options) {
    TraceOptions o = options;
    o.mode = mode;
    return error_of([&] { golden_trace("relative", batch_, o); });
  }

  const NamedTensors batch_ = golden("batch");  // B 3, T 12, S 32, V 50; texts of 12, 5 and 9
};

TEST_F(TraceInputs, AMissingTensorIsNamedWithAllThatTheModeReads) {
  NamedTensors inputs = batch_;
  inputs.path = "in.safetensors";
  inputs.remove("in.neg_image");
  EXPECT_EQ(error_of([&] {
              golden_trace("relative", inputs, testing::golden_options("relative", "itm"));
            }),
            "in.safetensors: tensor `in.neg_image` is missing; mode itm reads in.image, "
            "in.text_ids, in.text_masks, in.neg_image, in.neg_text");
  inputs.remove("in.image_1");
  EXPECT_EQ(error_of([&] {
              golden_trace("relative", inputs, testing::golden_options("relative", "nlvr2"));
            }),
            "in.safetensors: tensor `in.image_1` is missing; mode nlvr2 reads in.image_0, "
            "in.image_1, in.text_ids, in.text_masks, in.answers");
}

TEST_F(TraceInputs, ImagesOfAnotherSize) {
  const auto image = [](std::vector<int64_t> shape) {
    int64_t n = 1;
    for (const int64_t s : shape) n *= s;
    return make_tensor("in.image", "F32", shape, std::vector<float>(size_t(n)));
  };
  refuses("infer", image({3, 3, 16, 16}), " has shape [3, 3, 16, 16]; expected [B, 3, 32, 32]");
  refuses("infer", image({3, 32, 32, 3}), " has shape [3, 32, 32, 3]; expected [B, 3, 32, 32]");
  refuses("infer", image({3, 32, 32}), " has shape [3, 32, 32]; expected [B, 3, 32, 32]");
  refuses("infer", image({0, 3, 32, 32}), " has shape [0, 3, 32, 32]; expected [B, 3, 32, 32]");
  refuses("infer", integers("in.image", {1, 3, 32, 32}, std::vector<int64_t>(3 * 32 * 32)),
          " is I64; expected F32, F16, BF16 or F64");
}

TEST_F(TraceInputs, BatchesThatDiffer) {
  refuses("infer", integers("in.text_masks", {2, 12}, std::vector<int64_t>(24, 1)),
          " has shape [2, 12]; expected [3, T]");
  refuses("infer", integers("in.text_ids", {3, 11}, std::vector<int64_t>(33)),
          " has shape [3, 11]; expected [3, 12]");
  refuses("mlm", integers("in.text_labels_mlm", {12}, std::vector<int64_t>(12)),
          " has shape [12]; expected [3, 12]");
  refuses("itm", integers("in.neg_text", {2}, {1, 0}), " has shape [2]; expected [3]");
  refuses("vqa", make_tensor("in.vqa_targets", "F32", {3, 6}, std::vector<float>(18)),
          " has shape [3, 6]; expected [3, 7]");
}

TEST_F(TraceInputs, Masks) {
  refuses("infer", with_element(batch_, "in.text_masks", 13, 0),
          ": element [1, 2] is 1; expected ones for the real tokens, then zeros: a 0 came before");
  refuses("infer", with_element(batch_, "in.text_masks", 3, 2),
          ": element [0, 3] is 2; expected 0 or 1");
  refuses("infer", integers("in.text_masks", {3, 2}, {1, 1, 0, 0, 1, 0}),
          ": row 1 has no 1; expected a text of at least one token");
  refuses("infer", integers("in.text_masks", {3, 13}, std::vector<int64_t>(39, 1)),
          " has shape [3, 13]; the model's longest text is of 12 tokens");
}

TEST_F(TraceInputs, TokensAndLabels) {
  refuses("infer", with_element(batch_, "in.text_ids", 1, 50),
          ": element [0, 1] is 50; expected a token of the vocabulary, from 0 to 49");
  refuses("dual", with_element(batch_, "in.text_ids", 25, -1),
          ": element [2, 1] is -1; expected a token of the vocabulary, from 0 to 49");
  refuses("infer", make_tensor("in.text_ids", "F32", {3, 12}, std::vector<float>(36)),
          " is F32; expected I64");
  refuses("textmlm", with_element(batch_, "in.text_labels_mlm", 4, 50),
          ": element [0, 4] is 50; expected a label from 0 to 49, or -100 for none");
  refuses("mlm", with_element(batch_, "in.text_labels_mlm", 4, -1),
          ": element [0, 4] is -1; expected a label from 0 to 49, or -100 for none");
  refuses("stage3", with_element(batch_, "in.text_labels_mlm", 17, 7),
          ": element [1, 5] is 7; expected -100 on padding");
}

TEST_F(TraceInputs, NegativesAndAnswers) {
  refuses("itm", integers("in.neg_image", {3}, {1, 3, 0}),
          ": element [1] is 3; expected an image of the batch, from 0 to 2");
  refuses("stage3", integers("in.neg_text", {3}, {1, -1, 0}),
          ": element [1] is -1; expected a text of the batch, from 0 to 2");
  const std::vector<int64_t> each(12, 1);
  refuses("stage3", integers("in.neg_image", {4, 3}, each), " has shape [4, 3]; expected [3]");
  refuses("stage3", integers("in.neg_image", {4, 3}, each), " has shape [4, 3]; expected [5, 3]",
          5);
  refuses("vqa", make_tensor("in.vqa_targets", "F32", {3, 7}, std::vector<float>(21, 1.5f)),
          ": element [0, 0] is 1.5; expected a score from 0 to 1");
  refuses("nlvr2", integers("in.answers", {3}, {1, 0, 2}),
          ": element [2] is 2; expected a label from 0 to 1");
}

TEST_F(TraceInputs, DevicesAndTypesThatDoNotGoTogether) {
  TraceOptions o;
  o.device = "simt", o.dtype = "f64";
  EXPECT_EQ(error_with("infer", o),
            "--dtype f64 is for the cpu; --device simt computes in f32, bf16 or f16");
  o.device = "cpu", o.dtype = "bf16";
  EXPECT_EQ(error_with("infer", o),
            "--dtype bf16 is for --device cuda and simt; the cpu computes in f32 or f64");
  o.dtype = "f8";
  EXPECT_EQ(error_with("infer", o), "--dtype f8 is unknown; expected f32, f64, bf16 or f16");
  o = {};
  o.gradients = true;
  EXPECT_EQ(error_with("dual", o), "mode dual has no loss: it goes without --gradients");
  o.steps = 2;
  EXPECT_EQ(error_with("itc", o),
            "--optimise writes the parameters after its steps; --gradients goes without");
  EXPECT_EQ(error_with("itx", {}),
            "--mode itx is unknown; expected one of infer, dual, mlm, itc, itm, stage3, textmlm, "
            "vqa, nlvr2, irtr");
}

TEST_F(TraceInputs, OptimiserValuesOutOfRange) {
  const auto error = [&](auto&& change) {
    TraceOptions o;
    o.steps = 1;
    change(o.config.optimiser);
    return error_with("itc", o);
  };
  using Config = TraceOptimiserConfig;
  EXPECT_EQ(error([](Config& c) { c.schedule = "step"; }),
            "--set optimiser.schedule=step: expected constant, linear or cosine");
  EXPECT_EQ(error([](Config& c) { c.beta1 = 1; }),
            "--set optimiser.beta1=1: expected at least 0 and less than 1");
  EXPECT_EQ(error([](Config& c) { c.lr = NAN; }), "--set optimiser.lr=nan: expected a rate from 0");
  EXPECT_EQ(error([](Config& c) { c.eps = 0; }),
            "--set optimiser.eps=0: expected a number above 0");
  EXPECT_EQ(error([](Config& c) { c.warmup = -1; }),
            "--set optimiser.warmup=-1: expected a number of steps");
}

class TraceCheckpoint : public ::testing::Test {
 protected:
  std::string error_of_shape(const NamedTensors& checkpoint, const TraceOptions& options) {
    return error_of([&] { trace_shape(checkpoint, options); });
  }
  NamedTensors inputs_with(NamedTensor tensor) {
    NamedTensors inputs = golden("batch");
    inputs.path = "in.safetensors";
    inputs.put(std::move(tensor));
    return inputs;
  }
};

TEST_F(TraceCheckpoint, HeadsThatAModeNeeds) {
  NamedTensors text = testing::golden_checkpoint("relative", "textmlm");
  text.path = "text.safetensors";
  TraceOptions options;
  options.mode = "dual";
  EXPECT_EQ(error_of_shape(text, options),
            "text.safetensors: the model has no contrast heads (itc_*_proj.*, logit_scale), which "
            "mode dual needs (a parameter can be added as param.<name>)");
  options.mode = "vqa";
  EXPECT_NE(error_of_shape(text, options).find("no head of answers (vqa_classifier.*)"),
            std::string::npos);
  options.mode = "infer";  // official files of stage 2 have a pooler, and no VL experts
  EXPECT_TRUE(trace_shape(text, options).parts.pooler);
  text.remove("pooler.dense.weight");
  EXPECT_NE(error_of_shape(text, options).find("no pooler"), std::string::npos);
}

TEST_F(TraceCheckpoint, AttentionHeads) {
  const NamedTensors absolute = testing::golden_checkpoint("absolute", "infer");
  TraceOptions options;
  options.mode = "infer";
  EXPECT_NE(error_of_shape(absolute, options).find("--set model.heads=N"), std::string::npos);
  options.config.model.heads = 5;
  EXPECT_NE(error_of_shape(absolute, options).find("12 is not a multiple of 5 heads"),
            std::string::npos);
  EXPECT_NE(error_of_shape(testing::golden_checkpoint("relative", "infer"), options)
                .find("has 6 columns; expected heads times 3 layers"),
            std::string::npos);
  options.config.model.heads = 3;  // also divides the width, and gives other numbers
  const NamedTensors batch = golden("batch");
  const NamedTensors three = trace(absolute, trace_shape(absolute, options), batch, options);
  options.config.model.heads = 2;
  const NamedTensors two = trace(absolute, trace_shape(absolute, options), batch, options);
  EXPECT_GT(testing::relative_error(float_values(three, three.at("out.cls_feats")),
                                    float_values(two, two.at("out.cls_feats"))),
            1e-3);
}

TEST_F(TraceCheckpoint, ParametersOfTheInputsReplaceAndAdd) {
  const TraceOptions options = testing::golden_options("relative", "vqa");
  const NamedTensors whole = golden_trace("relative", golden("batch"), options);
  // Without the answers' head, which comes with the inputs; and with another pooler than theirs.
  NamedTensors bare = testing::golden_checkpoint("relative", "vqa"), inputs = golden("batch");
  for (const NamedTensor& t : testing::golden_checkpoint("relative", "vqa").list) {
    if (!t.name.starts_with("vqa_classifier.") && t.name != "pooler.dense.weight") continue;
    NamedTensor given = t;
    given.name = "param." + t.name;
    inputs.put(given);
    if (t.name == "pooler.dense.weight")
      bare.put(
          make_floats(bare, t.name, "F32", t.shape, std::vector<double>(size_t(t.elements), 0.25)));
    else
      bare.remove(t.name);
  }
  for (const bool described : {false, true}) {  // by this program: that describes no such head
    if (described) {
      ModelShape shape = infer_shape(bare);
      shape.parts.pooler = true;
      bare.metadata[kModelKey] = describe(shape);
    }
    const NamedTensors checkpoint = with_parameters(bare, inputs);
    const NamedTensors result =
        trace(checkpoint, trace_shape(checkpoint, options), inputs, options);
    testing::expect_same(result, whole, "out.", 0);
  }
}

TEST_F(TraceCheckpoint, ParametersOfTheInputsThatDoNotFit) {
  const TraceOptions options = testing::golden_options("relative", "infer");
  const auto error = [&](NamedTensor tensor) {
    const NamedTensors inputs = inputs_with(std::move(tensor));
    return error_of([&] { golden_trace("relative", inputs, options); });
  };
  EXPECT_EQ(error(make_tensor("param.transformer.nrm.weight", "F32", {12}, std::vector<float>(12))),
            "in.safetensors: tensor `param.transformer.nrm.weight`: the model has no such "
            "parameter");
  EXPECT_EQ(error(integers("param.transformer.norm.weight", {12}, std::vector<int64_t>(12))),
            "in.safetensors: tensor `param.transformer.norm.weight` is I64; expected F32, F16, "
            "BF16 or F64");
  EXPECT_NE(error(make_tensor("param.transformer.norm.weight", "F32", {11}, std::vector<float>(11)))
                .find("transformer.norm.weight: [11], expected [12]"),
            std::string::npos);
}

TEST_F(TraceCheckpoint, AMissingParameterIsNamed) {
  NamedTensors checkpoint = testing::golden_checkpoint("relative", "infer");
  checkpoint.path = "c.safetensors";
  checkpoint.remove("transformer.blocks.1.norm2_vl.bias");
  const TraceOptions options = testing::golden_options("relative", "infer");
  const NamedTensors inputs = golden("batch");
  EXPECT_EQ(error_of([&] { trace(checkpoint, trace_shape(checkpoint, options), inputs, options); }),
            "c.safetensors: parameter `transformer.blocks.1.norm2_vl.bias` is missing (1 in all); "
            "the inputs can add it as `param.transformer.blocks.1.norm2_vl.bias`");
}

}  // namespace
}  // namespace mome
