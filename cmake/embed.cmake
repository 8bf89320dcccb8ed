# What the scripts share that turn files of the repository into C++:
#   cmake -DOUTPUT=<file.cpp> -P <script> -- <file>...

# The arguments behind `--`.
function(ropejit_files result)
  set(files)
  set(past_separator FALSE)
  math(EXPR last "${CMAKE_ARGC} - 1")
  foreach(i RANGE ${last})
    if(past_separator)
      list(APPEND files "${CMAKE_ARGV${i}}")
    elseif(CMAKE_ARGV${i} STREQUAL "--")
      set(past_separator TRUE)
    endif()
  endforeach()
  set(${result} "${files}" PARENT_SCOPE)
endfunction()

# A string literal of bytes that are given in hexadecimal. Every byte becomes an escape: no content
# can end the literal early or be changed on the way.
function(ropejit_literal result bytes)
  string(REGEX REPLACE "(..)" "\\\\x\\1" literal "${bytes}")
  string(REPLACE "\\x0a" "\\x0a\"\n    \"" literal "${literal}")  # a line here per line there
  set(${result} "\"${literal}\"" PARENT_SCOPE)
endfunction()
