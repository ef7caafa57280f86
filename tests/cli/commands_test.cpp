// The commands on the model and texts that ship.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <sstream>

#include "cli/program.h"
#include "test_data.h"

namespace kvpress {
namespace {

using test::content_of;
using test::Ended;
using test::run_program;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;

TEST(Ppl, WritesTheDocument) {
  const TemporaryFolder folder;
  const std::string output = (folder.path() / "r.json").string();
  const Ended ended = run_program(
      "ppl --model-name demo --dataset-name wikitext --dataset-config wikitext-103-v1 --split test --max-samples 64 "
      "--max-length 512 --max-tokens 1200 --chunk_size 128 --compression_ratio 0.5 --quiet --output " +
      output);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  EXPECT_THAT(ended.out, HasSubstr("knorm"));
  const Json document = Json::parse(content_of(output));
  for (const char* key : {"model", "dataset", "protocol", "dtype", "threads", "n_tokens", "version", "cpu", "load_sec",
                          "tokenize_sec", "baseline", "compressed"}) {
    EXPECT_TRUE(document.contains(key)) << key;
  }
  for (const char* key :
       {"press", "compression_ratio", "perplexity", "mean_nll", "n_scored_tokens", "bits_per_byte", "delta_nll",
        "delta_nll_ci95", "kl_full", "top1_agreement", "cache_tokens", "cache_bytes", "cache_bytes_peak",
        "peak_rss_bytes", "runtime_sec", "prefill_sec", "compress_sec", "score_sec", "total_runtime_sec"}) {
    EXPECT_TRUE(document["compressed"].contains(key)) << key;
  }
  EXPECT_EQ(document["n_tokens"], 1200);
  EXPECT_EQ(document["baseline"]["press"], "no_press");
  EXPECT_EQ(document["baseline"]["cache_tokens"], 512);
  EXPECT_EQ(document["compressed"]["cache_tokens"], 256);
  EXPECT_EQ(document["compressed"]["n_scored_tokens"], 1197);
  EXPECT_GT(document["compressed"]["kl_full"], 0.001);
  EXPECT_LT(document["compressed"]["cache_bytes"].get<double>(),
            0.55 * document["baseline"]["cache_bytes"].get<double>());
  EXPECT_NEAR(document["compressed"]["total_runtime_sec"].get<double>(),
              document["compressed"]["prefill_sec"].get<double>() +
                  document["compressed"]["compress_sec"].get<double>() +
                  document["compressed"]["score_sec"].get<double>(),
              1e-9);
}

TEST(Ppl, WindowSaysOnceThatItIsBlind) {
  const Ended ended = run_program("ppl -m demo --protocol window --max-length 256 --max-tokens 600");
  ASSERT_EQ(ended.code, 0) << ended.err;
  const std::string caveat = "perplexity does not show the effect of compression";
  const auto first = ended.err.find(caveat);
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(ended.err.find(caveat, first + 1), std::string::npos);
  const Json document = Json::parse(ended.out);
  EXPECT_EQ(document["baseline"]["perplexity"], document["compressed"]["perplexity"]);
  EXPECT_THAT(document["caveat"].get<std::string>(), HasSubstr(caveat));
}

TEST(Ppl, TwoProcessesGiveTheSameNumbers) {
  const std::string arguments = "ppl -m demo --press random --max-tokens 900 --max-length 300 --chunk-size 100 --quiet";
  const Json a = Json::parse(run_program(arguments).out);
  const Json b = Json::parse(run_program(arguments).out);
  for (const char* key : {"perplexity", "kl_full", "delta_nll", "delta_nll_ci95", "top1_agreement", "cache_bytes"}) {
    EXPECT_EQ(a["compressed"][key], b["compressed"][key]) << key;
  }
  const Json other = Json::parse(run_program(arguments + " --seed 1").out);
  EXPECT_NE(a["compressed"]["kl_full"], other["compressed"]["kl_full"]);
}

TEST(Ppl, WarnsBeyondTheTrainedContextAndOnlyThen) {
  EXPECT_THAT(run_program("ppl -m demo --max-tokens 300 --max-length 4096").err, HasSubstr("trained context"));
  for (const char* protocol : {"window", "chunked", "continuation", "decode --max-tokens 80"}) {
    EXPECT_THAT(run_program(std::string("ppl -m demo --protocol ") + protocol).err, Not(HasSubstr("trained context")))
        << protocol;
  }
}

TEST(Program, AloneItPrintsItsHelp) {
  const Ended ended = run_program("");
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.out, AllOf(HasSubstr("Subcommands:"), HasSubstr("  ppl ")));
}

TEST(Program, VersionTellsWhatWasBuiltAndWhatIsInUse) {
  const Ended ended = run_program("--version");
  EXPECT_EQ(ended.code, 0);
  EXPECT_THAT(ended.out,
              testing::MatchesRegex("kvpress [0-9.]+ \\(.+\\), (gcc|clang) [0-9.]+, oneDNN [0-9.]+, [a-z0-9_]+\n"));
}

TEST(Program, CompletionsNameEveryCommandAndOption) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Ended ended = run_program(std::string("completions ") + shell);
    EXPECT_EQ(ended.code, 0) << shell;
    EXPECT_THAT(ended.out, AllOf(HasSubstr("breakeven"), HasSubstr("compression-ratio"))) << shell;
  }
  EXPECT_THAT(run_program("completions tcsh").err, HasSubstr("known: bash, zsh, fish"));
}

