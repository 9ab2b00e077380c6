# `cmake --install build/PRESET --prefix FOLDER`: what C++ programs need that use the runtime by find_package(daybreak). Headers,
# static libraries, and a package whose components are the rooms: runtime and tune, and what these stand on. The Python package is the
# wheel's.
set(DAYBREAK_COMPONENTS base os runtime crypto tensor store tune)

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
file(STRINGS daybreak/__init__.py version REGEX "^__version__ = ")
string(REGEX REPLACE ".*\"([0-9.]+).*" "\\1" version "${version}")
set(package "${CMAKE_INSTALL_LIBDIR}/cmake/daybreak")

foreach(room ${DAYBREAK_COMPONENTS})
  if(NOT TARGET daybreak_${room})  # DAYBREAK_ROOMS leaves it out
    continue()
  endif()
  set_target_properties(daybreak_${room} PROPERTIES EXPORT_NAME ${room})
  install(TARGETS daybreak_${room} EXPORT daybreak ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(DIRECTORY "daybreak/${room}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/daybreak" FILES_MATCHING PATTERN "*.h"
    PATTERN "tests" EXCLUDE PATTERN "bench" EXCLUDE PATTERN "python" EXCLUDE PATTERN "interleave" EXCLUDE
    PATTERN "suites" EXCLUDE PATTERN "__pycache__" EXCLUDE PATTERN "bin" EXCLUDE PATTERN "bind.h" EXCLUDE)
endforeach()
install(EXPORT daybreak NAMESPACE daybreak:: FILE daybreakTargets.cmake DESTINATION "${package}")
configure_package_config_file(cmake/daybreakConfig.cmake.in "${CMAKE_BINARY_DIR}/daybreakConfig.cmake" INSTALL_DESTINATION "${package}")
write_basic_package_version_file("${CMAKE_BINARY_DIR}/daybreakConfigVersion.cmake" VERSION "${version}" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/daybreakConfig.cmake" "${CMAKE_BINARY_DIR}/daybreakConfigVersion.cmake" DESTINATION "${package}")
