// Contexts as files of a folder: there again after a restart, or when the process was killed.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "kvpress/engine/context_file.h"
#include "kvpress/model/model.h"
#include "serve/contexts.h"
#include "serve/memory_budget.h"

namespace kvpress::serve {

class ContextFolder {
 public:
  /// Makes the folder where it is missing, and tries to write there. `prepare` prepares a press that acts on what
  /// follows a context. Throws Error with the path.
  ContextFolder(std::filesystem::path folder, ContextOrigin origin, std::function<void(const NamedPress&)> prepare);

  /// Reads all contexts, <id>.kv, into `contexts`. Those that are damaged, of another model, or too large for the
  /// budget are left out, with a warning each.
  void load(const Model& model, MemoryBudget& budget, Contexts& contexts) const;
  /// Writes the context, whole or not at all. Throws Error with the path.
  void save(const Context& context) const;
  /// Removes the file of a context. Throws Error with the path if it stays.
  void remove(const std::string& id) const;

 private:
  std::shared_ptr<const Context> read(const std::filesystem::path& path, const Model& model,
                                      MemoryBudget& budget) const;
  std::filesystem::path path_of(const std::string& id) const { return folder_ / (id + ".kv"); }

  std::filesystem::path folder_;
  ContextOrigin origin_;
  std::function<void(const NamedPress&)> prepare_;
};

}  // namespace kvpress::serve
