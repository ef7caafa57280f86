// A context that was saved: the same bits afterwards, whatever the press and the format of the cache; and what is
// refused.
#include "kvpress/engine/context_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/context_format.h"
#include "formats/mutations.h"
#include "formats/safetensors.h"
#include "kvpress/base/error.h"
#include "kvpress/engine/generate.h"
#include "press/suggested.h"
#include "small_model.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

namespace format = context_format;
using Ids = std::vector<std::int32_t>;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kDecoding = "decoding(snapkv(window_size=8), compression_interval=16, target_size=64)";

/// The message of the Error that `body` throws.
template <typename Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

class ContextFiles : public testing::Test {
 protected:
  ContextFiles()
      : model_(random_model(test::small_config(), {false, DType::f32}, 5)), text_(test::random_text(500).ids) {}

  Ids tokens(std::size_t first, std::size_t n) const {
    return {text_.begin() + static_cast<std::ptrdiff_t>(first), text_.begin() + static_cast<std::ptrdiff_t>(first + n)};
  }
  CompressionSettings settings_of(const std::string& press, const CacheFormat& format = DType::f32,
                                  Positions positions = Positions::text) const {
    CompressionSettings settings;
    settings.press = parse_press(press);
    settings.press.prepare({model_.config(), "random", nullptr});
    settings.budget = Budget::of_ratio(0.5);
    settings.cache_format = format;
    settings.positions = positions;
    settings.seed = 11;
    return settings;
  }
  Sequence read(const CompressionSettings& settings, std::size_t n = 200) const {
    Sequence sequence(model_, settings);
    sequence.append(tokens(0, n));
    sequence.begin_decoding();
    return sequence;
  }
  std::filesystem::path path() const { return folder_.path() / "book.kv"; }
  std::filesystem::path save(const Sequence& sequence, bool with_text = true) const {
    save_context(sequence, path(), origin_, with_text);
    return path();
  }
  Sequence restored(const Model& model, const std::filesystem::path& file) const {
    const ContextFile context(file);
    context.check_origin(origin_);
    if (context.has_press()) context.info().settings.press.prepare({model.config(), "random", nullptr});
    SequenceState state = context.read();
    return context.restore(model, std::move(state));
  }
  Sequence restored(const std::filesystem::path& file) const { return restored(model_, file); }

  /// Both go on with the same tokens, and give the same bits.
  void expect_same(Sequence& saved, Sequence& restored, const std::string& what) {
    ASSERT_EQ(saved.cache_tokens(), restored.cache_tokens()) << what;
    EXPECT_TRUE(std::ranges::equal(saved.logits(), restored.logits())) << what << ", before anything is added";
    for (const std::size_t n : {30, 1, 1, 20}) {
      saved.append(tokens(300, n));
      restored.append(tokens(300, n));
      ASSERT_TRUE(std::ranges::equal(saved.logits(), restored.logits())) << what;
      ASSERT_EQ(saved.cache_tokens(), restored.cache_tokens()) << what;
    }
    EXPECT_EQ(generate(saved, {.max_new_tokens = 40, .ignore_eos = true}).ids,
              generate(restored, {.max_new_tokens = 40, .ignore_eos = true}).ids)
        << what;
    EXPECT_EQ(saved.cache_tokens(), restored.cache_tokens()) << what;
    EXPECT_TRUE(std::ranges::equal(saved.tokens(), restored.tokens())) << what;
  }

  TemporaryFolder folder_;
  Model model_;
  Ids text_;
  ContextOrigin origin_ = {"random", "w1", "t1"};
};

TEST_F(ContextFiles, GoOnWithTheSameBitsInEveryFormat) {
  for (const char* press : {"no_press", "snapkv(window_size=16)", "adakv(snapkv)", "kvzip", "composed(knorm, think)"}) {
    for (const CacheFormat& format : {CacheFormat(DType::f32), CacheFormat(DType::bf16), CacheFormat(DType::f16),
                                      CacheFormat(DType::f32, 8, 32), CacheFormat(DType::bf16, 4, 16)}) {
      for (const Positions positions : {Positions::text, Positions::cache}) {
        Sequence saved = read(settings_of(press, format, positions));
        Sequence again = restored(save(saved));
        expect_same(saved, again, fmt::format("{} {} {}", press, to_string(format), to_string(positions)));
      }
    }
  }
}

