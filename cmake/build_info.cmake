# ropejit_build_info: the compile definitions ROPEJIT_VERSION and ROPEJIT_COMMIT ("unknown" outside
# a git checkout; the option of that name says it there). Link it to what prints them and to nothing else: a new commit recompiles its
# users.
set(commit unknown)
set(ROPEJIT_COMMIT "" CACHE STRING "The commit that the tools name; empty: that of the checkout")
find_package(Git QUIET)
if(ROPEJIT_COMMIT)
  set(commit "${ROPEJIT_COMMIT}")
elseif(GIT_FOUND)
  # The folder's own repository: not one that merely contains an unpacked release of ropejit.
  execute_process(COMMAND "${GIT_EXECUTABLE}" rev-parse --short=12 --show-prefix HEAD
                  WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
                  RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_QUIET)
  if(status EQUAL 0 AND output MATCHES "^\n([0-9a-f]+)\n$")
    set(commit "${CMAKE_MATCH_1}")
  endif()
  execute_process(COMMAND "${GIT_EXECUTABLE}" rev-parse --git-path logs/HEAD
                  WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
                  OUTPUT_VARIABLE log OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  get_filename_component(log "${log}" ABSOLUTE BASE_DIR "${PROJECT_SOURCE_DIR}")
  if(NOT commit STREQUAL unknown AND EXISTS "${log}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${log}")
  endif()
endif()

add_library(ropejit_build_info INTERFACE)
target_compile_definitions(ropejit_build_info INTERFACE ROPEJIT_VERSION="${PROJECT_VERSION}"
                                                        ROPEJIT_COMMIT="${commit}")
