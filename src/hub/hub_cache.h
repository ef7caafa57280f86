// The hub's local cache, laid out as huggingface_hub lays it out:
//   models--ORG--NAME/refs/REVISION             the commit that a branch or tag stood for when it was last asked
//   models--ORG--NAME/snapshots/COMMIT/FILE     a link to the blob
//   models--ORG--NAME/blobs/ETAG                the content: SHA-256 of large files, git's SHA-1 of the rest
//   .locks/models--ORG--NAME/ETAG.lock          who fetches that blob
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace kvpress {

/// What a user names: ORG/NAME, ORG/NAME@REVISION, or one file of it, ORG/NAME/FOLDERS/FILE.gguf (also with @REVISION).
struct HubName {
  std::string id;                 ///< ORG/NAME
  std::string revision = "main";  ///< a branch, a tag or a commit
  std::string file;               ///< empty: the model as a whole
  std::string text() const;       ///< as it is written
};

/// Nothing when the text can be no such name (a path, a word, characters that the hub has not). Only shape is looked
/// at.
std::optional<HubName> parse_hub_name(const std::string& text);

class HubRepository {
 public:
  HubRepository(std::filesystem::path cache, const std::string& id);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path blob(const std::string& etag) const { return folder_ / "blobs" / etag; }
  std::filesystem::path snapshot(const std::string& commit) const { return folder_ / "snapshots" / commit; }
  std::filesystem::path lock(const std::string& etag) const;

  /// The folder of what a revision stood for when it was last fetched; nothing when it was not.
  std::optional<std::filesystem::path> cached(const std::string& revision) const;

  /// Notes what a branch or tag stands for. Does nothing for the commit itself.
  void set_ref(const std::string& revision, const std::string& commit) const;
  /// Makes the blob appear in the snapshot, by a relative link; whole or not at all.
  void link(const std::string& commit, const std::string& file, const std::string& etag) const;

 private:
  std::filesystem::path cache_;
  std::filesystem::path folder_;
};

/// Makes a folder with those above it. Throws Error that names it.
void make_folders(const std::filesystem::path& path);

/// Whether a name from outside stays below the folder it is put in.
bool is_safe_relative(const std::string& file);

}  // namespace kvpress
