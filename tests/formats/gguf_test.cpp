#include "kvpress/formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "formats/gguf_builder.h"
#include "formats/mutations.h"
#include "test_data.h"

namespace kvpress {
namespace {

using test::error_of;
using test::GgufBuilder;
using test::TemporaryFolder;
using ::testing::HasSubstr;

std::string message(const std::string& bytes) {
  const TemporaryFolder folder;
  const auto path = folder.file("x.gguf", bytes);
  const std::string text = error_of([&] { GgufFile file(path); });
  if (text == "no error") return text;
  EXPECT_EQ(text.rfind(path.string() + ": ", 0), 0u) << text;
  return text.substr(path.string().size() + 2);
}

template <typename T>
std::string bytes_of(std::initializer_list<T> values) {
  std::string out;
  for (const T value : values) GgufBuilder::put(out, value);
  return out;
}

TEST(Gguf, ReadsMetadataOfEveryKind) {
  const GgufFile file(test::data_dir() / "formats/types.gguf");
  EXPECT_EQ(*file.get<std::string>("general.architecture"), "llama");
  EXPECT_EQ(*file.get<std::int64_t>("test.count"), 7);
  EXPECT_EQ(*file.get<double>("test.scale"), 0.5);
  EXPECT_EQ(*file.get<bool>("test.flag"), true);
  EXPECT_EQ(*file.get<std::vector<std::string>>("test.names"), (std::vector<std::string>{"a", "b c", "é"}));
  EXPECT_EQ(*file.get<std::vector<std::int64_t>>("test.numbers"), (std::vector<std::int64_t>{1, -2, 3}));
  EXPECT_THAT(error_of([&] { file.get<std::string>("test.count"); }), HasSubstr("test.count is a whole number"));
  EXPECT_EQ(file.get<std::string>("test.nothing"), nullptr);
}

TEST(Gguf, ReversesTheOrderOfDimensions) {
  const TemporaryFolder folder;
  const auto path = folder.file("x.gguf", GgufBuilder().tensor("a", {32, 3}, 2, 0).build(54, 2));
  EXPECT_EQ(GgufFile(path).at("a").shape, (std::vector<std::int64_t>{3, 32}));
  EXPECT_EQ(GgufFile(path).at("a").data.size(), 54u);
}

/// Stacked experts: [n_expert, out, in], whose rows follow each other.
TEST(Gguf, RowsOfStackedMatricesAreRead) {
  constexpr std::uint64_t kExperts = 3, kOut = 4, kIn = 64;
  constexpr std::size_t kBytes = kExperts * kOut * kIn / 32 * 34;
  std::string bytes = GgufBuilder().tensor("stack", {kIn, kOut, kExperts}, 8, 0).build(kBytes);
  for (std::size_t row = 0; row < kExperts * kOut; ++row) {
    for (std::size_t block = 0; block < kIn / 32; ++block) {
      std::string stored;
      GgufBuilder::put(stored, std::uint16_t{0x3c00});  // 1 in float16
      for (std::size_t i = 0; i < 32; ++i) stored.push_back(static_cast<char>(row * 2 + block));
      std::copy(stored.begin(), stored.end(),
                bytes.end() - kBytes + static_cast<std::ptrdiff_t>((row * kIn / 32 + block) * 34));
    }
  }
  const TemporaryFolder folder;
  const GgufFile file(folder.file("x.gguf", bytes));
  const TensorInfo& stack = file.at("stack");
  EXPECT_EQ(stack.shape, (std::vector<std::int64_t>{3, 4, 64}));
  EXPECT_EQ(stack.n_elements(), 768);
  for (std::int64_t row = 0; row < 12; ++row) {
    std::vector<float> values(64);
    decode_to_f32(stack, row * 64, values);
    EXPECT_EQ(values.front(), static_cast<float>(row * 2)) << row;
    EXPECT_EQ(values.back(), static_cast<float>(row * 2 + 1)) << row;
  }
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 32;
  EXPECT_THAT(message(GgufBuilder().tensor("stack", {kHuge, kHuge, 2}, 8, 0).build(64)),
              HasSubstr("tensor stack: its shape overflows"));
  EXPECT_THAT(message(GgufBuilder().tensor("stack", {kHuge, kHuge >> 2, 2}, 26, 0).build(64)),
              HasSubstr("tensor stack: its shape overflows"));
  EXPECT_THAT(message(GgufBuilder().tensor("stack", {64, 4, 3}, 8, 0).build(kBytes - 1)), HasSubstr("truncated"));
  EXPECT_THAT(message(GgufBuilder().tensor("stack", {48, 4, 3}, 39, 0).build(4096)),
              HasSubstr("rows of 48 elements do not fill MXFP4 blocks of 32"));
}

TEST(Gguf, NamesTypesItCannotDecode) {
  const TemporaryFolder folder;
  const auto path = folder.file(
      "x.gguf",
      GgufBuilder().tensor("k", {100}, 24, 0).tensor("new", {5}, 999, 128).tensor("few", {256}, 16, 192).build(288));
  const GgufFile file(path);
  EXPECT_EQ(file.at("few").type_name, "IQ2_XXS");
  EXPECT_EQ(file.at("k").type, StoredType::other);
  EXPECT_EQ(file.at("k").type_name, "I8");
  EXPECT_EQ(file.at("new").type_name, "type 999");
}

TEST(Gguf, RefusesOtherFilesAndVersions) {
  EXPECT_THAT(message(""), HasSubstr("is not a GGUF file"));
  EXPECT_THAT(message("GGML0000"), HasSubstr("is not a GGUF file"));
  EXPECT_THAT(message("GGUF"), HasSubstr("truncated"));
  EXPECT_THAT(message(GgufBuilder().build(0, 1)), HasSubstr("version 1 is not supported; versions 2 and 3 are"));
  EXPECT_THAT(message(GgufBuilder().build(0, 0x03000000)), HasSubstr("big-endian"));
  EXPECT_EQ(message(GgufBuilder().build(0, 2)), "no error");
}

TEST(Gguf, RefusesCountsTheFileCannotHold) {
  std::string bytes = "GGUF";
  GgufBuilder::put(bytes, std::uint32_t{3});
  EXPECT_THAT(message(bytes + bytes_of<std::uint64_t>({1ull << 60, 0})),
              HasSubstr("tensors, more than fit into the file"));
  EXPECT_THAT(message(bytes + bytes_of<std::uint64_t>({0, ~0ull})), HasSubstr("metadata values, more than"));
  std::string array = bytes_of<std::uint32_t>({8}) + bytes_of<std::uint64_t>({1ull << 61});
  EXPECT_THAT(message(GgufBuilder().raw("a", 9, array).build()), HasSubstr("array elements, more than"));
  EXPECT_THAT(message(GgufBuilder().raw("a", 8, bytes_of<std::uint64_t>({~0ull})).build()), HasSubstr("truncated"));
}

TEST(Gguf, RefusesMetadataThatMakesNoSense) {
  const std::string nested = bytes_of<std::uint32_t>({9}) + bytes_of<std::uint64_t>({1});
  EXPECT_THAT(message(GgufBuilder().raw("deep", 9, nested).build()), HasSubstr("metadata deep: arrays of arrays"));
  EXPECT_THAT(message(GgufBuilder().raw("a", 77, "").build()), HasSubstr("metadata of type 77 is not known"));
  EXPECT_THAT(message(GgufBuilder().u32("a", 1).u32("a", 2).build()), HasSubstr("metadata a appears twice"));
  for (const std::uint32_t alignment : {0u, 3u, 1u << 30}) {
    EXPECT_THAT(message(GgufBuilder().u32("general.alignment", alignment).build()), HasSubstr("a power of two"));
  }
}

TEST(Gguf, RefusesTensorsThatLie) {
  const auto with = [](const std::vector<std::uint64_t>& dimensions, std::uint32_t type, std::uint64_t offset) {
    return message(GgufBuilder().tensor("a", dimensions, type, offset).build(128));
  };
  EXPECT_EQ(with({32}, 0, 0), "no error");
  EXPECT_THAT(with({33}, 0, 0), HasSubstr("tensor a: bytes 0 to 132 are outside the 128"));
  EXPECT_THAT(with({1}, 0, 1ull << 63), HasSubstr("tensor a: bytes"));
  EXPECT_THAT(with({1}, 0, 4), HasSubstr("offset 4 is not a multiple of 32"));
  EXPECT_THAT(with({33}, 2, 0), HasSubstr("rows of 33 elements do not fill Q4_0 blocks of 32"));
  EXPECT_THAT(with({1ull << 62, 4}, 0, 0), HasSubstr("overflows"));
  EXPECT_THAT(with({~0ull}, 0, 0), HasSubstr("overflows"));
  EXPECT_THAT(with({1ull << 62, 1}, 0, 0), HasSubstr("overflows"));
  EXPECT_THAT(with({0, 1ull << 40, 1ull << 40}, 0, 0), HasSubstr("overflows"));
  EXPECT_THAT(with({1ull << 40, 1ull << 40, 0}, 26, 0), HasSubstr("overflows"));
  EXPECT_EQ(with({0, 1ull << 40}, 0, 0), "no error");
  EXPECT_THAT(with(std::vector<std::uint64_t>(9, 1), 0, 0), HasSubstr("claims 9 dimensions"));
  EXPECT_THAT(message(GgufBuilder().tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).build(64)),
              HasSubstr("a appears twice"));
  EXPECT_THAT(message(GgufBuilder().tensor("a", {16}, 0, 0).tensor("b", {8}, 0, 32).build(64)),
              HasSubstr("overlap at byte 32"));
  const std::string name(100000, '\n');
  EXPECT_LT(message(GgufBuilder().tensor(name, {99}, 0, 0).build()).size(), 300u);
}

TEST(Gguf, ValuesAreConvertedWhereNothingIsLost) {
  const TemporaryFolder folder;
  GgufBuilder builder;
  builder.u32("u", 7).f32("f", 8).f32("half", 0.5f).text("t", "x").raw("yes", 7, "\1").i32s("list", {1, -2});
  builder.value<std::uint64_t>("huge", 10, 1ull << 63).value<std::int8_t>("minus", 1, -3).f32("nan", NAN);
  const GgufFile file(folder.file("x.gguf", builder.build()));
  EXPECT_EQ(file.integer("u"), 7);
  EXPECT_EQ(file.number("u"), 7.0);
  EXPECT_EQ(file.integer("f"), 8);
  EXPECT_EQ(file.integer("minus"), -3);
  EXPECT_EQ(file.number("half"), 0.5);
  EXPECT_EQ(file.number("huge"), 0x1p63);
  EXPECT_EQ(file.flag("yes"), true);
  EXPECT_EQ(file.integer("yes"), 1);
  EXPECT_EQ(file.integers("list"), (std::vector<std::int64_t>{1, -2}));
  EXPECT_EQ(file.integers("u"), std::vector<std::int64_t>{7});
  EXPECT_EQ(file.integer("no"), std::nullopt);
  EXPECT_EQ(file.get<std::string>("no"), nullptr);
  const auto error = [&](const auto& read) { return error_of(read).substr(file.path().size()); };
  EXPECT_EQ(error([&] { file.integer("half"); }), ": metadata half is a number, but must be a whole number");
  EXPECT_EQ(error([&] { file.integer("huge"); }), ": metadata huge is a number, but must be a whole number");
  EXPECT_EQ(error([&] { file.integer("nan"); }), ": metadata nan is a number, but must be a whole number");
  EXPECT_EQ(error([&] { file.integer("t"); }), ": metadata t is a string, but must be a whole number");
  EXPECT_EQ(error([&] { file.number("list"); }), ": metadata list is an array of whole numbers, but must be a number");
  EXPECT_EQ(error([&] { file.flag("u"); }), ": metadata u is a whole number, but must be true or false");
  EXPECT_EQ(error([&] { file.get<std::string>("u"); }), ": metadata u is a whole number, but must be a string");
}

TEST(Gguf, PartsAreReadTogether) {
  const TemporaryFolder folder;
  const auto part = [](std::uint16_t number, std::uint16_t count, const char* tensor) {
    GgufBuilder builder;
    builder.value<std::uint16_t>("split.no", 2, number).value<std::uint16_t>("split.count", 2, count);
    if (number == 0) builder.text("general.name", "whole").value<std::int32_t>("split.tensors.count", 5, 2);
    return builder.tensor(tensor, {8}, 0, 0).build(32);
  };
  const auto first = folder.file("m-00001-of-00002.gguf", part(0, 2, "a"));
  const std::string second = (folder.path() / "m-00002-of-00002.gguf").string();
  EXPECT_EQ(error_of([&] { GgufFile file(first); }),
            first.string() + ": is part 1 of 2 of a model, but part 2 is missing: " + second);
  folder.file("m-00002-of-00002.gguf", part(1, 2, "b"));
  const GgufFile file(first);
  EXPECT_EQ(file.tensors().size(), 2u);
  EXPECT_NE(file.find("b"), nullptr);
  EXPECT_EQ(*file.get<std::string>("general.name"), "whole");
  EXPECT_EQ(file.files().size(), 2u);
  EXPECT_EQ(error_of([&] { GgufFile other(second); }),
            second + ": is part 2 of 2 of a model; give the first: m-00001-of-00002.gguf");
  folder.file("m-00002-of-00002.gguf", part(1, 2, "a"));
  EXPECT_THAT(error_of([&] { GgufFile twice(first); }), HasSubstr("tensor a appears twice"));
  const auto renamed = folder.file("renamed.gguf", part(0, 2, "a"));
  EXPECT_THAT(error_of([&] { GgufFile lost(renamed); }), HasSubstr("its name must end in -00001-of-00002.gguf"));
}

TEST(Gguf, SurvivesDamage) {
  const std::string bytes = read_file(test::data_dir() / "formats/types.gguf");
  test::survives_damage(bytes, "x.gguf", 5000, [](const std::filesystem::path& path) {
    const GgufFile file(path);
    for (const TensorInfo& it : file.tensors()) {
      if (it.type == StoredType::other) continue;
      std::vector<float> values(static_cast<std::size_t>(it.n_elements()));
      decode_to_f32(it, 0, values);
    }
  });
}

TEST(Gguf, SurvivesTruncationAnywhere) {
  const std::string bytes = read_file(test::data_dir() / "formats/types.gguf");
  const std::size_t end = bytes.size() - 31;  // what follows may be no more than padding
  for (std::size_t n = 0; n < end; n += 7) EXPECT_NE(message(bytes.substr(0, n)), "no error") << n;
}

}  // namespace
}  // namespace kvpress
