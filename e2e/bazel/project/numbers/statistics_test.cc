#include "numbers/statistics.h"
#include "testing/check.h"

int main() {
  CHECK(gauge::mean({1, 2, 6}) == 3);
  CHECK(gauge::median({9, 1, 5}) == 5);
  CHECK(gauge::median({4, 1, 3, 2}) == 2.5);
  CHECK(gauge::mean({}) == 0);
  return CHECK_RESULT();
}
