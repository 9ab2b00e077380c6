# daybreak_room(NAME USES room... [LINK target...] [ALONE source...] [PROGRAM program SOURCES source...])
#
# Makes of a folder daybreak/NAME:
#   daybreak_NAME        a static library of every .cc in it, but tests/, bench/, bind.cc and python/
#   daybreak_NAME_tests  tests/*_test.cc with GoogleTest         (ctest name: NAME)
#   daybreak_NAME_bench  bench/*_bench.cc with Google Benchmark
#   NAME_x_fuzz          tests/x_fuzz.cc with libFuzzer, one program each; with DAYBREAK_CORPUS a plain program that reads its seeds
#   daybreak_NAME_interleave  the room under the interleaver (base/interleave/engine.h), where it has interleave/*_program.cc;
#                        NOT_INTERLEAVED: sources that need the machine itself
#   its part of daybreak._core from bind.cc and python/*.cc, entered through `void bind_NAME(nanobind::module_&)`
#
# PROGRAM makes a program of these SOURCES (which are then no part of the library) and of the room. It lies in daybreak/NAME/bin/,
# where the room's Python finds it beside itself, in a checkout and in a wheel.
#
# Sources are compiled in batches (daybreak_batch), those that are ALONE one by one: they take long enough.
# A file named *_avx2.cc or *_avx512.cc is compiled for that instruction level and may be called only after a check at run time.
# A file named *_ct.cc holds code whose time and addresses may not depend on its values: it is compiled alone, without exceptions, with
# what would turn a select into a branch switched off. Where the other compiler is there, too, the room's tests are also linked with
# these files compiled by that one: daybreak_NAME_tests_gcc or _clang (ctest name: NAME_gcc, NAME_clang).
# USES is the only place where a room says which rooms it includes; `./dev lint` holds the includes against it.

# What nearly every source includes is read once: half of a compiler's time went into headers. The sources still include what they
# use: clang-tidy's preset compiles without these.
set(DAYBREAK_PCH
  <algorithm> <array> <atomic> <chrono> <cmath> <condition_variable> <cstdint> <cstring> <deque> <expected> <functional> <map>
  <memory> <mutex> <optional> <random> <set> <span> <string> <string_view> <thread> <unordered_map> <unordered_set> <utility>
  <variant> <vector> <fmt/format.h>
  <daybreak/base/error.h> <daybreak/base/mutex.h> <daybreak/base/env.h>)

# Of *_ct.cc. clang makes branches of conditional moves that it thinks foreseeable; both take a mask that a loop does not change out
# of the loop and make two loops, one for each value.
set(DAYBREAK_CT_FLAGS -fno-exceptions -fno-lto -fno-jump-tables)
set(DAYBREAK_CT_FLAGS_GNU -fno-unswitch-loops -fno-split-paths -fno-split-loops -fno-tree-loop-distribute-patterns)
set(DAYBREAK_CT_FLAGS_Clang -mllvm -x86-cmov-converter=false -mllvm -unswitch-threshold=0)

set(DAYBREAK_AVX2_FLAGS -mavx2 -mfma)
set(DAYBREAK_AVX512_FLAGS -mavx512f -mavx512dq -mavx512vl -mavx512bw -mfma -mprefer-vector-width=512)

# Eight sources at a time become one file that includes them: headers are read, and what is inline is compiled, once a batch. That
# halves the time of a cold build; a change compiles its batch again. CMake's own UNITY_BUILD does the same with absolute paths, by
# which the compiler cache of a second clone knows nothing.
function(daybreak_batch result name)
  set(files "")
  set(text "")
  set(count 0)
  foreach(source ${ARGN})
    math(EXPR place "${count} % 8")
    math(EXPR batch "${count} / 8")
    file(RELATIVE_PATH include "${CMAKE_SOURCE_DIR}" "${source}")
    string(APPEND text "#include \"${include}\"\n")
    math(EXPR count "${count} + 1")
    list(LENGTH ARGN all)
    if(place EQUAL 7 OR count EQUAL all)
      file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/${name}_${batch}.cc" @ONLY CONTENT "@text@")
      list(APPEND files "${CMAKE_CURRENT_BINARY_DIR}/${name}_${batch}.cc")
      set(text "")
    endif()
  endforeach()
  set(${result} ${files} PARENT_SCOPE)
