// Texts from files, patterns, standard input and a rows service; results text by text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "cli/program.h"
#include "fake_rows.h"
#include "kvpress/formats/text_dataset.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::content_of;
using test::Ended;
using test::FakeRows;
using test::kProjectDir;
using test::run_program;
using test::TemporaryFolder;
using testing::HasSubstr;

std::string shipped_rows() { return (fs::path(kProjectDir) / "data/wikitext-103-v1/test.jsonl").string(); }

/// Three "books": stretches of the one that ships.
void write_books(const TemporaryFolder& folder) {
  const std::string book = load_texts({(fs::path(kProjectDir) / "data/pg19/test.jsonl").string()}).texts.at(0);
  folder.file("b.txt", book.substr(10000, 3000));
  folder.file("a.txt", book.substr(20000, 3000));
  folder.file("c.txt", book.substr(30000, 3000));
  folder.file("ignored.md", "no text");
}

json ppl(const std::string& arguments) {
  const Ended ended = run_program("ppl -m demo --quiet --press knorm --max-length 256 --chunk-size 64 " + arguments);
  EXPECT_EQ(ended.code, 0) << ended.err;
  return ended.code == 0 ? json::parse(ended.out) : json();
}

TEST(Texts, APatternsFilesInOrderEachWithItsResult) {
  const TemporaryFolder folder;
  write_books(folder);
  const std::string pattern = (folder.path() / "*.txt").string();
  const json all = ppl("--text '" + pattern + "' --max-tokens 300");
  for (const char* run : {"baseline", "compressed"}) {
    const json& texts = all[run]["per_text"];
    ASSERT_EQ(texts.size(), 3u);
    EXPECT_EQ(texts[0]["name"], (folder.path() / "a.txt").string());
    EXPECT_EQ(texts[2]["name"], (folder.path() / "c.txt").string());
    double sum = 0;
    double squares = 0;
    for (const json& it : texts) {
      EXPECT_NEAR(it["perplexity"].get<double>(), std::exp(it["mean_nll"].get<double>()), 1e-9);
      sum += it["mean_nll"].get<double>() / 3;
    }
    for (const json& it : texts) squares += std::pow(it["mean_nll"].get<double>() - sum, 2);
    const json& over = all[run]["mean_over_texts"];
    EXPECT_EQ(over["n_texts"], 3);
    EXPECT_NEAR(over["mean_nll"]["mean"].get<double>(), sum, 1e-12);
    EXPECT_NEAR(over["mean_nll"]["sd"].get<double>(), std::sqrt(squares / 2), 1e-12);
    // Student's t of two degrees of freedom.
    EXPECT_NEAR(over["mean_nll"]["ci95"][1].get<double>(), sum + 4.30265 * std::sqrt(squares / 2) / std::sqrt(3), 1e-5);
  }
  // Each is what it is by itself.
  for (int i = 0; i < 3; ++i) {
    const std::string name = std::string(1, static_cast<char>('a' + i)) + ".txt";
    const json alone = ppl("--text " + (folder.path() / name).string() + " --max-tokens 300");
    EXPECT_FALSE(alone["compressed"].contains("per_text"));
    for (const char* key : {"mean_nll", "delta_nll", "kl_full"}) {
      EXPECT_NEAR(all["compressed"]["per_text"][i][key].get<double>(), alone["compressed"][key].get<double>(), 2e-6)
          << name << " " << key;
    }
  }
  EXPECT_EQ(ppl("--text '" + pattern + "' --max-samples 2 --max-tokens 64")["baseline"]["per_text"].size(), 2u);
}

TEST(Texts, TablesAndFilesByText) {
  const TemporaryFolder folder;
  write_books(folder);
  const Ended ended = run_program("evaluate -m demo --quiet --text '" + (folder.path() / "*.txt").string() +
                                  "' --max-tokens 128 --press_sequence no_press,knorm --output_dir " +
                                  (folder.path() / "runs").string());
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out,
              HasSubstr("over 3 texts, each counted once: mean [95 % interval], standard deviation over texts"));
  EXPECT_THAT(ended.out, HasSubstr("perplexity of each text"));
  EXPECT_THAT(ended.out, HasSubstr("a.txt"));
  int folders = 0;
  for (const auto& it : fs::directory_iterator(folder.path() / "runs")) {
    ++folders;
    EXPECT_EQ(it.path().filename().string().find('*'), std::string::npos);
    const json metrics = json::parse(content_of(it.path() / "metrics.json"));
    std::istringstream csv(content_of(it.path() / "per_text.csv"));
    std::vector<std::string> lines;
    for (std::string line; std::getline(csv, line);) lines.push_back(line);
    ASSERT_EQ(lines.size(), 8u);
    EXPECT_EQ(lines[0], "text,name,n_scored_tokens,perplexity,mean_nll,delta_nll,kl_full");
    EXPECT_THAT(lines[1], HasSubstr("a.txt,127," + metrics["per_text"][0]["perplexity"].dump()));
    EXPECT_THAT(lines[4], testing::StartsWith("mean,,," + metrics["mean_over_texts"]["perplexity"]["mean"].dump()));
    EXPECT_THAT(lines[7], testing::StartsWith("sd,,," + metrics["mean_over_texts"]["perplexity"]["sd"].dump()));
    EXPECT_TRUE(fs::exists(it.path() / "predictions.csv"));
  }
  EXPECT_EQ(folders, 2);
}

