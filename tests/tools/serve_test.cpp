// `mome serve`: one answer a line, errors among them, until standard input ends.
#include <signal.h>
#include <sys/wait.h>

#include <cmath>

#include "tests/tools/search_fixture.h"

namespace mome {
namespace {

class ServeTest : public SearchTest {
 protected:
  /// The program with pipes to both of its ends.
  class Server {
   public:
    Server(std::vector<std::string> arguments, const std::string& err) {
      int in[2], out[2];
      EXPECT_EQ(pipe(in), 0);
      EXPECT_EQ(pipe(out), 0);
      arguments.insert(arguments.begin(), MOME_PROGRAM);
      child_ = fork();
      if (child_ == 0) {
        std::vector<char*> argv;
        for (std::string& argument : arguments) argv.push_back(argument.data());
        argv.push_back(nullptr);
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
        for (const int fd : {in[0], in[1], out[0], out[1]}) close(fd);
        execv(argv[0], argv.data());
        _exit(127);
      }
      close(in[0]);
      close(out[1]);
      to_ = in[1];
      from_ = fdopen(out[0], "r");
    }
    ~Server() {
      if (to_ >= 0) close(to_);
      if (from_) std::fclose(from_);
    }
    /// The next answer, which must come without another request.
    json ask(const std::string& line) {
      const std::string text = line + "\n";
      EXPECT_EQ(write(to_, text.data(), text.size()), ssize_t(text.size()));
      return answer();
    }
    json answer() {
      char* line = nullptr;
      size_t size = 0;
      const ssize_t got = getline(&line, &size, from_);
      const std::string text = got > 0 ? std::string(line, size_t(got)) : "";
      std::free(line);
      EXPECT_FALSE(text.empty()) << "no answer";
      return text.empty() ? json() : json::parse(text);
    }
    /// Ends its input, reads so many more answers; its exit code.
    int end(int answers = 0) {
      close(to_);
      to_ = -1;
      for (int i = 0; i < answers; ++i) last_ = answer();
      int status = 0;
      waitpid(child_, &status, 0);
      EXPECT_EQ(std::fgetc(from_), EOF) << "more answers than requests";
      return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    int to() const { return to_; }
    const json& last() const { return last_; }

   private:
    pid_t child_;
    int to_;
    std::FILE* from_;
    json last_;
  };

