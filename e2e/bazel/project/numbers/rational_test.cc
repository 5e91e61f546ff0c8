#include "numbers/gcd.h"
#include "numbers/rational.h"
#include "testing/check.h"

int main() {
  using gauge::Rational;
  CHECK(gauge::gcd(84, 36) == 12);
  CHECK(Rational(1, 2) + Rational(1, 3) == Rational(5, 6));
  CHECK(Rational(2, 3) * Rational(3, 4) == Rational(1, 2));
  CHECK(Rational(3, -6).text() == "-1/2");
  return CHECK_RESULT();
}
