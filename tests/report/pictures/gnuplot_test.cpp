#include "report/pictures/gnuplot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "hub_environment.h"
#include "kvpress/base/error.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using test::ScopedVariable;
using test::TemporaryFolder;
using testing::HasSubstr;

std::string error_of(const std::string& script, const fs::path& path) {
  try {
    write_picture(script, {}, path);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Gnuplot, DrawsBothKinds) {
  const TemporaryFolder folder;
  write_picture("plot x", {320, 200}, folder.path() / "a.png");
  EXPECT_EQ(read_file(folder.path() / "a.png").substr(1, 3), "PNG");
  write_picture("plot x title " + gnuplot_text("it's `date` \"$x\""), {320, 200}, folder.path() / "a.svg");
  EXPECT_THAT(read_file(folder.path() / "a.svg"), HasSubstr("it's `date` \"$x\""));
}

TEST(Gnuplot, WhatItComplainsOfIsTold) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "a.png";
  EXPECT_THAT(error_of("plot nosuchfunction(x)", path), HasSubstr("a.png: gnuplot failed: "));
  EXPECT_FALSE(fs::exists(path));
  // It ends well but has drawn nothing.
  EXPECT_THAT(error_of("x = 1", path), HasSubstr("gnuplot wrote an incomplete picture"));
  EXPECT_FALSE(fs::exists(path));
}

TEST(Gnuplot, OtherEndingsAreRefused) {
  EXPECT_THAT(error_of("plot x", "a.pdf"), HasSubstr("a.pdf: unknown picture format; use .png or .svg"));
}

TEST(Gnuplot, IsNamedWhenItIsMissing) {
  const TemporaryFolder folder;
  const ScopedVariable path("PATH", folder.path().string());
  EXPECT_THAT(error_of("plot x", folder.path() / "a.png"), HasSubstr("apt-get install gnuplot-nox"));
  // One that only crashes.
  write_file(folder.path() / "gnuplot", "#!/bin/sh\nkill -9 $$\n");
  fs::permissions(folder.path() / "gnuplot", fs::perms::owner_all);
  EXPECT_THAT(error_of("plot x", folder.path() / "a.png"), HasSubstr("gnuplot failed: no error message"));
}

}  // namespace
}  // namespace kvpress
