// Every format, from files that the test writes.
#include "runtime/data/dataset.h"
#include "runtime/data/shards.h"
#include "runtime/data/tar.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {
using Strings = std::vector<std::string>;

Strings keys(const Dataset& dataset) {
  Strings out;
  for (const Record& record : dataset.records) out.push_back(record.key);
  return out;
}

TEST(DatasetFormats, JsonLines) {
  const TemporaryFolder folder;
  folder.write("images/1.png", numbered_png(1));
  folder.write("images/2.png", numbered_png(2));
  const std::string file = folder.write(
      "captions.jsonl",
      "\xEF\xBB\xBF{\"image\": \"images/1.png\", \"captions\": [\" a dog \", \"\"], \"split\": "
      "\"train\"}\r\n"
      "\n"
      "{\"image\": \"images/2.png\", \"captions\": [\"a\", \"b\"], \"split\": \"test\", "
      "\"keywords\": [\"k\"], \"kind\": \"tone\"}\n"
      "{\"image\": \"images/1.png\", \"captions\": []}");
  const Dataset all = open_dataset(file, "", {});
  ASSERT_EQ(all.records.size(), 3u);
  EXPECT_TRUE(all.problems.empty());
  EXPECT_EQ(all.records[0].image.file, folder / "images/1.png");
  EXPECT_EQ(all.records[0].captions, Strings{"a dog"});
  EXPECT_EQ(all.records[0].image_id, all.records[2].image_id);
  EXPECT_NE(all.records[0].image_id, all.records[1].image_id);

  // The folder stands for its captions.jsonl.
  const Dataset test = open_dataset(folder.path(), "test", {});
  ASSERT_EQ(keys(test), Strings{"images/2.png"});
  EXPECT_EQ(test.records[0].captions, (Strings{"a", "b"}));
  EXPECT_EQ(test.records[0].keywords, Strings{"k"});
  EXPECT_EQ(test.records[0].kind, "tone");
  EXPECT_EQ(test.records[0].split, "test");
  EXPECT_EQ(all.records[0].split, "train");
  EXPECT_EQ(all.records[2].split, "");

  const Dataset twice = open_datasets({file, file}, "test", {});
  EXPECT_EQ(twice.records.size(), 2u);
}

TEST(DatasetFormats, CocoCaptions) {
  const TemporaryFolder folder;
  folder.write("images/000000000007.jpg", "not read yet");
  folder.write("images/000000000009.jpg", "not read yet");
  const std::string file = folder.write("captions_val.json", R"({"info": {}, "licenses": [{}],
    "images": [{"id": 9, "file_name": "000000000009.jpg"},
               {"id": 7, "file_name": "000000000007.jpg"}],
    "annotations": [{"id": 1, "image_id": 7, "caption": "one"}, {"image_id": 9, "caption": "two\n"},
                    {"image_id": 7, "caption": "three"}]})");
  const Dataset dataset = open_dataset(file, "", {.need_captions = true});
  EXPECT_EQ(keys(dataset), (Strings{"000000000009.jpg", "000000000007.jpg"}));
  EXPECT_EQ(dataset.records[0].captions, Strings{"two"});
  EXPECT_EQ(dataset.records[1].captions, (Strings{"one", "three"}));
  EXPECT_EQ(dataset.records[0].image.file, folder / "images/000000000009.jpg");
}

TEST(DatasetFormats, KarpathySplits) {
  const TemporaryFolder folder;
  for (const char* name : {"root/val2014/a.jpg", "root/b.jpg", "root/c.jpg"})
    folder.write(name, "x");
  const std::string file = folder.write("dataset.json", R"({"dataset": "coco", "images": [
    {"filepath": "val2014", "filename": "a.jpg", "split": "restval", "sentids": [1],
     "sentences": [{"tokens": ["a", "dog"], "raw": "A dog."}, {"raw": "Two."}]},
    {"filename": "b.jpg", "split": "train", "sentences": [{"raw": "B."}]},
    {"filename": "c.jpg", "split": "test", "sentences": [{"raw": "C."}]}]})");
  const DatasetOptions options{.image_root = folder / "root"};
  const Dataset train = open_dataset(file, "train", options);
  EXPECT_EQ(keys(train), (Strings{"val2014/a.jpg", "b.jpg"}));
  EXPECT_EQ(train.records[0].captions, (Strings{"A dog.", "Two."}));
  EXPECT_EQ(train.records[0].image.file, folder / "root/val2014/a.jpg");
  EXPECT_EQ(train.records[0].split, "train");  // restval
  EXPECT_EQ(open_dataset(file, "", options).records.size(), 3u);
}

TEST(DatasetFormats, ImageFolder) {
  const TemporaryFolder folder;
  for (const char* name : {"b/2.PNG", "a.jpeg", "b/1.png", "b/notes.txt", "c/3.jpg"}) {
    folder.write(name, "x");
  }
  const Dataset dataset = open_dataset(folder.path(), "", {});
  EXPECT_EQ(keys(dataset), (Strings{"a.jpeg", "b/1.png", "b/2.PNG", "c/3.jpg"}));
  EXPECT_TRUE(dataset.records[0].captions.empty());
  expect_in(error_of([&] { open_dataset(folder.path(), "", {.need_captions = true}); }),
            {"a.jpeg", "has no caption"});
}

