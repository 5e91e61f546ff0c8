#pragma once

#include <cstddef>
#include <string_view>

namespace gauge {

// How many single insertions, deletions and replacements turn `a` into `b`.
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace gauge
