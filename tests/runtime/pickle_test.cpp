// The restricted reader of pickles against programs that mean harm: each is refused by name, and
// nothing that it names is run. The programs are written opcode by opcode.
#include "runtime/io/pickle.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "runtime/core/error.h"

namespace mome {
namespace {

using Kind = PickleValue::Kind;
using namespace std::string_literals;

Pickle read(const std::string& program) { return Pickle("f", std::as_bytes(std::span(program))); }

// The error's text behind "f: byte N: " of the program between PROTO 2 and STOP.
std::string refused(const std::string& program) {
  try {
    read("\x80\x02"s + program + ".");
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find("f: byte "), 0u) << message;
    return message.substr(message.find(": ", 8) + 2);
  }
  return "";
}

std::string text(const std::string& value) { return "X"s + char(value.size()) + "\0\0\0"s + value; }

std::string refused_name(const std::string& name) {
  return "the name `" + name +
         "` is refused: it is not on the list of what a checkpoint may hold, and running it could "
         "do "
         "anything";
}

TEST(Pickle, ScalarsContainersAndTheMemo) {
  const std::string program =
      "\x80\x02}q\0(K\x07J\xfe\xff\xff\xff\x8a\x02\xff\xfeM\x01\x02X\x02\0\0\0hi"
      "]q\x01(N\x88\x89h\0eG\0\0\0\0\0\0\0\0h\x01u."s;
  const Pickle p = read(program);  // its texts lie in the program
  ASSERT_EQ(p.root().kind, Kind::kDict);
  const auto& items = p.root().items;
  ASSERT_EQ(items.size(), 8u);
  EXPECT_EQ(p[items[0]].integer, 7);
  EXPECT_EQ(p[items[1]].integer, -2);
  EXPECT_EQ(p[items[2]].integer, -257);
  EXPECT_EQ(p[items[3]].integer, 0x201);
  EXPECT_EQ(p[items[4]].text, "hi");
  const PickleValue& list = p[items[5]];
  ASSERT_EQ(list.items.size(), 4u);
  EXPECT_EQ(p[list.items[0]].kind, Kind::kNone);
  EXPECT_EQ(p[list.items[1]].integer, 1);
  EXPECT_EQ(&p[list.items[3]], &p.root());  // a dict that holds itself
  EXPECT_EQ(items[7], items[5]);
}

TEST(Pickle, CallsOfOtherNamesAreRefusedAndNotRun) {
  const std::string marker = testing::TempDir() + "mome_pickle_ran";
  std::filesystem::remove(marker);
  const std::string touch = "touch " + marker;
  EXPECT_EQ(refused("cposix\nsystem\n" + text(touch) + "\x85R"), refused_name("posix.system"));
  EXPECT_EQ(refused("cos\nsystem\n" + text(touch) + "\x85R"), refused_name("os.system"));
  EXPECT_EQ(refused("c__builtin__\neval\n" + text("1") + "\x85R"),
            refused_name("__builtin__.eval"));
  EXPECT_EQ(refused("cbuiltins\nexec\n" + text("1") + "\x85R"), refused_name("builtins.exec"));
  EXPECT_EQ(refused("csubprocess\nPopen\n)\x81"), refused_name("subprocess.Popen"));
  // Deep inside what looks like a checkpoint; in the state of an object; behind POP.
  EXPECT_EQ(refused("}(" + text("state_dict") + "}(" + text("w") + "](cos\nsystem\n" + text(touch) +
                    "\x85Reuu"),
            refused_name("os.system"));
  EXPECT_EQ(refused("cargparse\nNamespace\n)\x81}" + text("k") + "cos\nsystem\n" + text(touch) +
                    "\x85Rsb"),
            refused_name("os.system"));
  EXPECT_EQ(refused("cos\nsystem\n" + text(touch) + "\x85R0}"), refused_name("os.system"));
  // Names beside those on the list.
  EXPECT_EQ(refused("ctorch\nload\n)R"), refused_name("torch.load"));
  EXPECT_EQ(refused("ctorch._utils\n_rebuild_tensor_v2.x\n"),
            refused_name("torch._utils._rebuild_tensor_v2.x"));
  EXPECT_EQ(refused("ccollections\nOrderedDict.__init__\n"),
            refused_name("collections.OrderedDict.__init__"));
  EXPECT_EQ(refused("c__builtin__\ngetattr\n"), refused_name("__builtin__.getattr"));
  EXPECT_FALSE(std::filesystem::exists(marker));
}

TEST(Pickle, OpcodesThatNoStateDictNeedsAreRefusedByName) {
  const std::pair<std::string, std::string> cases[] = {
      {"(" + text("x") + "ios\nsystem\n", "INST"},
      {"(" + text("x") + "o", "OBJ"},
      {text("os") + text("system") + "\x93", "STACK_GLOBAL"},
      {"\x82\x01", "EXT1"},
      {"P1\n", "PERSID"},
      {"))}\x92", "NEWOBJ_EX"},
      {"I1\n", "INT"}};
  for (const auto& [program, name] : cases)
    EXPECT_EQ(refused(program), "opcode " + name + " is refused: no state dict needs it");
  EXPECT_EQ(refused("\xfe"), "opcode 0xfe is refused: no state dict needs it");
}

TEST(Pickle, HarmlessNamesBecomeOpaque) {
  const Pickle p = read(
      "\x80\x02"
      "cargparse\nNamespace\n)\x81}"s +
      text("k") + "K\x01sb.");
  EXPECT_EQ(p.root().kind, Kind::kOpaque);
  EXPECT_EQ(p.root().text, "argparse Namespace");
  // Called with anything, filled with anything: still nothing but opaque.
  EXPECT_EQ(read("\x80\x02"
                 "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n)R\x85R(NNu."s)
                .root()
                .kind,
            Kind::kOpaque);
  EXPECT_EQ(refused("K\x01)R"), "a call of an int is refused");
  EXPECT_EQ(refused("})R"), "a call of a dict is refused");
  EXPECT_EQ(refused("ctorch\nFloatStorage\n)R"), "a call of `torch FloatStorage` is refused");
  EXPECT_EQ(refused("]}b"), "attributes of a list are refused");
  EXPECT_EQ(refused(")Na"), "items for a tuple are refused");
  EXPECT_EQ(refused("]NNs"), "items for a list are refused");
}

TEST(Pickle, BrokenStacksMarksAndMemosAreErrors) {
  for (const std::string program :
       {"0", "R",  "NR", "N\x86", "(N\x86", "a", "Na", "s",    "e",  "(e",   "u",    "t", "1",
        "2", "(2", "(0", "q\0",   "h\0",    "b", "Q",  "}(Nu", "(.", "]((e", "\x81", ""}) {
    EXPECT_NE(refused(program), "") << testing::PrintToString(program);
  }
  EXPECT_EQ(refused("N(\x85"), "the stack is empty");  // what a mark covers is out of reach
  EXPECT_EQ(refused("h\x05"), "no value was kept as 5");
  EXPECT_THROW(read(""), Error);
  EXPECT_THROW(read("\x80"), Error);
  EXPECT_THROW(read("N."), Error);
  EXPECT_THROW(read("\x80\x02N"), Error);
  EXPECT_THROW(read("\x80\x02"
                    "cos"),
               Error);
  EXPECT_THROW(read("\x80\x03N."), Error);
}

TEST(Pickle, StoragesAndTensorsHaveTheirKinds) {
  const std::string storage =
      "(" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + "K\x04tQ";
  EXPECT_EQ(read("\x80\x02"s + storage + ".").root().integer, 4);
  EXPECT_NE(refused("(" + text("module") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") +
                    "K\x04tQ"),
            "");
  EXPECT_NE(refused("(" + text("storage") + "ccollections\nOrderedDict\n" + text("0") +
                    text("cpu") + "K\x04tQ"),
            "");
  EXPECT_NE(refused("(" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") +
                    "J\xff\xff\xff\xfftQ"),
            "");
  EXPECT_NE(refused("NQ"), "");
  const std::string rebuild = "ctorch._utils\n_rebuild_tensor_v2\n(";
  EXPECT_EQ(read("\x80\x02"s + rebuild + storage + "K\0K\x02\x85K\x01\x85\x89}tR."s).root().kind,
            Kind::kTensor);
  const std::string message =
      "a tensor that is not (storage, offset, sizes, strides, requires_grad, hooks)";
  EXPECT_EQ(refused(rebuild + "NK\0K\x02\x85K\x01\x85\x89}tR"s), message);
  EXPECT_EQ(refused(rebuild + storage + "NK\x02\x85K\x01\x85\x89}tR"), message);
  EXPECT_EQ(refused(rebuild + storage + "K\0N\x85K\x01\x85\x89}tR"s), message);
  EXPECT_EQ(refused(rebuild + storage + "K\0K\x02\x85tR"s), message);
  EXPECT_EQ(refused(rebuild + storage + "K\0("s + std::string(65, 'N') + "tK\x01\x85\x89}tR"s),
            message);
  EXPECT_EQ(refused("ctorch._utils\n_rebuild_parameter\nN\x88}\x87R"),
            "a parameter that is not (tensor, requires_grad, hooks)");
}

TEST(Pickle, HugeLengthsAreErrorsBeforeAnyMemoryIsTaken) {
  EXPECT_EQ(refused("X\xff\xff\xff\xff"), "a text of 4294967295 bytes, but 1 follow");
  EXPECT_EQ(refused("T\xff\xff\xff\x7f"), "a text of 2147483647 bytes, but 1 follow");
  EXPECT_EQ(refused("\x8b\xff\xff\xff\xff"), "a text of 4294967295 bytes, but 1 follow");
  EXPECT_EQ(refused("Nr\xff\xff\xff\xffj\xff\xff\xff\xff"), "");  // a large key is no large table
}

TEST(Pickle, DeepNestingNeedsNoRecursion) {
  std::string program(1'000'000, ']');
  for (int i = 1; i < 1'000'000; ++i) program += 'a';
  EXPECT_EQ(refused(program), "");
  EXPECT_EQ(refused("N" + std::string(1'000'000, '\x85')), "");
}

TEST(Pickle, BombsStopAtALimit) {
  EXPECT_EQ(refused(std::string(2'000'001, '}')), "more than 2000000 values: no checkpoint");
  // "A billion laughs": tuples of tuples, 2^60 leaves if they were copied.
  std::string laughs = "N";
  for (int i = 0; i < 60; ++i) laughs += "2\x86";
  EXPECT_EQ(refused(laughs), "");
  // One long list of pairs, made a dict again and again.
  std::string dicts = "](" + "NN\x86q\0"s;
  for (int i = 0; i < 100'000; ++i) dicts += "h\0"s;
  dicts +=
      "e\x85q\x01"
      "0ccollections\nOrderedDict\nq\x02";
  for (int i = 0; i < 100'000; ++i) dicts += "0h\x02h\x01R";
  EXPECT_EQ(refused(dicts), "more than 2000000 values: no checkpoint");
}

}  // namespace
}  // namespace mome
