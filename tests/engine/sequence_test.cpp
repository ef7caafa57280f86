// A sequence by itself: the same as its parts run by hand, points to come back to, copies, and what it holds.
#include "kvpress/engine/sequence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/engine/generate.h"
#include "small_model.h"

namespace kvpress {
namespace {

using Ids = std::vector<std::int32_t>;

CompressionSettings settings_of(const std::string& press, double ratio, const CacheFormat& format = DType::f32) {
  CompressionSettings settings;
  settings.press = parse_press(press);
  settings.budget = Budget::of_ratio(ratio);
  settings.cache_format = format;
  return settings;
}

class Sequences : public testing::Test {
 protected:
  Sequences() : model_(random_model(test::small_config(), {false, DType::f32}, 5)), text_(test::random_text(400).ids) {}

  Ids tokens(std::size_t first, std::size_t n) const {
    return {text_.begin() + static_cast<std::ptrdiff_t>(first), text_.begin() + static_cast<std::ptrdiff_t>(first + n)};
  }
  /// The most likely tokens after what the sequence has read.
  static Ids answer(Sequence& sequence, std::int64_t n) {
    return generate(sequence, {.max_new_tokens = n, .ignore_eos = true}).ids;
  }
  static std::vector<float> logits(Sequence& sequence) {
    const auto all = sequence.logits();
    return {all.begin(), all.end()};
  }