TEST(Program, ABudgetIsARatioTokensOrBytes) {
  const auto compressed = [](const std::string& options) {
    const Ended ended =
        run_program("ppl -m demo --max-tokens 512 --protocol continuation --press knorm --quiet " + options);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return Json::parse(ended.out)["compressed"];
  };
  EXPECT_EQ(compressed("--budget 0.75")["cache_tokens"], 64);
  EXPECT_EQ(compressed("--budget 100")["cache_tokens"], 100);
  const Json bytes = compressed("--budget 600KiB");
  EXPECT_LE(bytes["cache_bytes"].get<std::size_t>(), 600u << 10);
  EXPECT_GT(bytes["cache_tokens"].get<double>(), 8);
  EXPECT_THAT(run_program("ppl -m demo --budget 1KiB --max-tokens 100").err,
              HasSubstr("--budget: 1.0 KiB are less than"));
  EXPECT_THAT(run_program("ppl -m demo --budget many").err, HasSubstr("--budget: 'many' is no budget"));
  EXPECT_THAT(run_program("ppl -m demo --budget 5 --target-size 5").err,
              HasSubstr("--target-size: give it or --budget"));
}

TEST(Ppl, SaysWhenChunksHideTheCompression) {
  EXPECT_THAT(run_program("ppl -m demo --max-tokens 200").err, HasSubstr("--chunk-size 256"));
  EXPECT_THAT(run_program("ppl -m demo --max-tokens 300").err, Not(HasSubstr("--chunk-size")));
}

TEST(Ppl, ReadsAFileOfTheUsersOwn) {
  const TemporaryFolder folder;
  const std::string text =
      folder.file("a.txt", "It was the best of times, it was the worst of times, it was the age of wisdom.").string();
  const Ended ended =
      run_program("ppl -m demo --dataset-name " + text + " --protocol continuation --context-tokens 8 --quiet");
  ASSERT_EQ(ended.code, 0) << ended.err;
  const Json document = Json::parse(ended.out);
  EXPECT_EQ(document["compressed"]["n_scored_tokens"], document["n_tokens"].get<int>() - 8);
}

