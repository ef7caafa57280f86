// Pointers of Git LFS: what a clone has in place of large files that were not fetched.
#pragma once

#include <string>
#include <string_view>

namespace kvpress {

/// Throws Error with `path` if `content` is such a pointer.
void refuse_lfs_pointer(std::string_view content, const std::string& path);

}  // namespace kvpress