TEST_F(ContextFiles, CarryWhatEveryPressHasGatheredSoFar) {
  std::vector<std::string> presses = suggested_presses();
  presses.insert(
      presses.end(),
      {"duo_attention(on_the_fly=true, sink_size=8, recent_size=32)", "chunk(expected_attention, chunk_length=64)",
       "chunk(snapkv, chunk_length=64)", "composed(keydiff, cam(expected_attention))",
       "dms(expected_attention, threshold=0.001)", "composed(cap, observed_attention)", "snapkv(window_size=16)"});
  std::size_t n_tried = 0;
  for (const std::string& press : presses) {
    CompressionSettings settings;
    try {
      settings = settings_of(press);
    } catch (const UsageError&) {  // wants a trained file
      continue;
    }
    ++n_tried;
    // Saved between two blocks of the prefill, when everything that is gathered is there.
    Sequence saved(model_, settings);
    saved.append(tokens(0, 130));
    saved.append(tokens(130, 70));
    Sequence again = restored(save(saved));
    EXPECT_FALSE(again.decodes());
    for (const std::size_t first : {200, 270}) {
      saved.append(tokens(first, 70));
      again.append(tokens(first, 70));
      ASSERT_TRUE(std::ranges::equal(saved.logits(), again.logits())) << press;
      for (std::int64_t l = 0; l < model_.config().n_layers; ++l) {
        for (std::int64_t h = 0; h < model_.config().n_kv_heads; ++h) {
          ASSERT_TRUE(std::ranges::equal(saved.cache().head(l, h).positions(), again.cache().head(l, h).positions()))
              << press;
        }
      }
    }
    saved.begin_decoding();
    again.begin_decoding();
    expect_same(saved, again, press);
  }
  EXPECT_GE(n_tried, 35);
}

TEST_F(ContextFiles, GoOnAmidDecodingUnderAPress) {
  for (const char* press : {kDecoding, "decoding(expected_attention, compression_interval=16, target_size=64)",
                            "decoding(observed_attention, compression_interval=16, target_size=64)",
                            "decoding(cap, compression_interval=16, target_size=64)"}) {
    Sequence saved = read(settings_of(press), 100);
    for (std::size_t i = 0; i < 21; ++i) saved.append(tokens(100 + i, 1));
    Sequence again = restored(save(saved));
    EXPECT_TRUE(again.decodes());
    for (std::size_t i = 0; i < 30; ++i) {
      saved.append(tokens(121 + i, 1));
      again.append(tokens(121 + i, 1));
    }
    expect_same(saved, again, press);
  }
  CompressionSettings both = settings_of("snapkv(window_size=16)");
  both.set_budgets(0.5, Budget::of_tokens(80), 8);
  Sequence saved(model_, both);
  saved.append(tokens(0, 200));
  Sequence again = restored(save(saved));  // before decoding begins
  for (Sequence* it : {&saved, &again}) {
    it->set_compressing(false);
    it->append(tokens(200, 9));
    it->begin_decoding();
  }
  expect_same(saved, again, "snapkv in both phases");
  EXPECT_LT(again.cache_tokens(), 100);
}

TEST_F(ContextFiles, GoOnWithWindows) {
  ModelConfig config = test::small_config(3);
  config.layers[1].window = 48;
  const Model model = random_model(config, {false, DType::f32}, 5);
  for (const bool press_windows : {false, true}) {
    for (const CacheFormat& format : {CacheFormat(DType::f32), CacheFormat(DType::f32, 8, 32)}) {
      CompressionSettings settings = settings_of("expected_attention", format, Positions::cache);
      settings.press_window_layers = press_windows;
      Sequence saved(model, settings);
      saved.append(tokens(0, 200));
      saved.begin_decoding();
      Sequence again = restored(model, save(saved));
      expect_same(saved, again, fmt::format("windows pressed: {}", press_windows));
    }
  }
}

