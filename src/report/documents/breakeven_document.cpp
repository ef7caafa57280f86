#include "report/documents/breakeven_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/counted.h"
#include "report/documents/csv.h"
#include "report/documents/paired_table.h"
#include "report/documents/ranking.h"
#include "report/documents/text_table.h"

namespace kvpress {
namespace {

constexpr double kMiB = 1 << 20;

/// 12,345
std::string grouped(double value) {
  std::string digits = fmt::format("{:.0f}", value);
  for (std::size_t at = digits.size(); at > 3 && digits[at - 4] != '-';) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}
std::string grouped(std::int64_t value) { return grouped(static_cast<double>(value)); }

/// "+1.234 s", or "-5.67 ms" where that is short.
std::string time_text(double seconds) {
  return std::abs(seconds) < 0.1 ? fmt::format("{:+.2f} ms", 1e3 * seconds) : fmt::format("{:+.3f} s", seconds);
}

/// The presses of the runs, each once, in their order.
std::vector<std::string> presses_in(const BreakEvenContext& context) {
  std::vector<std::string> names;
  for (const PressedAnswer& it : context.runs) {
    if (std::find(names.begin(), names.end(), it.press) == names.end()) names.push_back(it.press);
  }
  return names;
}

double share_of_bytes(const BreakEvenContext& context, const PressedAnswer& run) {
  return static_cast<double>(run.times.cache_bytes) / static_cast<double>(context.full.cache_bytes);
}

/// "snapkv at 0.5", or "think at 0.5 (0.25 evicted)"
std::string named(const PressedAnswer& run) {
  const bool other = differs(run.compression_ratio, run.evicted());
  return fmt::format("{} at {:g}{}", run.press, run.compression_ratio,
                     other ? fmt::format(" ({:.2f} evicted)", run.evicted()) : "");
}

std::string with(const PressedAnswer& run) { return fmt::format("With {}", named(run)); }

std::string tokens_text(double n) { return grouped(n) + (grouped(n) == "1" ? " token" : " tokens"); }

/// The longest answer that does not come sooner, and whether it was reached by decoding.
struct Turn {
  std::optional<std::int64_t> after;
  bool measured = false;
};
Turn turn_of(const BreakEvenContext& context, const PressedAnswer& run) {
  const AnswerCurve full = context.full_curve();
  const auto after = break_even(full, context.curve(run));
  return {after, after && *after < full.n_measured()};
}

std::string sentence_of(const BreakEvenContext& context, const PressedAnswer& run) {
  const Turn turn = turn_of(context, run);
  const std::string where = fmt::format("a {}-token context", grouped(context.n_context));
  const std::string price = fmt::format("{:.0f} % of the cache and {:+.3f} nats per token",
                                        100 * share_of_bytes(context, run), run.quality.delta_nll);
  const std::size_t n = run.times.token_sec.size();
  const std::string alone = n < 2 ? " (one repeat: no range)" : "";
  const auto spread = context.break_even_spread(run);
  const bool all_reach = spread[1].has_value();
  const bool none_reaches = !spread[0];
  if (n > 1 && (turn.after ? !all_reach : !none_reaches)) {
    return fmt::format("{}, {} do not agree whether answers to {} finish sooner ({}); it needs {}.", with(run),
                       counted(n, "repeat"), where,
                       none_reaches ? "the median of their times does, none of them alone"
                                    : fmt::format("from {} on in one of them, never in another",
                                                  tokens_text(static_cast<double>(*spread[0]))),
                       price);
  }
  if (!turn.after) {
    return fmt::format("{}, no answer to {} finishes sooner than with the full cache (up to {} tokens){}; it needs {}.",
                       with(run), where, grouped(kLongestAnswer), alone, price);
  }
  const std::int64_t least = n > 1 ? *spread[0] : *turn.after;
  const std::int64_t most = n > 1 ? *spread[1] : *turn.after;
  if (most == 0)
    return fmt::format("{}, every answer to {} finishes sooner{}, with {}.", with(run), where, alone, price);
  const std::string extrapolated =
      most < context.full_curve().n_measured()
          ? ""
          : fmt::format(" (extrapolated from {} measured tokens)", grouped(context.full_curve().n_measured()));
  if (least == most) {
    return fmt::format("{}, answers of more than {}{} to {} finish sooner{}{}, with {}.", with(run),
                       extrapolated.empty() ? "" : "about ", tokens_text(static_cast<double>(most)), where,
                       extrapolated, alone, price);
  }
  return fmt::format(
      "{}, answers to {} finish sooner from a length between {} and {} tokens on (range of {}){}, with {}.", with(run),
      where, grouped(least), grouped(most), counted(n, "repeat"), extrapolated, price);
}

/// "ratio 0.5", or "ratio 0.5 (0.25 evicted)"
std::string ratio_text(const PressedAnswer& run) {
  return fmt::format("ratio {}", named(run).substr(run.press.size() + std::string_view(" at ").size()));
}

std::string tolerance_sentence(const BreakEvenContext& context, const std::string& press, double tolerance) {
  const PressedAnswer* within = context.largest_within(press, tolerance);
  if (within != nullptr) {
    return fmt::format("{} adds less than {:g} nats per token at {} tokens up to {}: {:+.4f} [{:+.4f}, {:+.4f}].",
                       press, tolerance, grouped(context.n_context), ratio_text(*within), within->quality.delta_nll,
                       within->quality.delta_nll_ci95[0], within->quality.delta_nll_ci95[1]);
  }
  const bool idle = std::all_of(context.runs.begin(), context.runs.end(), [&](const PressedAnswer& it) {
    return it.press != press || it.evicted() < kKeptEverything;
  });
  if (idle)
    return fmt::format("{} evicted nothing at {} tokens, whatever was asked for.", press, grouped(context.n_context));
  const auto least = std::min_element(context.runs.begin(), context.runs.end(), [&](const auto& a, const auto& b) {
    const auto key = [&](const PressedAnswer& it) {
      return std::pair(it.press != press, it.quality.delta_nll_ci95[1]);
    };
    return key(a) < key(b);
  });
  return fmt::format(
      "No measured ratio of {} adds less than {:g} nats per token at {} tokens, including its interval; the nearest is "
      "{:g} with {:+.4f} [{:+.4f}, {:+.4f}].",
      press, tolerance, grouped(context.n_context), least->compression_ratio, least->quality.delta_nll,
      least->quality.delta_nll_ci95[0], least->quality.delta_nll_ci95[1]);
}

/// The ratio to speak of.
const PressedAnswer& chosen_run(const BreakEvenContext& context, const std::string& press, double tolerance) {
  if (const PressedAnswer* within = context.largest_within(press, tolerance)) return *within;
  return *std::min_element(context.runs.begin(), context.runs.end(), [&](const auto& a, const auto& b) {
    return std::pair(a.press != press, a.compression_ratio) < std::pair(b.press != press, b.compression_ratio);
  });
}

/// From which context on, in each repeat by itself; empty where a repeat finishes sooner with none.
std::vector<std::optional<double>> contexts_by_repeat(const BreakEvenReport& report, std::size_t run,
                                                      std::int64_t answer) {
  std::vector<std::optional<double>> found;
  std::size_t n = report.contexts.front().n_repeats();
  for (const BreakEvenContext& it : report.contexts) n = std::min(n, it.n_repeats());
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<BreakEvenContext> alone;
    for (const BreakEvenContext& it : report.contexts) alone.push_back(it.repeat(i));
    const auto from = context_break_even(alone, run, answer);
    found.push_back(from ? std::optional(from->n_context) : std::nullopt);
  }
  return found;
}

std::string context_sentence(const BreakEvenReport& report, std::size_t run, std::int64_t answer) {
  const PressedAnswer& it = report.contexts.back().runs[run];
  const auto from = context_break_even(report.contexts, run, answer);
  const std::string what = fmt::format("{}, an answer of {}", with(it), tokens_text(static_cast<double>(answer)));
  const auto repeats = contexts_by_repeat(report, run, answer);
  const auto n_never = static_cast<std::size_t>(std::count(repeats.begin(), repeats.end(), std::nullopt));
  if (repeats.size() > 1 && n_never != (from ? 0 : repeats.size())) {
    return fmt::format("{} finishes sooner in {} of {} only: they do not agree.", what, repeats.size() - n_never,
                       counted(repeats.size(), "repeat"));
  }
  const std::string alone = repeats.size() < 2 ? " (one repeat: no range)" : "";
  if (!from) {
    return fmt::format("{} finishes sooner with none of the measured contexts, up to {} tokens{}.", what,
                       grouped(report.contexts.back().n_context), alone);
  }
  double least = from->n_context;
  double most = from->n_context;
  for (const auto& one : repeats) {
    least = std::min(least, *one);
    most = std::max(most, *one);
  }
  if (repeats.size() > 1 && grouped(least) != grouped(most)) {
    return fmt::format("{} finishes sooner with contexts from between {} and {} tokens on (range of {}, interpolated).",
                       what, grouped(least), grouped(most), counted(repeats.size(), "repeat"));
  }
  if (!from->interpolated) {
    return fmt::format("{} finishes sooner with every measured context of at least {} tokens{}.", what,
                       grouped(from->n_context), alone);
  }
  return fmt::format("{} finishes sooner with contexts of more than about {} tokens (interpolated){}.", what,
                     grouped(from->n_context), alone);
}

/// The runs as far as comparing them with each other needs them.
std::vector<RunSummary> summaries_of(const BreakEvenContext& context) {
  std::vector<RunSummary> runs;
  for (const PressedAnswer& it : context.runs) {
    RunSummary& run = runs.emplace_back();
    run.press = it.press;
    run.compression_ratio = it.compression_ratio;
    run.evicted_share = it.evicted();
    Quality& quality = run.quality.emplace();
    quality.kl_full = it.quality.kl_full;
    quality.units = it.quality.units;
  }
  return runs;
}

struct Saving {
  double seconds = 0;
  double share = 0;  ///< of the full cache's time
  bool measured = false;
};
Saving saving_at(const AnswerCurve& full, const AnswerCurve& pressed, std::int64_t answer) {
  const double all = full.seconds(answer);
  const double saved = all - pressed.seconds(answer);
  return {saved, saved / all, full.is_measured(answer) && pressed.is_measured(answer)};
}

Json spread_json(const std::array<std::optional<std::int64_t>, 2>& spread) {
  Json json = Json::array();
  for (const auto& it : spread) json.push_back(it ? Json(*it) : Json(nullptr));
  return json;
}

Json run_json(const BreakEvenReport& report, const BreakEvenContext& context, const PressedAnswer& run) {
  const AnswerCurve full = context.full_curve();
  const AnswerCurve curve = context.curve(run);
  const Turn turn = turn_of(context, run);
  Json json = {{"press", run.press},
               {"compression_ratio", run.compression_ratio},
               {"evicted_share", run.evicted()},
               {"cache_tokens", run.times.cache_tokens},
               {"cache_bytes", run.times.cache_bytes},
               {"compress_sec", curve.compress_sec()},
               {"sec_per_token", curve.token_sec()},
               {"perplexity", run.perplexity},
               {"delta_nll", run.quality.delta_nll},
               {"delta_nll_ci95", run.quality.delta_nll_ci95},
               {"kl_full", run.quality.kl_full},
               {"top1_agreement", run.quality.top1_agreement}};
  json["sooner_after"] = turn.after ? Json(*turn.after) : Json(nullptr);
  json["sooner_after_measured"] = turn.measured;
  json["sooner_after_spread"] = spread_json(context.break_even_spread(run));
  for (const std::int64_t answer : report.answers) {
    const Saving saving = saving_at(full, curve, answer);
    json["answers"].push_back({{"tokens", answer},
                               {"full_sec", full.seconds(answer)},
                               {"sec", curve.seconds(answer)},
                               {"saved_sec", saving.seconds},
                               {"saved_share", saving.share},
                               {"measured", saving.measured}});
  }
  json["sentence"] = sentence_of(context, run);
  json["token_sec"] = curve.token_medians();
  return json;
}

}  // namespace

