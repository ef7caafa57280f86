// Files of every token's loss: what is written can be read back, and is what the runs said.
#include "report/documents/per_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <map>

#include "engine/random_model.h"
#include "kvpress/base/error.h"
#include "report/documents/csv.h"
#include "report/documents/npz.h"
#include "small_model.h"

namespace kvpress {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::uint64_t number_at(const std::string& file, std::size_t at, int n_bytes) {
  std::uint64_t value = 0;
  for (int i = n_bytes; i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(file.at(at + static_cast<std::size_t>(i)));
  return value;
}

struct Array {
  std::string header;
  std::string bytes;
  template <typename T>
  std::vector<T> as() const {
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
    return values;
  }
};

/// A reader of its own: by the directory at the end, as zip programs read.
std::map<std::string, Array> read_npz(const std::string& file) {
  std::map<std::string, Array> arrays;
  const std::size_t end = file.size() - 22;
  EXPECT_EQ(file.substr(end, 4), "PK\x05\x06");
  const auto n = number_at(file, end + 10, 2);
  std::size_t at = number_at(file, end + 16, 4);
  EXPECT_EQ(at + number_at(file, end + 12, 4), end);
  for (std::uint64_t i = 0; i < n; ++i) {
    EXPECT_EQ(file.substr(at, 4), std::string("PK\x01\x02", 4));
    const auto crc = number_at(file, at + 16, 4);
    const auto size = number_at(file, at + 20, 4);
    const auto name_size = number_at(file, at + 28, 2);
    const std::size_t local = number_at(file, at + 42, 4);
    const std::string name = file.substr(at + 46, name_size);
    EXPECT_EQ(file.substr(local, 4), std::string("PK\x03\x04", 4));
    EXPECT_EQ(file.substr(local + 30, name_size), name);
    EXPECT_EQ(number_at(file, local + 14, 4), crc);
    const std::string content = file.substr(local + 30 + name_size, size);
    EXPECT_EQ(::crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(size)), crc);
    EXPECT_EQ(content.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
    const auto header_size = number_at(content, 8, 2);
    EXPECT_EQ((10 + header_size) % 64, 0u);
    arrays[name] = {content.substr(10, header_size), content.substr(10 + header_size)};
    at += 46 + name_size;
  }
  return arrays;
}

TEST(Npz, KeepsArraysAndTexts) {
  NpzWriter writer;
  const std::vector<float> floats = {1.5f, -2, 3, 4, 5, 6};
  writer.add("floats", floats, {2, 3});
  writer.add("empty", std::span<const std::int64_t>(), {0});
  writer.add("texts", {"a", "\xc3\xa4\xf0\x9f\x98\x80z", ""});
  const auto arrays = read_npz(writer.finish());
  ASSERT_EQ(arrays.size(), 3u);
  EXPECT_THAT(arrays.at("floats.npy").header, HasSubstr("'descr': '<f4', 'fortran_order': False, 'shape': (2,3,)"));
  EXPECT_EQ(arrays.at("floats.npy").as<float>(), floats);
  EXPECT_THAT(arrays.at("empty.npy").header, HasSubstr("'shape': (0,)"));
  EXPECT_THAT(arrays.at("texts.npy").header, HasSubstr("'<U3'"));
  EXPECT_THAT(arrays.at("texts.npy").as<char32_t>(), ElementsAre(U'a', 0, 0, U'\u00e4', U'\U0001F600', U'z', 0, 0, 0));
}

TEST(PerToken, IsWhatTheRunsSaid) {
  const Model model = random_model(test::small_config(), {false, DType::f32}, 1);
  std::vector<TokenizedText> texts = {test::random_text(50), test::random_text(31)};
  texts[0].name = "=first, of two";
  texts[1].name = "second";
  RunSettings settings;
  settings.protocol = {.protocol = Protocol::chunked, .max_length = 20, .chunk_size = 5};
  Experiment experiment(model, texts, settings);
  const Outcome outcome = experiment.run(parse_press("knorm"), 0.5);
  PerToken per_token(texts, experiment.baseline());
  per_token.add(outcome);
  per_token.add(outcome);

  const auto arrays = read_npz(per_token.npz());
  const auto text = arrays.at("text.npy").as<std::int64_t>();
  const auto position = arrays.at("position.npy").as<std::int64_t>();
  const auto token = arrays.at("token_id.npy").as<std::int32_t>();
  const auto nll = arrays.at("nll.npy").as<float>();
  const auto kl = arrays.at("kl.npy").as<float>();
  const std::size_t n = 3 * 19 - 10 + 19 + 10;
  ASSERT_EQ(token.size(), n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto& ids = texts[static_cast<std::size_t>(text[i])].ids;
    EXPECT_EQ(token[i], ids[static_cast<std::size_t>(position[i])]);
    EXPECT_NE(position[i] % 20, 0);  // the first of a segment is not scored
  }
  EXPECT_EQ(arrays.at("nll_full.npy").as<float>(), experiment.baseline().nll);
  EXPECT_EQ(std::vector<float>(nll.begin(), nll.begin() + static_cast<std::ptrdiff_t>(n)), outcome.run.nll);
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) mean += kl[i] / static_cast<double>(n);
  EXPECT_NEAR(mean, outcome.comparison.kl_full, 1e-9);
  EXPECT_THAT(arrays.at("kl.npy").header, HasSubstr("'shape': (2," + std::to_string(n) + ",)"));

  std::size_t at = 0;
  std::vector<std::string> fields;
  const std::string csv = per_token.csv();
  ASSERT_TRUE(next_csv_record(csv, at, fields));
  EXPECT_THAT(fields, ElementsAre("text", "position", "token_id", "nll_full", "nll knorm 0.5", "kl knorm 0.5",
                                  "nll knorm 0.5 (2)", "kl knorm 0.5 (2)"));
  ASSERT_TRUE(next_csv_record(csv, at, fields));
  EXPECT_EQ(fields[0], "'=first, of two");
  EXPECT_EQ(std::stof(fields[4]), outcome.run.nll[0]);
  std::size_t rows = 1;
  while (next_csv_record(csv, at, fields)) ++rows;
  EXPECT_EQ(rows, n);
  EXPECT_THROW(check_per_token_file("a.txt", "per_token"), UsageError);
}

}  // namespace
}  // namespace kvpress