TEST(Ppl, WritesMemoryAlongBothRuns) {
  const TemporaryFolder folder;
  const std::string arguments =
      "ppl -m demo --press streaming_llm --max-tokens 600 --max-length 300 --chunk-size 60 --quiet";
  const std::string file = (folder.path() / "t.json").string();
  const Ended ended = run_program(arguments + " --timeline-file " + file);
  ASSERT_EQ(ended.code, 0) << ended.err;
  const Json document = Json::parse(ended.out);
  const Json timelines = Json::parse(content_of(file));
  for (const char* run : {"baseline", "compressed"}) {
    const Json& it = timelines[run];
    ASSERT_GT(it["cache"].size(), 10u) << run;
    EXPECT_EQ(*std::max_element(it["cache"].begin(), it["cache"].end()), document[run]["cache_bytes_peak"]) << run;
    EXPECT_EQ(it["tokens"].back(), 600);
    EXPECT_EQ(it["phase"].back(), "score");
  }
  EXPECT_EQ(timelines["baseline"]["phase_seconds"]["compress"], 0);
  EXPECT_GT(timelines["compressed"]["phase_seconds"]["compress"], 0);
  const std::string picture = (folder.path() / "t.png").string();
  ASSERT_EQ(run_program(arguments + " --timeline-file " + picture).code, 0);
  EXPECT_THAT(content_of(picture), HasSubstr("PNG"));
  for (const std::string bad : {"t.pdf", "/proc/nowhere/t.json", "/proc/nowhere/t.png"}) {
    const Ended refused = run_program(arguments + " --timeline-file " + (folder.path() / bad).string());
    EXPECT_NE(refused.code, 0) << bad;
    EXPECT_EQ(refused.out, "") << "refused before anything is run";
    EXPECT_THAT(refused.err, HasSubstr(bad));
    EXPECT_EQ(std::count(refused.err.begin(), refused.err.end(), '\n'), 1) << refused.err;
  }
}

TEST(Heatmap, WritesPicturesAPageAndNumbers) {
  const TemporaryFolder folder;
  const std::string to = (folder.path() / "maps").string();
  const Ended ended = run_program(
      "heatmap -m demo --presses 'streaming_llm,adakv(snapkv)' --ratios 0.5,0.75 --max-tokens 200 --quiet -o " + to);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  EXPECT_THAT(ended.out, HasSubstr("adakv(snapkv)"));
  const std::string run = to + "/wikitext--wikitext-103-v1--test__demo__streaming_llm__0.75";
  const Json kept = Json::parse(content_of(run + "/kept_tokens.json"));
  EXPECT_EQ(kept["n_tokens"], 200);
  EXPECT_EQ(kept["tokens"].size(), 200u);
  // Sinks and the newest: 50 of 200.
  for (const Json& layer : kept["kept"]) {
    for (const Json& head : layer) {
      ASSERT_EQ(head.size(), 50u);
      for (int i = 0; i < 4; ++i) EXPECT_EQ(head[static_cast<std::size_t>(i)], i);
      for (std::size_t i = 4; i < 50; ++i) EXPECT_EQ(head[i], 150 + i);
    }
  }
  EXPECT_EQ(kept["summary"]["by_all"], 50);
  EXPECT_EQ(kept["summary"]["by_none"], 150);
  EXPECT_THAT(content_of(run + "/kept_tokens.png"), HasSubstr("PNG"));
  EXPECT_THAT(content_of(to + "/heatmap.html"), HasSubstr("adakv(snapkv) at 0.75"));
  // The report shows them, with results or without.
  const std::string page = (folder.path() / "report.html").string();
  const Ended alone = run_program("report " + to + " -o " + page);
  ASSERT_EQ(alone.code, 0) << alone.err;
  EXPECT_THAT(alone.out, HasSubstr("4 heat maps"));
  EXPECT_THAT(content_of(page), HasSubstr("streaming_llm at 0.50"));
  ASSERT_EQ(run_program("evaluate -m demo --dataset wikitext_ppl --max-tokens 300 --quiet --output_dir " + to).code, 0);
  ASSERT_EQ(run_program("report " + to + " --no-pictures -o " + page).code, 0);
  EXPECT_THAT(content_of(page), HasSubstr("streaming_llm at 0.50"));
  EXPECT_THAT(content_of(page), HasSubstr("<h2>Findings</h2>"));
}

