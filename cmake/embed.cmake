# cmake -DFILES="a;b" -DOUTPUT=x.cpp -DHEADER=parts.h -DFUNCTION=part -P embed.cmake: text files as string literals that
# part(), which the header declares, gives by name.
set(code "#include \"${HEADER}\"\n\nnamespace kvpress {\n\nstd::string_view ${FUNCTION}(std::string_view name) {\n")
foreach(file IN LISTS FILES)
  file(READ ${file} text)
  get_filename_component(name ${file} NAME)
  if(text MATCHES "\\)kvpress-part\"")
    message(FATAL_ERROR "${file} holds the end of a string literal")
  endif()
  string(APPEND code "  if (name == \"${name}\") return R\"kvpress-part(${text})kvpress-part\";\n")
endforeach()
string(APPEND code "  return {};\n}\n\n}  // namespace kvpress\n")
file(WRITE ${OUTPUT} "${code}")
