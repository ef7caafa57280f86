#include "kvpress/eval/experiment_info.h"

namespace kvpress {

ExperimentInfo experiment_info(const LoadedModel& loaded, const PreparedTexts& texts, const RunSettings& settings,
                               bool prefill_only) {
  ExperimentInfo info;
  info.model = loaded.name;
  info.dataset = texts.name;
  info.dtype = loaded.model->numbers();
  info.settings = settings;
  if (!settings.protocol.splits_text()) {
    info.settings.protocol.context_tokens =
        context_of(settings.protocol, static_cast<std::int64_t>(texts.texts.front().ids.size()));
  }
  info.n_tokens = progress_total(texts.texts);
  for (const TokenizedText& it : texts.texts) info.text_names.push_back(it.name);
  info.before_text = texts.before;
  info.after_text = texts.after;
  info.prefill_only = prefill_only;
  info.load_sec = loaded.load_sec;
  info.tokenize_sec = texts.tokenize_sec;
  return info;
}

}  // namespace kvpress
