#pragma once

#include <cstdint>
#include <string>

namespace gauge {

// A fraction in lowest terms; its denominator is positive.
class Rational {
 public:
  Rational(int64_t numerator, int64_t denominator);

  Rational operator+(const Rational& other) const;
  Rational operator*(const Rational& other) const;
  bool operator==(const Rational& other) const;
  std::string text() const;

 private:
  int64_t numerator_;
  int64_t denominator_;
};

}  // namespace gauge