  Model model_;
  Ids text_;
};

TEST_F(Sequences, AreTheModelTheCompressorAndTheCacheRunByHand) {
  for (const char* press :
       {"no_press", "knorm", "snapkv(window_size=16)", "expected_attention", "observed_attention"}) {
    const CompressionSettings settings = settings_of(press, 0.5);
    Sequence sequence(model_, settings);
    Compressor compressor(settings.plan(), 0);
    KVCache cache = compressor.make_cache(model_, DType::f32);
    AlignedVector<float> hidden(static_cast<std::size_t>(100 * model_.config().hidden_size));
    const Matrix<float> states(hidden.data(), 100, model_.config().hidden_size);
    AlignedVector<float> ours = hidden;
    for (std::size_t first = 0; first < 300; first += 100) {
      compressor.forward(model_, tokens(first, 100), cache, states);
      sequence.append(tokens(first, 100), {ours.data(), 100, model_.config().hidden_size});
      EXPECT_EQ(ours, hidden) << press;
    }
    EXPECT_TRUE(std::equal(states.row(99), states.row(99) + states.cols, sequence.last_hidden().row(0)));
    EXPECT_EQ(sequence.cache_tokens(), cache.mean_tokens()) << press;
    EXPECT_EQ(sequence.cache_bytes(), cache.allocated_bytes()) << press;
    EXPECT_EQ(sequence.n_tokens(), 300);
    EXPECT_EQ(sequence.compressed(), std::string(press) != "no_press");
  }
}

TEST_F(Sequences, TimesAddUp) {
  Sequence sequence(model_, settings_of("snapkv", 0.5));
  sequence.append(tokens(0, 200));
  const SequenceTimes prefill = sequence.times();
  EXPECT_GT(prefill.prefill, 0);
  EXPECT_GT(prefill.compress, 0);
  EXPECT_EQ(prefill.decode, 0);
  sequence.begin_decoding();
  sequence.append(tokens(200, 1));
  EXPECT_EQ(sequence.times().prefill, prefill.prefill);
  EXPECT_EQ(sequence.times().compress, prefill.compress);  // no press is at work any more
  EXPECT_GT(sequence.times().decode, 0);
}

TEST_F(Sequences, RewindTakesAwayWhatAQuestionAdded) {
  for (const char* press : {"no_press", "snapkv(window_size=16)", "adakv(snapkv)", "think", "kvzip"}) {
    for (const CacheFormat& format :
         {CacheFormat(DType::f32), CacheFormat(DType::bf16), CacheFormat(DType::f32, 8, 32)}) {
      for (const Positions positions : {Positions::text, Positions::cache}) {
        CompressionSettings settings = settings_of(press, 0.5, format);
        settings.positions = positions;
        const auto fresh = [&](std::size_t question) {
          Sequence sequence(model_, settings);
          sequence.append(tokens(0, 200));
          sequence.begin_decoding();
          sequence.append(tokens(question, 10));
          return answer(sequence, 5);
        };
        Sequence sequence(model_, settings);
        sequence.append(tokens(0, 200));
        sequence.begin_decoding();
        const Sequence::Mark mark = sequence.mark();
        const double held = sequence.cache_tokens();
        for (const std::size_t question : {200, 300, 200}) {
          EXPECT_EQ(sequence.marks_stay_valid(), format.bits == 0);
          if (format.bits > 0) {  // an answer may quantize what cannot be brought back
            Sequence copy = sequence.fork();
            copy.append(tokens(question, 10));
            EXPECT_EQ(answer(copy, 5), fresh(question)) << press;
            continue;
          }
          sequence.append(tokens(question, 10));
          EXPECT_EQ(answer(sequence, 5), fresh(question)) << press;
          sequence.rewind(mark);
          EXPECT_EQ(sequence.n_tokens(), 200);
          EXPECT_EQ(sequence.cache_tokens(), held);
        }
      }
    }
  }
}

TEST_F(Sequences, RewindBringsBackWhatAPressHasSeen) {
  // The press for decoding has gathered queries and statistics when the mark is set; the interval goes on from there.
  for (const char* press : {"decoding(snapkv(window_size=8), compression_interval=16, target_size=64)",
                            "decoding(expected_attention, compression_interval=16, target_size=64)",
                            "decoding(observed_attention, compression_interval=16, target_size=64)"}) {
    Sequence sequence(model_, settings_of(press, 0.5));
    sequence.append(tokens(0, 100));
    sequence.begin_decoding();
    for (std::size_t i = 0; i < 10; ++i) sequence.append(tokens(100 + i, 1));
    const Sequence::Mark mark = sequence.mark();
    const auto go_on = [&](Sequence& it) {
      for (std::size_t i = 0; i < 6; ++i) it.append(tokens(110 + i, 1));
      EXPECT_EQ(it.cache_tokens(), 64) << press;
      return logits(it);
    };
    Sequence untouched = sequence.fork();
    sequence.append(tokens(300, 5));  // one less than what would compress
    sequence.rewind(mark);
    EXPECT_EQ(go_on(sequence), go_on(untouched)) << press;
    EXPECT_THROW(sequence.rewind(mark), std::logic_error) << "entries from before the mark are gone";
  }
}

TEST_F(Sequences, ForksGoOnByThemselves) {
  for (const CacheFormat& format : {CacheFormat(DType::f32), CacheFormat(DType::f32, 4, 32)}) {
    Sequence sequence(model_, settings_of("adakv(snapkv)", 0.5, format));
    sequence.append(tokens(0, 200));
    sequence.begin_decoding();
    Sequence one = sequence.fork();
    Sequence other = sequence.fork();
    one.append(tokens(200, 20));
    other.append(tokens(300, 7));
    EXPECT_EQ(sequence.n_tokens(), 200);
    Sequence again = sequence.fork();
    again.append(tokens(200, 20));
    EXPECT_EQ(logits(again), logits(one));
    EXPECT_NE(logits(again), logits(other));
    EXPECT_EQ(answer(again, 8), answer(one, 8));
  }
}

TEST_F(Sequences, ABudgetInBytesHoldsWhateverThePress) {
  constexpr std::size_t kBytes = 160 << 10;
  for (const char* press :
       {"knorm", "snapkv(window_size=16)", "adakv(snapkv)", "pyramidkv", "observed_attention", "kvzip"}) {
    for (const CacheFormat& format : {CacheFormat(DType::f32), CacheFormat(DType::bf16), CacheFormat(DType::f32, 8, 32),
                                      CacheFormat(DType::bf16, 4, 32)}) {
      CompressionSettings settings = settings_of(press, 0, format);
      settings.budget = Budget::of_bytes(kBytes);
      Sequence sequence(model_, settings);
      for (std::size_t first = 0; first < 400; first += 100) {
        sequence.append(tokens(first, 100));
        EXPECT_LE(sequence.cache_bytes(), kBytes) << press << " " << to_string(format);
      }
      ASSERT_TRUE(sequence.budget_tokens());
      // What is left unused is a page or two a head, room for the positions of 128 tokens, and what one press leaves.
      EXPECT_GE(sequence.cache_bytes(), kBytes * 2 / 5) << press << " " << to_string(format);
    }
  }
}

TEST_F(Sequences, ABudgetInBytesThatIsTooSmallIsRefused) {
  CompressionSettings settings = settings_of("knorm", 0);
  settings.budget = Budget::of_bytes(1000);
  try {
    const Sequence sequence(model_, settings);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("budget: 1000 B are less than"), std::string::npos) << error.what();
  }
}

TEST_F(Sequences, GeneratingEndsByTheEndOfTextOrTheNumber) {
  Sequence sequence(model_, settings_of("no_press", 0));
  sequence.append(tokens(0, 30));
  Sequence same = sequence.fork();
  const Generated free = generate(sequence, {.max_new_tokens = 6, .ignore_eos = true});
  EXPECT_EQ(free.ids.size(), 6);
  EXPECT_FALSE(free.end);
  EXPECT_EQ(sequence.n_tokens(), 30 + 5) << "the last token is not read";
  Ids streamed;
  EXPECT_EQ(
      generate(same, {.max_new_tokens = 6, .ignore_eos = true}, [&](std::int32_t id) { streamed.push_back(id); }).ids,
      free.ids);
  EXPECT_EQ(streamed, free.ids);
  EXPECT_THROW(check_settings(GenerateSettings{.max_new_tokens = 0}), UsageError);
  EXPECT_THROW(check_settings(GenerateSettings{.temperature = -1}), UsageError);
}

/// Each sequence alone, then all in one pass, token by token and chunk by chunk.
class Batches : public Sequences, public testing::WithParamInterface<int> {};

TEST_P(Batches, GiveWhatEachGivesAlone) {
  struct Kind {
    const char* press;
    double ratio;
    std::size_t length;
    bool renumber;
  };
  constexpr Kind kKinds[] = {{"no_press", 0, 37, false},
                             {"snapkv(window_size=16)", 0.5, 150, false},
                             {"adakv(snapkv)", 0.75, 220, false},
                             {"knorm", 0.5, 90, true},
                             {"expected_attention", 0.5, 120, false},
                             {"decoding(knorm, compression_interval=3, target_size=40)", 0, 60, false},
                             {"streaming_llm", 0.9, 200, true},
                             {"observed_attention", 0.25, 64, false}};
  const auto n = static_cast<std::size_t>(GetParam());
  std::vector<Sequence> alone, together;
  for (std::size_t i = 0; i < n; ++i) {
    const Kind& kind = kKinds[i];
    CompressionSettings settings = settings_of(kind.press, kind.ratio);
    settings.positions = kind.renumber ? Positions::cache : Positions::text;
    Sequence sequence(model_, settings);
    sequence.append(tokens(i * 11, kind.length));
    sequence.begin_decoding();
    together.push_back(sequence.fork());
    alone.push_back(std::move(sequence));
  }
  SequenceBatch batch;
  for (std::size_t step = 0; step < 6; ++step) {
    std::vector<Ids> parts;
    // In the third step one of them reads a chunk while the others decode.
    for (std::size_t i = 0; i < n; ++i) parts.push_back(tokens(step * 7 + i, step == 2 && i == n - 1 ? 40 : 1));
    std::vector<SequenceBatch::Item> items;
    for (std::size_t i = 0; i < n; ++i) items.push_back({together[i], parts[i]});
    batch.append(items);
    for (std::size_t i = 0; i < n; ++i) {
      alone[i].append(parts[i]);
      EXPECT_EQ(together[i].most_likely(), alone[i].most_likely()) << kKinds[i].press << " step " << step;
      const auto a = logits(together[i]);
      const auto b = logits(alone[i]);
      for (std::size_t v = 0; v < a.size(); ++v) ASSERT_NEAR(a[v], b[v], 2e-4) << kKinds[i].press << " step " << step;
      EXPECT_EQ(together[i].cache_tokens(), alone[i].cache_tokens());
      EXPECT_EQ(together[i].n_tokens(), alone[i].n_tokens());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, Batches, testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace kvpress