std::vector<std::string> break_even_sentences(const BreakEvenReport& report) {
  std::vector<std::string> sentences;
  for (const BreakEvenContext& context : report.contexts) {
    for (const std::string& press : presses_in(context)) {
      sentences.push_back(sentence_of(context, chosen_run(context, press, report.tolerance)));
      sentences.push_back(tolerance_sentence(context, press, report.tolerance));
    }
  }
  if (report.contexts.size() < 2) return sentences;
  const BreakEvenContext& longest = report.contexts.back();
  for (const std::string& press : presses_in(longest)) {
    const PressedAnswer& chosen = chosen_run(longest, press, report.tolerance);
    for (const std::int64_t answer : report.answers) {
      sentences.push_back(context_sentence(report, static_cast<std::size_t>(&chosen - longest.runs.data()), answer));
    }
  }
  return sentences;
}

std::string break_even_table(const BreakEvenReport& report) {
  std::string text;
  bool computed = false;
  for (const BreakEvenContext& context : report.contexts) {
    const AnswerCurve full = context.full_curve();
    text += fmt::format(
        "Context of {}: prefill {:.3f} s, full cache {:.2f} MiB, {:.3f} ms per token, perplexity {:.3f} on {}\n\n",
        tokens_text(static_cast<double>(context.n_context)), context.prefill_sec(),
        static_cast<double>(context.full.cache_bytes) / kMiB, 1e3 * full.token_sec(), context.full_perplexity,
        tokens_text(static_cast<double>(context.n_scored)));
    const bool shows_evicted = std::any_of(context.runs.begin(), context.runs.end(), [](const PressedAnswer& it) {
      return differs(it.compression_ratio, it.evicted());
    });
    std::vector<std::vector<std::string>> rows = {{"press", "ratio", "cache MiB", "press ms", "ms per token",
                                                   "delta NLL [95 % interval]", "break-even length (tokens)",
                                                   "range over repeats"}};
    for (const std::int64_t answer : report.answers) rows.front().push_back("saved at " + grouped(answer));
    // What was evicted stands beside what was asked for wherever it is something else.
    if (shows_evicted) rows.front().insert(rows.front().begin() + 2, "evicted");
    for (const PressedAnswer& run : context.runs) {
      const AnswerCurve curve = context.curve(run);
      const Turn turn = turn_of(context, run);
      const auto mark = [&](bool measured) {
        computed = computed || !measured;
        return measured ? "" : "*";
      };
      const auto tokens = [](const std::optional<std::int64_t>& n) { return n ? grouped(*n) : std::string("never"); };
      const auto spread = context.break_even_spread(run);
      std::vector<std::string> row = {run.press,
                                      fmt::format("{:.2f}", run.compression_ratio),
                                      fmt::format("{:.2f}", static_cast<double>(run.times.cache_bytes) / kMiB),
                                      fmt::format("{:.2f}", 1e3 * curve.compress_sec()),
                                      fmt::format("{:.3f}", 1e3 * curve.token_sec()),
                                      fmt::format("{:+.4f} [{:+.4f}, {:+.4f}]", run.quality.delta_nll,
                                                  run.quality.delta_nll_ci95[0], run.quality.delta_nll_ci95[1]),
                                      turn.after ? tokens(turn.after) + mark(turn.measured) : "never",
                                      !spread[0] ? "never" : tokens(spread[0]) + " to " + tokens(spread[1])};
      if (shows_evicted) row.insert(row.begin() + 2, fmt::format("{:.2f}", run.evicted()));
      for (const std::int64_t answer : report.answers) {
        const Saving saving = saving_at(full, curve, answer);
        row.push_back(
            fmt::format("{} ({:+.1f} %){}", time_text(saving.seconds), 100 * saving.share, mark(saving.measured)));
      }
      rows.push_back(std::move(row));
    }
    text += aligned(rows) + "\n";
    const std::vector<RunSummary> runs = summaries_of(context);
    if (const std::string paired = paired_text(ranked(runs)); !paired.empty()) text += paired + "\n";
  }
  if (computed) {
    text += fmt::format("* extrapolated from {} measured tokens\n\n",
                        grouped(report.contexts.front().full_curve().n_measured()));
  }
  return text;
}

