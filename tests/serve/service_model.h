// A service over the demo model, with a chat template of its own.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/random_model.h"
#include "kvpress/engine/open_model.h"
#include "serve/service.h"
#include "temporary_folder.h"
#include "test_data.h"

namespace kvpress::serve::test {

inline constexpr const char* kChatTemplate =
    "{% if tools %}<tools>{{ tools | tojson }}</tools>\n{% endif %}"
    "{% for m in messages %}<{{ m.role }}>\n{{ m.content }}\n</{{ m.role }}>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}";

/// Loaded once: by all tests of the program.
struct DemoModel {
  DemoModel()
      : opened(open_model((kvpress::test::project_dir() / "models/kvpress-demo").string())),
        tokenizer(opened.tokenizer()) {
    LoadSettings settings;
    settings.dtype = parse_dtype_choice("float32", "dtype");
    loaded = load_model(opened, settings, 256, 1024);
    folder.file("chat_template.jinja", kChatTemplate);
    ModelFiles files;
    files.path = folder.path();
    files.config_json = folder.path() / "config.json";
    chat = std::make_unique<ChatTemplate>(files);
  }
  ContextFolder contexts_in(const std::filesystem::path& path) const {
    return {path, origin_of(opened), [this](const NamedPress& it) { opened.prepare(it, &tokenizer); }};
  }
  static DemoModel& get() {
    static DemoModel model;
    return model;
  }

  OpenedModel opened;
  Tokenizer tokenizer;
  LoadedModel loaded;
  kvpress::test::TemporaryFolder folder;
  std::unique_ptr<ChatTemplate> chat;
};

struct DemoService {
  explicit DemoService(const SchedulerSettings& settings = {.chunk = 64}, std::size_t limit = std::size_t{512} << 20,
                       const std::string& press = "no_press", const ContextFolder* folder = nullptr)
      : model(DemoModel::get()),
        budget(limit, 1 << 20),
        snapshots(budget),
        scheduler(*model.loaded.model, budget, &snapshots, settings),
        service(model.tokenizer, *model.chat, budget, &snapshots, scheduler, settings_of(press), folder) {}

  static ServiceSettings settings_of(const std::string& press) {
    ServiceSettings settings;
    settings.model_id = "demo";
    settings.cache.compression.press = parse_press(press);
    settings.cache.compression.budget = Budget::of_ratio(0.5);
    settings.cache.scoring_chunk = 64;
    settings.max_tokens = 32;
    return settings;
  }

  Reply call(const std::string& method, const std::string& path, const nlohmann::ordered_json& body = {}) {
    return service.handle({method, path, body.is_null() ? "" : body.dump()});
  }
  nlohmann::ordered_json json(const std::string& method, const std::string& path,
                              const nlohmann::ordered_json& body = {}) {
    const Reply reply = call(method, path, body);
    return nlohmann::ordered_json::parse(reply.body);
  }
  /// The events of a stream, without its end; throws if there is none.
  std::vector<nlohmann::ordered_json> events(const std::string& path, const nlohmann::ordered_json& body) {
    const Reply reply = call("POST", path, body);
    if (!reply.events) throw Error(reply.body);
    std::string all, text;
    while (reply.events->next(text)) all += text;
    std::vector<nlohmann::ordered_json> events;
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t end = all.find("\n\n", at);
      const std::string data = all.substr(at + 6, end - at - 6);
      if (all.substr(at, 6) != "data: ") throw Error("no event: " + all.substr(at, 40));
      at = end + 2;
      if (data == "[DONE]") {
        if (at != all.size()) throw Error("something follows the end");
        return events;
      }
      events.push_back(nlohmann::ordered_json::parse(data));
    }
    throw Error("the stream has no end");
  }

  DemoModel& model;
  MemoryBudget budget;
  Snapshots snapshots;
  Scheduler scheduler;
  Service service;
};

}  // namespace kvpress::serve::test
