# cmake -D BUILD_DIR=... -D SOURCE_DIR=... -P find_package.cmake: see CMakeLists.txt beside this.
set(prefix ${WORK_DIR}/prefix)
set(example ${WORK_DIR}/example)
file(REMOVE_RECURSE ${prefix} ${example})

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "this failed: ${command}")
  endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix})
foreach(path bin/kvpress include/kvpress/base/error.h share/kvpress/models/kvpress-demo/config.json
             share/kvpress/data/wikitext-103-v1/test.jsonl)
  if(NOT EXISTS ${prefix}/${path})
    message(FATAL_ERROR "not installed: ${path}")
  endif()
endforeach()

foreach(name library own_press)
  run(${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE_DIR}/examples/${name} -B ${example}/${name}
      -D CMAKE_PREFIX_PATH=${prefix} -D CMAKE_CXX_COMPILER=${CXX} -D CMAKE_BUILD_TYPE=${BUILD_TYPE})
  run(${CMAKE_COMMAND} --build ${example}/${name})
endforeach()

# Each installed header compiles by itself, with what the package finds and nothing else.
file(GLOB_RECURSE headers RELATIVE ${prefix}/include ${prefix}/include/kvpress/*.h)
set(sources "")
foreach(header IN LISTS headers)
  string(MAKE_C_IDENTIFIER ${header} name)
  file(WRITE ${example}/headers/${name}.cpp "#include <${header}>\n")
  list(APPEND sources ${name}.cpp)
endforeach()
list(JOIN sources " " sources)
file(WRITE ${example}/headers/CMakeLists.txt "cmake_minimum_required(VERSION 3.25)
project(headers LANGUAGES CXX)
find_package(kvpress 0.1 REQUIRED)
add_library(headers OBJECT ${sources})
target_link_libraries(headers PRIVATE kvpress::kvpress)
target_compile_options(headers PRIVATE -fsyntax-only)
")
run(${CMAKE_COMMAND} -G ${GENERATOR} -S ${example}/headers -B ${example}/headers/build
    -D CMAKE_PREFIX_PATH=${prefix} -D CMAKE_CXX_COMPILER=${CXX})
run(${CMAKE_COMMAND} --build ${example}/headers/build)

# The files that ship are found in the prefix, by the program itself and by what the environment says.
file(WRITE ${example}/document.txt "The lighthouse stands on a rock. Old Mara keeps the light, and her parrot keeps her company.\n")
run(${CMAKE_COMMAND} -E env KVPRESS_DATA_DIR=${prefix}/share/kvpress ${example}/library/ask demo ${example}/document.txt
    "Who keeps the light?" "And the parrot?")
run(${CMAKE_COMMAND} -E env KVPRESS_DATA_DIR=${prefix}/share/kvpress ${example}/own_press/own_press)
run(${prefix}/bin/kvpress --version)
run(${prefix}/bin/kvpress ppl -m demo --max-tokens 60 --press value_norm --quiet --plugin ${example}/own_press/value_norm.so)

# pkg-config says the same as the CMake package.
file(GLOB_RECURSE pc ${prefix}/*/kvpress.pc)
get_filename_component(pc_folder ${pc} DIRECTORY)
execute_process(COMMAND ${CMAKE_COMMAND} -E env PKG_CONFIG_PATH=${pc_folder} pkg-config --cflags --libs kvpress
                OUTPUT_VARIABLE flags RESULT_VARIABLE result OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "pkg-config does not find kvpress")
endif()
separate_arguments(flags)
run(${CXX} ${SOURCE_DIR}/examples/library/ask.cpp ${flags} -o ${example}/ask)

# A manual page for each command, and completions.
foreach(path man/man1/kvpress.1 man/man1/kvpress-ppl.1 bash-completion/completions/kvpress zsh/site-functions/_kvpress
             fish/vendor_completions.d/kvpress.fish doc/kvpress/docs/architecture.md doc/kvpress/examples/library/ask.cpp)
  if(NOT EXISTS ${prefix}/share/${path})
    message(FATAL_ERROR "not installed: share/${path}")
  endif()
endforeach()
