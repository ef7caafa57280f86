#include "formats/lfs_pointer.h"

#include "kvpress/base/error.h"

namespace kvpress {

void refuse_lfs_pointer(std::string_view content, const std::string& path) {
  constexpr std::size_t kMaxBytes = 1024;  // the format's own limit
  if (content.size() >= kMaxBytes || !content.starts_with("version https://git-lfs.github.com/spec/")) return;
  if (content.find("\noid ") == content.npos) return;
  fail("{}: is a Git LFS pointer, not the file itself; run: git lfs pull", path);
}

}  // namespace kvpress
