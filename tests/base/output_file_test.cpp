// Writing replaces regular files as a whole, and writes into everything else.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>
#include <thread>

#include "base/file.h"
#include "base/file_descriptor.h"
#include "kvpress/base/error.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using testing::HasSubstr;

template <typename Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::size_t n_files(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 07777;
}

TEST(WriteFile, ReplacesAndKeepsTheRights) {
  const TemporaryFolder folder;
  const fs::path path = folder.file("a", "old and longer");
  fs::permissions(path, fs::perms(0640));
  write_file(path, "new");
  EXPECT_EQ(read_file(path), "new");
  EXPECT_EQ(mode_of(path), 0640u);
  EXPECT_EQ(n_files(folder.path()), 1u);
}

TEST(WriteFile, NewFilesHaveTheRightsOfTheUmask) {
  const TemporaryFolder folder;
  const mode_t before = ::umask(027);
  write_file(folder.path() / "a", "new");
  fs::create_directory(folder.path() / "b");
  const fs::path made = make_temporary_folder(folder.path() / "b");
  ::umask(before);
  EXPECT_EQ(mode_of(folder.path() / "a"), 0640u);
  EXPECT_EQ(mode_of(made), 0750u);
}

TEST(WriteFile, FollowsLinks) {
  const TemporaryFolder folder;
  fs::create_directory(folder.path() / "there");
  const fs::path target = folder.file("there/real", "old");
  fs::create_symlink("there/real", folder.path() / "link");
  fs::create_symlink("link", folder.path() / "link to link");
  fs::create_symlink("there/none yet", folder.path() / "dangling");
  check_can_write(folder.path() / "link to link");
  write_file(folder.path() / "link to link", "new");
  EXPECT_EQ(read_file(target), "new");
  EXPECT_TRUE(fs::is_symlink(folder.path() / "link"));
  EXPECT_TRUE(fs::is_symlink(folder.path() / "link to link"));
  write_file(folder.path() / "dangling", "made");
  EXPECT_TRUE(fs::is_symlink(folder.path() / "dangling"));
  EXPECT_EQ(read_file(folder.path() / "there/none yet"), "made");
  fs::create_symlink("ring", folder.path() / "ring");
  EXPECT_THAT(error_of([&] { check_can_write(folder.path() / "ring"); }), HasSubstr("the link leads nowhere"));
  EXPECT_THAT(error_of([&] { write_file(folder.path() / "ring", ""); }), HasSubstr("the link leads nowhere"));
}

TEST(WriteFile, WritesIntoPipes) {
  const TemporaryFolder folder;
  const fs::path pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  check_can_write(pipe);  // which must not wait for a reader
  const std::string content(300000, 'x');
  std::string read;
  std::thread reader([&] {
    const FileDescriptor file(::open(pipe.c_str(), O_RDONLY));
    std::array<char, 4096> part{};
    for (ssize_t n = 0; (n = ::read(file.fd(), part.data(), part.size())) > 0;) read.append(part.data(), n);
  });
  write_file(pipe, content);
  reader.join();
  EXPECT_EQ(read, content);
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_EQ(n_files(folder.path()), 1u);
}

TEST(WriteFile, WritesIntoDevices) {
  check_can_write("/dev/null");
  write_file("/dev/null", "gone");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST(WriteFile, WritesWhereADescriptorStands) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "redirected";
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT, 0600));
  ASSERT_EQ(::write(file.fd(), "before ", 7), 7);
  const fs::path link = folder.path() / "stdout";
  fs::create_symlink(fmt::format("/proc/self/fd/{}", file.fd()), link);
  check_can_write(link);
  write_file(link, "after");
  EXPECT_EQ(read_file(path), "before after");
  EXPECT_TRUE(fs::is_symlink(link));

  const FileDescriptor reading(::open(path.c_str(), O_RDONLY));
  EXPECT_THAT(error_of([&] { check_can_write(fmt::format("/dev/fd/{}", reading.fd())); }),
              HasSubstr("not open for writing"));
}