  void SetUp() override {
    SearchTest::SetUp();
    signal(SIGPIPE, SIG_IGN);  // a program that has died is a failed test, not the end of it
  }
  Server serve(std::vector<std::string> more) {
    std::vector<std::string> all = {"serve", "--checkpoint", checkpoint_, "--vocabulary",
                                    path("vocab.txt")};
    all.insert(all.end(), more.begin(), more.end());
    return {all, path("serving")};
  }
};

TEST_F(ServeTest, AnswersAsSearchDoes) {
  const std::string index = embed(path("pairs.jsonl"), {"--shard-rows", "5"});
  Server server = serve({"--index", index, "--top", "3"});
  const auto results = [&](const std::string& line) { return server.ask(line)["results"]; };
  EXPECT_EQ(results(R"({"text": "a red cat"})"),
            search({"--index", index, "--top", "3", "a red cat"}));
  EXPECT_EQ(results(R"({"text": "a red cat", "top": 12})"),
            search({"--index", index, "--top", "12", "a red cat"}));
  EXPECT_EQ(results(R"({"text": "a red cat", "top": 7, "rerank": 4})"),
            search({"--index", index, "--top", "7", "--rerank", "4", "a red cat"}));
  const std::string picture = path("7.png");
  EXPECT_EQ(results(json{{"image", picture}}.dump()),
            search({"--index", index, "--top", "3", "--image", picture}));
  EXPECT_EQ(results(json{{"image", picture}, {"rerank", 2}}.dump()),
            search({"--index", index, "--top", "3", "--rerank", "2", "--image", picture}));
  const json named = server.ask(R"({"text": "blue dog", "id": {"my": [1, null]}, "top": 1})");
  EXPECT_EQ(named["id"], json::parse(R"({"my": [1, null]})"));
  EXPECT_EQ(named["query"], "blue dog");
  EXPECT_EQ(named["results"].size(), 1u);
  EXPECT_EQ(server.end(), 0);
  expect_in(read_file(path("serving")), {"12 pictures, 12 texts", index});
}

TEST_F(ServeTest, FeaturesAreThoseOfTheIndex) {
  const std::string index = embed(path("pairs.jsonl"), {"--format", "npy"});
  Server server = serve({});  // needs no index
  const auto feature = [&](const json& of) {
    const json answer = server.ask(json{{"embed", of}, {"id", 5}}.dump());
    EXPECT_EQ(answer["id"], 5);
    std::vector<float> out = answer["feature"];
    EXPECT_EQ(out.size(), 16u);
    return out;
  };
  const auto row = [&](const std::string& file, size_t i) {
    const std::string array = read_file(index + "/" + file);
    std::vector<float> out(16);
    std::memcpy(out.data(), array.data() + array.size() - (12 - i) * 64, 64);
    return out;
  };
  const auto near = [](const std::vector<float>& a, const std::vector<float>& b) {
    double most = 0;
    for (size_t i = 0; i < 16; ++i) most = std::max(most, std::abs(double(a[i]) - b[i]));
    return most < 1e-6;  // another batch sums in another order
  };
  for (size_t i : {0, 7}) {
    const json record = {{"image", path(fmt::format("{}.png", i))}};
    EXPECT_TRUE(near(feature(record), row("images-00000.npy", i)));
    EXPECT_FALSE(near(feature(record), row("images-00000.npy", i + 1)));
  }
  EXPECT_TRUE(near(feature({{"text", "a red cat"}}), row("texts-00000.npy", 0)));
  expect_in(server.ask(R"({"text": "red", "id": 1})")["error"], {"no index", "--index"});
  EXPECT_EQ(server.end(), 0);
}

TEST_F(ServeTest, ErrorsAreAnsweredAndTheLoopGoesOn) {
  const std::string index = embed(path("pairs.jsonl"), {"--what", "images"});
  write_file_atomic(path("broken.png"), numbered_png(1).substr(0, 60));
  Server server = serve({"--index", index});
  const json good = server.ask(R"({"text": "red cat"})");
  ASSERT_EQ(good["results"].size(), 8u);
  const std::pair<std::string, std::vector<std::string>> bad[] = {
      {R"({"text": "red", "id": 7)", {"parse error"}},
      {"\xff\xfe", {"parse error"}},
      {std::string("\0{}", 3), {"parse error"}},
      {std::string(100000, '['), {"nested more than 64 deep"}},
      {R"({"text": "red", "id": )" + std::string(50000, '[') + std::string(50000, ']') + "}",
       {"nested more than 64 deep"}},
      {R"({"text": ")"
       "\xff"
       R"("})",
       {"UTF-8"}},
      {"[1]", {"expected an object"}},
      {"{}", {"one of \"text\" and \"image\""}},
      {R"({"text": "a", "image": "b"})", {"one of \"text\" and \"image\""}},
      {R"({"text": 3})", {"\"text\" is 3; expected a string"}},
      {R"({"text": "  "})", {"\"text\" is empty"}},
      {R"({"text": "a", "topk": 3})", {"\"topk\" is unknown", "rerank"}},
      {R"({"text": "a", "top": 0})", {"\"top\" is 0; expected an integer of at least 1"}},
      {R"({"text": "a", "top": 1.5})", {"\"top\" is 1.5"}},
      {R"({"text": "a", "rerank": "3"})", {"\"rerank\" is \"3\""}},
      {R"({"embed": "a"})", {"\"embed\": expected an object"}},
      {R"({"embed": {"text": "a", "top": 1}})", {"\"top\" is unknown"}},
      {R"({"image": "none.png"})", {"no texts"}},
      {R"({"embed": {"image": "none.png"}})", {"none.png"}},
      {json{{"embed", {{"image", path("broken.png")}}}}.dump(), {"broken.png", "cut short"}},
  };
  for (const auto& [line, parts] : bad) {
    const json answer = server.ask(line);
    ASSERT_TRUE(answer.contains("error")) << line << ": " << answer;
    EXPECT_FALSE(answer.contains("results"));
    for (const std::string& part : parts) expect_in(answer["error"], {part});
  }
  const json named = server.ask(R"({"image": 5, "id": "x"})");
  EXPECT_EQ(named["id"], "x");
  expect_in(named["error"], {"\"image\" is 5"});
  // Blank lines are no requests; the last line may lack its end.
  const std::string last = "\n \r\n{\"text\": \"red cat\"}";
  ASSERT_EQ(write(server.to(), last.data(), last.size()), ssize_t(last.size()));
  EXPECT_EQ(server.end(1), 0);
  EXPECT_EQ(server.last(), good);
}

TEST_F(ServeTest, ABadIndexIsToldAtOnce) {
  const std::string index = embed(path("pairs.jsonl"));
  fs::remove(index + "/texts-00000.jsonl");
  Server server = serve({"--index", index});
  EXPECT_EQ(server.end(), 1);
  expect_in(read_file(path("serving")), {"texts-00000.jsonl"});
  Server nowhere = serve({"--index", path("nowhere")});
  EXPECT_EQ(nowhere.end(), 1);
  expect_in(read_file(path("serving")), {"no such folder"});
}

}  // namespace
}  // namespace mome
