#include "tokenizer/byte_trie.h"

#include <algorithm>
#include <limits>

#include "kvpress/base/error.h"

namespace kvpress {

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, std::int32_t>> entries) {
  std::erase_if(entries, [](const auto& it) { return it.first.empty(); });
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  struct Range {
    std::uint32_t node;
    std::size_t begin, end, depth;  ///< of the entries that begin with the node's bytes, which are `depth` many
  };
  nodes_.emplace_back();
  std::vector<Range> open = {{0, 0, entries.size(), 0}};
  for (std::size_t done = 0; done < open.size(); ++done) {
    const Range range = open[done];
    std::size_t at = range.begin;
    for (; at < range.end && entries[at].first.size() == range.depth; ++at) {
      nodes_[range.node].value = entries[at].second;
    }
    nodes_[range.node].first_child = static_cast<std::uint32_t>(nodes_.size());
    while (at < range.end) {
      const std::size_t begin = at;
      const char byte = entries[at].first[range.depth];
      while (at < range.end && entries[at].first[range.depth] == byte) ++at;
      if (nodes_.size() == std::numeric_limits<std::uint32_t>::max())
        fail("a vocabulary of this size is not supported");
      const auto node = static_cast<std::uint32_t>(nodes_.size());
      nodes_.emplace_back().byte = static_cast<unsigned char>(byte);
      ++nodes_[range.node].n_children;
      if (range.node == 0) roots_[static_cast<unsigned char>(byte)] = node;
      open.push_back({node, begin, at, range.depth + 1});
    }
  }
}

std::uint32_t ByteTrie::child(std::uint32_t node, unsigned char byte) const {
  const Node* begin = nodes_.data() + nodes_[node].first_child;
  const Node* end = begin + nodes_[node].n_children;
  const Node* found =
      std::lower_bound(begin, end, byte, [](const Node& it, unsigned char wanted) { return it.byte < wanted; });
  return found != end && found->byte == byte ? static_cast<std::uint32_t>(found - nodes_.data()) : 0;
}

}  // namespace kvpress
