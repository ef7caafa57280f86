#include "hub/digest.h"

#include <openssl/evp.h>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

void free_context(void* context) { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context)); }

}  // namespace

Digest::Digest(Kind kind, std::int64_t size) : context_(EVP_MD_CTX_new(), free_context) {
  const EVP_MD* algorithm = kind == Kind::sha256 ? EVP_sha256() : EVP_sha1();
  if (context_ == nullptr || EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_.get()), algorithm, nullptr) != 1) {
    fail("libcrypto: cannot compute a hash");
  }
  if (kind == Kind::git_sha1) update(fmt::format("blob {}", size) + '\0');
}

void Digest::update(std::string_view bytes) {
  if (EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_.get()), bytes.data(), bytes.size()) != 1) {
    fail("libcrypto: cannot compute a hash");
  }
}

std::string Digest::hex() {
  unsigned char value[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_.get()), value, &size) != 1) {
    fail("libcrypto: cannot compute a hash");
  }
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", value[i]);
  return text;
}

}  // namespace kvpress
