#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "formats/mutations.h"
#include "kvpress/base/error.h"
#include "test_data.h"

namespace kvpress {
namespace {

using test::error_of;
using test::TemporaryFolder;
using ::testing::HasSubstr;

std::string with_header(const std::string& header, std::size_t data_bytes = 0) {
  const std::uint64_t n = header.size();
  std::string bytes(reinterpret_cast<const char*>(&n), sizeof n);
  bytes += header;
  bytes.resize(bytes.size() + data_bytes);
  return bytes;
}

std::string tensor(std::string_view name, std::string_view type, std::string_view shape, std::string_view at) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{}]}})", name, type, shape, at);
}

/// A JSON object of these members.
std::string object(std::string_view members) { return fmt::format("{{{}}}", members); }

std::string message(const std::string& header, std::size_t data_bytes) {
  const TemporaryFolder folder;
  const auto path = folder.file("x.safetensors", with_header(header, data_bytes));
  const std::string text = error_of([&] { open_safetensors(path); });
  if (text == "no error") return text;
  EXPECT_EQ(text.rfind(path.string() + ": ", 0), 0u) << text;
  return text.substr(path.string().size() + 2);
}

TEST(Safetensors, ReadsWhatItWrites) {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> tensors = {{"b", {2, 3}, {1, 2, 3, 4, 5, 6}},
                                            {"a", {}, {7}},
                                            {"empty", {0, 4}, {}},
                                            {"stack", {2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8}}};
  write_safetensors(folder.path() / "t.safetensors", tensors, {{"format", "pt"}});
  const auto file = open_safetensors(folder.path() / "t.safetensors");
  ASSERT_EQ(file->tensors().size(), 4u);
  EXPECT_EQ(file->tensors()[0].name, "b");
  EXPECT_EQ(file->at("a").n_elements(), 1);
  EXPECT_EQ(file->at("empty").n_elements(), 0);
  std::vector<float> values(4);
  decode_to_f32(file->at("b"), 2, values);
  EXPECT_EQ(values, (std::vector<float>{3, 4, 5, 6}));
  EXPECT_EQ(file->at("stack").shape, (std::vector<std::int64_t>{2, 2, 2}));
  decode_to_f32(file->at("stack"), 3 * 2, std::span(values).first(2));  // the last row
  EXPECT_EQ(values[0], 7);
  EXPECT_EQ(values[1], 8);
}

TEST(Safetensors, ReadsShardsByTheirIndex) {
  const auto folder = test::data_dir() / "models/neox-sharded-bf16";
  const auto by_folder = open_safetensors(folder);
  const auto by_index = open_safetensors(folder / "model.safetensors.index.json");
  EXPECT_GT(by_folder->tensors().size(), 20u);
  EXPECT_EQ(by_folder->tensors().size(), by_index->tensors().size());
  EXPECT_EQ(by_folder->at("gpt_neox.embed_in.weight").type, StoredType::bf16);
}

TEST(Safetensors, OtherTypesAreNamedNotDecoded) {
  const TemporaryFolder folder;
  const auto path = folder.file("x.safetensors", with_header(object(tensor("m", "BOOL", "3", "0,3")), 3));
  EXPECT_EQ(open_safetensors(path)->at("m").type, StoredType::other);
  EXPECT_EQ(open_safetensors(path)->at("m").type_name, "BOOL");
}

