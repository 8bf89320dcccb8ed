// The part of fmt that is no template, compiled once: with FMT_HEADER_ONLY every file that formats
// something compiles it again, which takes 2.5 s. What is instantiated here is what the headers of
// fmt 9 leave to its library.
#ifndef FMT_HEADER_ONLY

#include <fmt/format-inl.h>

FMT_BEGIN_NAMESPACE
namespace detail {

template dragonbox::decimal_fp<float> dragonbox::to_decimal(float) noexcept;
template dragonbox::decimal_fp<double> dragonbox::to_decimal(double) noexcept;

template locale_ref::locale_ref(const std::locale&);
template std::locale locale_ref::get<std::locale>() const;

template thousands_sep_result<char> thousands_sep_impl(locale_ref);
template char decimal_point_impl(locale_ref);
template void buffer<char>::append(const char*, const char*);

template thousands_sep_result<wchar_t> thousands_sep_impl(locale_ref);
template wchar_t decimal_point_impl(locale_ref);
template void buffer<wchar_t>::append(const wchar_t*, const wchar_t*);

}  // namespace detail
FMT_END_NAMESPACE

#endif  // FMT_HEADER_ONLY
