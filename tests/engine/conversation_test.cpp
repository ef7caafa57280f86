// A conversation: within its budget however long it gets, the same as by hand while nothing is evicted, and what can be
// taken back, saved and changed on the way.
#include "kvpress/engine/conversation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "ops/output_loss.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

using test::TemporaryFolder;
using testing::HasSubstr;

const OpenedModel& opened() {
  static const OpenedModel model = open_model("demo");
  return model;
}
const Tokenizer& tokenizer() {
  static const Tokenizer tokenizer = opened().tokenizer();
  return tokenizer;
}
const Model& model() {
  static const LoadedModel loaded = load_model(opened(), {{false, DType::f32}}, 256, 1024);
  return *loaded.model;
}

const ChatFormat kFormat = {"template",
                            "The keeper speaks with a visitor of the lighthouse.\n\nVisitor: ", "\n\nKeeper:", false,
                            "\n\nVisitor: "};

std::string message(int i) {
  std::string text = "It is day " + std::to_string(i) + " now, and the sea has gone";
  for (int k = 0; k < 6; ++k) text += " over the rocks and the old wall " + std::to_string(i * 7 + k) + " times";
  return text + ". What do you say to that?";
}

ConversationSettings settings_of(const std::string& press, const Budget& budget,
                                 const CacheFormat& format = DType::f32) {
  ConversationSettings settings;
  settings.compression.press = parse_press(press);
  settings.compression.press.prepare({model().config(), "demo", &tokenizer()});
  settings.compression.cache_format = format;
  settings.budget = budget;
  return settings;
}

GenerateSettings sampling(std::int64_t n = 16) { return {.max_new_tokens = n, .ignore_eos = true}; }

/// Whether every head holds all of the places.
bool hold(const KVCache& cache, std::int64_t begin, std::int64_t end) {
  for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) {
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) {
      const auto places = cache.head(l, h).positions();
      const std::set<std::int64_t> held(places.begin(), places.end());
      for (std::int64_t p = begin; p < end; ++p) {
        if (held.count(p) == 0) return false;
      }
    }
  }
  return true;
}

template <typename Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(Conversations, NeverOutgrowTheirBudget) {
  struct Case {
    const char* press;
    Budget budget;
    CacheFormat format;
  };
  const std::vector<Case> cases = {
      {"snapkv(window_size=16)", Budget::of_tokens(300), DType::f32},
      {"snapkv(window_size=16)", Budget::of_bytes(std::size_t{4} << 20), DType::f32},
      {"adakv(snapkv)", Budget::of_bytes(std::size_t{4} << 20), DType::bf16},
      {"streaming_llm", Budget::of_bytes(std::size_t{3} << 20), CacheFormat(DType::f32, 8, 32)},
      {"chunkkv(expected_attention)", Budget::of_tokens(280), DType::f32},
      {"observed_attention", Budget::of_bytes(std::size_t{4} << 20), DType::f32}};
  for (const Case& it : cases) {
    Conversation talk(model(), tokenizer(), kFormat, settings_of(it.press, it.budget, it.format));
    const std::int64_t n_system = std::ssize(tokenizer().encode(kFormat.before));
    for (int i = 0; i < 20; ++i) {
      const Reply reply = talk.say(message(i), sampling());
      EXPECT_EQ(reply.n_new, 16);
      EXPECT_FALSE(reply.stopped);
      EXPECT_LE(talk.used(), talk.limit()) << it.press << " message " << i;
      EXPECT_LE(talk.peak(), talk.limit()) << it.press << " message " << i;
      const ConversationTurn& turn = talk.turns().back();
      EXPECT_TRUE(hold(talk.sequence().cache(), 0, n_system)) << it.press << ": the system message stays";
      EXPECT_TRUE(hold(talk.sequence().cache(), turn.begin, talk.sequence().n_tokens()))
          << it.press << ": the newest turn stays";
    }
    EXPECT_GT(talk.n_compressions(), 1) << it.press;
    EXPECT_LT(talk.n_compressions(), 20) << it.press << ": each leaves room for more than a turn";
    EXPECT_GT(talk.used(), talk.limit() * 0.4) << it.press;
    EXPECT_GT(talk.sequence().n_tokens(), 1200);
  }
}

