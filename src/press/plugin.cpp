#include "kvpress/press/plugin.h"

#include <dlfcn.h>

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/base/version.h"
#include "kvpress/press/registry.h"

namespace kvpress {

void load_plugin(const std::filesystem::path& file) {
  static std::vector<void*> loaded;  // never closed: the registry refers to what is in them
  // A name without a slash would be looked for where the system's libraries are.
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(file, error);
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = ::dlerror();  // NOLINT(concurrency-mt-unsafe)
    fail("{}: cannot be loaded: {}", file.string(), reason == nullptr ? "unknown reason" : reason);
  }
  if (std::find(loaded.begin(), loaded.end(), library) != loaded.end()) return;
  auto* find_plugin = reinterpret_cast<const Plugin* (*)()>(::dlsym(library, "kvpress_plugin"));
  if (find_plugin == nullptr) {
    fail("{}: is not a plugin: it does not end with KVPRESS_PLUGIN(...) (kvpress/press/plugin.h)", file.string());
  }
  const Plugin* plugin = find_plugin();
  if (plugin->interface != PluginInterface()) {
    fail("{}: was built with another compiler or other headers than kvpress {} ({}); build it anew", file.string(),
         version(), compiler());
  }
  for (const PressEntry* entry : plugin->entries) register_press(*entry);
  loaded.push_back(library);
}

}  // namespace kvpress
