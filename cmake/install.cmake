# The library, its public headers and the CMake package that find_package(ropejit) reads. The
# command line tool installs itself, in tools/CMakeLists.txt.
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ropejit")

install(TARGETS ropejit EXPORT ropejitTargets)
install(DIRECTORY include/ropejit DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.h")
install(EXPORT ropejitTargets NAMESPACE ropejit:: DESTINATION "${package_dir}")

configure_package_config_file(cmake/ropejitConfig.cmake.in
                              "${PROJECT_BINARY_DIR}/generated/ropejitConfig.cmake"
                              INSTALL_DESTINATION "${package_dir}")
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/ropejitConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/generated/ropejitConfig.cmake"
              "${PROJECT_BINARY_DIR}/generated/ropejitConfigVersion.cmake"
        DESTINATION "${package_dir}")