Json break_even_json(const BreakEvenReport& report) {
  Json json = report.about;
  json["tolerance"] = report.tolerance;
  json["sentences"] = break_even_sentences(report);
  for (const BreakEvenContext& context : report.contexts) {
    const AnswerCurve full = context.full_curve();
    Json it = {{"context_tokens", context.n_context},
               {"n_scored_tokens", context.n_scored},
               {"measured_answer_tokens", full.n_measured()},
               {"repeats", context.full.token_sec.size()},
               {"prefill_sec", context.prefill_sec()},
               {"growth_sec_per_cached_token", context.growth_sec()},
               {"full",
                {{"cache_tokens", context.full.cache_tokens},
                 {"cache_bytes", context.full.cache_bytes},
                 {"sec_per_token", full.token_sec()},
                 {"perplexity", context.full_perplexity},
                 {"token_sec", full.token_medians()}}}};
    for (const std::string& press : presses_in(context)) {
      const PressedAnswer* within = context.largest_within(press, report.tolerance);
      it["largest_ratio_within_tolerance"][press] = within != nullptr ? Json(within->compression_ratio) : Json(nullptr);
    }
    const std::vector<RunSummary> runs = summaries_of(context);
    const std::vector<RankedGroup> groups = ranked(runs);
    for (std::size_t i = 0; i < runs.size(); ++i) {
      it["runs"].push_back(run_json(report, context, context.runs[i]));
      it["runs"].back()["paired"] = paired_json(groups, runs[i]);
    }
    json["contexts"].push_back(std::move(it));
  }
  if (report.contexts.size() < 2) return json;
  const BreakEvenContext& longest = report.contexts.back();
  for (std::size_t run = 0; run < longest.runs.size(); ++run) {
    for (const std::int64_t answer : report.answers) {
      const auto from = context_break_even(report.contexts, run, answer);
      json["sooner_from_context"].push_back({{"press", longest.runs[run].press},
                                             {"compression_ratio", longest.runs[run].compression_ratio},
                                             {"answer_tokens", answer},
                                             {"context_tokens", from ? Json(from->n_context) : Json(nullptr)},
                                             {"interpolated", from && from->interpolated}});
    }
  }
  return json;
}

