#pragma once

#include <cstdint>

namespace gauge {

// Greatest common divisor, never negative.
int64_t gcd(int64_t a, int64_t b);

}  // namespace gauge