TEST(Safetensors, RefusesHeadersThatLie) {
  const std::string ok = tensor("a", "F32", "2", "0,8");
  EXPECT_EQ(message(object(ok), 8), "no error");
  EXPECT_EQ(message("{" + ok + R"(,"__metadata__":{"x":"y"}})", 8), "no error");
  EXPECT_THAT(message(object(ok), 7), HasSubstr("tensor a: offsets 0 to 8 are outside the 7 bytes"));
  EXPECT_THAT(message(object(ok), 9), HasSubstr("1 bytes of data belong to no tensor"));
  EXPECT_THAT(message(object(tensor("a", "F32", "2", "4,12")), 12), HasSubstr("leave a hole at byte 0"));
  EXPECT_THAT(message(object(ok + "," + tensor("b", "F32", "2", "4,12")), 12), HasSubstr("overlap at byte 8"));
  EXPECT_THAT(message(object(tensor("a", "F32", "2", "8,0")), 8), HasSubstr("offsets 8 to 0"));
  EXPECT_THAT(message(object(tensor("a", "F32", "3", "0,8")), 8),
              HasSubstr("8 bytes are stored, but its shape and F32 need 12"));
  EXPECT_THAT(message(object(tensor("a", "F32", "4611686018427387904,2", "0,8")), 8), HasSubstr("overflows"));
  EXPECT_THAT(message(object(tensor("a", "F32", "2097152,2097152,2097152", "0,8")), 8), HasSubstr("overflows"));
  EXPECT_THAT(message(object(tensor("a", "F32", "18446744073709551615", "0,8")), 8), HasSubstr("whole numbers"));
  EXPECT_THAT(message(object(tensor("a", "F32", "-2", "0,8")), 8), HasSubstr("whole numbers"));
  EXPECT_THAT(message(object(tensor("a", "F32", "2.0", "0,8")), 8), HasSubstr("whole numbers"));
  EXPECT_THAT(message(R"({"a":{"dtype":"F32","shape":[2]}})", 8), HasSubstr("dtype, shape and two data_offsets"));
  EXPECT_THAT(message(R"({"a":7})", 0), HasSubstr("tensor a: dtype"));
  EXPECT_THAT(message("[]", 0), HasSubstr("not a JSON object"));
  EXPECT_THAT(message("{", 0), HasSubstr("its header: is not valid JSON"));
  EXPECT_THAT(message("{\"\xff\":1}", 0), HasSubstr("its header: is not valid JSON"));
  EXPECT_THAT(message("{\"a\\nb\":7}", 0), HasSubstr("tensor a?b: dtype"));
}

TEST(Safetensors, SurvivesDeepNesting) {
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  EXPECT_THAT(message(object("\"a\":" + deep), 0), HasSubstr("its header: is nested deeper than 200 levels"));
  EXPECT_THAT(message(object(tensor("a", "F32", deep, "0,8")), 8), HasSubstr("is nested deeper"));
  EXPECT_THAT(message(R"({"a":)" + std::string(200000, '['), 0), HasSubstr("is nested deeper"));
}

TEST(Safetensors, RefusesWhatIsTooShort) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { open_safetensors(folder.file("a.safetensors", "")); }), HasSubstr("0 bytes are too few"));
  EXPECT_THAT(error_of([&] { open_safetensors(folder.file("b.safetensors", "1234567")); }), HasSubstr("too few"));
  const std::string huge("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
  EXPECT_THAT(error_of([&] { open_safetensors(folder.file("c.safetensors", huge)); }),
              HasSubstr("its header claims 18446744073709551615 bytes"));
  EXPECT_THAT(error_of([&] { open_safetensors(folder.path() / "no.safetensors"); }), HasSubstr("No such file"));
  EXPECT_THAT(error_of([&] { open_safetensors(folder.path()); }), HasSubstr("neither model.safetensors nor"));
}

TEST(Safetensors, RefusesAnIndexThatLies) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "s1.safetensors", std::vector<NamedTensor>{{"a", {1}, {1}}});
  write_safetensors(folder.path() / "s2.safetensors", std::vector<NamedTensor>{{"a", {1}, {1}}});
  const auto index = [&](const std::string& json) {
    const auto path = folder.file("model.safetensors.index.json", json);
    return error_of([&] { open_safetensors(path); });
  };
  EXPECT_EQ(index(R"({"weight_map":{"a":"s1.safetensors"}})"), "no error");
  EXPECT_THAT(index(R"({"weight_map":{"b":"s1.safetensors"}})"), HasSubstr("tensor b is not in s1.safetensors"));
  EXPECT_THAT(index(R"({"weight_map":{"a":"s1.safetensors","b":"s2.safetensors"}})"),
              HasSubstr("tensor b is not in s2.safetensors"));
  EXPECT_THAT(index(R"({"weight_map":{"a":"gone.safetensors"}})"), HasSubstr("gone.safetensors"));
  EXPECT_THAT(index(R"({"weight_map":{"a":"../s1.safetensors"}})"), HasSubstr("not a plain file name"));
  EXPECT_THAT(index(R"({"weight_map":{"a":1}})"), HasSubstr("is not a file name"));
  EXPECT_THAT(index(R"({"weight_map":[]})"), HasSubstr("weight_map is missing"));
  EXPECT_THAT(index("nonsense"), HasSubstr("is not valid JSON"));
}

