#include "hashing/features.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

using embedjobs::hashing::hash_features;
using embedjobs::hashing::words_of;

namespace {

std::vector<float> embed(std::string_view text, std::size_t dimension = 512) {
  std::vector<float> vector(dimension);
  hash_features(text, vector);
  return vector;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  return sum;
}

double near(std::string_view a, std::string_view b) {
  return cosine(embed(a), embed(b));
}

std::string best(std::string_view query, const std::vector<std::string>& texts) {
  return *std::max_element(texts.begin(), texts.end(),
                           [&](const std::string& a, const std::string& b) { return near(query, a) < near(query, b); });
}

}  // namespace

TEST_CASE("words are cut at punctuation, path segments, underscores and camel humps, in lower case") {
  using Words = std::vector<std::string>;
  CHECK(words_of("getUserById") == Words{"get", "user", "by", "id"});
  CHECK(words_of("/v1/users/{user_id}") == Words{"v1", "users", "user", "id"});
  CHECK(words_of("HTTPServer parseJSON IDs") == Words{"http", "server", "parse", "json", "i", "ds"});
  CHECK(words_of("rate-limit: 10/s") == Words{"rate", "limit", "10", "s"});
  CHECK(words_of("Größe ändern") == Words{"größe", "ändern"});
  CHECK(words_of("X") == Words{"x"});
  CHECK(words_of("").empty());
  CHECK(words_of(" \t--{}//").empty());
}

TEST_CASE("every text has a finite vector of length one, whatever the dimension") {
  const std::string texts[] = {"a",
                               "the",
                               "?!",
                               " ",
                               "",
                               std::string("\0", 1),
                               "\xff\xfe",
                               "日本",
                               "aaaa",
                               "-\n",
                               "get user by",
                               std::string(100'000, 'x'),
                               std::string(10'000, '.')};
  for (const std::size_t dimension : {1U, 2U, 3U, 7U, 512U, 65536U}) {
    for (const std::string& text : texts) {
      const std::vector<float> vector = embed(text, dimension);
      INFO("dimension " << dimension << ", text of " << text.size() << " bytes");
      CHECK(std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); }));
      CHECK(std::abs(cosine(vector, vector) - 1) < 1e-5);
    }
  }
}

TEST_CASE("texts of punctuation alone are told apart") {
  CHECK(embed("???") == embed("???"));
  CHECK(embed("???") != embed("!!!"));
}

TEST_CASE("the same text has the same bits on every platform") {
  // Written down from the first version: a change of these numbers needs another variant of the space.
  const std::vector<float> vector = embed("List users /v1/users", 8);
  std::vector<std::uint32_t> bits(vector.size());
  std::memcpy(bits.data(), vector.data(), vector.size() * sizeof(float));
  CHECK(bits == std::vector<std::uint32_t>{0xbf432d5b, 0x3decb703, 0x3e586870, 0x3f13f262, 0x3decb703, 0, 0xbda761f9,
                                           0x3da761f9});
}

TEST_CASE("an identifier meets its words, a plural its singular, and a typing error its word") {
  CHECK(near("getUserById", "get user by id") > 0.99);
  CHECK(near("users", "user") > 0.99);
  CHECK(near("policies", "policy") > 0.99);
  CHECK(near("certificate", "certifcate") > 0.2);
  CHECK(near("authentication", "authenticate") > 0.2);
}

TEST_CASE("what shares nothing is far apart") {
  CHECK(std::abs(near("delete webhook", "quarterly invoices")) < 0.2);
}

TEST_CASE("the operation that a query describes ranks first") {
  const std::vector<std::string> operations{
      "List users Returns all users of the organisation, newest first. /v1/users users",
      "Create a user Adds a user and sends an invitation. /v1/users users",
      "Delete a user Removes the user and revokes all sessions. /v1/users/{user_id} users",
      "List routes Returns the routes of a service in matching order. /v1/services/{service_id}/routes routes",
      "Rotate an API key Issues a new secret; the old one works for an hour. /v1/keys/{key_id}/rotate keys",
      "Upload a certificate Stores a TLS certificate with its private key. /v1/certificates certificates",
      "Get rate limit Returns the limit that applies to a consumer. /v1/consumers/{consumer_id}/rate-limit limits",
  };
  CHECK(best("list all users", operations) == operations[0]);
  CHECK(best("how do I delete a user", operations) == operations[2]);
  CHECK(best("routes of a service", operations) == operations[3]);
  CHECK(best("rotate api keys", operations) == operations[4]);
  CHECK(best("upload TLS certificates", operations) == operations[5]);
  CHECK(best("rateLimit of a consumer", operations) == operations[6]);
}

TEST_CASE("vectors do not depend on what lies around the text in memory") {
  const std::string padded = "xxgetUserYY";
  CHECK(embed(std::string_view(padded).substr(2, 7)) == embed("getUser"));
}