TEST_F(ContextFiles, SayWhatTheyAreOf) {
  CompressionSettings settings = settings_of("adakv(snapkv)", CacheFormat(DType::bf16, 8, 64), Positions::cache);
  settings.budget = Budget::of_tokens(70);
  Sequence saved = read(settings);
  ContextOrigin origin = origin_;
  origin.notes = {{"text", "a \"book\"\n"}, {"other", ""}};
  origin.n_planned = 4000;
  save_context(saved, path(), origin);
  const ContextFile file(path());
  file.verify();
  const ContextInfo& info = file.info();
  EXPECT_EQ(info.origin.notes, origin.notes);
  EXPECT_EQ(info.origin.n_planned, 4000);
  EXPECT_EQ(info.origin.model, "random");
  EXPECT_EQ(info.numbers, "float32");
  EXPECT_EQ(info.settings.press.text, "adakv(snapkv)");
  EXPECT_EQ(info.settings.budget, Budget::of_tokens(70));
  EXPECT_EQ(info.settings.positions, Positions::cache);
  EXPECT_EQ(info.settings.seed, 11);
  EXPECT_EQ(info.settings.cache_format, CacheFormat(DType::bf16, 8, 64));
  EXPECT_EQ(info.n_tokens, 200);
  EXPECT_EQ(info.text_hash.size(), 64);
  EXPECT_TRUE(info.has_text);
  EXPECT_TRUE(info.decodes);
  EXPECT_EQ(info.mean_entries, saved.cache_tokens());
  EXPECT_LT(info.fewest_entries, info.most_entries) << "heads are ragged";
  EXPECT_GT(info.prefill_sec, 0);
  EXPECT_EQ(info.file_bytes, std::filesystem::file_size(path()));
  EXPECT_LT(info.cache_bytes, saved.cache_bytes()) << "pages are not written, only what is in them";
}

TEST_F(ContextFiles, AreSafetensorsThatOthersRead) {
  Sequence saved = read(settings_of("snapkv(window_size=16)"));
  const auto file = open_safetensors(save(saved));
  const auto& keys = file->at("layers.1.heads.0.keys");
  EXPECT_EQ(keys.type_name, "F32");
  EXPECT_EQ(keys.shape, (std::vector<std::int64_t>{100, model_.config().head_dim}));
  std::vector<float> values(static_cast<std::size_t>(keys.n_elements()));
  decode_to_f32(keys, 0, values);
  std::vector<float> held(values.size());
  saved.cache().head(1, 0).keys_as_float(0, 100, held.data());
  EXPECT_EQ(values, held);
  EXPECT_EQ(file->at("layers.1.heads.0.positions").type_name, "I32");
  EXPECT_EQ(file->at("tokens").shape, std::vector<std::int64_t>{200});
}

TEST_F(ContextFiles, HoldTheTextOrItsHash) {
  Sequence saved = read(settings_of("knorm"));
  const std::string hash = ContextFile(save(saved)).info().text_hash;
  const auto with = std::filesystem::file_size(path());
  const auto file = save(saved, false);
  EXPECT_LT(std::filesystem::file_size(file), with - 200 * 4 + 200);
  EXPECT_FALSE(ContextFile(file).info().has_text);
  EXPECT_EQ(ContextFile(file).info().text_hash, hash);
  Sequence again = restored(file);
  EXPECT_EQ(again.n_tokens(), 200);
  EXPECT_EQ(again.tokens()[7], -1);
  saved.append(tokens(300, 20));
  again.append(tokens(300, 20));
  EXPECT_TRUE(std::ranges::equal(saved.logits(), again.logits()));
}

/// Gathers in every block, and does not say what.
class Secretive : public Scorer<Secretive> {
 public:
  PressNeeds needs() const override { return {.every_block = true}; }
  void observe(const LayerView&) override { ++n_; }
  void score(const LayerView&, Scores& scores) override {
    for (auto& row : scores) std::fill(row.begin(), row.end(), static_cast<float>(n_));
  }

 private:
  int n_ = 0;
};

TEST_F(ContextFiles, APressThatHidesItsStateIsRefusedBeforeThePrefill) {
  CompressionSettings settings;
  settings.press = {"secretive", std::make_shared<Secretive>()};
  settings.budget = Budget::of_ratio(0.5);
  // After the prefill nothing of it is needed.
  EXPECT_NO_THROW(check_can_save(settings, model_.config()));
  Sequence done = read(settings);
  EXPECT_NO_THROW(save(done));
  settings.set_budgets(0.5, Budget::of_tokens(64), 16);
  EXPECT_THAT(message_of([&] { check_can_save(settings, model_.config()); }),
              AllOf(HasSubstr("press secretive: "), HasSubstr("cannot be saved")));
  Sequence sequence = read(settings);
  EXPECT_THAT(message_of([&] { save(sequence); }), HasSubstr("press secretive: "));

  CompressionSettings again = settings_of("kvzip");
  EXPECT_NO_THROW(check_can_save(again, model_.config(), false));
  again.set_budgets(0.5, Budget::of_tokens(64), 16);
  EXPECT_NO_THROW(check_can_save(again, model_.config()));
  EXPECT_THAT(message_of([&] { check_can_save(again, model_.config(), false); }), HasSubstr("reads the text again"));
}

