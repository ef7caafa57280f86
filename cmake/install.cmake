# cmake --install build/release --prefix WHERE: the program with manual pages and completions, the library with its public
# headers, a CMake package and a pkg-config file, the docs, the examples, and what ships (the demo model and its texts).
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

install(DIRECTORY include/kvpress DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

install(EXPORT kvpress-targets NAMESPACE kvpress:: DESTINATION ${KVPRESS_PACKAGE_DESTINATION})
configure_package_config_file(cmake/kvpress-config.cmake.in ${PROJECT_BINARY_DIR}/kvpress-config.cmake
  INSTALL_DESTINATION ${KVPRESS_PACKAGE_DESTINATION} PATH_VARS KVPRESS_DATA_DESTINATION)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/kvpress-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/kvpress-config.cmake ${PROJECT_BINARY_DIR}/kvpress-config-version.cmake
              cmake/kvpress-dependencies.cmake cmake/kvpress-plugin.cmake
        DESTINATION ${KVPRESS_PACKAGE_DESTINATION})

install(DIRECTORY models data DESTINATION ${KVPRESS_DATA_DESTINATION})
install(FILES LICENSE NOTICE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs examples DESTINATION ${CMAKE_INSTALL_DOCDIR})

if(TARGET kvpress_program AND NOT CMAKE_CROSSCOMPILING)
  set(manuals ${PROJECT_BINARY_DIR}/manuals)
  install(DIRECTORY ${manuals}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
  install(FILES ${manuals}/kvpress.bash RENAME kvpress DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(FILES ${manuals}/_kvpress DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${manuals}/kvpress.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()

# pkg-config: the prefix is found from where the file is. Whoever links a static library needs the others, too.
file(RELATIVE_PATH KVPRESS_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
set(KVPRESS_PC_REQUIRES "")
set(KVPRESS_PC_LIBS "")
if(NOT BUILD_SHARED_LIBS)
  set(KVPRESS_PC_REQUIRES ", spdlog, libhwy, libzstd, libpcre2-8, libutf8proc, yaml-cpp, cpp-httplib, zlib, liblzma, libcurl, libcrypto")
  set(KVPRESS_PC_LIBS " -ldnnl")
endif()
configure_file(cmake/kvpress.pc.in ${PROJECT_BINARY_DIR}/kvpress.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/kvpress.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
