# cmake --install build/release --prefix WHERE: the program, the library with its headers (all layers but the command
# line), a CMake package, and what ships (the demo model and its texts).
include(CMakePackageConfigHelpers)

set(KVPRESS_PACKAGE_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/kvpress)
set(KVPRESS_DATA_DESTINATION ${CMAKE_INSTALL_DATADIR}/kvpress)

# While the version begins with 0, each minor one may break the binary interface.
set_target_properties(kvpress PROPERTIES VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
install(TARGETS kvpress EXPORT kvpress-targets)
if(TARGET kvpress_program)
  # With a shared library, the program finds it wherever the two are moved together.
  set_target_properties(kvpress_program PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  install(TARGETS kvpress_program)
endif()

install(DIRECTORY src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/kvpress
        FILES_MATCHING PATTERN "*.h" PATTERN "cli" EXCLUDE)

install(EXPORT kvpress-targets NAMESPACE kvpress:: DESTINATION ${KVPRESS_PACKAGE_DESTINATION})
configure_package_config_file(cmake/kvpress-config.cmake.in ${PROJECT_BINARY_DIR}/kvpress-config.cmake
  INSTALL_DESTINATION ${KVPRESS_PACKAGE_DESTINATION} PATH_VARS KVPRESS_DATA_DESTINATION)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/kvpress-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/kvpress-config.cmake ${PROJECT_BINARY_DIR}/kvpress-config-version.cmake
              cmake/kvpress-dependencies.cmake
        DESTINATION ${KVPRESS_PACKAGE_DESTINATION})

install(DIRECTORY models data DESTINATION ${KVPRESS_DATA_DESTINATION})
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
