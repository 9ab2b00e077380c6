# Every C++ dependency, in one place. Why each is there, its licence and the room that owns it: ARCHITECTURE.md, DEPENDENCIES.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(simdjson 3.0 REQUIRED)  # simdjson::simdjson, for JSON that comes in
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto SSL)
find_package(Boost 1.81 REQUIRED)
# Asio and Beast are compiled once, in net/asio.cc: a file that uses them with TLS would else cost 16 s.
add_library(daybreak_asio INTERFACE)
target_link_libraries(daybreak_asio INTERFACE Boost::headers OpenSSL::SSL)
target_compile_definitions(daybreak_asio INTERFACE BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED)
if(DAYBREAK_TESTS)
  find_package(Boost 1.81 REQUIRED COMPONENTS context)  # the interleaver's fibers
  find_package(GTest REQUIRED)
endif()
if(DAYBREAK_BENCH)
  find_package(benchmark REQUIRED)
endif()
if(DAYBREAK_PYTHON)
  find_package(Python 3.11 COMPONENTS Interpreter Development.Module REQUIRED)
  execute_process(COMMAND "${Python_EXECUTABLE}" -c "import sysconfig; print(sysconfig.get_config_var('Py_GIL_DISABLED') or 0)"
    OUTPUT_STRIP_TRAILING_WHITESPACE OUTPUT_VARIABLE free_threaded)
  if(free_threaded)
    message(FATAL_ERROR "${Python_EXECUTABLE} is a free-threaded CPython: Daybreak relies on the GIL; take the ordinary build of the same version")
  endif()
  execute_process(COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir OUTPUT_STRIP_TRAILING_WHITESPACE
    OUTPUT_VARIABLE nanobind_ROOT RESULT_VARIABLE nanobind_missing)
  if(nanobind_missing)
    message(FATAL_ERROR "nanobind is not in the Python environment ${Python_EXECUTABLE}: run ./dev setup")
  endif()
  find_package(nanobind CONFIG REQUIRED)
endif()