endfunction()

# Objects of the *_ct.cc sources by the compiler that does not make the rest, and that one's name; empty where it is not there.
function(daybreak_ct_objects objects compiler)
  set(${objects} "" PARENT_SCOPE)
  set(other Clang)
  set(names clang++-19 clang++)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    set(other GNU)
    set(names g++)
  endif()
  find_program(DAYBREAK_OTHER_COMPILER NAMES ${names})
  if(NOT DAYBREAK_OTHER_COMPILER OR DAYBREAK_SANITIZE)
    return()
  endif()
  set(made "")
  foreach(source ${ARGN})
    get_filename_component(stem "${source}" NAME_WE)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${stem}.${other}.o")
    add_custom_command(
      OUTPUT "${object}" DEPENDS "${source}" DEPFILE "${object}.d"
      COMMAND "${DAYBREAK_OTHER_COMPILER}" -std=c++23 -O2 -DNDEBUG -fPIC -Wall -Wextra -Werror "-I${CMAKE_SOURCE_DIR}" ${DAYBREAK_CT_FLAGS}
              ${DAYBREAK_CT_FLAGS_${other}} -MD -MF "${object}.d" -c "${source}" -o "${object}"
      COMMENT "" VERBATIM)
    list(APPEND made "${object}")
  endforeach()
  set(${objects} "${made}" PARENT_SCOPE)
  string(REPLACE "GNU" "gcc" other "${other}")
  string(TOLOWER "${other}" other)
  set(${compiler} "${other}" PARENT_SCOPE)
endfunction()

