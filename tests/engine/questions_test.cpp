// Questions over one context, with and without those before.
#include "kvpress/engine/questions.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "small_model.h"

namespace kvpress {
namespace {

using Ids = std::vector<std::int32_t>;

class QuestionsOverAContext : public testing::Test {
 protected:
  QuestionsOverAContext()
      : model_(random_model(test::small_config(), {false, DType::f32}, 5)), text_(test::random_text(400).ids) {}

  Ids tokens(std::size_t first, std::size_t n) const {
    return {text_.begin() + static_cast<std::ptrdiff_t>(first), text_.begin() + static_cast<std::ptrdiff_t>(first + n)};
  }
  Sequence context(const std::string& press, const CacheFormat& format) const {
    CompressionSettings settings;
    settings.press = parse_press(press);
    settings.budget = Budget::of_ratio(0.5);
    settings.cache_format = format;
    Sequence sequence(model_, settings);
    sequence.append(tokens(0, 200));
    if (sequence.compressor().plan().decoding == nullptr) sequence.begin_decoding();
    return sequence;
  }
  static Ids ask(Questions& questions, const Ids& question) {
    return questions.ask(question, {.max_new_tokens = 12, .ignore_eos = true}).ids;
  }

  Model model_;
  Ids text_;
};

TEST_F(QuestionsOverAContext, DoNotSeeEachOther) {
  for (const char* press : {"no_press", "snapkv(window_size=16)", "kvzip",
                            "decoding(snapkv(window_size=8), compression_interval=4, target_size=64)"}) {
    for (const CacheFormat& format : {CacheFormat(DType::f32), CacheFormat(DType::f32, 8, 16)}) {
      Sequence shared = context(press, format);
      Questions questions(shared, false);
      std::vector<Ids> answers;
      for (const std::size_t first : {200, 260, 200}) {
        Sequence own = context(press, format);
        Questions alone(own, true);
        answers.push_back(ask(questions, tokens(first, 15)));
        EXPECT_EQ(answers.back(), ask(alone, tokens(first, 15))) << press;
        EXPECT_EQ(questions.newest().cache_tokens(), own.cache_tokens());
      }
      EXPECT_EQ(answers[0], answers[2]);
      EXPECT_GT(questions.times().read, 0);
      EXPECT_GT(questions.times().answer, 0);
    }
  }
}

TEST_F(QuestionsOverAContext, SeeThoseBeforeWhereTheyAreKept) {
  Sequence kept = context("snapkv(window_size=16)", DType::f32);
  Sequence by_hand = kept.fork();
  Questions questions(kept, true);
  const Ids first = ask(questions, tokens(200, 15));
  by_hand.append(tokens(200, 15));
  EXPECT_EQ(first, generate(by_hand, {.max_new_tokens = 12, .ignore_eos = true}).ids);
  EXPECT_EQ(kept.n_tokens(), 200 + 15 + 11);
  const Ids second = ask(questions, tokens(260, 15));
  by_hand.append(tokens(260, 15));
  EXPECT_EQ(second, generate(by_hand, {.max_new_tokens = 12, .ignore_eos = true}).ids);
  Sequence forgets = context("snapkv(window_size=16)", DType::f32);
  Questions alone(forgets, true);
  EXPECT_NE(second, ask(alone, tokens(260, 15))) << "the first question changes the second answer";
}

}  // namespace
}  // namespace kvpress
