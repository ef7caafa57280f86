// The answers of kvpress's own pipeline, word for word, on a real model. KVPRESS_SMOLLM2 names its GGUF; skipped
// without.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "base/file.h"
#include "tasks/task_run.h"
#include "test_data.h"

namespace kvpress {
namespace {

TEST(SmolLM2Answers, AreThoseOfKvpressPipeline) {
  const char* path = std::getenv("KVPRESS_SMOLLM2");
  if (path == nullptr) GTEST_SKIP() << "KVPRESS_SMOLLM2 does not name the model's GGUF";
  const auto files = std::make_shared<ModelFiles>(open_model_files(path));
  const Tokenizer tokenizer = Tokenizer::from_gguf(*files->gguf);
  Model model(files, {false, DType::f32});
  const auto references = nlohmann::json::parse(read_file(test::data_dir() / "tasks" / "answers.json"));

  std::vector<TaskSample> samples;
  const auto add = [&](const std::string& question, const std::string& prefix) {
    TaskSample sample;
    sample.context = references["context"];
    sample.question = question;
    sample.answer_prefix = prefix;
    sample.max_new_tokens = references["max_new_tokens"];
    samples.push_back(sample);
  };
  for (const auto& it : references["questions"]) add(it, "");
  add(references["questions"][1], references["answer_prefix"]);

  // Its SnapKV has a window of 64 unless told otherwise.
  const std::map<std::string, std::string> ours = {{"snapkv", "snapkv(window_size=32)"}};
  for (const auto& [name, run] : references["runs"].items()) {
    TaskSettings settings;
    settings.chat = chat_format(*files, "auto", "--chat-format");
    settings.compression.budget.ratio = run["ratio"];
    const auto found = ours.find(name);
    settings.compression.press = parse_press(found == ours.end() ? name : found->second);
    const auto answers = answer_samples(model, tokenizer, samples, settings).answers;
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(answers[i].text, run["answers"][i].get<std::string>()) << name;
    EXPECT_EQ(answers[3].text, run["with_prefix"].get<std::string>()) << name;
  }
}

}  // namespace
}  // namespace kvpress