std::string break_even_csv(const BreakEvenReport& report) {
  std::string csv =
      "context_tokens,press,compression_ratio,cache_tokens,cache_bytes,prefill_sec,compress_sec,sec_per_token,"
      "full_sec_per_token,delta_nll,delta_nll_low,delta_nll_high,sooner_after,sooner_after_measured,answer_tokens,"
      "full_sec,sec,saved_sec,saved_share,measured,evicted_share\n";
  for (const BreakEvenContext& context : report.contexts) {
    const AnswerCurve full = context.full_curve();
    for (const PressedAnswer& run : context.runs) {
      const AnswerCurve curve = context.curve(run);
      const Turn turn = turn_of(context, run);
      for (const std::int64_t answer : report.answers) {
        const Saving saving = saving_at(full, curve, answer);
        csv += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", context.n_context,
                           csv_cell(run.press), run.compression_ratio, run.times.cache_tokens, run.times.cache_bytes,
                           context.prefill_sec(), curve.compress_sec(), curve.token_sec(), full.token_sec(),
                           run.quality.delta_nll, run.quality.delta_nll_ci95[0], run.quality.delta_nll_ci95[1],
                           turn.after ? std::to_string(*turn.after) : "", turn.measured, answer, full.seconds(answer),
                           curve.seconds(answer), saving.seconds, saving.share, saving.measured, run.evicted());
      }
    }
  }
  return csv;
}

}  // namespace kvpress
