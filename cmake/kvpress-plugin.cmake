# kvpress_add_plugin(NAME SOURCES...): a shared library NAME.so with presses, for `kvpress --plugin NAME.so`. What it uses of
# the library it finds in the program that loads it, so that there is one registry, one log and one pool of threads.
function(kvpress_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  set_target_properties(${name} PROPERTIES PREFIX "" CXX_VISIBILITY_PRESET hidden)
  get_target_property(type kvpress::kvpress TYPE)
  if(type STREQUAL "STATIC_LIBRARY")
    target_include_directories(${name} PRIVATE $<TARGET_PROPERTY:kvpress::kvpress,INTERFACE_INCLUDE_DIRECTORIES>)
    target_compile_features(${name} PRIVATE cxx_std_20)
    target_link_libraries(${name} PRIVATE fmt::fmt OpenMP::OpenMP_CXX)
  else()
    target_link_libraries(${name} PRIVATE kvpress::kvpress)
  endif()
endfunction()
