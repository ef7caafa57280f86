#include "kvpress/eval/named_dataset.h"

#include <string>
#include <string_view>
#include <vector>

#include "base/closest.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

struct NamedDataset {
  std::string_view name, source;
  std::int64_t max_samples, max_tokens;
};
constexpr NamedDataset kDatasets[] = {{"wikitext_ppl", "wikitext", 64, 4096}, {"pg19_ppl", "pg19", 1, 8192}};

NamedDataset of_ones_own(const std::string& name) { return {name, name, 0, 8192}; }

NamedDataset dataset_by_name(const std::string& name, const std::string& option) {
  for (const NamedDataset& it : kDatasets) {
    if (it.name == name || it.source == name) return it;
  }
  if (name.find('.') != std::string::npos || name.starts_with("hf:")) return of_ones_own(name);
  static const std::vector<std::string> kKnown = {"wikitext_ppl", "pg19_ppl", "wikitext", "pg19"};
  fail_usage("{}: '{}' is not known{}; known: wikitext_ppl, pg19_ppl, hf:ORG/NAME, or a path to a .jsonl or .txt file",
             option, name, did_you_mean(name, kKnown));
}

}  // namespace

void check_dataset_name(const std::string& name, const std::string& option) { dataset_by_name(name, option); }

PreparedTexts prepare_dataset(TextRequest request, std::optional<std::int64_t> max_tokens, const Tokenizer& tokenizer,
                              const ProtocolSettings& protocol, const ModelConfig& config, BosChoice bos) {
  const std::string name = request.name;
  const NamedDataset named = request.is_file ? of_ones_own(name) : dataset_by_name(name, setting("dataset"));
  request.name = named.source;
  if (request.max_samples == 0) request.max_samples = named.max_samples;
  request.max_bytes = bytes_of_tokens(max_tokens.value_or(named.max_tokens));
  const TextDataset dataset = load_texts(request);
  PreparedTexts prepared = prepare_texts(tokenizer, dataset, max_tokens, protocol, config, named.max_tokens, bos);
  prepared.name = request.is_file ? name : std::string(named.name);  // wikitext is wikitext_ppl
  return prepared;
}

}  // namespace kvpress