TEST(DatasetFormats, WebDatasetShards) {
  const TemporaryFolder folder;
  {
    TarWriter tar(folder / "s-00.tar");
    tar.add("dir.v1/0001.jpg", "JPEG one");
    tar.add("dir.v1/0001.txt", " a caption\n");
    tar.add("dir.v1/0001.json",
            R"({"caption": "a caption", "captions": ["another"], "split": "train"})");
    tar.add("README", "no sample");
    tar.add("0002.json",
            R"({"captions": ["x", "y"], "keywords": ["k"], "kind": "role", "split": "test"})");
    tar.add("0002.seg.png", "not the image: the ending is seg.png");
    tar.add("0002.PNG", "PNG two");
    tar.finish();
  }
  {
    TarWriter tar(folder / "s-01.tar");
    tar.add("0001.png", "PNG three");
    tar.finish();
  }
  const Dataset dataset = open_dataset(folder / "s-{00..01}.tar", "", {});
  ASSERT_EQ(keys(dataset), (Strings{"dir.v1/0001", "0002", "0001"}));
  EXPECT_EQ(dataset.records[0].captions, (Strings{"a caption", "another"}));
  EXPECT_EQ(dataset.records[1].captions, (Strings{"x", "y"}));
  EXPECT_EQ(dataset.records[1].keywords, Strings{"k"});
  EXPECT_EQ(dataset.records[1].kind, "role");
  EXPECT_EQ(dataset.records[0].split, "train");
  EXPECT_EQ(image_name(dataset.records[0].image), folder / "s-00.tar: dir.v1/0001.jpg");
  EXPECT_EQ(image_name(dataset.records[1].image), folder / "s-00.tar: 0002.PNG");
  const auto content = [](const Record& record) {
    const auto bytes = read_bytes(record.image);
    return std::string(bytes.begin(), bytes.end());
  };
  EXPECT_EQ(content(dataset.records[0]), "JPEG one");
  EXPECT_EQ(content(dataset.records[1]), "PNG two");
  EXPECT_EQ(content(dataset.records[2]), "PNG three");
  EXPECT_EQ(keys(open_dataset(folder / "s-00.tar", "test", {})), Strings{"0002"});
}

TEST(DatasetFormats, AnImageIsItsPlaceHoweverItIsNamed) {
  const TemporaryFolder folder;
  folder.write("a/1.png", "x");
  std::filesystem::create_directory_symlink(folder / "a", folder / "link");
  const std::string identity = image_identity({folder / "a/1.png"});
  EXPECT_EQ(image_identity({folder / "a/../a/./1.png"}), identity);
  EXPECT_EQ(image_identity({folder / "link/1.png"}), identity);
  EXPECT_EQ(image_identity({std::filesystem::relative(folder / "a/1.png").string()}), identity);
  EXPECT_NE(image_identity({folder / "a/2.png"}), identity);
  EXPECT_NE(image_identity({folder / "a/1.png", 512, 7, "m"}), identity);
  EXPECT_NE(image_identity({folder / "a/1.png", 512, 7, "m"}),
            image_identity({folder / "a/1.png", 2048, 7, "n"}));
}

TEST(DatasetFormats, ShardNames) {
  EXPECT_EQ(expand_shards("a-{08..11}.tar"),
            (Strings{"a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"}));
  EXPECT_EQ(expand_shards("{x,yy}/{0..1}.tar,z.tar"),
            (Strings{"x/0.tar", "x/1.tar", "yy/0.tar", "yy/1.tar", "z.tar"}));
  for (const char* wrong : {"a-{3..1}.tar", "a-{0..}.tar", "a-{0..9.tar", "a-0..9}.tar",
                            "{{0..1}}.tar", "a.zip,b.tar", "{0..99999999}.tar", "{a..b}.tar"}) {
    expect_in(error_of([&] { expand_shards(wrong); }), {wrong});
  }
}

TEST(DatasetFormats, TextLines) {
  const TemporaryFolder folder;
  const std::string one = folder.write("1.txt", "first\r\n\r\n  \t\ncaf\xE9 \xFF\nlast");
  const std::string two = folder.write("2.txt", "\nmore\n");
  EXPECT_EQ(read_text_lines({one, two}), (Strings{"first", "caf\xE9 \xFF", "last", "more"}));
  expect_in(error_of([&] { read_text_lines({folder / "none.txt"}); }), {"none.txt", "cannot read"});
  expect_in(error_of([&] { read_text_lines({folder.path()}); }), {folder.path()});
  expect_in(error_of([&] { read_text_lines({folder.write("e.txt", "\n \n")}); }), {"no text"});
}

}  // namespace
}  // namespace mome