TEST(Heatmap, SaysWhatIsWrongBeforeAnythingIsRun) {
  const TemporaryFolder folder;
  const std::string start = "heatmap -m demo --max-tokens 64 --quiet ";
  const std::string file = (folder.path() / "k.png").string();
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"--press nothing", "nothing"},
      {"--press 'decoding(knorm)'", "compresses only during decode"},
      {"--ratios 2", "--ratios"},
      {"--chunk-size -1", "--chunk-size"},
      {"--presses knorm,snapkv -o " + file, "give a folder or a .html"},
      {"-o /proc/nowhere/k.png", "nowhere"},
  };
  for (const auto& [arguments, said] : wrong) {
    const Ended ended = run_program(start + arguments);
    EXPECT_NE(ended.code, 0) << arguments;
    EXPECT_EQ(ended.out, "") << arguments;
    EXPECT_THAT(ended.err, HasSubstr(said));
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  }
  for (const char* ending : {"k.png", "k.svg", "k.html", "k.json"}) {
    const Ended ended = run_program(start + "--press knorm --chunk-size 20 -o " + (folder.path() / ending).string());
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_GT(content_of(folder.path() / ending).size(), 1000u) << ending;
  }
}

TEST(Heatmap, ShowsPartsOfCharactersAsBytes) {
  const TemporaryFolder folder;
  // Rare characters are several tokens each, none of which is a character by itself.
  const std::string text = folder.file("t.txt", "a \xf0\x9f\xa6\x96 b \xe2\x82\xac </script><b>x</b>").string();
  const std::string file = (folder.path() / "k.json").string();
  const Ended ended = run_program("heatmap -m demo --text " + text + " --press knorm --quiet -o " + file);
  ASSERT_EQ(ended.code, 0) << ended.err;
  const Json kept = Json::parse(content_of(file));
  std::string all;
  for (const Json& it : kept["tokens"]) all += it.get<std::string>();
  EXPECT_THAT(all, HasSubstr("<0xF0>"));
  EXPECT_THAT(all, HasSubstr("</script><b>x</b>"));
  EXPECT_EQ(kept["tokens"].size(), kept["n_tokens"]);
}

TEST(Evaluate, WritesMemoryAlongEachRunWhenAskedTo) {
  const TemporaryFolder folder;
  const std::string runs = (folder.path() / "runs").string();
  const Ended ended = run_program(
      "evaluate -m demo --dataset wikitext_ppl --press_sequence no_press,knorm --timeline true --max-tokens 400 "
      "--quiet "
      "--output_dir " +
      runs);
  ASSERT_EQ(ended.code, 0) << ended.err;
  for (const char* name : {"no_press__0.00", "knorm__0.50"}) {
    const std::string run = runs + "/wikitext_ppl__demo__" + name;
    const Json timeline = Json::parse(content_of(run + "/timeline.json"));
    const Json metrics = Json::parse(content_of(run + "/metrics.json"));
    EXPECT_EQ(*std::max_element(timeline["cache"].begin(), timeline["cache"].end()), metrics["cache_bytes_peak"]);
  }
  const std::string page = (folder.path() / "report.html").string();
  ASSERT_EQ(run_program("report " + runs + " -o " + page).code, 0);
  EXPECT_THAT(content_of(page), HasSubstr("knorm at 0.50, wikitext_ppl, chunked"));
  EXPECT_THAT(content_of(folder.path() / "timeline.png"), HasSubstr("PNG"));
}

TEST(Evaluate, ShowsTheFullCacheBesideOnePressAndSaysHowItWasMade) {
  const TemporaryFolder folder;
  const std::string runs = (folder.path() / "a folder").string();
  const Ended ended = run_program(
      "evaluate -m demo --dataset wikitext --press-name 'snapkv(window_size=8)' --max-tokens 300 "
      "--prefill-only --quiet -o '" +
      runs + "'");
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, testing::AllOf(HasSubstr("\nno_press"), HasSubstr("\nsnapkv(window_size=8)")));
  // wikitext is wikitext_ppl; one folder, since one press was asked for.
  const std::string run = runs + "/wikitext_ppl__demo__snapkv(window_size=8)__0.50";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(runs), std::filesystem::directory_iterator()), 1);
  const std::string config = content_of(run + "/config.yaml");
  EXPECT_THAT(config, HasSubstr("prefill_only: true\n"));
  EXPECT_THAT(config,
              HasSubstr("command: \"kvpress evaluate -m demo --dataset wikitext --press-name 'snapkv(window_size=8)'"));
  EXPECT_THAT(config, HasSubstr("-o '" + runs + "'\""));
}

