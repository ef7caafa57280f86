#include "hub/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/file_lock.h"
#include "hub/digest.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHexadecimal = "0123456789abcdef";

/// The hub's names of blobs are hashes; of which kind, their length tells.
std::optional<Digest::Kind> kind_of(const std::string& etag) {
  if (etag.find_first_not_of(kHexadecimal) != std::string::npos) return std::nullopt;
  if (etag.size() == 64) return Digest::Kind::sha256;
  if (etag.size() == 40) return Digest::Kind::git_sha1;
  return std::nullopt;
}

/// W/"abc" and "abc" are abc.
std::string plain_etag(std::string etag) {
  if (etag.starts_with("W/")) etag = etag.substr(2);
  std::erase(etag, '"');
  return etag;
}

/// The file that a download grows in, with the hash of what it holds.
class GrowingFile : public BodySink {
 public:
  GrowingFile(fs::path path, const std::string& etag, std::int64_t expected, const std::string& label)
      : path_(std::move(path)), etag_(etag), expected_(expected), progress_label_(label) {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd_ < 0) fail("{}: cannot be created: {}", path_.string(), errno_text());
    try {
      struct stat status {};
      if (::fstat(fd_, &status) != 0) fail("{}: cannot read its size: {}", path_.string(), errno_text());
      keep(status.st_size > expected_ ? 0 : status.st_size);
    } catch (...) {
      ::close(fd_);
      throw;
    }
    // Plain lines instead of a bar would only clutter logs.
    if (::isatty(STDERR_FILENO) != 0) progress_.emplace(progress_label_, expected_);
    if (progress_) progress_->advance(size_);
  }
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;
  ~GrowingFile() override { ::close(fd_); }

  std::int64_t size() const { return size_; }

  void begin(std::int64_t offset) override {
    if (offset == size_) return;
    if (offset > size_) fail("{}: the response begins at byte {} instead of {}", path_.string(), offset, size_);
    if (progress_) progress_->advance(offset - size_);
    keep(offset);
  }

  void take(std::string_view piece) override {
    if (size_ + static_cast<std::int64_t>(piece.size()) > expected_) {
      keep(0);
      fail("{}: received more than the {} bytes that the hub reports", path_.string(), expected_);
    }
    if (digest_) digest_->update(piece);
    size_ += static_cast<std::int64_t>(piece.size());
    if (progress_) progress_->advance(static_cast<std::int64_t>(piece.size()));
    while (!piece.empty()) {
      const ssize_t written = ::write(fd_, piece.data(), piece.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("{}: cannot write: {}", path_.string(), errno_text());
      piece.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  /// Whether the content is what its name says; ends the digest.
  bool is_right() { return !digest_ || digest_->hex() == etag_; }

  /// Cuts the file off there and hashes what is left.
  void keep(std::int64_t size) {
    if (::ftruncate(fd_, size) != 0 || ::lseek(fd_, 0, SEEK_SET) != 0) {
      fail("{}: cannot be truncated: {}", path_.string(), errno_text());
    }
    digest_.reset();
    if (const auto kind = kind_of(etag_)) digest_.emplace(*kind, expected_);
    std::vector<char> buffer(1 << 20);
    for (size_ = 0; size_ < size;) {
      check_interrupt();
      const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail("{}: cannot be read: {}", path_.string(), errno_text());
      if (digest_) digest_->update({buffer.data(), static_cast<std::size_t>(n)});
      size_ += n;
    }
  }

  void put_in_place(const fs::path& target) {
    progress_.reset();
    if (::fsync(fd_) != 0) fail("{}: cannot write to disk: {}", path_.string(), errno_text());
    if (::rename(path_.c_str(), target.c_str()) != 0) {
      fail("{}: cannot rename into place: {}", target.string(), errno_text());
    }
  }

 private:
  fs::path path_;
  std::string etag_;
  std::int64_t expected_;
  std::string progress_label_;
  int fd_ = -1;
  std::int64_t size_ = 0;
  std::optional<Digest> digest_;
  std::optional<Progress> progress_;
};

/// Waits until no other process, huggingface_hub's included, fetches the same blob; tells once what for.
FileLock take_lock(const fs::path& path, const std::string& what) {
  make_folders(path.parent_path());
  for (bool told = false;; told = true) {
    check_interrupt();
    if (std::optional<FileLock> lock = FileLock::try_take(path, FileLock::Mode::alone)) return std::move(*lock);
    if (!told) log_info(fmt::format("waiting for another process that downloads {}", what));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

void check_space(const fs::path& folder, std::int64_t needed, const std::string& what) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error || needed <= 0 || static_cast<std::uintmax_t>(needed) <= space.available) return;
  fail("{}: needs {} in {}, but {} are free; free some space, or set HF_HUB_CACHE to another folder", what,
       format_bytes(static_cast<double>(needed)), folder.string(), format_bytes(static_cast<double>(space.available)));
}

}  // namespace

/// A file as the hub describes it.
struct HubDownloader::Remote {
  std::string url;
  std::string file;
  std::string etag;
  std::int64_t size = 0;
};

HubDownloader::HubDownloader(const HubSettings& settings, HttpClient& http, const HubName& name)
    : settings_(settings), http_(http), name_(name), repository_(settings.cache, name.id) {}

void HubDownloader::complain(const HttpResponse& response, const std::string& file) const {
  const std::string& id = name_.id;
  const std::string hub = settings_.endpoint;
  const std::string code = response.header("x-error-code");
  if (code == "GatedRepo") {
    fail("{}: is a gated model: accept its terms at {}/{}, then set HF_TOKEN to your token", id, hub, id);
  }
  if (code == "RevisionNotFound") fail("{}: {} has no revision '{}' of this model", id, hub, name_.revision);
  if (code == "EntryNotFound" || (response.status == 404 && !file.empty())) {
    fail("{}: {} has no file '{}' in revision '{}'", id, hub, file, name_.revision);
  }
  if (response.status == 401 && settings_.token.empty()) {
    fail("{}: {} has no public model with this id; check the id, or set HF_TOKEN if the model is private", id, hub);
  }
  if (response.status == 401) {
    fail("{}: {} refuses the token; check the id and HF_TOKEN (or the token file)", id, hub);
  }
  if (response.status == 403) {
    fail("{}: {} refuses access; set HF_TOKEN to a token with access to this model", id, hub);
  }
  if (response.status == 404) fail("{}: {} has no model with this id; check the id", id, hub);
  fail("{}: {} returned HTTP status {}", id, hub, response.status);
}

std::string HubDownloader::ask(const std::string& path) const {
  HttpResponse response = http_.get({.url = settings_.endpoint + path, .token = settings_.token});
  if (!response.ok()) complain(response, "");
  return std::move(response.body);
}

HubDownloader::Remote HubDownloader::look_up(const std::string& commit, const std::string& file) const {
  Remote remote;
  remote.file = file;
  remote.url =
      fmt::format("{}/{}/resolve/{}/{}", settings_.endpoint, name_.id, url_quoted(commit), url_quoted(file, true));
  // Where a large file is kept elsewhere, the redirect to it says what it is.
  const HttpResponse response =
      http_.get({.url = remote.url, .token = settings_.token, .head = true, .leaves_host = false});
  if (response.status >= 400) complain(response, file);
  std::string etag = response.header("x-linked-etag");
  if (etag.empty()) etag = response.header("etag");
  remote.etag = plain_etag(etag);
  const bool usable = !remote.etag.empty() && std::all_of(remote.etag.begin(), remote.etag.end(), [](unsigned char it) {
    return std::isalnum(it) != 0 || it == '-' || it == '_';
  });
  std::string size = response.header("x-linked-size");
  if (size.empty() && response.ok()) size = response.header("content-length");
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), remote.size);
  if (!usable || error != std::errc() || remote.size < 0) {
    fail("{}: {} does not report the hash and size of '{}'; check HF_ENDPOINT", name_.id, settings_.endpoint, file);
  }
  if (!kind_of(remote.etag)) {
    log_warning(
        fmt::format("{}: {} gives no hash of '{}'; only its size can be checked", name_.id, settings_.endpoint, file));
  }
  return remote;
}

