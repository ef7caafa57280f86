// Contexts of the service: made of a text or a conversation, listed, deleted.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <utility>

#include "serve/service.h"

namespace kvpress::serve {
namespace {

constexpr std::string_view kContextsPath = "/v1/contexts/";

/// Waits for the sequence of a job.
class ContextMaker : public JobListener {
 public:
  void on_sequence(Sequence sequence, MemoryBudget::Share share) override {
    const std::scoped_lock lock(mutex_);
    sequence_.emplace(std::move(sequence));
    share_ = std::move(share);
  }
  void on_done(const JobUsage& usage) override {
    const std::scoped_lock lock(mutex_);
    usage_ = usage;
    done_ = true;
    changed_.notify_all();
  }
  void on_error(std::exception_ptr error) override {
    const std::scoped_lock lock(mutex_);
    error_ = std::move(error);
    done_ = true;
    changed_.notify_all();
  }

  /// Whether it is done within the time. Rethrows the job's error.
  bool wait(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, time, [&] { return done_; });
    if (error_) std::rethrow_exception(error_);
    return done_;
  }
  Sequence take_sequence() { return std::move(*sequence_); }
  MemoryBudget::Share take_share() { return std::move(share_); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Sequence> sequence_;
  MemoryBudget::Share share_;
  JobUsage usage_;
  std::exception_ptr error_;
  bool done_ = false;
};

std::string new_id() {
  static thread_local std::random_device random;
  std::string id = "ctx-";
  for (int i = 0; i < 3; ++i) id += fmt::format("{:08x}", random());
  return id;
}

}  // namespace

Json Service::context_object(const Context& context) const {
  return {{"id", context.id},
          {"object", "context"},
          {"created", context.created},
          {"kind", context.messages.empty() ? "text" : "messages"},
          {"tokens", context.sequence.n_tokens()},
          {"cache_tokens", context.sequence.cache_tokens()},
          {"bytes", context.sequence.cache_bytes()},
          {"press", context.sequence.settings().press.text}};
}

Reply Service::make_context(const Call& call) {
  const ContextRequest request = read_context(parse_body(call.body), config_.vocab_size);
  const CacheRequest cache =
      read_cache_request(request.cache.is_null() ? nullptr : &request.cache, settings_.cache, presses_, config_);
  if (!cache.context.empty()) fail_field("kvpress.context", "a context cannot be made of another");
  if (cache.context_tokens) fail_field("kvpress.context_tokens", "the whole text is the context; leave it out");
  Prompt prompt;
  if (request.text) {
    prompt = text_prompt(*request.text, false);
  } else {
    if (chat_.empty()) fail_field("messages", "the model has no chat template; give a text");
    ChatRendering how;
    how.add_generation_prompt = false;
    prompt = rendered(request.messages, how);
  }
  check_positions(cache.compression, std::ssize(prompt.tokens), 0);
  if (folder_ != nullptr) check_can_save(cache.compression, config_);
  JobRequest job;
  job.tokens = prompt.tokens;
  job.boundaries = boundaries_of(prompt, cache);
  job.compression = cache.compression;
  job.settings_key = cache.key;
  job.keeps_sequence = true;
  const auto maker = std::make_shared<ContextMaker>();
  const std::shared_ptr<Job> jobs[] = {std::make_shared<Job>(std::move(job), maker)};
  scheduler_.submit(jobs);
  while (!maker->wait(std::chrono::milliseconds(100))) {
    if (!call.is_gone || !call.is_gone()) continue;
    jobs[0]->cancel();
    return {.gone = true};
  }
  const std::int64_t now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  auto context =
      std::make_shared<Context>(Context{new_id(), maker->take_sequence(), maker->take_share(), request.messages, now});
  context->share.pin();
  if (folder_ != nullptr) folder_->save(*context);
  contexts_.add(context);
  return {.status = 201, .body = dump(context_object(*context))};
}

Reply Service::context_call(const Call& call) {
  if (!call.path.starts_with(kContextsPath)) {
    Json list = Json::array();
    for (const auto& it : contexts_.all()) list.push_back(context_object(*it));
    return {.body = dump({{"object", "list"}, {"data", std::move(list)}})};
  }
  CacheRequest named;
  named.context = call.path.substr(kContextsPath.size());
  const std::shared_ptr<const Context> context = context_of(named);
  if (!context) throw ApiError(404, "invalid_request_error", "context_not_found", "", "a context's id is missing");
  if (call.method == "GET") return {.body = dump(context_object(*context))};
  if (call.method != "DELETE") {
    throw ApiError(405, "invalid_request_error", "method_not_allowed", "", "a context can be read or deleted");
  }
  if (folder_ != nullptr) folder_->remove(context->id);
  contexts_.remove(context->id);
  return {.body = dump({{"id", context->id}, {"object", "context"}, {"deleted", true}})};
}

}  // namespace kvpress::serve
