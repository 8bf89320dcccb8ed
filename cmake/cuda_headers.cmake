# Finds cuda.h and nvrtc.h of CUDA 12 or later: all of CUDA that the build needs, since libcuda and
# libnvrtc are opened at run time. Sets ROPEJIT_CUDA_INCLUDE_DIRS.
set(ROPEJIT_CUDA_INCLUDE_DIR "$ENV{ROPEJIT_CUDA_INCLUDE_DIR}"
    CACHE PATH "Folder of cuda.h and nvrtc.h; empty: search")

# The folders that may hold the headers, in order of preference.
function(ropejit_cuda_candidates result)
  if(ROPEJIT_CUDA_INCLUDE_DIR)
    set(${result} ${ROPEJIT_CUDA_INCLUDE_DIR} PARENT_SCOPE)
    return()
  endif()
  set(patterns)
  foreach(toolkit "$ENV{CUDA_HOME}" "$ENV{CUDA_PATH}" /usr/local/cuda /usr/local/cuda-* /usr)
    if(toolkit)
      list(APPEND patterns "${toolkit}/include" "${toolkit}/targets/*/include")
    endif()
  endforeach()
  foreach(prefix "$ENV{VIRTUAL_ENV}" "$ENV{CONDA_PREFIX}" "$ENV{HOME}/.local" /usr/local /usr)
    if(prefix)
      list(APPEND patterns "${prefix}/lib/python3*/*-packages/nvidia/cu13/include")
    endif()
  endforeach()
  list(APPEND patterns "${PROJECT_SOURCE_DIR}/.deps/cuda/nvidia/cu13/include")  # tools/setup.sh
  set(folders)
  foreach(pattern IN LISTS patterns)
    file(GLOB matches "${pattern}")
    list(APPEND folders ${matches})
  endforeach()
  list(REMOVE_DUPLICATES folders)
  set(${result} ${folders} PARENT_SCOPE)
endfunction()

function(ropejit_find_cuda_headers result)
  ropejit_cuda_candidates(folders)
  set(passed_over)
  foreach(folder IN LISTS folders)
    if(EXISTS "${folder}/cuda.h" AND EXISTS "${folder}/nvrtc.h")
      file(STRINGS "${folder}/cuda.h" line REGEX "^#define CUDA_VERSION +[0-9]+" LIMIT_COUNT 1)
      string(REGEX REPLACE "[^0-9]" "" version "${line}")
      if(version GREATER_EQUAL 12000)
        message(STATUS "CUDA headers: ${folder} (CUDA_VERSION ${version})")
        set(${result} "${folder}" PARENT_SCOPE)
        return()
      endif()
    endif()
    list(APPEND passed_over "${folder}")
  endforeach()
  list(JOIN passed_over "\n  " passed_over)
  message(FATAL_ERROR "cuda.h and nvrtc.h of CUDA 12 or later were not found together in:\n"
          "  ${passed_over}\n"
          "Pass -DROPEJIT_CUDA_INCLUDE_DIR=<folder>, or run tools/setup.sh, which fetches them into "
          ".deps/ where there is no toolkit.")
endfunction()

ropejit_find_cuda_headers(ROPEJIT_CUDA_INCLUDE_DIRS)
