// The registry entry of each press, defined at the end of the press's own file.
#pragma once

#include "kvpress/press/press_entry.h"

namespace kvpress {

extern const PressEntry kRandomPress;
extern const PressEntry kKnormPress;
extern const PressEntry kStreamingLlmPress;
extern const PressEntry kKeyDiffPress;
extern const PressEntry kLagKVPress;
extern const PressEntry kCurPress;
extern const PressEntry kLeveragePress;
extern const PressEntry kTovaPress;
extern const PressEntry kSnapKVPress;
extern const PressEntry kExpectedAttentionPress;
extern const PressEntry kCapPress;
extern const PressEntry kNonCausalAttentionPress;
extern const PressEntry kCompactorPress;
extern const PressEntry kObservedAttentionPress;
extern const PressEntry kQFilterPress;
extern const PressEntry kKVzapPress;
extern const PressEntry kDuoAttentionPress;
extern const PressEntry kAdaKVPress;
extern const PressEntry kCriticalPress;
extern const PressEntry kCriticalAdaKVPress;
extern const PressEntry kChunkPress;
extern const PressEntry kChunkKVPress;
extern const PressEntry kEntropyGatedChunkKVPress;
extern const PressEntry kBlockPress;
extern const PressEntry kPyramidKVPress;
extern const PressEntry kSimLayerKVPress;
extern const PressEntry kPerLayerPress;
extern const PressEntry kLuKVPress;
extern const PressEntry kDmsPress;
extern const PressEntry kComposedPress;
extern const PressEntry kKVzipPress;
extern const PressEntry kKVzipPlusPress;
extern const PressEntry kKeyRerotationPress;
extern const PressEntry kMergingPress;
extern const PressEntry kThinkPress;
extern const PressEntry kCamPress;
extern const PressEntry kFinchPress;
extern const PressEntry kKVComposePress;
extern const PressEntry kKVComposeUnstructuredPress;
extern const PressEntry kFastKVzipPress;

}  // namespace kvpress
