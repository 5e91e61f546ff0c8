#pragma once

#include <vector>

namespace gauge {

// All primes below `limit`, ascending.
std::vector<int> primes_below(int limit);

}  // namespace gauge
