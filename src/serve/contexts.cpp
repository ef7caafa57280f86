#include "serve/contexts.h"

#include <utility>

namespace kvpress::serve {

void Contexts::add(std::shared_ptr<const Context> context) {
  const std::scoped_lock lock(mutex_);
  contexts_[context->id] = std::move(context);
}

std::shared_ptr<const Context> Contexts::find(const std::string& id) const {
  const std::scoped_lock lock(mutex_);
  const auto found = contexts_.find(id);
  return found == contexts_.end() ? nullptr : found->second;
}

bool Contexts::remove(const std::string& id) {
  std::shared_ptr<const Context> removed;  // freed without the lock
  const std::scoped_lock lock(mutex_);
  const auto found = contexts_.find(id);
  if (found == contexts_.end()) return false;
  removed = std::move(found->second);
  contexts_.erase(found);
  return true;
}

std::vector<std::shared_ptr<const Context>> Contexts::all() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::shared_ptr<const Context>> all;
  for (const auto& [id, context] : contexts_) all.push_back(context);
  return all;
}

}  // namespace kvpress::serve