TEST_F(ContextFiles, RefuseWhatTheyWereNotMadeWith) {
  Sequence saved = read(settings_of("knorm"));
  const ContextFile file(save(saved));
  EXPECT_THAT(message_of([&] {
                file.check_origin({"other", "w2", "t1"});
              }),
              AllOf(HasSubstr("book.kv: is of model 'random' (weights w1)"), HasSubstr("'other' has others (w2)")));
  EXPECT_THAT(message_of([&] { file.check_origin({"random", "w1", "t2"}); }), HasSubstr("another tokenizer (t1)"));
  const Model rounded = random_model(test::small_config(), {false, DType::bf16}, 5);
  EXPECT_THAT(message_of([&] { file.restore(rounded, file.read()); }),
              AllOf(HasSubstr("was made with float32"), HasSubstr("loaded with bfloat16")));
  ModelConfig stretched = test::small_config();
  for (LayerSpec& it : stretched.layers) it.rope.inverse_frequencies[3] *= 0.5f;
  const Model other = random_model(stretched, {false, DType::f32}, 5);
  EXPECT_THAT(message_of([&] { file.restore(other, file.read()); }), HasSubstr("scales its positions otherwise"));
  const Model deeper = random_model(test::small_config(3), {false, DType::f32}, 5);
  EXPECT_NE(message_of([&] { file.restore(deeper, file.read()); }), "");
  EXPECT_THAT(message_of([&] { ContextFile("/nowhere/book.kv"); }), HasSubstr("/nowhere/book.kv: cannot open"));
  EXPECT_FALSE(ContextFile::is_context("/nowhere/book.kv"));
  EXPECT_TRUE(ContextFile::is_context(path()));
  const NamedTensor tensor{"x", {1}, {1.0f}};
  write_safetensors(folder_.path() / "other.safetensors", {&tensor, 1});
  EXPECT_FALSE(ContextFile::is_context(folder_.path() / "other.safetensors"));
  EXPECT_THAT(message_of([&] { ContextFile(folder_.path() / "other.safetensors"); }),
              HasSubstr("not a compressed context"));
  EXPECT_THAT(message_of([&] { save_context(saved, "/proc/nowhere/book.kv", origin_); }), HasSubstr("cannot write"));
}

std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Opens, reads and restores it; false where that is an Error.
bool is_good(const std::filesystem::path& path, const Model& model) {
  try {
    const ContextFile file(path);
    file.restore(model, file.read());
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return false;
  }
}

TEST_F(ContextFiles, AnyByteThatIsDamagedIsNoticed) {
  Sequence saved = read(settings_of("snapkv(window_size=16)", CacheFormat(DType::bf16, 8, 32)));
  const std::string bytes = content_of(save(saved));
  const std::size_t n_header = bytes.size() > 40000 ? 40000 : bytes.size();
  std::size_t n_tried = 0;
  for (std::size_t at = 0; at < bytes.size(); at += at < n_header ? 97 : 1499) {
    std::string other = bytes;
    other[at] = static_cast<char>(other[at] ^ 0x10);
    EXPECT_FALSE(is_good(folder_.file("damaged.kv", other), model_)) << "byte " << at;
    ++n_tried;
  }
  for (const double share : {0.0, 0.0001, 0.1, 0.5, 0.9, 0.99999}) {
    const auto n = static_cast<std::size_t>(share * static_cast<double>(bytes.size()));
    EXPECT_FALSE(is_good(folder_.file("short.kv", bytes.substr(0, n)), model_)) << n;
  }
  EXPECT_FALSE(is_good(folder_.file("long.kv", bytes + "x"), model_));
  EXPECT_TRUE(is_good(folder_.file("whole.kv", bytes), model_));
  EXPECT_GT(n_tried, 300);
}

TEST_F(ContextFiles, SurviveDamage) {
  Sequence saved = read(settings_of("composed(knorm, think)", CacheFormat(DType::f32, 8, 32)), 80);
  test::survives_damage(content_of(save(saved)), "book.kv", 300, [&](const std::filesystem::path& path) {
    const ContextFile file(path);
    file.restore(model_, file.read());
  });
}

