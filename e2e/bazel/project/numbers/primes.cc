#include "numbers/primes.h"

namespace gauge {

std::vector<int> primes_below(int limit) {
  std::vector<bool> composite(limit > 0 ? limit : 0);
  std::vector<int> primes;
  for (int n = 2; n < limit; ++n) {
    if (composite[n]) continue;
    primes.push_back(n);
    for (int multiple = 2 * n; multiple < limit; multiple += n) composite[multiple] = true;
  }
  return primes;
}

}  // namespace gauge
