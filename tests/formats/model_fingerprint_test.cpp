// Fingerprints: what a model computes, and what turns text into tokens, wherever the files are.
#include "formats/model_fingerprint.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "kvpress/formats/model_files.h"
#include "temporary_folder.h"
#include "test_data.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

void copy_demo(const fs::path& to) {
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    fs::copy_file(test::project_dir() / "models/kvpress-demo" / name, to / name);
  }
}

void change_byte(const fs::path& path, std::streamoff at) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(at);
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(at);
  file.put(byte);
}

TEST(Fingerprints, AreOfTheContentAlone) {
  const test::TemporaryFolder folder;
  copy_demo(folder.path());
  const ModelFiles here = open_model_files(folder.path().string());
  const ModelFiles there = open_model_files("demo");
  EXPECT_EQ(weights_fingerprint(here).size(), 16);
  EXPECT_EQ(weights_fingerprint(here), weights_fingerprint(there));
  EXPECT_EQ(tokenizer_fingerprint(here), tokenizer_fingerprint(there));
  EXPECT_EQ(model_fingerprint(here), model_fingerprint(open_model_files(folder.path().string())));
}

TEST(Fingerprints, NoticeWhatChanges) {
  const test::TemporaryFolder folder;
  copy_demo(folder.path());
  const auto now = [&] { return open_model_files(folder.path().string()); };
  const std::string weights = weights_fingerprint(now());
  const std::string tokenizer = tokenizer_fingerprint(now());
  // The last tensor's first bytes are in its first block.
  const ModelFiles files = now();
  const auto& tensors = files.tensors->tensors();
  const auto at =
      static_cast<std::streamoff>(fs::file_size(folder.path() / "model.safetensors") - tensors.back().data.size());
  change_byte(folder.path() / "model.safetensors", at + 1);
  EXPECT_NE(weights_fingerprint(now()), weights);
  EXPECT_EQ(tokenizer_fingerprint(now()), tokenizer);
  change_byte(folder.path() / "model.safetensors", at + 1);
  EXPECT_EQ(weights_fingerprint(now()), weights);
  std::ofstream(folder.path() / "config.json", std::ios::app) << " ";
  EXPECT_NE(weights_fingerprint(now()), weights) << "the configuration is part of it";
  std::ofstream(folder.path() / "tokenizer.json", std::ios::app) << " ";
  EXPECT_NE(tokenizer_fingerprint(now()), tokenizer);
}

}  // namespace
}  // namespace kvpress