void HubDownloader::fetch_blob(const Remote& remote) const {
  const fs::path blob = repository_.blob(remote.etag);
  const std::string what = fmt::format("{}/{}", name_.id, remote.file);
  make_folders(blob.parent_path());
  const FileLock lock = take_lock(repository_.lock(remote.etag), what);
  std::error_code error;
  if (fs::exists(blob, error)) return;  // another process was here first

  const fs::path incomplete = blob.string() + ".incomplete";
  GrowingFile file(incomplete, remote.etag, remote.size,
                   fmt::format("{} ({})", remote.file, format_bytes(static_cast<double>(remote.size))));
  bool resumed = file.size() > 0;
  check_space(blob.parent_path(), remote.size - file.size(), what);
  for (;;) {
    if (file.size() < remote.size) {
      const HttpResponse response =
          http_.get({.url = remote.url, .token = settings_.token, .first_byte = file.size()}, file);
      // What is there already may be longer than what the server has now.
      if (!response.ok() && response.status != 416) complain(response, remote.file);
    }
    const bool whole = file.size() == remote.size;
    if (whole && file.is_right()) break;
    if (!resumed) {
      if (whole) fs::remove(incomplete, error);
      fail("{}: {}; try again", what,
           whole ? fmt::format("the downloaded file does not have the hash {} that the hub reports", remote.etag)
                 : fmt::format("received {} bytes instead of {}", file.size(), remote.size));
    }
    // The beginning may be of another time: once from the start.
    resumed = false;
    file.keep(0);
  }
  file.put_in_place(blob);
  log_info(fmt::format("downloaded {} ({})", what, format_bytes(static_cast<double>(remote.size))));
}

fs::path HubDownloader::fetch(const std::string& commit, const std::string& file) const {
  if (!is_safe_relative(file)) fail_usage("{}: '{}' is not a file name", name_.id, file);
  const fs::path target = repository_.snapshot(commit) / file;
  std::error_code error;
  if (fs::exists(target, error)) return target;
  const Remote remote = look_up(commit, file);
  fetch_blob(remote);
  repository_.link(commit, file, remote.etag);
  return target;
}

}  // namespace kvpress
