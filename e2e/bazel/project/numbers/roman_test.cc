#include "numbers/roman.h"
#include "testing/check.h"

int main() {
  CHECK(gauge::to_roman(1994) == "MCMXCIV");
  CHECK(gauge::to_roman(4) == "IV");
  CHECK(gauge::to_roman(0).empty());
  return CHECK_RESULT();
}
