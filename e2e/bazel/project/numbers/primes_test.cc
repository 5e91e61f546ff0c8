#include "numbers/prime_table.h"
#include "numbers/primes.h"
#include "testing/check.h"

int main() {
  const auto primes = gauge::primes_below(2000);
  CHECK(primes.size() == 303);
  CHECK(gauge::prime_table_length == 303);
  for (int i = 0; i < gauge::prime_table_length; ++i) CHECK(gauge::prime_table[i] == primes[i]);
  CHECK(gauge::primes_below(-1).empty());
  return CHECK_RESULT();
}
