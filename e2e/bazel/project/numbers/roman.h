#pragma once

#include <string>

namespace gauge {

// 1 to 3999 in Roman numerals; an empty text outside that range.
std::string to_roman(int number);

}  // namespace gauge
