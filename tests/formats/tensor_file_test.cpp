#include "kvpress/formats/tensor_file.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "formats/mutations.h"
#include "formats/quants.h"
#include "formats/safetensors.h"
#include "kvpress/formats/gguf.h"
#include "test_data.h"

namespace kvpress {
namespace {

TEST(TensorFile, DecodesEveryTypeLikeTheReference) {
  const GgufFile file(test::data_dir() / "formats/types.gguf");
  const auto decoded = open_safetensors(test::data_dir() / "formats/types.safetensors");
  ASSERT_EQ(file.tensors().size(), 19u);
  for (const TensorInfo& tensor : file.tensors()) {
    EXPECT_EQ(tensor.type_name, tensor.name);
    EXPECT_EQ(to_string(tensor.type), tensor.name);
    // IQ4_NL has two rows, as the types of larger blocks.
    const bool is_large = quant_layout(tensor.type).block == 256;
    EXPECT_EQ(tensor.shape,
              (std::vector<std::int64_t>{is_large || tensor.name == "IQ4_NL" ? 2 : 3, is_large ? 512 : 64}));
    std::vector<float> got(static_cast<std::size_t>(tensor.n_elements()));
    std::vector<float> want(got.size());
    decode_to_f32(tensor, 0, got);
    decode_to_f32(decoded->at(tensor.name), 0, want);
    // To the bit: signs of zeros and infinities as well.
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(want[i])) << tensor.name << " " << i;
    }
  }
}

TEST(TensorFile, DecodesAPart) {
  const GgufFile file(test::data_dir() / "formats/types.gguf");
  for (const TensorInfo& tensor : file.tensors()) {
    const std::size_t unit = quant_layout(tensor.type).block == 256 ? 256 : 32;
    std::vector<float> whole(static_cast<std::size_t>(tensor.n_elements()));
    std::vector<float> part(unit);
    decode_to_f32(tensor, 0, whole);
    decode_to_f32(tensor, static_cast<std::int64_t>(3 * unit), part);
    EXPECT_EQ(std::memcmp(part.data(), whole.data() + 3 * unit, unit * sizeof(float)), 0) << tensor.name;
  }
}

TEST(TensorFile, RefusesPartOfABlockAndUnknownTypes) {
  const GgufFile file(test::data_dir() / "formats/types.gguf");
  std::vector<float> out(16);
  EXPECT_NE(test::error_of([&] { decode_to_f32(file.at("Q4_0"), 0, out); }).find("tensor Q4_0"), std::string::npos);
  out.resize(32);
  EXPECT_NE(test::error_of([&] { decode_to_f32(file.at("Q8_0"), 16, out); }).find("tensor Q8_0"), std::string::npos);
  TensorInfo other;
  other.name = "mask";
  other.type_name = "BOOL";
  EXPECT_EQ(test::error_of([&] { decode_to_f32(other, 0, out); }),
            "tensor mask: type BOOL is not supported; supported: F32, F16, BF16, F8_E4M3, F8_E5M2, Q4_0, Q4_1, Q5_0, "
            "Q5_1, Q8_0, Q2_K to Q6_K, Q8_K, IQ4_NL, IQ4_XS, TQ1_0, TQ2_0 and MXFP4");
}

TEST(TensorFile, NamesWhatIsMissing) {
  const GgufFile file(test::data_dir() / "formats/types.gguf");
  EXPECT_EQ(file.find("nothing"), nullptr);
  EXPECT_EQ(test::error_of([&] { file.at("nothing"); }), file.path() + ": tensor nothing is missing");
}

}  // namespace
}  // namespace kvpress
