# cmake -DOUTPUT=<file.cpp> -P embed_tuned.cmake -- <tuned file>...
# Writes the definition of shipped_tuning() (src/tuning_shipped.h): tuned files as C++ data, since
# reading a file of hundreds of entries takes milliseconds, which a serving process would spend at
# every start. What a file says wrongly does not compile.
# -DFUNCTION=<name> gives the function another name.
include("${CMAKE_CURRENT_LIST_DIR}/embed.cmake")
ropejit_files(files)
if(NOT FUNCTION)
  set(FUNCTION shipped_tuning)
endif()

# ropejit_values(<result> <json> <key>...): the members of a JSON object as initialisers. A key may be
# followed by `:Enum`: then its value is the name of an enumerator.
function(ropejit_values result json)
  set(values "")
  foreach(field IN LISTS ARGN)
    string(REGEX MATCH "^([a-z0-9_]+):?(.*)$" unused "${field}")
    set(enum "${CMAKE_MATCH_2}")
    set(key "${CMAKE_MATCH_1}")
    string(JSON value GET "${json}" "${key}")
    string(JSON type TYPE "${json}" "${key}")
    if(type STREQUAL "BOOLEAN" AND value)
      set(value true)
    elseif(type STREQUAL "BOOLEAN")
      set(value false)
    elseif(enum)
      set(value "${enum}::${value}")
    endif()
    list(APPEND values "${value}")
  endforeach()
  list(JOIN values ", " values)
  set(${result} "${values}" PARENT_SCOPE)
endfunction()

function(ropejit_measured result json)
  string(JSON config GET "${json}" config)
  ropejit_values(config "${config}" block_threads access_bytes pairing:Pairing heads_per_thread
                 streaming_stores)
  ropejit_values(times "${json}" us low high)
  set(${result} "MeasuredConfig{{${config}}, ${times}}" PARENT_SCOPE)
endfunction()

function(ropejit_entry result json spec)
  ropejit_values(tokens "${json}" tokens)
  ropejit_values(samples "${json}" samples)
  string(JSON chosen GET "${json}" chosen)
  ropejit_measured(chosen "${chosen}")
  set(baseline "std::nullopt")
  string(JSON default ERROR_VARIABLE absent GET "${json}" default)
  if(NOT absent)
    ropejit_measured(baseline "${default}")
  endif()
  set(${result} "    TuningEntry{{${spec}}, ${tokens},\n        ${chosen},\n        ${baseline}, ${samples}},\n"
      PARENT_SCOPE)
endfunction()

# The indices of a JSON list.
function(ropejit_indices result json)
  string(JSON length LENGTH "${json}")
  set(indices)
  if(length GREATER 0)
    math(EXPR last "${length} - 1")
    foreach(i RANGE ${last})
      list(APPEND indices ${i})
    endforeach()
  endif()
  set(${result} "${indices}" PARENT_SCOPE)
endfunction()

# The definition of an array.
function(ropejit_array result type name count elements)
  set(${result} "constexpr std::array<${type}, ${count}> ${name} = {\n${elements}};\n\n" PARENT_SCOPE)
endfunction()

set(arrays "")
set(runs "")
set(run_count 0)
foreach(file IN LISTS files)
  get_filename_component(file_name "${file}" NAME)
  file(READ "${file}" text)
  string(JSON file_runs GET "${text}" runs)
  ropejit_indices(run_indices "${file_runs}")
  foreach(r IN LISTS run_indices)
    string(JSON run GET "${file_runs}" ${r})
    string(JSON device_class GET "${run}" device_class)
    ropejit_values(device_class "${device_class}" major minor sm_count l2_bytes)

    string(JSON names GET "${run}" aliases)
    ropejit_indices(indices "${names}")
    list(LENGTH indices name_count)
    set(aliases "")
    foreach(i IN LISTS indices)
      string(JSON alias GET "${names}" ${i})
      string(HEX "${alias}" bytes)
      ropejit_literal(alias "${bytes}")
      string(APPEND aliases "    ${alias},\n")
    endforeach()

    set(entries "")
    set(entry_count 0)
    string(JSON groups GET "${run}" specs)
    ropejit_indices(group_indices "${groups}")
    foreach(g IN LISTS group_indices)
      string(JSON group GET "${groups}" ${g})
      string(JSON spec GET "${group}" spec)
      ropejit_values(spec "${spec}" head_dim rotary_dim dtype:Dtype layout:Layout q_heads kv_heads
                     positions:PositionMode angles:AngleSource alignment)
      string(JSON items GET "${group}" entries)
      ropejit_indices(indices "${items}")
      foreach(i IN LISTS indices)
        string(JSON item GET "${items}" ${i})
        ropejit_entry(entry "${item}" "${spec}")
        string(APPEND entries "${entry}")
        math(EXPR entry_count "${entry_count} + 1")
      endforeach()
    endforeach()

    ropejit_array(aliases std::string_view kAliases${run_count} ${name_count} "${aliases}")
    ropejit_array(entries TuningEntry kEntries${run_count} ${entry_count} "${entries}")
    string(APPEND arrays "// ${file_name}\n${aliases}${entries}")
    string(APPEND runs
           "    ShippedRun{\"${file_name}\", {${device_class}}, kAliases${run_count}, kEntries${run_count}},\n")
    math(EXPR run_count "${run_count} + 1")
  endforeach()
endforeach()
ropejit_array(runs ShippedRun kRuns ${run_count} "${runs}")

file(WRITE "${OUTPUT}" "// Generated from tuned files by cmake/embed_tuned.cmake.
#include \"src/tuning_shipped.h\"

#include <array>

namespace ropejit {
namespace {

${arrays}${runs}}  // namespace

std::span<const ShippedRun> ${FUNCTION}() noexcept;
std::span<const ShippedRun> ${FUNCTION}() noexcept { return kRuns; }

}  // namespace ropejit
")
