// Presses in a shared library of their own. A program loads it at run time, and its presses then have names like any
// other.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "kvpress/press/press_entry.h"

namespace kvpress {

/// What a plugin's headers say of the binary interface. Programs refuse a plugin that was built with other ones.
struct PluginInterface {
  std::uint32_t version = 1;  ///< counted up when a class that presses use changes and keeps its size
  std::uint32_t compiler = __GXX_ABI_VERSION;
  std::uint32_t sizes[6] = {sizeof(PressEntry),     sizeof(LayerView),   sizeof(ContextView),
                            sizeof(AttentionBlock), sizeof(ModelConfig), sizeof(KVHead)};

  bool operator==(const PluginInterface&) const = default;
};

struct Plugin {
  PluginInterface interface;
  std::span<const PressEntry* const> entries;
};

/// Loads a plugin and registers its presses, once in a process. Not thread safe: call it before presses are parsed.
/// Throws Error with `file` if it cannot be loaded, is not a plugin or was built for another version, and UsageError if
/// a name is taken.
void load_plugin(const std::filesystem::path& file);

}  // namespace kvpress

/// Ends the source of a plugin, outside of all namespaces: KVPRESS_PLUGIN(&my::kSomePress, &my::kOtherPress)
#define KVPRESS_PLUGIN(...)                                                                   \
  extern "C" __attribute__((visibility("default"))) const kvpress::Plugin* kvpress_plugin() { \
    static const kvpress::PressEntry* const entries[] = {__VA_ARGS__};                        \
    static const kvpress::Plugin plugin{kvpress::PluginInterface(), entries};                 \
    return &plugin;                                                                           \
  }
