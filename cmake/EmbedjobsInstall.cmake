# Install rules, find_package and pkg-config. The library is static, so a consumer links what is private to it: both
# files name it.
include(CMakePackageConfigHelpers)

install(TARGETS embedjobs EXPORT embedjobsTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/embedjobs DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.hpp")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(embedjobs_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/embedjobs)
install(EXPORT embedjobsTargets NAMESPACE embedjobs:: DESTINATION ${embedjobs_cmake_dir})
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/embedjobsConfig.cmake.in ${PROJECT_BINARY_DIR}/embedjobsConfig.cmake
  INSTALL_DESTINATION ${embedjobs_cmake_dir})
# Before 1.0 a minor version may change signatures.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/embedjobsConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/embedjobsConfig.cmake ${PROJECT_BINARY_DIR}/embedjobsConfigVersion.cmake
  DESTINATION ${embedjobs_cmake_dir})

set(EMBEDJOBS_PC_REQUIRES fmt libcrypto)
set(EMBEDJOBS_PC_LIBS)
if(EMBEDJOBS_HTTP)
  list(APPEND EMBEDJOBS_PC_REQUIRES simdjson)
  # Not as a requirement: with --static pkg-config would ask for everything that a static libcurl needs.
  list(APPEND EMBEDJOBS_PC_LIBS -lcurl)
endif()
if(EMBEDJOBS_OPENAPI)
  list(APPEND EMBEDJOBS_PC_REQUIRES simdjson yaml-0.1)
  install(FILES ${PROJECT_SOURCE_DIR}/cmake/FindLibyaml.cmake DESTINATION ${embedjobs_cmake_dir})
endif()
if(EMBEDJOBS_SQLITE)
  list(APPEND EMBEDJOBS_PC_REQUIRES sqlite3)
endif()
if(EMBEDJOBS_POSTGRES)
  list(APPEND EMBEDJOBS_PC_LIBS -lpq)  # likewise
endif()
list(REMOVE_DUPLICATES EMBEDJOBS_PC_REQUIRES)
list(JOIN EMBEDJOBS_PC_REQUIRES ", " EMBEDJOBS_PC_REQUIRES)
list(JOIN EMBEDJOBS_PC_LIBS " " EMBEDJOBS_PC_LIBS)
# Relative to the file itself, so that an installed tree may be moved.
file(RELATIVE_PATH EMBEDJOBS_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${PROJECT_SOURCE_DIR}/cmake/embedjobs.pc.in ${PROJECT_BINARY_DIR}/embedjobs.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/embedjobs.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