TEST(Evaluate, WritesAFolderForEachPressAndOverwritesNone) {
  const TemporaryFolder folder;
  const std::string arguments =
      "evaluate --model demo --dataset wikitext_ppl --press_sequence no_press,no_press,knorm --compression_ratio 0.5 "
      "--max_tokens 700 --max-length 300 --chunk-size 100 --device cpu --quiet --prefill_only true --output_dir " +
      folder.path().string();
  const Ended ended = run_program(arguments);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("knorm"));
  const auto full = folder.path() / "wikitext_ppl__demo__no_press__0.00";
  const auto knorm = folder.path() / "wikitext_ppl__demo__knorm__0.50";
  for (const auto& it : {full, full / "1", knorm}) {
    EXPECT_TRUE(std::filesystem::exists(it / "predictions.csv")) << it;
    EXPECT_TRUE(std::filesystem::exists(it / "metrics.json")) << it;
    EXPECT_TRUE(std::filesystem::exists(it / "config.yaml")) << it;
  }
  // The two full caches agree.
  const Json a = Json::parse(content_of(full / "metrics.json"));
  const Json b = Json::parse(content_of(full / "1" / "metrics.json"));
  EXPECT_EQ(a["perplexity"], b["perplexity"]);
  EXPECT_EQ(b["kl_full"], 0);
  const Json metrics = Json::parse(content_of(knorm / "metrics.json"));
  EXPECT_NEAR(metrics["runtime_sec"].get<double>(),
              metrics["prefill_sec"].get<double>() + metrics["compress_sec"].get<double>(), 1e-9);
  EXPECT_THAT(content_of(knorm / "config.yaml"), HasSubstr("compression_ratio: 0.5\n"));
  // A header, and a row for each segment: 300, 300 and 100 tokens.
  std::istringstream csv(content_of(knorm / "predictions.csv"));
  int lines = 0;
  for (std::string line; std::getline(csv, line);) ++lines;
  EXPECT_EQ(lines, 4);

  const std::string before = content_of(knorm / "metrics.json");
  ASSERT_EQ(run_program(arguments).code, 0);
  EXPECT_EQ(content_of(knorm / "metrics.json"), before);
  EXPECT_TRUE(std::filesystem::exists(knorm / "1" / "metrics.json"));
  for (const auto& it : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_THAT(it.path().filename().string(), Not(HasSubstr("tmp")));
  }
}

TEST(Compare, OneTableInFourForms) {
  const std::string arguments =
      "compare -m demo --dataset wikitext --max-samples 8 --presses 'random,knorm,adakv(snapkv(window_size=16))' "
      "--ratios 0.75,0.5 --quiet --format ";
  const Json document = Json::parse(run_program(arguments + "json").out);
  ASSERT_EQ(document["runs"].size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) {  // by ratio, the best first
    EXPECT_EQ(document["runs"][i]["compression_ratio"], i < 3 ? 0.5 : 0.75);
    if (i % 3 == 0) continue;
    EXPECT_GE(document["runs"][i]["kl_full"], document["runs"][i - 1]["kl_full"]);
  }
  const std::string best = document["runs"][0]["press"].get<std::string>();
  EXPECT_EQ(document["baseline"]["press"], "no_press");

  const std::string text = run_program(arguments + "text").out;
  EXPECT_THAT(text, testing::AllOf(HasSubstr("top-1 %"), HasSubstr("adakv(snapkv(window_size=16))")));
  EXPECT_LT(text.find(best), text.find("random"));
  EXPECT_THAT(run_program(arguments + "markdown").out, HasSubstr("| `" + best + "` | 0.50 |"));

  std::istringstream csv(run_program(arguments + "csv").out);
  std::string line;
  std::getline(csv, line);
  EXPECT_EQ(line.substr(0, 30), "press,compression_ratio,kl_ful");
  const auto columns = std::count(line.begin(), line.end(), ',');
  int rows = 0;
  while (std::getline(csv, line)) {
    ++rows;
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), columns) << line;
  }
  EXPECT_EQ(rows, 6);
}

