#include "press/schedule_forms.h"

#include <array>

namespace kvpress {
namespace {

constexpr std::string_view kIntervalMeaning = "decoded tokens between compressions";
constexpr std::string_view kTargetMeaning = "tokens per head after a compression";

class Decoding : public WrittenSchedule {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::every, "compresses during decode; the prefill is not compressed");
    visitor.integer("compression_interval", interval_, 1, kIntervalMeaning);
    visitor.integer("target_size", target_size_, 1, kTargetMeaning);
  }
  NamedPress named() const override {
    return {"", nullptr, DecodingSchedule{press_->clone(), interval_, target_size_, {}}};
  }

 private:
  InnerPress press_;
  std::int64_t interval_ = 512;
  std::int64_t target_size_ = 2048;
};

class RatioDecoding : public WrittenSchedule {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::every, "compresses during decode; the prefill is not compressed");
    visitor.integer("compression_interval", interval_, 1, kIntervalMeaning);
    visitor.optional_real("target_compression_ratio", ratio_, 0, 1,
                          "share of the tokens seen to evict; none: the run's compression ratio");
  }
  NamedPress named() const override { return {"", nullptr, DecodingSchedule{press_->clone(), interval_, {}, ratio_}}; }

 private:
  InnerPress press_;
  std::int64_t interval_ = 512;
  std::optional<double> ratio_;
};

class PrefillDecoding : public WrittenSchedule {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("prefilling_press", prefilling_, Inside::every,
                  "compresses once after the prefill, to the run's budget");
    visitor.press("decoding_press", decoding_, Inside::every, "compresses during decode");
    visitor.integer("compression_interval", interval_, 1, kIntervalMeaning);
    visitor.integer("target_size", target_size_, 1, kTargetMeaning);
  }
  NamedPress named() const override {
    return {"", prefilling_->clone(), DecodingSchedule{decoding_->clone(), interval_, target_size_, {}}};
  }

 private:
  InnerPress prefilling_;
  InnerPress decoding_;
  std::int64_t interval_ = 512;
  std::int64_t target_size_ = 2048;
};

template <typename T>
std::unique_ptr<WrittenSchedule> make_schedule() {
  return std::make_unique<T>();
}

}  // namespace

std::span<const ScheduleForm> schedule_forms() {
  static constexpr std::array<ScheduleForm, 3> kAll = {{
      {"decoding", "compresses to target_size every compression_interval decoded tokens", make_schedule<Decoding>},
      {"compression_ratio_decoding", "the same, to a ratio of the tokens seen", make_schedule<RatioDecoding>},
      {"prefill_decoding", "one press after the prefill, another during decode", make_schedule<PrefillDecoding>},
  }};
  return kAll;
}

const ScheduleForm* find_schedule_form(std::string_view name) {
  for (const ScheduleForm& it : schedule_forms()) {
    if (it.name == name) return &it;
  }
  return nullptr;
}

}  // namespace kvpress
