#include "numbers/rational.h"

#include "numbers/gcd.h"

namespace gauge {

Rational::Rational(int64_t numerator, int64_t denominator) : numerator_(numerator), denominator_(denominator) {
  const int64_t common = gcd(numerator, denominator) * (denominator < 0 ? -1 : 1);
  numerator_ /= common;
  denominator_ /= common;
}

Rational Rational::operator+(const Rational& other) const {
  return {numerator_ * other.denominator_ + other.numerator_ * denominator_, denominator_ * other.denominator_};
}

Rational Rational::operator*(const Rational& other) const {
  return {numerator_ * other.numerator_, denominator_ * other.denominator_};
}

bool Rational::operator==(const Rational& other) const {
  return numerator_ == other.numerator_ && denominator_ == other.denominator_;
}

std::string Rational::text() const { return std::to_string(numerator_) + "/" + std::to_string(denominator_); }

}  // namespace gauge