TEST_F(ContextFiles, AreMemoryOfTheirOwnOnceRead) {
  Sequence saved = read(settings_of("knorm"));
  const ContextFile file(save(saved));
  SequenceState state = file.read();
  std::filesystem::resize_file(path(), 1000);  // as a careless program would: no signal comes of it
  Sequence again = file.restore(model_, std::move(state));
  expect_same(saved, again, "truncated after it was read");
  EXPECT_THAT(message_of([&] { file.read(); }), HasSubstr("truncated"));
  EXPECT_THAT(message_of([&] { file.verify(); }), HasSubstr("truncated"));
}

/// A file whose tensors and metadata a test changes, with a checksum that is right again.
class Forgery {
 public:
  explicit Forgery(const std::filesystem::path& path) {
    const std::string bytes = content_of(path);
    header_ = read_safetensors_header(path.string(), bytes.size(),
                                      [&](std::size_t offset, std::size_t n) { return bytes.substr(offset, n); });
    for (const auto& it : header_.tensors) {
      if (it.name == format::kChecksum) continue;
      tensors_.push_back({it.name, it.type_name, it.shape, bytes.substr(it.begin, it.end - it.begin)});
    }
  }
  struct Tensor {
    std::string name, type_name;
    std::vector<std::int64_t> shape;
    std::string data;
  };
  Tensor& at(const std::string& name) {
    return *std::find_if(tensors_.begin(), tensors_.end(), [&](const Tensor& it) { return it.name == name; });
  }
  std::vector<Tensor>& tensors() { return tensors_; }
  std::string& metadata(const std::string& key) { return header_.metadata[key]; }
  /// Replaces a piece of the JSON of the metadata.
  void replace(const std::string& from, const std::string& to) {
    std::string& json = metadata("context");
    const std::size_t place = json.find(from);
    ASSERT_NE(place, std::string::npos) << from << " in " << json;
    json.replace(place, from.size(), to);
  }
  std::filesystem::path write(const TemporaryFolder& folder) const {
    std::vector<RawTensor> raw;
    std::vector<std::uint64_t> hashes;
    for (const Tensor& it : tensors_) {
      raw.push_back({it.name, it.type_name, it.shape, std::as_bytes(std::span(it.data))});
      hashes.push_back(format::hash_of(raw.back().data));
    }
    std::uint64_t sum = 0;
    raw.push_back({format::kChecksum, "U8", {8}, std::as_bytes(std::span(&sum, 1))});
    std::string bytes = safetensors_header(raw, {header_.metadata.begin(), header_.metadata.end()});
    sum = format::checksum(bytes, hashes);
    for (const RawTensor& it : raw) bytes.append(reinterpret_cast<const char*>(it.data.data()), it.data.size());
    return folder.file("forged.kv", bytes);
  }

 private:
  SafetensorsHeader header_;
  std::vector<Tensor> tensors_;
};