TEST(Conversations, GoOnBeyondTheTrainedContext) {
  Conversation talk(model(), tokenizer(), kFormat, settings_of("snapkv(window_size=16)", Budget::of_tokens(250)));
  double first = 0;
  double last = 0;
  int i = 0;
  ConversationSettings scored = talk.settings();
  scored.scores_text = true;
  Conversation measured(model(), tokenizer(), kFormat, scored);
  while (measured.sequence().n_tokens() < model().config().max_positions + 500) {
    const Reply reply = measured.say(message(i), sampling(4));
    if (i >= 1 && i <= 5) first += reply.nll / 5;
    last = i >= 5 ? 0.8 * last + 0.2 * reply.nll : reply.nll;
    ++i;
  }
  EXPECT_EQ(measured.sequence().settings().positions, Positions::cache);
  EXPECT_LT(last, first + 0.5) << "what comes late is read as well as what came early";
  EXPECT_LT(measured.sequence().cache_tokens(), 251);
}

TEST(Conversations, WithinTheBudgetAreTheFullCache) {
  Conversation talk(model(), tokenizer(), kFormat, settings_of("snapkv", Budget::of_tokens(2000 / 3)));
  CompressionSettings full;
  full.cache_format = DType::f32;
  Sequence by_hand(model(), full);
  std::optional<std::int32_t> unread;
  for (int i = 0; i < 2; ++i) {
    const Reply reply = talk.say(message(i), sampling());
    std::vector<std::int32_t> tokens =
        tokenizer().encode((i == 0 ? kFormat.before : kFormat.between) + message(i) + kFormat.after);
    EXPECT_EQ(reply.n_read, std::ssize(tokens) + (unread ? 1 : 0));
    if (unread) tokens.insert(tokens.begin(), *unread);
    by_hand.append(tokens);
    GenerateSettings settings = sampling();
    settings.begins_decoding = false;
    const Generated generated = generate(by_hand, settings);
    unread = generated.ids.back();
    EXPECT_EQ(reply.text, tokenizer().decode(generated.ids));
    EXPECT_EQ(reply.n_compressions, 0);
    EXPECT_EQ(reply.n_evicted, 0);
  }
  EXPECT_TRUE(std::ranges::equal(talk.sequence().tokens(), by_hand.tokens()));
}

TEST(Conversations, TakeTurnsBack) {
  const ConversationSettings settings = settings_of("snapkv(window_size=16)", Budget::of_tokens(400));
  Conversation talk(model(), tokenizer(), kFormat, settings);
  EXPECT_FALSE(talk.undo());
  talk.say(message(0), sampling());
  const std::string second = talk.say(message(1), sampling()).text;
  EXPECT_TRUE(talk.undo());
  EXPECT_EQ(talk.turns().size(), 1);
  talk.say(message(7), sampling());
  talk.undo();
  EXPECT_EQ(talk.say(message(1), sampling()).text, second) << "as if the other message had not been said";
  // Two at once: the second has no mark, and the text is read again.
  talk.undo();
  talk.undo();
  EXPECT_EQ(talk.sequence().n_tokens(), 0);
  talk.say(message(0), sampling());
  EXPECT_EQ(talk.say(message(1), sampling()).text, second);
  // Once older entries have gone.
  while (talk.say(message(3), sampling()).n_compressions == 0) {
  }
  const std::size_t n = talk.turns().size();
  const std::int64_t begin = talk.turns().back().begin;
  EXPECT_TRUE(talk.undo());
  EXPECT_EQ(talk.turns().size(), n - 1);
  EXPECT_EQ(talk.sequence().n_tokens(), begin);
  EXPECT_LE(talk.used(), talk.limit());
  talk.say(message(4), sampling());
  EXPECT_LE(talk.peak(), talk.limit());
}