TEST(Texts, StandardInput) {
  const TemporaryFolder folder;
  write_books(folder);
  const std::string file = (folder.path() / "a.txt").string();
  const json piped = ppl("--text - --max-tokens 200 <" + file);
  EXPECT_EQ(piped["baseline"]["mean_nll"], ppl("--text " + file + " --max-tokens 200")["baseline"]["mean_nll"]);
  const Ended ended = run_program("ppl -m demo --text - </dev/null");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("standard input is empty"));
}

TEST(Texts, RowsTogetherAndApart) {
  const json joined = ppl("--text " + shipped_rows() + " --max-samples 10 --max-tokens 100");
  EXPECT_FALSE(joined["baseline"].contains("per_text"));
  const json apart = ppl("--rows apart --text " + shipped_rows() + " --max-samples 10 --max-tokens 100");
  EXPECT_GE(apart["baseline"]["per_text"].size(), 2u);  // empty rows are no texts
  EXPECT_EQ(apart["baseline"]["per_text"][0]["name"], "row 1");
}

TEST(Texts, TheHubsRowsAreTheRowsThatShip) {
  FakeRows service;
  service.texts = load_texts({"wikitext"}).texts;
  const json here = ppl("--dataset wikitext --max-samples 30 --max-tokens 500");
  const json there = ppl("--dataset hf:Some/texts --config default --split test --max-samples 30 --max-tokens 500");
  EXPECT_EQ(there["dataset"], "hf:Some/texts/default/test");
  EXPECT_EQ(there["baseline"]["mean_nll"], here["baseline"]["mean_nll"]);
  EXPECT_EQ(there["n_tokens"], here["n_tokens"]);
}

TEST(Texts, OnlyAsManyRowsAreFetchedAsTheTokensTake) {
  FakeRows service;
  std::string row;
  for (int i = 0; i < 200; ++i) row += "word ";
  service.texts.assign(5000, row);
  EXPECT_EQ(ppl("--dataset hf:Some/texts --max-tokens 1000")["n_tokens"], 1000);
  EXPECT_EQ(service.server().count("GET", "/rows"), 1u);
  // Books stand alone: as many as are asked for, and no more.
  service.server().forget_requests();
  const json books = ppl("--dataset hf:Some/pg19 --max-samples 3 --max-tokens 64");
  EXPECT_EQ(books["baseline"]["per_text"].size(), 3u);
  EXPECT_EQ(books["baseline"]["per_text"][2]["name"], "row 2");
  EXPECT_THAT(service.server().requests().back().query, HasSubstr("offset=0&length=3"));
}

TEST(Texts, WhatCannotBeMeant) {
  const FakeRows service;
  const TemporaryFolder folder;
  write_books(folder);
  folder.file("d.jsonl", "{\"body\": \"b\", \"title\": \"t\"}\n");
  const std::string here = folder.path().string() + "/";
  const auto expect = [](const std::string& arguments, int code, const std::string& names) {
    const Ended ended = run_program(arguments);
    EXPECT_EQ(ended.code, code) << arguments << "\n" << ended.err;
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << arguments << "\n" << ended.err;
    EXPECT_THAT(ended.err, HasSubstr(names)) << arguments;
  };
  expect("ppl -m demo --text a.txt --dataset wikitext", 2, "excludes --text");
  expect("evaluate -m demo --text a.txt --dataset wikitext_ppl", 2, "excludes --text");
  expect("ppl -m demo --text '" + here + "*.epub'", 2, "no file matches this pattern");
  expect("ppl -m demo --text '" + here + "[ad].*'", 2, "matches .txt and .jsonl files");
  expect("ppl -m demo --text " + here, 2, "is a folder; give its files by a pattern");
  expect("ppl -m demo --text wikitext", 1, "wikitext: no such file");
  expect("ppl -m demo --rows sideways", 2, "--rows: 'sideways' is not known; known: auto, joined, apart");
  expect("ppl -m demo --text " + here + "d.jsonl", 1, "choose one with --text-column: body, title");
  expect("ppl -m demo --dataset hf:", 2, "is not a data set id");
  expect("ppl -m demo --dataset hf:Some/many --config c", 2, "--config: a, b");
  expect("ppl -m demo --dataset hf:Some/texts --text-column body", 2, "--text-column: text, title, year");
  expect("ppl -m demo --dataset hf:Some/texts --max-samples 300", 2, "has only 250 rows, not 300");
}

}  // namespace
}  // namespace kvpress
