// The press of docs/adding-a-press.md: the page shows the code that is built, and the code works.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "kvpress/base/error.h"
#include "kvpress/model/model.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/registry.h"
#include "test_data.h"

namespace kvpress {

extern const PressEntry kValueNormPress;

namespace {

using testing::HasSubstr;

TEST(OwnPress, ThePageShowsTheCode) {
  const std::string page = read_file(test::project_dir() / "docs" / "adding-a-press.md");
  for (const char* file : {"value_norm.cpp", "newest_match.cpp"}) {
    const std::string code = read_file(test::project_dir() / "examples" / "own_press" / file);
    EXPECT_THAT(page, HasSubstr("```cpp\n" + code + "```")) << file;
  }
}

TEST(OwnPress, OnceRegisteredItWorksAsTheOthersDo) {
  EXPECT_THROW(parse_press("value_norm"), UsageError);
  register_press(kValueNormPress);
  EXPECT_THROW(register_press(kValueNormPress), UsageError);
  EXPECT_THROW(parse_press("value_norm(n_recent=-1)"), UsageError);

  Model model(std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / "llama-gqa").string())),
              {false, DType::f32});
  const auto tokens = test::References("forward/llama-gqa.safetensors").ints("tokens");
  const NamedPress press = parse_press("value_norm(n_recent=20)");
  Compressor compressor(press.plan({0.75, {}}));
  KVCache cache = compressor.make_cache(model, DType::f32);
  compressor.forward(model, tokens, cache, {});
  for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) {
    ASSERT_EQ(cache.head(1, h).size(), 48);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(cache.head(1, h).positions()[static_cast<std::size_t>(28 + i)], 172 + i);
  }
  EXPECT_NO_THROW(parse_press("adakv(value_norm)"));
}

}  // namespace
}  // namespace kvpress