TEST(WriteFile, DoesNotOpenWhatAnotherPutThere) {
  // Names of temporary files cannot be guessed: two at the same time have nothing in common.
  const TemporaryFolder folder;
  EXPECT_NE(make_temporary_folder(folder.path()), make_temporary_folder(folder.path()));
}

TEST(CheckCanWrite, MakesFoldersAndLeavesNoFile) {
  const TemporaryFolder folder;
  check_can_write(folder.path() / "a/b/c.json");
  EXPECT_TRUE(fs::is_directory(folder.path() / "a/b"));
  EXPECT_TRUE(fs::is_empty(folder.path() / "a/b"));
}

TEST(CheckCanWrite, NamesThePathAndTheReason) {
  const TemporaryFolder folder;
  folder.file("file", "x");
  EXPECT_THAT(error_of([&] { check_can_write(folder.path()); }), HasSubstr(": cannot write: it is a folder"));
  EXPECT_THAT(error_of([&] { check_can_write(folder.path() / "file/x"); }), HasSubstr("Not a directory"));
  EXPECT_THAT(error_of([&] { check_can_write(folder.path() / std::string(300, 'n')); }),
              HasSubstr("File name too long"));
  check_can_write(folder.path() / std::string(255, 'n'));
  EXPECT_THAT(error_of([&] { check_can_write("/proc/x/y"); }), HasSubstr("/proc/x/y: cannot write: folder /proc/x"));
  EXPECT_THAT(error_of([&] { make_output_folder(folder.path() / "file"); }), HasSubstr("/file"));
  EXPECT_THAT(error_of([&] { make_output_folder("/proc"); }), HasSubstr("/proc: cannot write"));
}

TEST(CheckCanWrite, LeavesWhatMayNotBeWrittenTo) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write to every file";
  const TemporaryFolder folder;
  const fs::path path = folder.file("a", "old");
  fs::permissions(path, fs::perms(0444));
  EXPECT_THAT(error_of([&] { check_can_write(path); }), HasSubstr("Permission denied"));
  EXPECT_THAT(error_of([&] { write_file(path, "new"); }), HasSubstr("Permission denied"));
  EXPECT_EQ(read_file(path), "old");
}

TEST(MappedFileDeathTest, ATruncatedFileIsNamed) {
  const TemporaryFolder folder;
  const fs::path path = folder.file("model.bin", std::string(100000, 'x'));
  const auto read_what_is_gone = [&] {
    install_truncation_handler();
    const MappedFile file(path);
    fs::resize_file(path, 10);
    volatile std::byte last = file.bytes().back();
    static_cast<void>(last);
  };
  EXPECT_EXIT(read_what_is_gone(), testing::ExitedWithCode(1), "model.bin: was truncated while it was read");
}

TEST(WriteFile, PutsPiecesTogether) {
  const TemporaryFolder folder;
  const std::string_view pieces[] = {"one ", "", "two"};
  write_file(folder.path() / "a", pieces);
  EXPECT_EQ(read_file(folder.path() / "a"), "one two");
}

TEST(FileReader, ReadsPartsAndNoticesATruncation) {
  const TemporaryFolder folder;
  const fs::path path = folder.file("a", "0123456789");
  const FileReader file(path);
  EXPECT_EQ(file.size(), 10u);
  std::string part(4, ' ');
  file.read(3, std::as_writable_bytes(std::span(part)));
  EXPECT_EQ(part, "3456");
  fs::resize_file(path, 5);
  EXPECT_THAT(error_of([&] { file.read(3, std::as_writable_bytes(std::span(part))); }), HasSubstr("ends at byte 5"));
  EXPECT_THAT(error_of([&] { FileReader{folder.path()}; }), HasSubstr("is not a regular file"));
  EXPECT_THAT(error_of([&] { FileReader{folder.path() / "none"}; }), HasSubstr("cannot open"));
}

}  // namespace
}  // namespace kvpress
