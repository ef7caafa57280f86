#include "report/documents/breakeven_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/documents/csv.h"
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

std::string with(const PressedAnswer& run) { return fmt::format("With {} at {:g}", run.press, run.compression_ratio); }

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
  if (!turn.after) {
    return fmt::format("{}, no answer to {} finishes sooner than with the full cache (up to {} tokens); it needs {}.",
                       with(run), where, grouped(kLongestAnswer), price);
  }
  if (*turn.after == 0) return fmt::format("{}, every answer to {} finishes sooner, with {}.", with(run), where, price);
  if (turn.measured) {
    return fmt::format("{}, answers of more than {} token{} to {} finish sooner, with {}.", with(run),
                       grouped(*turn.after), *turn.after == 1 ? "" : "s", where, price);
  }
  return fmt::format(
      "{}, answers of more than about {} tokens to {} finish sooner (extrapolated from {} measured tokens), with {}.",
      with(run), grouped(*turn.after), where, grouped(context.full_curve().n_measured()), price);
}

std::string tolerance_sentence(const BreakEvenContext& context, const std::string& press, double tolerance) {
  const PressedAnswer* within = context.largest_within(press, tolerance);
  if (within != nullptr) {
    return fmt::format(
        "{} adds less than {:g} nats per token at {} tokens up to ratio {:g}: {:+.4f} [{:+.4f}, {:+.4f}].", press,
        tolerance, grouped(context.n_context), within->compression_ratio, within->quality.delta_nll,
        within->quality.delta_nll_ci95[0], within->quality.delta_nll_ci95[1]);
  }
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

std::string context_sentence(const BreakEvenReport& report, std::size_t run, std::int64_t answer) {
  const PressedAnswer& it = report.contexts.back().runs[run];
  const auto from = context_break_even(report.contexts, run, answer);
  const std::string what =
      fmt::format("{}, an answer of {} token{}", with(it), grouped(answer), answer == 1 ? "" : "s");
  if (!from) {
    return fmt::format("{} finishes sooner with none of the measured contexts, up to {} tokens.", what,
                       grouped(report.contexts.back().n_context));
  }
  if (!from->interpolated) {
    return fmt::format("{} finishes sooner with every measured context of at least {} tokens.", what,
                       grouped(from->n_context));
  }
  return fmt::format("{} finishes sooner with contexts of more than about {} tokens (interpolated).", what,
                     grouped(from->n_context));
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
        "Context of {} tokens: prefill {:.3f} s, full cache {:.2f} MiB, {:.3f} ms per token, perplexity {:.3f} on {} "
        "tokens\n\n",
        grouped(context.n_context), context.prefill_sec(), static_cast<double>(context.full.cache_bytes) / kMiB,
        1e3 * full.token_sec(), context.full_perplexity, grouped(context.n_scored));
    std::vector<std::vector<std::string>> rows = {{"press", "ratio", "cache MiB", "press ms", "ms per token",
                                                   "delta NLL [95 % interval]", "break-even length (tokens)",
                                                   "range over repeats"}};
    for (const std::int64_t answer : report.answers) rows.front().push_back("saved at " + grouped(answer));
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
      for (const std::int64_t answer : report.answers) {
        const Saving saving = saving_at(full, curve, answer);
        row.push_back(
            fmt::format("{} ({:+.1f} %){}", time_text(saving.seconds), 100 * saving.share, mark(saving.measured)));
      }
      rows.push_back(std::move(row));
    }
    text += aligned(rows) + "\n";
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
    for (const PressedAnswer& run : context.runs) it["runs"].push_back(run_json(report, context, run));
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
      "full_sec,sec,saved_sec,saved_share,measured\n";
  for (const BreakEvenContext& context : report.contexts) {
    const AnswerCurve full = context.full_curve();
    for (const PressedAnswer& run : context.runs) {
      const AnswerCurve curve = context.curve(run);
      const Turn turn = turn_of(context, run);
      for (const std::int64_t answer : report.answers) {
        const Saving saving = saving_at(full, curve, answer);
        csv += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", context.n_context,
                           csv_cell(run.press), run.compression_ratio, run.times.cache_tokens, run.times.cache_bytes,
                           context.prefill_sec(), curve.compress_sec(), curve.token_sec(), full.token_sec(),
                           run.quality.delta_nll, run.quality.delta_nll_ci95[0], run.quality.delta_nll_ci95[1],
                           turn.after ? std::to_string(*turn.after) : "", turn.measured, answer, full.seconds(answer),
                           curve.seconds(answer), saving.seconds, saving.share, saving.measured);
      }
    }
  }
  return csv;
}

}  // namespace kvpress