TEST(Conversations, StopWhereTheyAreToldTo) {
  Conversation talk(model(), tokenizer(), kFormat, settings_of("snapkv", Budget::of_tokens(500)));
  std::string shown;
  const Reply reply = talk.say(message(0), sampling(40), [&](std::string_view text) {
    shown += text;
    return shown.size() < 12;
  });
  EXPECT_TRUE(reply.stopped);
  EXPECT_EQ(reply.text, shown);
  EXPECT_LT(reply.n_new, 40);
  ASSERT_TRUE(talk.turns().back().unread);
  const std::int64_t n = talk.sequence().n_tokens();
  talk.say(message(1), sampling(4));
  EXPECT_EQ(talk.sequence().tokens()[static_cast<std::size_t>(n)], *talk.turns().front().unread)
      << "the token that was shown and not read comes first";
}

TEST(Conversations, AreSavedAndGoOn) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "talk.kv";
  const ContextOrigin origin = origin_of(opened());
  for (const char* press : {"snapkv(window_size=16)", "expected_attention", "observed_attention"}) {
    const ConversationSettings settings = settings_of(press, Budget::of_tokens(320));
    Conversation talk(model(), tokenizer(), kFormat, settings);
    for (int i = 0; i < 6; ++i) talk.say(message(i), sampling());
    EXPECT_GT(talk.n_compressions(), 0);
    talk.save(file, origin);
    Conversation again(model(), tokenizer(), kFormat, settings, ContextFile(file));
    EXPECT_EQ(again.turns().size(), 6);
    EXPECT_EQ(again.turns().back().answer, talk.turns().back().answer);
    EXPECT_EQ(again.used(), talk.used());
    // The press begins anew; up to the next compression that makes no difference.
    const Reply there = talk.say(message(6), sampling());
    const Reply here = again.say(message(6), sampling());
    if (there.n_compressions == 0) {
      EXPECT_EQ(here.text, there.text) << press;
    }
    EXPECT_EQ(here.n_read, there.n_read);
    for (int i = 7; i < 12; ++i) again.say(message(i), sampling());
    EXPECT_LE(again.peak(), again.limit());
    EXPECT_TRUE(again.undo());
  }
}

TEST(Conversations, BeginWithAContext) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "book.kv";
  CompressionSettings compression;
  compression.press = parse_press("snapkv");
  compression.budget = Budget::of_ratio(0.5);
  compression.positions = Positions::cache;
  compression.cache_format = DType::f32;
  Sequence sequence(model(), compression);
  std::string text;
  for (int i = 0; i < 6; ++i) text += message(i) + "\n";
  sequence.append(tokenizer().encode(text));
  sequence.begin_decoding();
  save_context(sequence, file, origin_of(opened()));
  ChatFormat format = kFormat;
  format.before = "\n\n";
  Conversation talk(model(), tokenizer(), format, settings_of("snapkv", Budget::of_tokens(400)), ContextFile(file));
  EXPECT_EQ(talk.used(), sequence.cache_tokens());
  for (int i = 0; i < 8; ++i) {
    talk.say(message(i), sampling());
    EXPECT_LE(talk.used(), talk.limit());
  }
  EXPECT_GT(talk.n_compressions(), 0);
  const auto begin_with = [&](const char* press, std::int64_t n) {
    return message_of([&] {
      Conversation(model(), tokenizer(), format, settings_of(press, Budget::of_tokens(n)), ContextFile(file));
    });
  };
  EXPECT_THAT(begin_with("snapkv", 150), HasSubstr("less than the context takes"));
  EXPECT_THAT(begin_with("observed_attention", 400), HasSubstr("cannot take over this cache"));
  save_context(sequence, file, origin_of(opened()), false);
  EXPECT_THAT(begin_with("snapkv", 400), HasSubstr("does not have its text"));
}

TEST(Conversations, ChangeThePress) {
  Conversation talk(model(), tokenizer(), kFormat, settings_of("snapkv(window_size=16)", Budget::of_tokens(300)));
  for (int i = 0; i < 5; ++i) talk.say(message(i), sampling());
  const double used = talk.used();
  talk.set_press(parse_press("streaming_llm"));
  EXPECT_EQ(talk.used(), used);
  EXPECT_EQ(talk.settings().compression.press.text, "streaming_llm");
  EXPECT_THAT(message_of([&] { talk.set_press(parse_press("observed_attention")); }), HasSubstr("cannot take over"));
  EXPECT_EQ(talk.settings().compression.press.text, "streaming_llm");
  const std::int64_t before = talk.n_compressions();
  for (int i = 5; i < 12; ++i) talk.say(message(i), sampling());
  EXPECT_GT(talk.n_compressions(), before);
  EXPECT_LE(talk.peak(), talk.limit());
  // What streaming_llm leaves: the first tokens, and the newest without a gap.
  const auto places = talk.sequence().cache().head(1, 0).positions();
  const std::int64_t first_new = places[static_cast<std::size_t>(std::ssize(tokenizer().encode(kFormat.before)))];
  EXPECT_EQ(places.back() - first_new, std::ssize(places) - 1 - std::ssize(tokenizer().encode(kFormat.before)));
}