TEST_F(ContextFiles, LiesWithARightChecksumAreNoticed) {
  Sequence saved = read(settings_of("decoding(expected_attention, compression_interval=16, target_size=64)"), 60);
  save(saved);
  const auto problem = [&](const auto& change) {
    Forgery forgery(path());
    change(forgery);
    const auto file = forgery.write(folder_);
    return message_of([&] {
      const ContextFile context(file);
      context.restore(model_, context.read());
    });
  };
  {
    Forgery nothing(path());
    EXPECT_TRUE(is_good(nothing.write(folder_), model_)) << "what is put together again is as good as before";
  }
  const auto replaced = [&](const std::string& from, const std::string& to) {
    return problem([&](Forgery& it) { it.replace(from, to); });
  };
  const std::string kPositions = "layers.0.heads.1.positions";
  EXPECT_THAT(problem([](Forgery& it) { it.metadata("format_version") = "2"; }), HasSubstr("format version '2'"));
  EXPECT_THAT(problem([](Forgery& it) { it.metadata("context") = "{}"; }), HasSubstr("lacks model"));
  EXPECT_THAT(problem([](Forgery& it) { it.metadata("context") = "[1"; }), HasSubstr("metadata"));
  EXPECT_THAT(replaced("\"n_layers\":2", "\"n_layers\":2000000000"), HasSubstr("n_layers"));
  EXPECT_THAT(replaced("\"n_layers\":2", "\"n_layers\":60000"), HasSubstr("is damaged"));
  EXPECT_THAT(replaced("\"n_layers\":2", "\"n_layers\":1"), HasSubstr("none that a context has"));
  EXPECT_THAT(replaced("\"n_layers\":2", "\"n_layers\":-2"), HasSubstr("n_layers"));
  EXPECT_THAT(replaced("\"n_tokens\":60", "\"n_tokens\":61"), HasSubstr("another number of tokens"));
  EXPECT_THAT(replaced("\"n_tokens\":60", "\"n_tokens\":1e99"), HasSubstr("n_tokens"));
  EXPECT_THAT(replaced("\"n_prompt\":60", "\"n_prompt\":61"), HasSubstr("do not make up"));
  EXPECT_THAT(replaced("\"bits\":0", "\"bits\":3"), HasSubstr("3 bits"));
  EXPECT_THAT(replaced("\"head_dim\":", "\"head_dim\":6"), HasSubstr("another type or shape"));
  EXPECT_THAT(replaced("\"type\":\"float32\"", "\"type\":\"float16\""), HasSubstr("another type or shape"));
  EXPECT_THAT(replaced("expected_attention", "expected_attentian"), HasSubstr("is not known"));
  EXPECT_THAT(replaced("\"renumber\":false", "\"renumber\":true"), HasSubstr("another shape"));
  EXPECT_THAT(replaced("\"n_carried\":0", "\"n_carried\":1"), HasSubstr("is missing"));
  EXPECT_THAT(problem([&](Forgery& it) {
                std::swap(it.at(kPositions).data[0], it.at(kPositions).data[4]);
                it.at(kPositions).data[0] = 9;
              }),
              HasSubstr("do not ascend"));
  EXPECT_THAT(problem([&](Forgery& it) { it.at(kPositions).data[59 * 4] = 60; }), HasSubstr("do not ascend"));
  EXPECT_THAT(problem([&](Forgery& it) {
                it.at(kPositions).shape = {59};
                it.at(kPositions).data.resize(59 * 4);
              }),
              HasSubstr("another type or shape"));
  EXPECT_THAT(problem([&](Forgery& it) { it.at("layers.1.heads.0.values").name = "layers.1.heads.0.worth"; }),
              HasSubstr("is missing"));
  EXPECT_THAT(problem([&](Forgery& it) {
                it.tensors().push_back({"more", "U8", {1}, "x"});
              }),
              HasSubstr("none that a context has"));
  EXPECT_THAT(
      problem([&](Forgery& it) { it.at("decoding_press").data.pop_back(), --it.at("decoding_press").shape[0]; }),
      HasSubstr("too short"));
  EXPECT_THAT(problem([&](Forgery& it) { it.at("decoding_press").data += 'x', ++it.at("decoding_press").shape[0]; }),
              HasSubstr("too long"));
  EXPECT_THAT(problem([&](Forgery& it) { it.at("decoding_press").data[0] = 3; }), HasSubstr("where 0 to 2 can be"));
  EXPECT_THAT(problem([&](Forgery& it) {
                it.at("last_hidden").shape = {5};
                it.at("last_hidden").data.resize(20);
              }),
              HasSubstr("last hidden state"));
  EXPECT_THAT(problem([&](Forgery& it) {
                it.tensors().push_back({"layers.0.heads.0.channels", "I32", {2}, std::string("\1\0\0\0\1\0\0\0", 8)});
              }),
              HasSubstr("channels of thin keys do not ascend"));
}

TEST_F(ContextFiles, TwoWritersLeaveOneWholeFile) {
  const Sequence one = read(settings_of("knorm"), 100);
  const Sequence other = read(settings_of("snapkv(window_size=16)"), 180);
  save(one);
  std::atomic<bool> done = false;
  const auto write = [&](const Sequence& sequence) {
    for (int i = 0; i < 30; ++i) save_context(sequence, path(), origin_);
  };
  int n_read = 0;
  std::thread reader([&] {
    while (!done) {
      const ContextFile file(path());
      file.read();
      EXPECT_TRUE(file.info().n_tokens == 100 || file.info().n_tokens == 180);
      ++n_read;
    }
  });
  std::thread first(write, std::cref(one));
  std::thread second(write, std::cref(other));
  first.join();
  second.join();
  done = true;
  reader.join();
  EXPECT_GT(n_read, 0);
  EXPECT_TRUE(is_good(path(), model_));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1) << "no temporary file is left";
}

}  // namespace
}  // namespace kvpress