TEST(Compare, SaysWhatIsWrong) {
  EXPECT_THAT(run_program("compare -m demo --presses knrom").err, HasSubstr("'knrom'"));
  EXPECT_THAT(run_program("compare -m demo --cache-dtypes int4,int5").err, HasSubstr("--cache-dtypes: 'int5'"));
  EXPECT_THAT(run_program("compare -m demo --format xml").err, HasSubstr("markdown"));
  EXPECT_THAT(run_program("compare -m demo --ratios 0.5,1").err, HasSubstr("[0, 1)"));
  EXPECT_THAT(run_program("compare -m demo --presses decoding_knorm").err, HasSubstr("--protocol decode"));
  EXPECT_THAT(run_program("compare -m demo --protocol window").err, HasSubstr("does not show"));
}

TEST(Presses, ListsEveryPressWithItsParameters) {
  const Ended ended = run_program("presses");
  EXPECT_EQ(ended.code, 0);
  for (const char* it : {"no_press", "knorm", "streaming_llm", "n_sink = 4", "window_size = 64",
                         "n_future_positions = 512", "https://arxiv.org/abs/2404.14469"}) {
    EXPECT_THAT(ended.out, HasSubstr(it));
  }
}

TEST(Presses, ThePageSaysWhatTheProgramSays) {
  const std::string page = content_of(test::project_dir() / "docs" / "presses.md");
  const std::string mark = "<!-- kvpress presses --markdown -->\n\n";
  const auto at = page.find(mark);
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(page.substr(at + mark.size()), run_program("presses --markdown").out)
      << "scripts/update-docs puts it right";
}

TEST(Presses, LongSaysWhyAndWhen) {
  const std::string text = run_program("presses --long").out;
  EXPECT_THAT(text, testing::AllOf(HasSubstr("formula:"), HasSubstr("when:"), HasSubstr("keydiff")));
}

TEST(Inspect, TellsWhatAModelIs) {
  const Ended ended = run_program("inspect demo --tensors");
  EXPECT_EQ(ended.code, 0) << ended.err;
  for (const char* it :
       {"gpt_neox", "8.9 M", "gpt_neox.embed_in.weight", "BF16", "bytes per token", "byte-level BPE"}) {
    EXPECT_THAT(ended.out, HasSubstr(it));
  }
}

TEST(Inspect, TellsWhatWindowsSave) {
  const Ended ended = run_program("inspect " + (test::data_dir() / "models" / "gemma3").string());
  EXPECT_EQ(ended.code, 0) << ended.err;
  // Of four layers one sees all: 2 heads of 2 x 16 numbers and a position each.
  EXPECT_THAT(ended.out, HasSubstr("1056 bytes per token in float32, 264 once windows are full, "));
}

TEST(Generate, IsRepeatableAndCompressesWhileItGoes) {
  const std::string arguments =
      "generate -m demo -p 'It was a dark and stormy night; the rain fell' -n 40 --press streaming_llm "
      "--compression-interval 8 --target-size 16 --temperature 0.8 --seed 3 --ignore-eos";
  const Ended a = run_program(arguments);
  ASSERT_EQ(a.code, 0) << a.err;
  EXPECT_EQ(a.out, run_program(arguments).out);
  EXPECT_NE(a.out, run_program(arguments + "4").out);
  EXPECT_THAT(a.err, HasSubstr("tokens/s"));
  EXPECT_THAT(a.err, HasSubstr("holds 23.0 tokens"));  // compressed to 16 after 32 tokens, 7 more since
}

TEST(Help, EveryCommandShowsExamples) {
  for (const char* command : {"ppl", "evaluate", "compare", "presses", "inspect", "generate", "bench", "calibrate"}) {
    const Ended ended = run_program(std::string(command) + " --help");
    EXPECT_EQ(ended.code, 0) << command;
    EXPECT_THAT(ended.out, HasSubstr("Examples:")) << command;
  }
}

}  // namespace
}  // namespace kvpress
