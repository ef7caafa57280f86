// KVPRESS_ISA: every set of instructions that this processor has gives the same results.
#include "ops/isa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

#include "cli/program.h"
#include "hub_environment.h"

namespace kvpress {
namespace {

using test::Ended;
using test::run_program;
using test::ScopedVariable;
using testing::HasSubstr;

nlohmann::json ppl(const std::string& isa, const std::string& options) {
  const ScopedVariable variable("KVPRESS_ISA", isa);
  const Ended ended = run_program("ppl -m demo --max-samples 16 --max-tokens 700 --protocol decode --quiet " + options);
  EXPECT_EQ(ended.code, 0) << isa << ": " << ended.err;
  return nlohmann::json::parse(ended.out);
}

TEST(Isa, AllAgree) {
  // expected_attention goes through most kernels; its choice hangs on scores that are nearly never tied.
  const std::string options = "--press expected_attention --compression-ratio 0.5 ";
  const double reference = ppl("", options + "--dtype float32")["compressed"]["mean_nll"];
  for (const Isa isa : named_isas()) {
    const std::string name(to_string(isa));
    // float32: the order of sums differs.
    EXPECT_NEAR(ppl(name, options + "--dtype float32")["compressed"]["mean_nll"].get<double>(), reference, 2e-4)
        << name;
    // bfloat16 products where there are such, else bfloat16 weights in float32.
    EXPECT_NEAR(ppl(name, options + "--dtype bfloat16")["compressed"]["mean_nll"].get<double>(), reference, 2e-2)
        << name;
  }
}

TEST(Isa, OneThatIsNotThereIsRefused) {
  for (const std::string isa : {"mmx", "AVX2"}) {
    const ScopedVariable variable("KVPRESS_ISA", isa);
    const Ended ended = run_program("ppl -m demo --max-tokens 64");
    EXPECT_EQ(ended.code, 2);
    EXPECT_THAT(ended.err, HasSubstr("KVPRESS_ISA: '" + isa + "' is not among what this processor has: baseline"));
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  }
}

}  // namespace
}  // namespace kvpress
