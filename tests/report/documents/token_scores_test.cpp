#include "report/documents/token_scores.h"

#include <gtest/gtest.h>

#include <cmath>

#include "report/documents/json.h"

namespace kvpress {
namespace {

TEST(TokenScores, AreWrittenByLayerHeadAndToken) {
  TokenScores scores;
  scores.n_kv_heads = 2;
  scores.heads = {{1.5f, NAN}, {-2, 0.25f}, {3, 4}, {NAN, NAN}};
  const std::vector<std::string> tokens = {"a,b", "\"c\""};
  EXPECT_EQ(token_scores_csv(scores, tokens),
            "layer,kv_head,position,token,score\n"
            "0,0,0,\"a,b\",1.5\n"
            "0,1,0,\"a,b\",-2\n"
            "0,1,1,\"\"\"c\"\"\",0.25\n"
            "1,0,0,\"a,b\",3\n"
            "1,0,1,\"\"\"c\"\"\",4\n");
  const Json json = Json::parse(token_scores_json(scores, tokens));
  EXPECT_EQ(json["scores"].dump(), "[[[1.5,null],[-2.0,0.25]],[[3.0,4.0],[null,null]]]");
  EXPECT_EQ(json["n_kv_heads"], 2);
  EXPECT_EQ(json["n_tokens"], 2);
  EXPECT_EQ(json["tokens"][0], "a,b");
}

}  // namespace
}  // namespace kvpress
