// The hub's local cache, in the layout of huggingface_hub:
//   models--ORG--NAME/refs/REVISION             the commit of a branch or tag when it was last requested
//   models--ORG--NAME/snapshots/COMMIT/FILE     a link to the blob
//   models--ORG--NAME/blobs/ETAG                the content; ETAG is SHA-256 for large files, else git's SHA-1
//   models--ORG--NAME/.no_exist/COMMIT/FILE     empty: the commit has no such file
//   .locks/models--ORG--NAME/ETAG.lock          held by the process that downloads the blob
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace kvpress {

/// A model name: ORG/NAME, ORG/NAME@REVISION, or one file, ORG/NAME/FOLDERS/FILE.gguf (also with @REVISION).
struct HubName {
  std::string id;                 ///< ORG/NAME
  std::string revision = "main";  ///< a branch, a tag or a commit
  std::string file;               ///< empty: the whole model
  std::string text() const;       ///< as the user writes it
};

/// Empty if the text cannot be a model name (a path, a single word, characters that the hub does not allow). Checks
/// only the form.
std::optional<HubName> parse_hub_name(const std::string& text);

/// The folders of one repository in the cache.
class HubRepository {
 public:
  HubRepository(std::filesystem::path cache, const std::string& id);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path blob(const std::string& etag) const { return folder_ / "blobs" / etag; }
  std::filesystem::path snapshot(const std::string& commit) const { return folder_ / "snapshots" / commit; }
  std::filesystem::path lock(const std::string& etag) const;

  /// The snapshot folder of a revision when it was last downloaded; empty if it never was.
  std::optional<std::filesystem::path> cached(const std::string& revision) const;

  /// Records the commit of a branch or tag. Does nothing if `revision` is the commit.
  void set_ref(const std::string& revision, const std::string& commit) const;
  /// Whether the commit is known to have no such file; and to remember that it has not.
  bool known_absent(const std::string& commit, const std::string& file) const;
  void set_absent(const std::string& commit, const std::string& file) const;
  /// Adds the blob to the snapshot as a relative link, atomically.
  void link(const std::string& commit, const std::string& file, const std::string& etag) const;

 private:
  std::filesystem::path cache_;
  std::filesystem::path folder_;
};

/// Creates a folder and its parents. Throws Error with the path.
void make_folders(const std::filesystem::path& path);

/// Whether a file name from the hub stays below the folder that it is joined to.
bool is_safe_relative(const std::string& file);

}  // namespace kvpress
