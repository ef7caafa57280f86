// The contexts of a server, by their ids.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/job.h"

namespace kvpress::serve {

/// Thread-safe. A context that is removed lives on as long as a request goes on from it.
class Contexts {
 public:
  void add(std::shared_ptr<const Context> context);
  /// Null if there is none.
  std::shared_ptr<const Context> find(const std::string& id) const;
  /// False if there is none.
  bool remove(const std::string& id);
  /// In the order of their ids.
  std::vector<std::shared_ptr<const Context>> all() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Context>> contexts_;
};

}  // namespace kvpress::serve