TEST(Conversations, RefuseWhatCannotBe) {
  const auto begin = [](const std::string& press, const Budget& budget, double low = 0.75) {
    return message_of([&] {
      ConversationSettings settings = settings_of(press, budget);
      settings.low = low;
      Conversation(model(), tokenizer(), kFormat, settings);
    });
  };
  EXPECT_THAT(begin("snapkv", Budget::of_ratio(0.5)), HasSubstr("a conversation needs a number of bytes or tokens"));
  EXPECT_THAT(begin("snapkv", Budget::of_tokens(300), 1.0), HasSubstr("budget_low: 1 is not in (0, 1)"));
  EXPECT_THAT(begin("snapkv", Budget::of_tokens(20)), HasSubstr("always stay"));
  EXPECT_THAT(begin("snapkv", Budget::of_tokens(1 << 20)), HasSubstr("more than the trained context"));
  EXPECT_THAT(begin("no_press", Budget::of_tokens(300)), HasSubstr("does not compress a conversation"));
  EXPECT_THAT(begin("decoding(knorm)", Budget::of_tokens(300)), HasSubstr("does not compress a conversation"));
  EXPECT_THAT(begin("kvzip", Budget::of_tokens(300)), HasSubstr("all layers at once"));
  Conversation talk(model(), tokenizer(), kFormat, settings_of("snapkv", Budget::of_tokens(200)));
  EXPECT_THAT(message_of([&] { talk.say(" \n", sampling()); }), HasSubstr("is empty"));
  std::string much;
  for (int i = 0; i < 8; ++i) much += message(i);
  EXPECT_THAT(message_of([&] { talk.say(much, sampling()); }), HasSubstr("at most"));
  EXPECT_EQ(talk.sequence().n_tokens(), 0);
  EXPECT_TRUE(talk.turns().empty());
  ChatFormat once = kFormat;
  once.between.clear();
  Conversation single(model(), tokenizer(), once, settings_of("snapkv", Budget::of_tokens(300)));
  single.say(message(0), sampling(2));
  EXPECT_THAT(message_of([&] { single.say(message(1), sampling(2)); }), HasSubstr("only one message"));
}

TEST(Conversations, ScoreTheMessagesAlone) {
  ConversationSettings settings = settings_of("snapkv", Budget::of_tokens(500));
  settings.scores_text = true;
  Conversation talk(model(), tokenizer(), kFormat, settings);
  const Reply reply = talk.say(message(0), sampling(1));
  const auto tokens = tokenizer().encode(kFormat.before + message(0) + kFormat.after);
  const std::int64_t begin = std::ssize(tokenizer().encode(kFormat.before));
  const std::int64_t end = std::ssize(tokens) - std::ssize(tokenizer().encode(kFormat.after));
  CompressionSettings full;
  full.cache_format = DType::f32;
  Sequence sequence(model(), full);
  const std::int64_t cols = model().config().hidden_size;
  AlignedVector<float> hidden(tokens.size() * static_cast<std::size_t>(cols));
  sequence.append(tokens, {hidden.data(), std::ssize(tokens), cols});
  std::vector<float> nll(static_cast<std::size_t>(end - begin));
  output_cross_entropy({hidden.data() + (begin - 1) * cols, end - begin, cols}, model().output(),
                       std::span(tokens).subspan(static_cast<std::size_t>(begin), nll.size()), nll);
  double sum = 0;
  for (const float it : nll) sum += static_cast<double>(it);
  EXPECT_NEAR(reply.nll, sum / static_cast<double>(nll.size()), 1e-6);
}

}  // namespace
}  // namespace kvpress