function(daybreak_room name)
  cmake_parse_arguments(arg "" "PROGRAM" "USES;LINK;ALONE;NOT_INTERLEAVED;SOURCES" ${ARGN})
  if(arg_UNPARSED_ARGUMENTS OR (arg_PROGRAM AND NOT arg_SOURCES) OR (arg_SOURCES AND NOT arg_PROGRAM))
    message(FATAL_ERROR "daybreak_room(${name}): '${arg_UNPARSED_ARGUMENTS}' not understood, or PROGRAM without SOURCES: cmake/room.cmake says what there is")
  endif()
  set(dir "${CMAKE_CURRENT_SOURCE_DIR}")
  set(lib daybreak_${name})

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${dir}/*.cc")
  list(FILTER sources EXCLUDE REGEX "/(tests|bench|python|interleave)/|/bind\\.cc$")
  list(TRANSFORM arg_SOURCES PREPEND "${dir}/")
  if(arg_SOURCES)
    list(REMOVE_ITEM sources ${arg_SOURCES})
  endif()
  set(constant_time "")
  set(ct_flags ${DAYBREAK_CT_FLAGS} ${DAYBREAK_CT_FLAGS_${CMAKE_CXX_COMPILER_ID}})
  set(alone "")
  set(batched "")
  list(TRANSFORM arg_ALONE PREPEND "${dir}/")
  foreach(source ${sources})
    if(source MATCHES "_(avx2|avx512)\\.cc$")
      string(TOUPPER "${CMAKE_MATCH_1}" level)
      set(flags ${DAYBREAK_${level}_FLAGS})
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${flags}" SKIP_PRECOMPILE_HEADERS ON)
      list(APPEND alone ${source})
    elseif(source MATCHES "_ct\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${ct_flags}" SKIP_PRECOMPILE_HEADERS ON)
      list(APPEND alone ${source})
      list(APPEND constant_time ${source})
    elseif(NOT DAYBREAK_UNITY OR source IN_LIST arg_ALONE)
      list(APPEND alone ${source})
    else()
      list(APPEND batched ${source})
    endif()
  endforeach()
  daybreak_batch(batches ${name} ${batched})

  add_library(${lib} STATIC ${alone} ${batches})
  target_include_directories(${lib} PUBLIC "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>" "$<INSTALL_INTERFACE:include>")
  foreach(room ${arg_USES})
    target_link_libraries(${lib} PUBLIC daybreak_${room})
  endforeach()
  target_link_libraries(${lib} PUBLIC fmt::fmt Threads::Threads ${arg_LINK})
  if(name STREQUAL "base")
    target_precompile_headers(${lib} PRIVATE ${DAYBREAK_PCH})
  else()
    target_precompile_headers(${lib} REUSE_FROM daybreak_base)
  endif()

  if(arg_PROGRAM)
    add_executable(${arg_PROGRAM} ${arg_SOURCES})
    target_link_libraries(${arg_PROGRAM} PRIVATE ${lib})
    if(SKBUILD)
      target_link_options(${arg_PROGRAM} PRIVATE -static-libstdc++ -static-libgcc)
      install(TARGETS ${arg_PROGRAM} RUNTIME DESTINATION daybreak/${name}/bin)
    elseif(DAYBREAK_PYTHON)
      set_target_properties(${arg_PROGRAM} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${dir}/bin")
      set_property(GLOBAL APPEND PROPERTY daybreak_programs ${arg_PROGRAM})
    endif()
  endif()

  if(DAYBREAK_TESTS AND NOT DAYBREAK_FUZZ)
    file(GLOB tests CONFIGURE_DEPENDS "${dir}/tests/*_test.cc")
    if(tests)
      if(DAYBREAK_UNITY)
        daybreak_batch(tests ${name}_tests ${tests})
      endif()
      add_executable(${lib}_tests ${tests})
      target_link_libraries(${lib}_tests PRIVATE ${lib} GTest::gtest GTest::gtest_main)
      if(name STREQUAL "base")
        target_precompile_headers(${lib}_tests PRIVATE <gtest/gtest.h> ${DAYBREAK_PCH})
      else()
        target_precompile_headers(${lib}_tests REUSE_FROM daybreak_base_tests)
      endif()
      add_test(NAME ${name} COMMAND ${lib}_tests)
      daybreak_ct_objects(objects compiler ${constant_time})
      if(objects)
        # Objects come before the library, so its own ones are not taken out of it.
        add_executable(${lib}_tests_${compiler} ${tests} ${objects})
        target_link_libraries(${lib}_tests_${compiler} PRIVATE ${lib} GTest::gtest GTest::gtest_main)
        target_precompile_headers(${lib}_tests_${compiler} REUSE_FROM daybreak_base_tests)
        add_test(NAME ${name}_${compiler} COMMAND ${lib}_tests_${compiler})
      endif()
    endif()
  endif()
  file(GLOB programs CONFIGURE_DEPENDS "${dir}/interleave/*_program.cc")
  if(DAYBREAK_TESTS AND programs)
    # The room's own sources once more, on base/interleave instead of std::atomic, with small programs for them.
    file(GLOB interleave CONFIGURE_DEPENDS "${dir}/interleave/*.cc" "${CMAKE_SOURCE_DIR}/daybreak/base/interleave/*.cc")
    set(modelled ${sources})
    list(TRANSFORM arg_NOT_INTERLEAVED PREPEND "${dir}/")
    list(REMOVE_ITEM modelled ${arg_NOT_INTERLEAVED})
    list(FILTER interleave EXCLUDE REGEX "_program\\.cc$")
    add_library(${lib}_modelled OBJECT EXCLUDE_FROM_ALL ${modelled} ${programs})
    add_executable(${lib}_interleave EXCLUDE_FROM_ALL ${interleave})
    foreach(target ${lib}_modelled ${lib}_interleave)
      target_compile_definitions(${target} PRIVATE DAYBREAK_INTERLEAVE)
      target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}")
      foreach(room ${arg_USES})
        target_link_libraries(${target} PRIVATE daybreak_${room})
      endforeach()
      target_link_libraries(${target} PRIVATE fmt::fmt Threads::Threads Boost::context)
    endforeach()
    # Each plain access calls a function, which is the engine's (base/interleave/race.cc): no sanitizer is linked.
    target_compile_options(${lib}_modelled PRIVATE -fsanitize=thread)
    target_link_libraries(${lib}_interleave PRIVATE ${lib}_modelled)
    target_link_options(${lib}_interleave PRIVATE LINKER:--wrap=memcpy,--wrap=memmove,--wrap=memset)
  endif()
  if(DAYBREAK_BENCH)
    file(GLOB benches CONFIGURE_DEPENDS "${dir}/bench/*_bench.cc")
    if(benches)
      add_executable(${lib}_bench ${benches})
      target_link_libraries(${lib}_bench PRIVATE ${lib} benchmark::benchmark_main)
    endif()
  endif()
  if(DAYBREAK_FUZZ OR DAYBREAK_CORPUS)
    file(GLOB fuzzers CONFIGURE_DEPENDS "${dir}/tests/*_fuzz.cc")
    foreach(fuzzer ${fuzzers})
      get_filename_component(stem "${fuzzer}" NAME_WE)
      add_executable(${name}_${stem} "${fuzzer}")
      target_link_libraries(${name}_${stem} PRIVATE ${lib})
      if(DAYBREAK_FUZZ)
        target_link_options(${name}_${stem} PRIVATE -fsanitize=fuzzer)
      else()
        target_sources(${name}_${stem} PRIVATE "${CMAKE_SOURCE_DIR}/daybreak/base/tests/corpus_driver.cc")
        target_link_libraries(${name}_${stem} PRIVATE GTest::gtest)  # whose precompiled header it shares
        target_precompile_headers(${name}_${stem} REUSE_FROM daybreak_base_tests)
      endif()
    endforeach()
  endif()
  if(DAYBREAK_PYTHON)
    file(GLOB bindings CONFIGURE_DEPENDS "${dir}/bind.cc" "${dir}/python/*.cc")
    if(bindings)
      set_property(GLOBAL APPEND PROPERTY daybreak_bindings ${bindings})
      set_property(GLOBAL APPEND PROPERTY daybreak_bound_rooms ${name})
    endif()
  endif()
endfunction()

# The one extension module: every room's bind.cc behind a generated NB_MODULE.
function(daybreak_extension)
  get_property(bindings GLOBAL PROPERTY daybreak_bindings)
  get_property(rooms GLOBAL PROPERTY daybreak_bound_rooms)
  get_property(programs GLOBAL PROPERTY daybreak_programs)
  set(declarations "")
  set(calls "")
  foreach(room ${rooms})
    string(APPEND declarations "void bind_${room}(nanobind::module_&);\n")
    string(APPEND calls "  {\n    nanobind::module_ room = m.def_submodule(\"${room}\");\n    bind_${room}(room);\n  }\n")
  endforeach()
  file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/core.cc" @ONLY CONTENT
"#include <cstdlib>

#include <nanobind/nanobind.h>
@declarations@
NB_MODULE(_core, m) {
  // What a program still holds when it ends (a trainer that its own callback names) is no news for its user.
  nanobind::set_leak_warnings(std::getenv(\"DAYBREAK_LEAK_WARNINGS\") != nullptr);
@calls@}
")
  nanobind_add_module(_core NB_STATIC NOMINSIZE NB_DOMAIN daybreak "${CMAKE_BINARY_DIR}/core.cc" ${bindings})
  target_compile_definitions(_core PRIVATE "PY_SSIZE_T_CLEAN=")  # Python.h is read before any source could say so
  target_precompile_headers(_core PRIVATE <nanobind/nanobind.h> <nanobind/ndarray.h> <nanobind/stl/string.h> <nanobind/stl/vector.h> ${DAYBREAK_PCH})
  foreach(room ${rooms})
    target_link_libraries(_core PRIVATE daybreak_${room})
  endforeach()
  target_link_options(_core PRIVATE "LINKER:--version-script=${CMAKE_SOURCE_DIR}/cmake/extension.map")
  set_target_properties(_core PROPERTIES LINK_DEPENDS "${CMAKE_SOURCE_DIR}/cmake/extension.map")
  if(programs)
    add_dependencies(_core ${programs})  # who builds what Python needs, builds what Python starts
  endif()
  if(SKBUILD)
    # The wheel runs where there is only a Python and a libc; auditwheel brings the other libraries.
    target_link_options(_core PRIVATE -static-libstdc++ -static-libgcc)
    install(TARGETS _core LIBRARY DESTINATION daybreak)
  else()
    set_target_properties(_core PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_SOURCE_DIR}/daybreak")
  endif()
endfunction()
