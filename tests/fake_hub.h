// A hub for tests: repositories in memory, served as the real one serves them, and in all the ways in which it can
// fail.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "http_server.h"
#include "hub/digest.h"
#include "hub_environment.h"

namespace kvpress::test {

inline std::string sha256(const std::string& content) {
  Digest digest(Digest::Kind::sha256, 0);
  digest.update(content);
  return digest.hex();
}
inline std::string git_sha1(const std::string& content) {
  Digest digest(Digest::Kind::git_sha1, static_cast<std::int64_t>(content.size()));
  digest.update(content);
  return digest.hex();
}

/// Large files come from "another host", localhost in place of 127.0.0.1, by a redirect. Points HF_ENDPOINT and the
/// caches at itself and a folder of its own as long as it lives.
class FakeHub {
 public:
  struct File {
    std::string content;
    bool large = false;
  };
  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

  FakeHub() : server_([this](const Request& request) { return reply(request); }) {
    environment_.set("HF_ENDPOINT", server_.url());
    environment_.set("HF_DATASETS_SERVER", server_.url());
  }

  HttpServer& server() { return server_; }
  std::filesystem::path home() const { return environment_.home(); }
  std::filesystem::path repository() const { return environment_.home() / "hub" / "models--Some--model"; }
  std::filesystem::path blob(const std::string& name) const {
    const File& file = files.at(name);
    return repository() / "blobs" / (file.large ? sha256(file.content) : git_sha1(file.content));
  }

  std::map<std::string, File> files;  ///< of Some/model
  std::set<std::string> revisions{"main", kCommit};
  std::string token;  ///< when not empty, nothing is told without it
  /// Given in place of the next answers to requests whose path holds the first part.
  std::deque<std::pair<std::string, Reply>> next;
  /// Changes the next GETs of large files: cut, stalled.
  std::deque<Reply> next_large;
  std::string content_sent;              ///< in place of the right content of large files, when not empty
  std::optional<std::size_t> size_told;  ///< in place of the right size
  bool ranges = true;

 private:
  static Reply error(int status, const std::string& code) { return {status, {{"X-Error-Code", code}}, "{}", {}, {}}; }

  Reply reply(const Request& request) {
    for (auto it = next.begin(); it != next.end(); ++it) {
      if (request.path.find(it->first) == std::string::npos) continue;
      const Reply told = it->second;
      next.erase(it);
      return told;
    }
    if (request.path.starts_with("/elsewhere/")) return large(request);
    if (!token.empty() && request.header("authorization") != "Bearer " + token) return error(401, "RepoNotFound");
    const std::string api = "/api/models/Some/model/revision/";
    if (request.path.starts_with(api)) {
      if (!revisions.contains(request.path.substr(api.size()))) return error(404, "RevisionNotFound");
      std::string siblings;
      for (const auto& [name, file] : files)
        siblings += (siblings.empty() ? "" : ",") + ("{\"rfilename\":\"" + name + "\"}");
      return {200, {}, std::string("{\"sha\":\"") + kCommit + "\",\"siblings\":[" + siblings + "]}", {}, {}};
    }
    const std::string resolve = std::string("/Some/model/resolve/") + kCommit + "/";
    if (!request.path.starts_with(resolve)) return error(404, "RepoNotFound");
    const auto found = files.find(request.path.substr(resolve.size()));
    if (found == files.end()) return error(404, "EntryNotFound");
    const auto& [name, file] = *found;
    const auto size = std::to_string(size_told.value_or(file.content.size()));
    if (file.large) {
      return {302,
              {{"Location", server_.url("localhost") + "/elsewhere/" + name},
               {"X-Repo-Commit", kCommit},
               {"X-Linked-Size", size},
               {"X-Linked-Etag", "\"" + sha256(file.content) + "\""},
               {"ETag", "\"something-else\""}},
              "",
              {},
              {}};
    }
    return {200, {{"X-Repo-Commit", kCommit}, {"ETag", "\"" + git_sha1(file.content) + "\""}}, file.content, {}, {}};
  }

  Reply large(const Request& request) {
    const std::string content =
        content_sent.empty() ? files.at(request.path.substr(std::string("/elsewhere/").size())).content : content_sent;
    Reply told{200, {}, content, {}, {}};
    const std::string range = request.header("range");
    if (ranges && range.starts_with("bytes=")) {
      const std::size_t first = std::stoul(range.substr(6));
      if (first >= content.size()) return {416, {}, "", {}, {}};
      told.status = 206;
      told.headers.emplace_back("Content-Range", "bytes " + std::to_string(first) + "-" +
                                                     std::to_string(content.size() - 1) + "/" +
                                                     std::to_string(content.size()));
      told.body = content.substr(first);
    }
    if (!next_large.empty()) {
      told.cut_after = next_large.front().cut_after;
      told.stall_after = next_large.front().stall_after;
      next_large.pop_front();
    }
    return told;
  }

  HubEnvironment environment_;
  HttpServer server_;  // last: its thread looks at all the others
};

}  // namespace kvpress::test
