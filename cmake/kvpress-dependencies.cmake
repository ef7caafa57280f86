# What libkvpress is linked with, found the same way when it is built and when an installed one is used. All of it is in
# Debian 12 and 13. A shared library needs only the first two to be used: set KVPRESS_PUBLIC_DEPENDENCIES_ONLY.
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(fmt REQUIRED)
if(NOT KVPRESS_PUBLIC_DEPENDENCIES_ONLY)
  # Debian's own dnnl-config.cmake asks for OpenCL's headers, which nothing here needs.
  find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.hpp REQUIRED)
  find_library(DNNL_LIBRARY dnnl REQUIRED)
  if(NOT TARGET DNNL::dnnl)
    add_library(DNNL::dnnl UNKNOWN IMPORTED)
    set_target_properties(DNNL::dnnl PROPERTIES IMPORTED_LOCATION ${DNNL_LIBRARY}
                          INTERFACE_INCLUDE_DIRECTORIES ${DNNL_INCLUDE_DIR})
  endif()
  find_package(Eigen3 REQUIRED NO_MODULE)
  find_package(Boost REQUIRED CONFIG)  # Math, headers alone
  find_package(spdlog REQUIRED)
  find_package(nlohmann_json REQUIRED)
  find_package(ZLIB REQUIRED)
  find_package(LibLZMA REQUIRED)
  find_package(CURL REQUIRED)
  find_package(OpenSSL REQUIRED COMPONENTS Crypto)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
  pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
  pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
  pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
  pkg_check_modules(yaml_cpp REQUIRED IMPORTED_TARGET yaml-cpp)
  pkg_check_modules(httplib REQUIRED cpp-httplib)
endif()
