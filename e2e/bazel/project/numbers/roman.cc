#include "numbers/roman.h"

namespace gauge {

std::string to_roman(int number) {
  if (number < 1 || number > 3999) return "";
  struct Numeral {
    int value;
    const char* text;
  };
  const Numeral numerals[] = {{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"},
                              {40, "XL"},  {10, "X"},   {9, "IX"},  {5, "V"},    {4, "IV"},  {1, "I"}};
  std::string result;
  for (const Numeral& numeral : numerals) {
    for (; number >= numeral.value; number -= numeral.value) result += numeral.text;
  }
  return result;
}

}  // namespace gauge
