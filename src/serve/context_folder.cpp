#include "serve/context_folder.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "base/counted.h"
#include "base/file.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "serve/fields.h"
#include "serve/requests.h"

namespace kvpress::serve {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMessages = "messages";
constexpr const char* kCreated = "created";

/// What a context holds beside its cache.
constexpr std::size_t kBesideCache = std::size_t{1} << 20;

/// Names that a path of a call can have.
bool is_id(const std::string& name) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; };
  return !name.empty() && name.front() != '.' && name.size() <= 200 && std::all_of(name.begin(), name.end(), plain);
}

Json messages_json(const std::vector<ChatMessage>& messages) {
  Json list = Json::array();
  for (const ChatMessage& it : messages) {
    Json message = it.others.empty() ? Json::object() : Json::parse(it.others);
    message["role"] = it.role;
    message["content"] = it.content;
    list.push_back(std::move(message));
  }
  return list;
}

std::string note(const ContextOrigin& origin, const std::string& key) {
  const auto found = origin.notes.find(key);
  return found == origin.notes.end() ? "" : found->second;
}

}  // namespace

ContextFolder::ContextFolder(fs::path folder, ContextOrigin origin, std::function<void(const NamedPress&)> prepare)
    : folder_(std::move(folder)), origin_(std::move(origin)), prepare_(std::move(prepare)) {
  make_output_folder(folder_);
}

void ContextFolder::save(const Context& context) const {
  ContextOrigin origin = origin_;
  origin.notes[kCreated] = fmt::format("{}", context.created);
  if (!context.messages.empty()) origin.notes[kMessages] = dump(messages_json(context.messages));
  save_context(context.sequence, path_of(context.id), origin);
}

void ContextFolder::remove(const std::string& id) const {
  std::error_code error;
  fs::remove(path_of(id), error);
  if (error) fail("{}: cannot be removed: {}", path_of(id).string(), error.message());
}

std::shared_ptr<const Context> ContextFolder::read(const fs::path& path, const Model& model,
                                                   MemoryBudget& budget) const {
  const std::string id = path.stem().string();
  if (!is_id(id)) fail("{}: its name must have only letters, digits, '-', '_' and '.'", path.string());
  const ContextFile file(path);
  file.check_origin(origin_);
  file.check_model(model);
  const ContextInfo& info = file.info();
  if (file.has_press()) prepare_(info.settings.press);
  std::optional<MemoryBudget::Share> share =
      budget.take(KVCache::most_bytes(info.shape, static_cast<std::int64_t>(std::ceil(info.mean_entries)) + 1) +
                  kBesideCache + static_cast<std::size_t>(info.n_tokens) * sizeof(std::int32_t));
  if (!share) {
    fail("{}: holds {}, but {} are free; give more {}", path.string(),
         format_bytes(static_cast<double>(info.cache_bytes)), format_bytes(static_cast<double>(budget.free())),
         setting("memory"));
  }
  Context context{id, file.restore(model, file.read()), std::move(*share)};
  if (!context.sequence.decodes()) context.sequence.begin_decoding();
  if (const std::string messages = note(info.origin, kMessages); !messages.empty()) {
    context.messages = read_messages(Json::parse(messages));
  }
  if (const std::string created = note(info.origin, kCreated); !created.empty()) {
    context.created = std::strtoll(created.c_str(), nullptr, 10);
  }
  context.share.pin();
  return std::make_shared<const Context>(std::move(context));
}

void ContextFolder::load(const Model& model, MemoryBudget& budget, Contexts& contexts) const {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    if (entry.is_regular_file() && entry.path().extension() == ".kv") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::size_t n = 0;
  for (const fs::path& path : paths) {
    try {
      contexts.add(read(path, model, budget));
      ++n;
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& error) {
      log_warning(fmt::format("a context is left out: {}", error.what()));
    }
  }
  if (n > 0) log_info(fmt::format("{}: {} read", folder_.string(), counted(n, "context")));
}

}  // namespace kvpress::serve
