// Needles found by a real model that follows instructions. KVPRESS_SMOLLM2 names its GGUF; skipped without.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>

#include "kvpress/formats/text_dataset.h"
#include "tasks/task.h"
#include "tasks/task_run.h"
#include "tasks/task_score.h"

namespace kvpress {
namespace {

struct Loaded {
  std::shared_ptr<ModelFiles> files;
  Tokenizer tokenizer;
  Model model;
  TaskSettings settings;
};

Loaded* loaded() {
  const char* path = std::getenv("KVPRESS_SMOLLM2");
  if (path == nullptr) return nullptr;
  static Loaded instance = [&] {
    auto files = std::make_shared<ModelFiles>(open_model_files(path));
    Loaded it{files, Tokenizer::from_gguf(*files->gguf), Model(files, {}), {}};
    it.settings.chat = chat_format(*files, "auto", "--chat-format");
    it.settings.compression.cache_format = it.model.dtype();
    return it;
  }();
  return &instance;
}

class SmolLM2Tasks : public testing::Test {
 protected:
  void SetUp() override {
    if (loaded() == nullptr) GTEST_SKIP() << "KVPRESS_SMOLLM2 does not name the model's GGUF";
  }
  static TaskSet needles() {
    TaskGrid grid;
    grid.lengths = {500};
    grid.depths = {0.5};
    grid.samples = 3;
    return make_needle_task(grid, load_texts({.name = "pg19"}).texts[0], [](std::string_view context) {
      return static_cast<std::int64_t>(
          loaded()->tokenizer.encode(loaded()->settings.chat.before + std::string(context)).size());
    });
  }
  static double score(const TaskSet& set, const std::string& press, double ratio) {
    TaskSettings settings = loaded()->settings;
    settings.compression.press = parse_press(press);
    settings.compression.budget.ratio = ratio;
    const TaskRun run = answer_samples(loaded()->model, loaded()->tokenizer, set.samples, settings);
    double sum = 0;
    for (std::size_t i = 0; i < set.samples.size(); ++i)
      sum += score_whole_answers(set.samples[i], run.answers[i].text);
    return sum / static_cast<double>(set.samples.size());
  }
};

TEST_F(SmolLM2Tasks, TheChatIsItsTemplates) {
  const ChatFormat& chat = loaded()->settings.chat;
  EXPECT_EQ(chat.name, "chatml");
  EXPECT_EQ(chat.before,
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\n");
  EXPECT_EQ(chat.after, "<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(SmolLM2Tasks, PressesLoseAndKeepTheNeedle) {
  const TaskSet set = needles();
  EXPECT_EQ(score(set, "no_press", 0), 1);
  // The middle of the text is just what streaming_llm evicts.
  EXPECT_EQ(score(set, "streaming_llm", 0.75), 0);
  // kvzip knows what can be told again from what.
  EXPECT_GE(score(set, "kvzip", 0.5), 2.0 / 3);
}

TEST_F(SmolLM2Tasks, QuestionsOfOneContextDoNotSeeEachOther) {
  TaskSet set = needles();
  set.samples.resize(1);
  TaskSample other = set.samples[0];
  other.question = "Who wrote the text?";
  other.answer_prefix = "";
  TaskSettings settings = loaded()->settings;
  settings.compression.press = parse_press("knorm");
  settings.compression.budget.ratio = 0.25;
  const auto answers = [&](const std::vector<TaskSample>& samples) {
    return answer_samples(loaded()->model, loaded()->tokenizer, samples, settings).answers;
  };
  const auto alone = answers(set.samples);
  const auto together = answers({other, set.samples[0], other});
  EXPECT_EQ(together[1].text, alone[0].text);
  EXPECT_EQ(together[0].text, together[2].text);
  EXPECT_NE(together[0].text, together[1].text);
}

}  // namespace
}  // namespace kvpress
