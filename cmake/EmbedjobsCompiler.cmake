# Flags that every target of this project gets; none of them reaches a consumer.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(PROJECT_IS_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

add_library(embedjobs_flags INTERFACE)
target_compile_options(embedjobs_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual
  -Wold-style-cast -Wcast-align -Wundef -Wformat=2 -Wno-missing-field-initializers -Werror=return-type
  -fstack-protector-strong -fno-strict-aliasing)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 at -O3 sees an overlap of impossible lengths in "literal" + std::string (GCC bug 105651, mended in 13).
  target_compile_options(embedjobs_flags INTERFACE -Wno-restrict)
endif()
option(EMBEDJOBS_WERROR "Treat warnings as errors" OFF)
if(EMBEDJOBS_WERROR)
  target_compile_options(embedjobs_flags INTERFACE -Werror)
endif()
if(EMBEDJOBS_SANITIZE)
  target_compile_options(embedjobs_flags INTERFACE
    -fsanitize=${EMBEDJOBS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(embedjobs_flags INTERFACE -fsanitize=${EMBEDJOBS_SANITIZE})
else()
  target_compile_options(embedjobs_flags INTERFACE $<$<CONFIG:Release>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
  target_link_options(embedjobs_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
endif()
if(EMBEDJOBS_COVERAGE)
  # The coverage of the tests' own code does not count.
  target_compile_options(embedjobs_flags INTERFACE
    $<$<NOT:$<BOOL:$<TARGET_PROPERTY:EMBEDJOBS_IS_TEST>>>:--coverage;-fprofile-update=atomic>)
  target_link_options(embedjobs_flags INTERFACE --coverage)
endif()

find_program(EMBEDJOBS_CCACHE ccache)
if(EMBEDJOBS_CCACHE AND PROJECT_IS_TOP_LEVEL)
  # What ccache needs to be told of precompiled headers; see "Precompiled headers" in its manual.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
    ${EMBEDJOBS_CCACHE})
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
  endif()
endif()

# For those who build the tests: half of the time of a build is the reading of headers. A build without it finds an
# include that a file forgot; the packages are built so.
option(EMBEDJOBS_PCH "Precompile headers" ${EMBEDJOBS_BUILD_TESTS})
function(embedjobs_precompile target)
  if(EMBEDJOBS_PCH)
    target_precompile_headers(${target} PRIVATE <algorithm> <chrono> <functional> <map> <memory> <mutex> <optional>
      <set> <span> <stop_token> <string> <string_view> <thread> <utility> <variant> <vector> <fmt/format.h>)
  endif()
endfunction()

# For builds where only the run matters: the headers that a folder's files share are read once.
option(EMBEDJOBS_UNITY "Compile the files of a folder together" OFF)
# Together, files shadow each other's names, and what is theirs alone seems to be in a header.
set(embedjobs_unity_options -Wno-shadow $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
target_compile_options(embedjobs_flags INTERFACE "$<$<BOOL:$<TARGET_PROPERTY:UNITY_BUILD>>:${embedjobs_unity_options}>")

# embedjobs_unity(TARGET [ALONE files...]): after its sources are known. ALONE are files whose own names, in an unnamed
# namespace, another file of their folder has too.
function(embedjobs_unity target)
  cmake_parse_arguments(arg "" "" "ALONE" ${ARGN})
  if(NOT EMBEDJOBS_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources EXCLUDE REGEX "^\\$<")
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE OUTPUT_VARIABLE path)
    cmake_path(RELATIVE_PATH path BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE name)
    cmake_path(GET name PARENT_PATH folder)
    string(MAKE_C_IDENTIFIER "${folder}" group)
    if(name IN_LIST arg_ALONE)
      set_source_files_properties(${path} TARGET_DIRECTORY ${target} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    else()
      set_source_files_properties(${path} TARGET_DIRECTORY ${target} PROPERTIES UNITY_GROUP ${group})
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()