TEST(Safetensors, TheIndexSaysWhereATensorOfSeveralShardsIs) {
  const TemporaryFolder folder;
  const auto write = [&](const char* name, const std::vector<NamedTensor>& tensors) {
    write_safetensors(folder.path() / name, tensors);
  };
  write("s1.safetensors", {{"a", {1}, {1}}, {"b", {1}, {2}}});
  write("s2.safetensors", {{"a", {1}, {1}}, {"c", {1}, {3}}});
  const auto open = [&](const std::string& of_a) {
    return open_safetensors(
        folder.file("model.safetensors.index.json",
                    R"({"weight_map":{"a":")" + of_a + R"(","b":"s1.safetensors","c":"s2.safetensors"}})"));
  };
  for (const char* shard : {"s1.safetensors", "s2.safetensors"}) EXPECT_EQ(open(shard)->tensors().size(), 3u);
  write("s2.safetensors", {{"a", {1}, {5}}, {"c", {1}, {3}}});
  EXPECT_THAT(error_of([&] { open("s1.safetensors"); }),
              HasSubstr("tensor a stands in several shards, with different values"));
}

TEST(Safetensors, AnEmptyTensorOfHugeExtentsHasNoElements) {
  EXPECT_THAT(message(object(tensor("a", "F32", "0,4611686018427387904,4611686018427387904", "0,0")), 0),
              HasSubstr("tensor a: its shape overflows"));
  EXPECT_THAT(message(object(tensor("a", "F32", "4611686018427387904,0", "0,0")), 0), HasSubstr("no error"));
}

TEST(Safetensors, Float8IsDecoded) {
  const TemporaryFolder folder;
  const auto values = [&](const char* type, const std::string& bytes) {
    const std::string n = std::to_string(bytes.size());
    std::string content = with_header(object(tensor("a", type, n, "0," + n)), bytes.size());
    content.replace(content.size() - bytes.size(), bytes.size(), bytes);
    const auto file = open_safetensors(folder.file("x.safetensors", content));
    std::vector<float> decoded(bytes.size());
    decode_to_f32(file->at("a"), 0, decoded);
    return decoded;
  };
  // As torch 2 decodes float8_e4m3fn and float8_e5m2.
  const std::vector<float> e4m3 = values("F8_E4M3", std::string("\x00\x01\x07\x08\x38\x7e\xb9\xfe", 8));
  EXPECT_EQ(e4m3, (std::vector<float>{0, 0x1p-9f, 0x7p-9f, 0x1p-6f, 1, 448, -1.125f, -448}));
  EXPECT_TRUE(std::isnan(values("F8_E4M3", "\x7f")[0]) && std::isnan(values("F8_E4M3", "\xff")[0]));
  const std::vector<float> e5m2 = values("F8_E5M2", std::string("\x00\x01\x04\x3c\x7b\xbd\x7c\xfc", 8));
  EXPECT_EQ(e5m2, (std::vector<float>{0, 0x1p-16f, 0x1p-14f, 1, 57344, -1.25f, INFINITY, -INFINITY}));
  EXPECT_TRUE(std::isnan(values("F8_E5M2", "\x7d")[0]));
}

TEST(Safetensors, APointerOfGitLfsIsNamed) {
  const TemporaryFolder folder;
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 100\n";
  const auto path = folder.file("model.safetensors", pointer);
  EXPECT_EQ(error_of([&] { open_safetensors(path); }),
            path.string() + ": is a Git LFS pointer, not the file itself; run: git lfs pull");
}

TEST(Safetensors, SurvivesDamage) {
  const std::string bytes = read_file(test::data_dir() / "formats/types.safetensors");
  test::survives_damage(bytes, "x.safetensors", 5000, [](const std::filesystem::path& path) {
    const auto file = open_safetensors(path);
    for (const TensorInfo& it : file->tensors()) {
      if (it.type == StoredType::other) continue;
      std::vector<float> values(static_cast<std::size_t>(it.n_elements()));
      decode_to_f32(it, 0, values);
    }
  });
}

}  // namespace
}  // namespace kvpress
