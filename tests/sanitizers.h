// Whether tests are built with AddressSanitizer or ThreadSanitizer, which make programs larger and several times
// slower.
#pragma once

namespace kvpress::test {

#if defined(__has_feature)  // clang
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KVPRESS_TEST_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // gcc
#define KVPRESS_TEST_SANITIZED
#endif

#ifdef KVPRESS_TEST_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace kvpress::test
