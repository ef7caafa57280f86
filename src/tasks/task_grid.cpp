// The tasks that are made here.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kvpress/base/error.h"
#include "tasks/task.h"
#include "tasks/task_words.h"

namespace kvpress {
namespace {

std::string label(double depth) { return fmt::format("{:.2f}", depth); }

/// The share of the text at which the haystack of a sample begins: each sample reads another part.
double share_of(std::int64_t sample, const TaskGrid& grid) {
  return static_cast<double>(sample) / static_cast<double>(grid.samples);
}

TaskRandom random_of(const TaskGrid& grid, std::int64_t sample) {
  return {grid.seed, static_cast<std::uint64_t>(sample)};
}

struct Fact {
  std::string key, value;
};

}  // namespace

void check_grid(const TaskGrid& grid) {
  if (grid.lengths.empty()) fail_setting("lengths", "is empty; give context lengths in tokens, such as 512,1024");
  if (grid.depths.empty())
    fail_setting("depths", "is empty; give positions in the context, such as 0,0.5,1 or 0:1:0.25");
  if (grid.hops.empty()) fail_setting("hops", "is empty; give numbers of hops, such as 1,2,4");
  for (const std::int64_t it : grid.lengths) {
    if (it < 1) fail_setting("lengths", "{} is too small; at least 1 token is needed", it);
  }
  for (const double it : grid.depths) {
    if (!(it >= 0 && it <= 1)) fail_setting("depths", "{} is not a position in the context; it must be in [0, 1]", it);
  }
  for (const std::int64_t it : grid.hops) {
    if (it < 1) fail_setting("hops", "{} is too small; at least 1 is needed", it);
  }
  const auto unique = [](auto values, const char* name) {
    std::sort(values.begin(), values.end());
    if (std::adjacent_find(values.begin(), values.end()) != values.end()) fail_setting(name, "a value is given twice");
  };
  unique(grid.lengths, "lengths");
  unique(grid.hops, "hops");
  std::vector<std::string> depths;  // as they stand in the table
  for (const double it : grid.depths) depths.push_back(label(it));
  unique(depths, "depths");
  if (grid.samples < 1) fail_setting("samples", "{} is too small; at least 1 per cell is needed", grid.samples);
  if (grid.needles < 1) fail_setting("needles", "{} is too small; at least 1 is needed", grid.needles);
  if (grid.chains < 1) fail_setting("chains", "{} is too small; at least 1 is needed", grid.chains);
}

TaskSet make_needle_task(const TaskGrid& grid, std::string_view text, const CountTokens& count) {
  const Haystack haystack(text);
  TaskSet set{"needle", "depth", "length", {}};
  const auto context = [](const std::string& hay) {
    return "Some secret numbers are hidden in the following text. Remember them: you will be asked for one.\n\n" + hay +
           "\n\n";
  };
  const auto sentence = [](const Fact& it) {
    return fmt::format("The secret number of the {} is {}.", it.key, it.value);
  };
  for (std::int64_t s = 0; s < grid.samples; ++s) {
    TaskRandom random = random_of(grid, s);
    std::vector<Fact> facts;
    std::vector<double> places;
    for (std::int64_t i = 0; i < grid.needles; ++i) {
      facts.push_back({random.code_word(), random.number()});
      places.push_back(static_cast<double>(random.below(1000)) / 1000);
    }
    for (const std::int64_t length : grid.lengths) {
      for (const double depth : grid.depths) {
        std::vector<Haystack::Insert> inserts = {{depth, sentence(facts[0])}};
        for (std::size_t i = 1; i < facts.size(); ++i) inserts.push_back({places[i], sentence(facts[i])});
        TaskSample sample;
        sample.task = set.name;
        sample.context =
            haystack.fill(haystack.sentence_at(share_of(s, grid)), length, inserts, count, context, "needles");
        sample.question = fmt::format("What is the secret number of the {}?", facts[0].key);
        sample.answer_prefix = fmt::format("The secret number of the {} is", facts[0].key);
        sample.answers = {facts[0].value};
        sample.max_new_tokens = 12;
        sample.row = label(depth);
        sample.column = std::to_string(length);
        sample.chance = grid.needles > 1 ? 1.0 / static_cast<double>(grid.needles) : 0.0;
        set.samples.push_back(std::move(sample));
      }
    }
  }
  return set;
}

TaskSet make_kv_recall_task(const TaskGrid& grid, const CountTokens& count) {
  TaskSet set{"kv_recall", "depth", "length", {}};
  for (std::int64_t s = 0; s < grid.samples; ++s) {
    for (const std::int64_t length : grid.lengths) {
      TaskRandom random = random_of(grid, s);
      std::vector<Fact> facts;
      const auto context = [&](std::int64_t n) {
        while (static_cast<std::int64_t>(facts.size()) < n) facts.push_back({random.code_word(), random.number()});
        std::string list = "Below is a list of names and their numbers. Remember it: you will be asked for one.\n\n";
        for (std::int64_t i = 0; i < n; ++i) {
          const Fact& it = facts[i];
          list += fmt::format("{}: {}\n", it.key, it.value);
        }
        return list + "\n";
      };
      // A pair takes a token for each digit, two for what is around them and two for the words, at the least.
      const std::int64_t n =
          largest_that_fits(length / 4 + 1, [&](std::int64_t it) { return count(context(it)) <= length; });
      if (n < 2) {
        fail_setting("lengths", "two pairs need {} tokens, more than {}; use a greater length", count(context(2)),
                     length);
      }
      const std::string list = context(n);
      for (const double depth : grid.depths) {
        const Fact& asked = facts[std::lround(depth * static_cast<double>(n - 1))];
        TaskSample sample;
        sample.task = set.name;
        sample.context = list;
        sample.question = fmt::format("What is the number of {}?", asked.key);
        sample.answer_prefix = fmt::format("{}:", asked.key);
        sample.answers = {asked.value};
        sample.max_new_tokens = 12;
        sample.row = label(depth);
        sample.column = std::to_string(length);
        sample.chance = 1.0 / static_cast<double>(n);
        set.samples.push_back(std::move(sample));
      }
    }
  }
  return set;
}

TaskSet make_variable_tracking_task(const TaskGrid& grid, std::string_view text, const CountTokens& count) {
  const Haystack haystack(text);
  TaskSet set{"variable_tracking", "hops", "length", {}};
  const auto context = [](const std::string& hay) {
    return "Remember which variables are set to which value in the following text, directly or by way of other "
           "variables.\n\n" +
           hay + "\n\n";
  };
  for (std::int64_t s = 0; s < grid.samples; ++s) {
    for (const std::int64_t length : grid.lengths) {
      for (const std::int64_t hops : grid.hops) {
        TaskRandom random = random_of(grid, s);
        std::vector<Haystack::Insert> inserts;
        std::vector<std::string> answers;
        std::string asked;
        for (std::int64_t chain = 0; chain < grid.chains; ++chain) {
          std::string value = random.number();
          std::vector<double> places;
          for (std::int64_t i = 0; i <= hops; ++i) places.push_back(static_cast<double>(random.below(1001)) / 1000);
          std::sort(places.begin(), places.end());  // each is set after what it is set to
          if (chain == 0) asked = value;
          for (const double place : places) {
            std::string name = random.variable();
            inserts.push_back({place, fmt::format("VAR {} = {}.", name, value)});
            if (chain == 0) answers.push_back(name);
            value = "VAR " + name;
          }
        }
        TaskSample sample;
        sample.task = set.name;
        sample.context =
            haystack.fill(haystack.sentence_at(share_of(s, grid)), length, inserts, count, context, "hops");
        sample.question =
            fmt::format("Which variables are set to the value {}, directly or by way of other variables?", asked);
        sample.answer_prefix = fmt::format("The {} variables set to the value {} are VAR", answers.size(), asked);
        sample.max_new_tokens = 8 * (hops + 1) + 8;
        sample.answers = std::move(answers);
        sample.row = std::to_string(hops);
        sample.column = std::to_string(length);
        sample.chance = grid.chains > 1 ? 1.0 / static_cast<double>(grid.chains) : 0.0;
        set.samples.push_back(std::move(sample));
      }
    }
  }
  return set;
}

}  // namespace kvpress
